//! What is counted since the process started.

use crate::engine::effect::Counter;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub struct Counters {
    pub submitted: AtomicU64,
    pub completed: AtomicU64,
    pub failed: AtomicU64,
    pub cancelled: AtomicU64,
    pub attempts: AtomicU64,
}

impl Counters {
    pub fn count(&self, counter: Counter) {
        let counter = match counter {
            Counter::Submitted => &self.submitted,
            Counter::Completed => &self.completed,
            Counter::Failed => &self.failed,
            Counter::Cancelled => &self.cancelled,
            Counter::Attempts => &self.attempts,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
