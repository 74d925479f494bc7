//! What ends a wait besides a timer. A change of such a thing is committed first and the task nudged afterwards;
//! the task looks for itself, live or suspended, now or after a restart. So no word can be lost between the two:
//! a nudge says "look", never "it is there".

use tokio::sync::watch;

use crate::clock::UnixNanos;
use crate::engine::family::messages;
use crate::engine::memory::leaving::Wait;
use crate::engine::questions::asked;
use crate::engine::record::error::RecorderError;
use crate::engine::record::recorder::Recorder;
use crate::engine::rows;
use crate::engine::rows::tree;
use crate::engine::state::entries;
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
            Ok(entries::version(snapshot, namespace, key, now)? != *version)
        }
        WakeOn::Message(names) => Ok(messages::first(snapshot, task, names)?.is_some()),
        WakeOn::Answer(number) => asked::is_answered(snapshot, task, *number),
        WakeOn::Child { epoch, op } => tree::is_over(snapshot, task, *epoch, *op),
    }
}

impl Recorder {
    /// Whether it is there, on disk.
    pub async fn is_met(&self, on: &WakeOn) -> Result<bool, RecorderError> {
        if *on == WakeOn::Cancellation {
            return Ok(self.cancel_requested());
        }
        let (task, now) = (self.task_id(), self.shared().date());
        let on = on.clone();
        let met = self.shared().store.read(move |snapshot| is_met(snapshot, task, &on, now)).await;
        met.map_err(|error| RecorderError::Fault(error.to_string()))
    }

    /// Changes whenever something was committed that the guest may wait for: subscribe, then look.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.entry().news.subscribe()
    }

    /// The guest waits, and could do so out of memory: as long as this is held, it may be asked to make room.
    pub fn wait_to_leave(&self) -> Wait {
        self.shared().memory.leavers.wait(&self.entry().principal)
    }

    /// The guest begins what nothing on disk knows of: nothing may be left to replay.
    pub fn expect_live(&self, what: &str) -> Result<(), RecorderError> {
        self.with(|_, live| Ok(live.journal.expect_live(what)?))
    }
}
