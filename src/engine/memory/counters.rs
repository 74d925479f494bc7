//! What is counted since the process started.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::engine::effect::Counter;
use crate::task::Spend;

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

/// Of one model, since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelUsage {
    /// Requests that left, repeated ones included.
    pub calls: u64,
    /// What its answers cost, and what may have been paid for answers that were lost or not waited for.
    pub spent: Spend,
}

/// What models were asked and cost, by their names.
#[derive(Default)]
pub struct ModelCounters {
    by_name: Mutex<BTreeMap<String, ModelUsage>>,
}

impl ModelCounters {
    /// A request leaves.
    pub fn count_call(&self, model: &str) {
        self.change(model, |usage| usage.calls += 1);
    }

    pub fn count_spent(&self, model: &str, spend: Spend) {
        self.change(model, |usage| usage.spent = usage.spent.plus(spend));
    }

    fn change(&self, model: &str, change: impl FnOnce(&mut ModelUsage)) {
        change(self.by_name.lock().entry(model.to_owned()).or_default());
    }

    pub fn by_name(&self) -> BTreeMap<String, ModelUsage> {
        self.by_name.lock().clone()
    }
}
