//! The one configuration of wasmtime. What could differ between two runs of a guest is switched off here.

use std::hash::{Hash, Hasher};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, ModuleVersionStrategy, PoolingAllocationConfig,
};

use crate::limits;

/// Stack of the fiber on which a guest and the host functions that it calls run, bytes. What the guest may
/// not use is the host's.
const FIBER_STACK_BYTES: usize = 2 * limits::MAX_WASM_STACK_BYTES;

/// The engine with pooled instances, or without the pool where this machine cannot reserve its addresses
/// (a low limit on virtual memory): slower to instantiate, otherwise the same.
pub(super) fn engine() -> wasmtime::Result<Engine> {
    let pooled = settings().and_then(|mut config| {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
        Engine::new(&config)
    });
    pooled.or_else(|error| {
        tracing::warn!("instances are not pooled, since their addresses cannot be reserved: {error:#}");
        Engine::new(&settings()?)
    })
}

/// An engine that reserves no addresses for instances: one that only compiles, or runs few of them. Its code is the same.
pub(super) fn unpooled_engine() -> wasmtime::Result<Engine> {
    Engine::new(&settings()?)
}

/// Names everything that compiled code depends on: the exact version of wasmtime, its settings, and the
/// processor's features. Two engines with one fingerprint can share compiled code.
pub(super) fn fingerprint(engine: &Engine) -> blake3::Hash {
    struct Digest(blake3::Hasher);
    impl Hasher for Digest {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            let hash = self.0.finalize();
            let (first, _) = hash.as_bytes().split_at(8);
            first.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
        }
    }
    let mut digest = Digest(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut digest);
    digest.0.finalize()
}

fn settings() -> wasmtime::Result<Config> {
    let mut config = Config::new();
    // A journal must mean the same on every machine and after an upgrade of the compiler.
    config.cranelift_nan_canonicalization(true).relaxed_simd_deterministic(true);
    // One guest, one thread of execution: the journal alone decides the order of events. It also makes
    // every call into the host three times cheaper.
    config.concurrency_support(false).shared_memory(false);
    config.wasm_component_model_map(true).wasm_component_model_fixed_length_lists(true);
    config.epoch_interruption(true);
    config.max_wasm_stack(limits::MAX_WASM_STACK_BYTES).async_stack_size(FIBER_STACK_BYTES);
    // wasmtime itself accepts compiled code of any patch release with the same major version, so that a
    // miscompilation that a patch release repaired would live on in our cache. The last number is that of what
    // `synchronous.rs` makes of a component before it is compiled.
    let version = concat!("longhaul-", env!("CARGO_PKG_VERSION"), "+wasmtime-48.0.8+1");
    config.module_version(ModuleVersionStrategy::Custom(version.to_owned()))?;
    Ok(config)
}

fn pool() -> PoolingAllocationConfig {
    // Inspection needs a few instances besides those of the tasks.
    let live = u32::try_from(limits::MAX_LIVE_INSTANCES).unwrap_or(u32::MAX).saturating_add(16);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_stacks(live)
        // Enough for all of them: no component can take another's.
        .total_memories(live.saturating_mul(limits::MAX_MEMORIES as u32))
        .total_tables(live.saturating_mul(limits::MAX_TABLES as u32))
        // These two only count; what they use is bounded by the three above.
        .total_component_instances(live.saturating_mul(limits::MAX_CORE_INSTANCES as u32))
        .total_core_instances(live.saturating_mul(limits::MAX_CORE_INSTANCES as u32))
        .max_component_instance_size(limits::MAX_INSTANCE_BYTES)
        .max_core_instance_size(limits::MAX_INSTANCE_BYTES)
        .max_memories_per_module(limits::MAX_MEMORIES as u32)
        .max_tables_per_module(limits::MAX_TABLES as u32)
        .table_elements(limits::MAX_TABLE_ELEMENTS)
        .max_memory_size((limits::MAX_MEMORY_MIB << 20) as usize);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        // Only with the kernel's word on what was written: guests begin to write far above address 0.
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(limits::KEPT_GUEST_MEMORY_BYTES)
            .table_keep_resident(limits::KEPT_GUEST_MEMORY_BYTES);
    }
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_version_is_the_one_that_is_linked() {
        // `fingerprint` and the cache rest on it: change the text in `settings` with the dependency.
        let lock = include_str!("../../Cargo.lock");
        assert!(lock.contains("name = \"wasmtime\"\nversion = \"48.0.8\"\n"));
    }

    #[test]
    fn equal_engines_have_one_fingerprint_and_others_another() {
        let one = fingerprint(&engine().unwrap());
        assert_eq!(one, fingerprint(&unpooled_engine().unwrap()), "the pool changes no code");
        let mut other = settings().unwrap();
        other.cranelift_nan_canonicalization(false);
        assert_ne!(one, fingerprint(&Engine::new(&other).unwrap()));
        let mut patched = settings().unwrap();
        patched.module_version(ModuleVersionStrategy::Custom("wasmtime-48.0.9".into())).unwrap();
        assert_ne!(one, fingerprint(&Engine::new(&patched).unwrap()));
    }
}
