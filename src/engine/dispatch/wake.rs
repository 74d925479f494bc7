//! What ends a wait beside a timer. Whoever changes such a thing commits it first and nudges the task afterwards;
//! the task looks for itself, live or suspended, now or after a restart. So no word can be lost between the two:
//! a nudge says "look", never "it is there".

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::entry::{Entry, EntryState};
use crate::clock::UnixNanos;
use crate::engine::family::{children, messages};
use crate::engine::memory::Memory;
use crate::engine::record::recorder::{Recorder, RecorderError};
use crate::engine::{Shared, lifecycle, questions, rows, state};
use crate::store::{Snapshot, StoreError};
use crate::task::{TaskId, WakeOn};

/// Whether one of them is there.
pub fn any_met(
    snapshot: &Snapshot<'_>,
    task: TaskId,
    on: &[WakeOn],
    now: UnixNanos,
) -> Result<bool, StoreError> {
    for on in on {
        if is_met(snapshot, task, on, now)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_met(snapshot: &Snapshot<'_>, task: TaskId, on: &WakeOn, now: UnixNanos) -> Result<bool, StoreError> {
    match on {
        WakeOn::Cancellation => {
            Ok(rows::read_status(snapshot, task)?.is_some_and(|status| status.cancel.is_some()))
        }
        // Its owner's word starts the task itself.
        WakeOn::Resolution(_) => Ok(false),
        WakeOn::State { namespace, key, version } => {
            Ok(state::version(snapshot, namespace, key, now)? != *version)
        }
        WakeOn::Message(names) => Ok(messages::first(snapshot, task, names)?.is_some()),
        WakeOn::Answer(number) => questions::is_answered(snapshot, task, *number),
        WakeOn::Child { epoch, op } => children::is_over(snapshot, task, *epoch, *op),
    }
}

/// Sets the timer of a task that has no instance. What it waits for beside the timer may be there already.
pub fn arm(shared: &Shared, entry: &Entry, state: &EntryState) {
    let waits_for_more = state.status.wake.as_ref().is_some_and(|wake| !wake.on.is_empty());
    let at = if waits_for_more { shared.clock.elapsed() } else { lifecycle::moment_due(entry, state) };
    shared.memory.timers.set(entry.id, at);
}

impl Memory {
    /// Runs a new task, once `delay` is over.
    pub fn start_after(&self, entry: Arc<Entry>, delay: Duration) {
        if !self.is_running() {
            return;
        }
        if delay.is_zero() {
            self.ready.push(entry);
        } else {
            self.timers.set(entry.id, self.clock.elapsed() + delay);
        }
    }

    /// Something was committed that this task may wait for. Takes no task's lock: the writer thread calls it.
    pub fn nudge(&self, task: TaskId) {
        let Some(entry) = self.entry(task) else { return };
        entry.news.send_modify(|count| *count += 1);
        if self.is_running() {
            self.timers.set(task, self.clock.elapsed());
        }
    }
}

impl Recorder {
    /// Whether it is there, on disk.
    pub fn is_met(&self, on: &WakeOn) -> Result<bool, RecorderError> {
        if *on == WakeOn::Cancellation {
            return Ok(self.cancel_requested());
        }
        let (task, now) = (self.task_id(), self.shared().clock.wall());
        let met = self.shared().store.read(|snapshot| is_met(snapshot, task, on, now));
        met.map_err(|error| RecorderError::Fault(error.to_string()))
    }

    /// Changes whenever something was committed that the guest may wait for: subscribe, then look.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.entry().news.subscribe()
    }

    /// Ends when a task is queued and there is no room for its instance.
    pub fn crowded(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = self.shared().clone();
        async move {
            let mut pushes = shared.memory.ready.pushes();
            while shared.live.available_permits() > 0 || shared.memory.ready.is_empty() {
                // Its sender lives as long as the engine.
                if pushes.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    /// The guest begins what nothing on disk knows of: nothing may be left to replay.
    pub fn expect_live(&self, what: &str) -> Result<(), RecorderError> {
        self.with(|_, live| Ok(live.journal.expect_live(what)?))
    }
}
