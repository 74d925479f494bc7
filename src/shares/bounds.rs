use std::ops::{Index, IndexMut};
use std::time::Duration;

use super::pool::Pool;
use crate::limits;

/// How much there is of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// For all together.
    pub process: u64,
    /// For one principal; the owner has no share, only what the process has, less a part of what is held for long.
    pub share: u64,
    /// Of `process`, what the owner alone gets.
    pub reserve: u64,
}

impl Bound {
    /// So much for all, of it one part in [`limits::PRINCIPALS_PART`] for one principal and one in
    /// [`limits::OWNERS_PART`] for the owner alone: at least one, unless there is only one.
    pub const fn divided(process: u64) -> Self {
        let reserve = if process > 1 { process.div_ceil(limits::OWNERS_PART) } else { 0 };
        Self { process, share: process.div_ceil(limits::PRINCIPALS_PART), reserve }
    }

    /// Divided, and yet the owner may have all of `count`: what it would leave to others is on top, and others have none
    /// of that. More than `count` has to be refused elsewhere.
    pub const fn for_owner(count: u64) -> Self {
        let within = Self::divided(count);
        if count < 2 {
            return within;
        }
        let on_top = count.div_ceil(limits::OWNERS_PART - 1);
        Self { process: count + on_top, reserve: within.reserve + on_top, ..within }
    }

    /// Bytes in a store on a disk of so many.
    pub const fn of_disk(bytes: u64) -> Self {
        Self::of_store(bytes / 4 * 3)
    }

    /// So many bytes in a store.
    pub const fn of_store(bytes: u64) -> Self {
        Self::divided(bytes).with_share(bytes.div_ceil(limits::STORED_SHARE_PART))
    }

    /// The same with this share, which is no more than all of it.
    #[must_use]
    pub const fn with_share(self, share: u64) -> Self {
        let share = if share < self.process { share } else { self.process };
        Self { share, ..self }
    }

    /// What the owner has where it leaves some to others: all but one part in [`limits::OWNERS_PART`].
    pub(super) fn of_owner(self) -> u64 {
        if self.process > 1 {
            self.process - self.process.div_ceil(limits::OWNERS_PART)
        } else {
            self.process
        }
    }

    /// What all principals but the owner have together.
    pub(super) fn of_others(self) -> u64 {
        self.process.saturating_sub(self.reserve)
    }
}

/// How much there is of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds([Bound; Pool::ALL.len()]);

impl Bounds {
    /// Where all that callers cause may have so many bytes of memory.
    pub fn of_memory(bytes: u64) -> Self {
        let mut bounds = Self(Pool::ALL.map(|pool| Bound::divided(process_has(pool, bytes))));
        for (pool, each_second) in [
            (Pool::Rate, limits::DEFAULT_REQUESTS_PER_SECOND),
            (Pool::NewConnections, limits::DEFAULT_NEW_CONNECTIONS_PER_SECOND),
        ] {
            bounds[pool] = Bound { process: u64::MAX, share: u64::from(each_second), reserve: 0 };
        }
        // The endpoint's time is not to lie idle where only one asks.
        let sampling = bounds[Pool::Sampling];
        bounds[Pool::Sampling] = sampling.with_share(sampling.process / 2);
        // A task that is alone on a small machine still gets the memory that a tool has by default, and what cancels it
        // its own.
        let least = limits::DEFAULT_MEMORY_MIB * 1024 * 1024;
        let with_room = (least * limits::OWNERS_PART).div_ceil(limits::OWNERS_PART - 1);
        bounds.set_memory_share(bounds[Pool::Memory].share.max(with_room));
        bounds
    }

    /// Gives each principal so many bytes of memory, and in proportion of what lies within it.
    pub fn set_memory_share(&mut self, bytes: u64) {
        self[Pool::Memory] = self[Pool::Memory].with_share(bytes);
        // What it leaves of it to requests it would not get anyway; so the refusal names the right one.
        self[Pool::GuestMemory] = self[Pool::GuestMemory].with_share(bytes - bytes / limits::OWNERS_PART);
        self[Pool::TaskMemory] = self[Pool::TaskMemory].with_share(bytes / limits::TASKS_PART_OF_MEMORY);
        let of_messages = (bytes / limits::MESSAGES_PART_OF_MEMORY).max(limits::MIN_MESSAGES_SHARE_BYTES);
        for pool in [Pool::RequestBytes, Pool::AnswerBytes] {
            self[pool] = self[pool].with_share(of_messages);
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::of_memory(limits::DEFAULT_SHARED_MEMORY_BYTES)
    }
}

impl Index<Pool> for Bounds {
    type Output = Bound;

    fn index(&self, pool: Pool) -> &Bound {
        &self.0[pool as usize]
    }
}

impl IndexMut<Pool> for Bounds {
    fn index_mut(&mut self, pool: Pool) -> &mut Bound {
        &mut self.0[pool as usize]
    }
}

fn process_has(pool: Pool, memory: u64) -> u64 {
    match pool {
        Pool::Connections => limits::MAX_CONNECTIONS as u64,
        Pool::Requests => limits::MAX_REQUESTS_IN_FLIGHT,
        Pool::Memory => memory,
        // Guests never take all of it: what cancels them has to be read.
        Pool::GuestMemory => memory - memory / limits::OWNERS_PART,
        Pool::TaskMemory => memory / limits::TASKS_PART_OF_MEMORY,
        Pool::RequestBytes | Pool::AnswerBytes => {
            (memory / limits::MESSAGES_PART_OF_MEMORY).max(2 * limits::MIN_MESSAGES_SHARE_BYTES)
        }
        Pool::Sessions => limits::MAX_SESSIONS as u64,
        Pool::Subscribers => limits::MAX_LISTENERS,
        Pool::Instances => limits::MAX_LIVE_INSTANCES as u64,
        Pool::OpenTasks => limits::MAX_OPEN_TASKS as u64,
        Pool::Rate | Pool::NewConnections => u64::MAX,
        Pool::Samples => limits::MAX_WAITING_SAMPLES,
        Pool::Sampling => limits::MAX_ENDPOINT_SAMPLES as u64,
        Pool::Questions => limits::MAX_SERVER_QUESTIONS,
        // Of its disk a program knows more; see [`Bound::of_disk`].
        Pool::StoredBytes => u64::MAX,
        Pool::StateEntries => limits::MAX_SHARED_STATE_ENTRIES,
    }
}

/// When what a pool lacks may be there again: at once where requests hold it, later where tasks or people do.
pub(super) fn retry_after(pool: Pool) -> Duration {
    Duration::from_secs(match pool {
        Pool::Connections
        | Pool::Requests
        | Pool::RequestBytes
        | Pool::AnswerBytes
        | Pool::Rate
        | Pool::NewConnections => 1,
        Pool::Memory | Pool::GuestMemory | Pool::Instances | Pool::Sampling | Pool::Subscribers => 2,
        Pool::Sessions | Pool::OpenTasks | Pool::TaskMemory | Pool::Samples => 10,
        Pool::Questions | Pool::StoredBytes | Pool::StateEntries => 60,
    })
}
