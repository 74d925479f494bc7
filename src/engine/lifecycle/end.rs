//! How a task ends: by its guest, by its owner, or because its time is over.

use std::sync::Arc;
use std::time::Duration;

use crate::authority::Principal;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::change::commit::{commit, moment};
use crate::engine::change::plan::{About, Event, Facts, plan};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::family::children::{self, Tree};
use crate::engine::link::Children;
use crate::engine::memory::entry::{Entry, EntryState};
use crate::engine::rows;
use crate::engine::shared::Shared;
use crate::store::Ack;
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

/// Who ends it.
#[derive(Clone, Copy)]
pub enum By<'a> {
    /// A caller: for the audit.
    Caller(&'a Principal),
    /// The task itself, or its time: with what is to be known where it is a child, and something else may be tried in
    /// its place.
    Itself(Option<&'a Tree>),
}

/// Ends a task: one commit with everything that was not committed yet, what is tried in its place, and the row of
/// the audit where a caller ended it. What an instance does afterwards finds its lease void.
pub fn end(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    ending: &Ending<'_>,
    by: By<'_>,
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
    let successor = match by {
        By::Itself(Some(tree)) if ending.is_failure() && is_wanted => {
            children::successor(shared, entry, tree, &mut more)?
        }
        _ => None,
    };
    if let By::Caller(by) = by {
        let subject = Subject::of_task(AuditAction::Cancel, entry.id).owned_by(&entry.principal);
        shared.audit.record_admitted(&mut more, by, subject)?;
    }
    let wanted = wanted(&own);
    let facts = Facts {
        left: state.left(),
        wanted_children: &wanted,
        is_counted_root: shared.memory.trees.knows(entry.id),
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

pub fn total_time_over(entry: &Entry) -> TaskError {
    TaskError {
        reason: FailedReason::Timeout,
        message: format!("the total time of {} s (total_seconds) is over", entry.total_seconds()),
        detail: None,
        op: None,
        protocol: None,
    }
}
