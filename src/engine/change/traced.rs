//! What a change of a task leaves in its trace: why an instance goes, and that its owner took the task up again.

use super::value::{Change, Instance};
use crate::clock::UnixNanos;
use crate::engine::commit::Commit;
use crate::engine::memory::entry::EntryState;
use crate::engine::trace::{self, Mark, MarkKind, Place, Tracer};
use crate::task::{FailedReason, QueuedReason, State, Status, TaskId};

/// The instance is about to leave memory by this change, which is about to be committed. Where to return to if it
/// cannot be.
pub(super) fn leave(state: &mut EntryState, change: &Change) -> Option<Place> {
    let before = u64::from(state.status.attempt);
    let live = state.live.as_mut()?;
    let is_afresh = match change.instance {
        Instance::Stays | Instance::Begins => return None,
        Instance::Goes => false,
        Instance::GoesUnrecorded => true,
    };
    let place = live.trace.place();
    let (state, attempt) = (change.status.state, u64::from(change.status.attempt));
    let (kind, label, a, b) = match (state, is_afresh) {
        (State::Waiting(_), _) => (MarkKind::Evicted, state.reason().unwrap_or_default(), 0, 0),
        (State::Queued(QueuedReason::Interrupted), _) if attempt == before => {
            (MarkKind::Evicted, "memory", 0, 0)
        }
        (State::Queued(QueuedReason::Interrupted), _) => (MarkKind::Stopped, "", attempt, 0),
        // A fault of the host goes on from the journal.
        (State::Queued(QueuedReason::Retry), false) => {
            (MarkKind::Failed, FailedReason::HostFault.as_str(), attempt, 0)
        }
        (State::Queued(QueuedReason::Retry), true) => {
            (MarkKind::Failed, FailedReason::Trap.as_str(), attempt, 1)
        }
        // How it ended stands in its status.
        _ => return Some(place),
    };
    live.trace.leave(&live.journal, kind, label, a, b);
    Some(place)
}

/// A live instance is about to leave for another component, in the same commit. Where to return to if it stays.
pub(in crate::engine) fn moved(state: &mut EntryState) -> Option<Place> {
    let attempt = u64::from(state.status.attempt) + 1;
    let live = state.live.as_mut()?;
    let place = live.trace.place();
    live.trace.leave(&live.journal, MarkKind::Reopened, "move", attempt, 0);
    Some(place)
}

/// The change could not be committed: the instance stays.
pub(in crate::engine) fn stay(state: &mut EntryState, place: Option<Place>) {
    if let (Some(live), Some(place)) = (state.live.as_mut(), place) {
        live.trace.return_to(place);
    }
}

/// How a task is taken up again by its owner.
pub struct Reopened<'a> {
    pub word: &'a str,
    /// Where the owner named one.
    pub step: Option<u64>,
    pub at: UnixNanos,
}

/// Adds to a commit how and when the task's last try ended, if it did, and that it goes on. `status` is as it was;
/// `kept` blocks are kept of a trace.
pub fn reopen(
    mut tracer: Tracer,
    (task, status): (TaskId, &Status),
    reopened: &Reopened<'_>,
    commit: &mut Commit,
) {
    let mut attempt = u64::from(status.attempt);
    if let Some(ended_at) = status.ended_at {
        let label = status.state.to_string().into();
        tracer.mark(&Mark { kind: MarkKind::Ended, label, at: ended_at / 1_000, a: 0, b: 0 });
        attempt += 1;
    }
    let (label, at) = (reopened.word.into(), reopened.at / 1_000);
    let b = reopened.step.map_or(0, |step| step.saturating_add(1));
    tracer.mark(&Mark { kind: MarkKind::Reopened, label, at, a: attempt, b });
    trace::draft(&mut tracer, task, commit);
}
