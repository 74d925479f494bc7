//! What an open task takes of its principal's account: a place among those that are open, and what is in memory of it.

use std::sync::Arc;

use crate::limits;
use crate::shares::{Account, Held, Pool, Refusal};

/// Given back when the task has ended.
pub struct OpenTask {
    place: Held,
    _memory: Held,
}

impl OpenTask {
    /// Takes it for a new task, or refuses it.
    pub fn take(shares: &Arc<Account>, who: &str) -> Result<Self, Refusal> {
        let place = shares.take(Pool::OpenTasks, who, 1)?;
        let memory = shares.take(Pool::TaskMemory, who, limits::OPEN_TASK_BYTES)?;
        Ok(Self { place, _memory: memory })
    }

    /// The same, whatever the bounds say, for one that was let in already.
    pub fn hold(shares: &Arc<Account>, who: &str) -> Self {
        Self {
            place: shares.hold(Pool::OpenTasks, who, 1),
            _memory: shares.hold(Pool::TaskMemory, who, limits::OPEN_TASK_BYTES),
        }
    }

    /// Its principal's name.
    pub fn principal(&self) -> Arc<str> {
        self.place.name()
    }

    /// Whether there is room for so many.
    pub fn check(shares: &Account, who: &str, count: u64) -> Result<(), Refusal> {
        shares.check(Pool::OpenTasks, who, count)?;
        shares.check(Pool::TaskMemory, who, count.saturating_mul(limits::OPEN_TASK_BYTES))
    }
}
