//! What one instance may take of the host's memory.

use wasmtime::ResourceLimiter;

use super::stop::Stop;
use super::task_host::MemoryAccount;
use crate::limits;

/// Counts the memories and tables of one store together, so that many small ones are no way around the bound.
/// Everything that it decides depends on the guest alone, so that replay decides the same.
pub(super) struct Limiter {
    max_memory_bytes: usize,
    memory_bytes: usize,
    denied: Option<&'static str>,
    /// The account of the task's principal; none while a component is only inspected.
    account: Option<MemoryAccount>,
}

/// What one element of a table takes: a pointer.
const TABLE_ELEMENT_BYTES: usize = 8;

/// The machine could not give memory that the guest is entitled to.
#[derive(Debug, thiserror::Error)]
#[error("the machine could not give a guest memory that its limits allow: {0}")]
pub(super) struct OutOfMemory(String);

impl Limiter {
    pub fn new(memory_mib: u64, account: Option<MemoryAccount>) -> Self {
        let mib = memory_mib.min(limits::MAX_MEMORY_MIB);
        Self { max_memory_bytes: (mib << 20) as usize, memory_bytes: 0, denied: None, account }
    }

    /// What it holds, which never shrinks.
    pub fn held_bytes(&self) -> u64 {
        self.memory_bytes as u64
    }

    /// The bound that was in the way last, by its name in the manifest or in `limits`.
    pub fn denied(&self) -> Option<&'static str> {
        self.denied
    }

    /// What the guest sees depends on its own bound alone. Where the account has no room the instance ends, and the guest
    /// never learns of it.
    fn take(&mut self, bytes: usize) -> Result<bool, Stop> {
        let total = self.memory_bytes.saturating_add(bytes);
        if total > self.max_memory_bytes {
            self.denied = Some("memory_mib");
            return Ok(false);
        }
        if let Some(account) = &self.account {
            account.grow_to(total as u64)?;
        }
        self.memory_bytes = total;
        Ok(true)
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.take(desired.saturating_sub(current))?)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // A growth past what the memory's type allows fails the same way in every run: the guest sees -1.
        // A machine without memory is another matter: another run would see something else, so the guest
        // must not learn of it, and the attempt is tried again.
        let machine = error.chain().any(|cause| {
            cause.downcast_ref::<std::io::Error>().is_some()
                || cause.downcast_ref::<rustix::io::Errno>().is_some()
        });
        if machine { Err(OutOfMemory(format!("{error:#}")).into()) } else { Ok(()) }
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if desired > limits::MAX_TABLE_ELEMENTS {
            self.denied = Some("MAX_TABLE_ELEMENTS");
            return Ok(false);
        }
        Ok(self.take(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES))?)
    }

    fn instances(&self) -> usize {
        limits::MAX_CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        limits::MAX_TABLES
    }

    fn memories(&self) -> usize {
        limits::MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn the_memories_of_a_store_count_together() {
        let mut limiter = Limiter::new(3, None);
        assert!(limiter.memory_growing(0, 2 * MIB, None).unwrap());
        assert!(!limiter.memory_growing(0, 2 * MIB, None).unwrap(), "a second memory");
        assert_eq!(limiter.denied(), Some("memory_mib"));
        assert!(limiter.memory_growing(0, MIB, None).unwrap());
        assert!(!limiter.memory_growing(2 * MIB, 2 * MIB + 1, None).unwrap(), "not a byte more");
    }

    #[test]
    fn tables_count_as_memory() {
        let mut limiter = Limiter::new(1, None);
        assert!(limiter.table_growing(0, 100_000, None).unwrap(), "800,000 bytes");
        assert!(!limiter.table_growing(0, 100_000, None).unwrap(), "a second table");
        assert!(!limiter.memory_growing(0, MIB / 2, None).unwrap());
        assert_eq!(limiter.denied(), Some("memory_mib"));
        assert!(limiter.memory_growing(0, MIB / 8, None).unwrap());
    }

    #[test]
    fn past_the_declared_maximum_the_guest_sees_minus_one_and_nothing_is_counted() {
        let mut limiter = Limiter::new(3, None);
        assert!(!limiter.memory_growing(0, 2 * MIB, Some(MIB)).unwrap());
        assert_eq!(limiter.denied(), None);
        limiter
            .memory_grow_failed(wasmtime::Error::msg("memory growth exceeds memory type's limits"))
            .unwrap();
        assert!(limiter.memory_growing(0, 3 * MIB, None).unwrap());
    }

    #[test]
    fn a_machine_without_memory_ends_the_attempt() {
        let mut limiter = Limiter::new(3, None);
        assert!(limiter.memory_growing(0, MIB, None).unwrap());
        let error = limiter.memory_grow_failed(std::io::Error::from_raw_os_error(12).into()).unwrap_err();
        assert!(error.downcast_ref::<OutOfMemory>().is_some());
        assert!(limiter.memory_growing(0, MIB, None).unwrap());
        assert!(limiter.memory_grow_failed(rustix::io::Errno::NOMEM.into()).is_err());
    }
}
