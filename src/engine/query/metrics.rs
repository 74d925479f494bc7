//! Counts for `/metrics` and `doctor`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::shared::Shared;
use crate::task::State;

/// Counts since the process started, and what there is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    pub submitted: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Instances that were given to tasks.
    pub attempts: u64,
    pub open: u64,
    pub queued: u64,
    pub running: u64,
    pub waiting: u64,
    /// Of the open ones, those of which only what they wait for is in memory.
    pub resting: u64,
    pub live_instances: u64,
    pub timers: u64,
    pub subscribers: u64,
    /// Reads of the store since it was opened.
    pub store_reads: u64,
}

pub fn read(shared: &Shared) -> Metrics {
    let counters = &shared.memory.counters;
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut metrics = Metrics {
        submitted: of(&counters.submitted),
        completed: of(&counters.completed),
        failed: of(&counters.failed),
        cancelled: of(&counters.cancelled),
        attempts: of(&counters.attempts),
        live_instances: (shared.live_bound - shared.live.available_permits().min(shared.live_bound)) as u64,
        timers: shared.memory.timers.len() as u64,
        subscribers: shared.memory.feed.subscribers() as u64,
        store_reads: shared.store.reads(),
        ..Metrics::default()
    };
    let (entries, (resting, queued)) = {
        let open = shared.open_tasks();
        (open.entries(), open.resting_counts())
    };
    metrics.resting = resting;
    (metrics.open, metrics.queued, metrics.waiting) = (resting, queued, resting - queued);
    for entry in entries {
        metrics.open += 1;
        match entry.lock().status.shown() {
            State::Queued(_) => metrics.queued += 1,
            State::Running => metrics.running += 1,
            State::Waiting(_) => metrics.waiting += 1,
            State::Completed | State::Failed(_) | State::Cancelled => {}
        }
    }
    metrics
}
