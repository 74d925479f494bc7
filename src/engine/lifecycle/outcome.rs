//! What the outcome of an attempt makes of its task.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::end as ending;
use super::end::{By, Ending, retry_later};
use crate::engine::change::commit::commit_event;
use crate::engine::change::plan::Event;
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::family::children::Tree;
use crate::engine::journal::divergence::Divergence;
use crate::engine::journal::last_lines::trap_detail;
use crate::engine::memory::entry::{Entry, EntryState};
use crate::engine::ports::{Outcome, Suspension};
use crate::engine::probe::Difference;
use crate::engine::random::random;
use crate::engine::shared::Shared;
use crate::limits;
use crate::store::Ack;
use crate::task::{FailedReason, RetryPolicy, TaskError, ToolResult, UnknownOutcome, WakeOn};

/// A fault of our own or of the machine is tried again this often, whatever the tool's policy.
const HOST_FAULT_RETRY: RetryPolicy = RetryPolicy { attempts: 6, backoff: Duration::from_secs(1) };

pub(super) fn of_outcome(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    outcome: &Outcome,
    tree: Option<&Tree>,
) -> Result<Ack, EngineError> {
    let failed = |reason, message: &str, detail| TaskError {
        reason,
        message: message.to_owned(),
        detail,
        op: None,
        protocol: None,
    };
    let was_asked_to_end = state.status.cancel.is_some();
    let error = match outcome {
        Outcome::Completed(_) | Outcome::Protocol(_) | Outcome::Cancelled if was_asked_to_end => {
            return ending::end(shared, entry, state, &Ending::Cancelled(None), By::Itself(None));
        }
        Outcome::Completed(result) => match too_large(result, state) {
            None => return ending::end(shared, entry, state, &Ending::Completed(result), By::Itself(tree)),
            Some(error) => error,
        },
        Outcome::Suspended(suspension) => return suspend(shared, entry, state, suspension),
        Outcome::NoRoom { needs } => {
            entry.needs_memory.store(*needs, Ordering::Relaxed);
            return commit_event(shared, entry, state, Event::Evicted, Commit::new());
        }
        Outcome::Protocol(protocol) => TaskError {
            reason: FailedReason::ProtocolError,
            message: protocol.message.clone(),
            detail: None,
            op: None,
            protocol: Some(protocol.clone()),
        },
        Outcome::Trap { message, backtrace } => {
            let policy = state.task.as_ref().map(|task| task.retry.clone()).unwrap_or_default();
            let detail = trap_detail(state.live.as_ref().map(|live| live.log.last()), backtrace.clone());
            let error = failed(FailedReason::Trap, message, detail);
            return retry_or_fail(shared, entry, state, &policy, error, tree);
        }
        Outcome::HostFault { message } => {
            let error = failed(FailedReason::HostFault, message, None);
            let only_replays = shared.probe_of(entry).is_some_and(|probe| probe.replays_alone());
            let policy = if only_replays { RetryPolicy::default() } else { HOST_FAULT_RETRY };
            return retry_or_fail(shared, entry, state, &policy, error, tree);
        }
        Outcome::Diverged(divergence) => {
            if let Some(probe) = shared.probe_of(entry) {
                let Divergence { record, expected, actual } = divergence.clone();
                probe.note_difference(Difference { record, journal: expected, guest: actual });
            }
            failed(FailedReason::Diverged, &divergence.to_string(), None)
        }
        Outcome::Limit { bound, message } => {
            failed(FailedReason::Limit, message, Some(format!("bound: {bound}")))
        }
        Outcome::Refused { message } => failed(FailedReason::Refused, message, None),
        Outcome::MissingComponent { message } => failed(FailedReason::MissingComponent, message, None),
        Outcome::UnknownOutcome { op, message } => {
            let asks =
                state.task.as_ref().is_some_and(|task| task.effects.unknown_outcome == UnknownOutcome::Ask);
            if asks {
                let event = Event::OutcomeUnknown { op: *op, message };
                return commit_event(shared, entry, state, event, Commit::new());
            }
            TaskError { op: Some(*op), ..failed(FailedReason::UnknownOutcome, message, None) }
        }
        Outcome::Cancelled => failed(FailedReason::HostFault, "the guest ended without an outcome", None),
    };
    ending::end(shared, entry, state, &Ending::Failed(error), By::Itself(tree))
}

/// The error of a result past its bound.
fn too_large(result: &ToolResult, state: &EntryState) -> Option<TaskError> {
    let bound = state.task.as_ref().map_or(limits::DEFAULT_RESULT_KIB, |task| task.limits.result_kib);
    let bytes = result.size_bytes() as u64;
    (bytes > bound << 10).then(|| TaskError {
        reason: FailedReason::Limit,
        message: format!("the result has {bytes} bytes, which is more than result_kib = {bound}"),
        detail: Some("bound: result_kib".to_owned()),
        op: None,
        protocol: None,
    })
}

fn suspend(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    suspension: &Suspension,
) -> Result<Ack, EngineError> {
    // Asked to end while it was live, it now waits for something else: it does not mean to hear of it.
    if state.status.cancel.is_some() && !suspension.on.contains(&WakeOn::Cancellation) {
        return ending::end(shared, entry, state, &Ending::Cancelled(None), By::Itself(None));
    }
    let Suspension { reason, until, on } = suspension;
    let event = Event::Suspended { reason: *reason, until: *until, on };
    commit_event(shared, entry, state, event, Commit::new())
}

/// A trap begins again with a fresh journal and seed; a host fault goes on from the journal.
fn retry_or_fail(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    policy: &RetryPolicy,
    error: TaskError,
    tree: Option<&Tree>,
) -> Result<Ack, EngineError> {
    let failures = state.status.failures + 1;
    let jitter = u32::from_le_bytes(random()?);
    let Some(delay) = policy.delay_after(failures, jitter) else {
        return ending::end(shared, entry, state, &Ending::Failed(error), By::Itself(tree));
    };
    let afresh = if error.reason == FailedReason::HostFault { None } else { Some(random()?) };
    let ack = retry_later(shared, entry, state, delay, afresh)?;
    tracing::warn!(task = %entry.id, failures, error = %error.message, "retrying");
    Ok(ack)
}
