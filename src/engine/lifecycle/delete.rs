//! Deletion by an owner: a task that has ended, with those that it called, and all that belonged to them. Children go
//! before their parents, each in one commit, so that a crash in between leaves whole tasks, and the same deletion again
//! takes the rest.

use super::retention::{Doomed, blocking, enqueue_deletion, find_blobs};
use crate::authority::Principal;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::rows::{self, tree};
use crate::store::{Snapshot, StoreError};
use crate::task::TaskId;

// A model reads them too: they name no command.
const NOT_ENDED: &str = "a task is deleted once it has ended, and so have those that it called; cancel this one, or wait for its end";
const PARENT_OPEN: &str =
    "it may still ask for the task that it called, which is deleted once both have ended";

impl TaskEngine {
    /// Deletes a task that has ended, and the tasks that it called, with their rows and blobs; what the audit says of
    /// them stays. Refused while one of them is open, or the task that called it. Says how many tasks are gone.
    pub async fn delete(&self, principal: &Principal, id: TaskId) -> Result<u64, EngineError> {
        let done = self.delete_tree(principal, id).await;
        self.shared.audit.record_error(principal, Subject::of_task(AuditAction::Delete, id), done)
    }

    async fn delete_tree(&self, by: &Principal, id: TaskId) -> Result<u64, EngineError> {
        let caller = by.clone();
        let read = move |snapshot: &Snapshot<'_>| with_those_below(snapshot, &caller, id);
        let found = self.shared.store.read_long(read).await?;
        let mut gone = 0;
        for doomed in found? {
            let (shared, by, one) = (self.shared.clone(), by.clone(), doomed.id);
            let (ack, _) = blocking(move || enqueue_deletion(&shared, &doomed, Some(&by))).await?;
            crate::crash_point!("deleting");
            match ack.await {
                Ok(_) => gone += 1,
                Err(StoreError::Refused(_)) => {
                    let state = "being changed by another caller".to_owned();
                    return Err(EngineError::WrongState { task: one, state, hint: "look at it again" });
                }
                Err(error) => return Err(error.into()),
            }
            crate::crash_point!("deleted");
        }
        Ok(gone)
    }
}

/// The task and those below it, each behind its children, if all have ended and no open task has called it.
fn with_those_below(
    snapshot: &Snapshot<'_>,
    principal: &Principal,
    id: TaskId,
) -> Result<Result<Vec<Doomed>, EngineError>, StoreError> {
    let task = rows::read_task(snapshot, id)?.filter(|task| principal.sees(&task.principal));
    let Some(task) = task else { return Ok(Err(EngineError::NoSuchTask(id))) };
    if let Some(parent) = task.parent
        && let Err(state) = read_doomed(snapshot, parent)?
    {
        return Ok(Err(EngineError::WrongState { task: parent, state, hint: PARENT_OPEN }));
    }
    let (mut found, mut left) = (Vec::new(), vec![id]);
    while let Some(next) = left.pop() {
        match read_doomed(snapshot, next)? {
            Ok(one) => found.extend(one),
            Err(state) => return Ok(Err(EngineError::WrongState { task: next, state, hint: NOT_ENDED })),
        }
        left.extend(tree::list(snapshot, next, usize::MAX, |_| true)?);
    }
    found.reverse();
    find_blobs(snapshot, &mut found)?;
    Ok(Ok(found))
}

/// `None` for one that is gone; an error is the state of one that is open.
fn read_doomed(snapshot: &Snapshot<'_>, id: TaskId) -> Result<Result<Option<Doomed>, String>, StoreError> {
    let Some(status) = rows::read_status(snapshot, id)? else { return Ok(Ok(None)) };
    Ok(match status.ended_at {
        Some(at) if status.state.is_terminal() => Ok(Some(Doomed::of(at, id))),
        _ => Err(status.shown().to_string()),
    })
}
