//! How a task ends: by its guest, by its owner, or because its time is over.

use std::sync::Arc;
use std::time::Duration;

use super::commit::{commit, moment};
use super::plan::{About, Event, Facts, plan};
use crate::authority::Principal;
use crate::engine::audit::{self, Deed, Subject};
use crate::engine::commit::Commit;
use crate::engine::dispatch::entry::{Anchor, Entry, EntryState};
use crate::engine::dispatch::wake;
use crate::engine::family::children::{self, Children};
use crate::engine::{EngineError, Shared, rows};
use crate::limits;
use crate::store::{Ack, StoreError};
use crate::task::{CancelRequest, FailedReason, TaskError, TaskId, ToolResult};

/// How a task leaves the open ones.
pub enum Ending<'a> {
    Completed(&'a ToolResult),
    Failed(TaskError),
    Cancelled(Option<CancelRequest>),
}

impl Ending<'_> {
    /// Whether something else may be tried in its place.
    fn is_failure(&self) -> bool {
        match self {
            Self::Completed(result) => result.is_error,
            Self::Failed(_) => true,
            Self::Cancelled(_) => false,
        }
    }
}

/// Ends a task: one commit with everything that was not committed yet, what is tried in its place, and the row of
/// the audit where a caller ended it. What an instance does afterwards finds its lease void.
pub fn end(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    ending: &Ending<'_>,
    by: Option<&Principal>,
) -> Result<Ack, EngineError> {
    let parent = entry.link.and_then(|link| shared.entry(link.parent));
    let mut siblings = parent.as_ref().map(|parent| parent.children());
    let mut own = entry.children();
    let mut more = Commit::new();
    let is_wanted = match (&siblings, entry.link) {
        (Some(siblings), Some(_)) => siblings.contains_key(&entry.id),
        (_, Some(link)) => link.detached,
        (_, None) => false,
    };
    let successor = if ending.is_failure() && is_wanted {
        children::successor(shared, entry, state, &mut more)?
    } else {
        None
    };
    if let Some(by) = by {
        audit::admitted(shared, &mut more, by, Subject::of_task(Deed::Cancel, entry.id))?;
    }
    let wanted = wanted(&own);
    let facts = Facts {
        left: state.left(),
        wanted_children: &wanted,
        is_counted_root: shared.memory.families.knows(entry.id),
        has_successor: successor.is_some(),
        ..moment(shared, state)
    };
    let result;
    let event = match ending {
        Ending::Completed(completed) => {
            result = rows::encode(completed)?;
            Event::Completed(&result)
        }
        Ending::Failed(error) => Event::Failed(error),
        Ending::Cancelled(request) => Event::Cancelled(request.clone()),
    };
    let change = plan(About::of(entry), &state.status, event, facts)?;
    let ack = commit(shared, entry, state, change, more)?;
    own.retain(|_, link| link.detached);
    if let Some(siblings) = &mut siblings {
        siblings.remove(&entry.id);
        siblings.extend(successor.map(children::Successor::take_place));
    }
    entry.stop.send_modify(|count| *count += 1);
    Ok(ack)
}

/// A failed attempt is followed by another after `delay`: from the start, under the seed of `afresh`, or by replay.
pub fn retry_later(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    delay: Duration,
    afresh: Option<[u8; 32]>,
) -> Result<Ack, EngineError> {
    let mut own = entry.children();
    let wanted = wanted(&own);
    let wanted_children = if afresh.is_some() { &wanted[..] } else { &[] };
    let facts = Facts { left: state.left(), wanted_children, ..moment(shared, state) };
    let event = Event::RetryScheduled { delay, afresh };
    let change = plan(About::of(entry), &state.status, event, facts)?;
    let ack = commit(shared, entry, state, change, Commit::new())?;
    if afresh.is_some() {
        own.retain(|_, link| link.detached);
    }
    Ok(ack)
}

/// Those that end with their parent.
fn wanted(children: &Children) -> Vec<TaskId> {
    children.iter().filter(|(_, link)| !link.detached).map(|(id, _)| *id).collect()
}

/// A timer of this task has fired.
pub fn due(shared: &Arc<Shared>, id: TaskId) {
    let Some(entry) = shared.entry(id) else { return };
    let mut state = entry.lock();
    // After an attempt it is looked for what came meanwhile.
    if state.is_driven || state.status.state.is_terminal() {
        return;
    }
    let now = state.anchor.map_or(0, |anchor| anchor.now(&*shared.clock));
    if now >= entry.total_nanos() {
        let ended = end(shared, &entry, &mut state, &Ending::Failed(total_time_over(&entry)), None);
        match ended {
            Ok(_) => {}
            Err(EngineError::Store(StoreError::Busy { .. })) => shared.look_again(id),
            Err(error) => tracing::error!(task = %id, %error, "cannot end a task whose total time is over"),
        }
        return;
    }
    let Some(wake) = state.status.wake.clone() else {
        // It waits for nothing: it is queued, or was about to be.
        drop(state);
        shared.memory.ready.push(entry);
        return;
    };
    if wake.due.is_some_and(|at| at.saturating_sub(entry.created_at) <= now) {
        drop(state);
        shared.memory.ready.push(entry);
        return;
    }
    // Before the store is asked: a nudge that comes after the question sets the timer again.
    shared.memory.timers.set(id, moment_due(&entry, &state));
    drop(state);
    if wake.on.is_empty() {
        return;
    }
    shared.memory.state.watchers.set(id, &wake.on);
    let wall = shared.clock.wall();
    match shared.store.read(|snapshot| wake::any_met(snapshot, id, &wake.on, wall)) {
        Ok(false) => {}
        Ok(true) => shared.memory.ready.push(entry),
        Err(error) => tracing::error!(task = %id, %error, "cannot tell whether a task's wait is over"),
    }
}

/// When this process has to look at a task that is not live: its wake, or the end of its total time.
pub fn moment_due(entry: &Entry, state: &EntryState) -> Duration {
    let total = entry.total_nanos();
    let wake = state.status.wake.as_ref().and_then(|wake| wake.due);
    let logical = wake.map_or(total, |at| at.saturating_sub(entry.created_at).min(total));
    state.anchor.unwrap_or(Anchor { elapsed: Duration::ZERO, logical: 0 }).moment(logical)
}

pub fn total_time_over(entry: &Entry) -> TaskError {
    TaskError {
        reason: FailedReason::Timeout,
        message: format!("the total time of {} s (total_seconds) is over", entry.total_seconds),
        detail: None,
        op: None,
        protocol: None,
    }
}

impl Shared {
    /// The store was busy when something was due for this task: it is looked at again after a moment.
    pub fn look_again(&self, id: TaskId) {
        let at = self.clock.elapsed() + Duration::from_millis(limits::BUSY_RETRY_MS);
        self.memory.timers.set(id, at);
    }
}
