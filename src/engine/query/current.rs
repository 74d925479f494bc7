//! One task, as often as a client asks for it: from memory, where nothing of it has changed since it was read.

use std::sync::Arc;
use std::time::Duration;

use super::tasks::TaskEnd;
use super::view::TaskView;
use crate::authority::Principal;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::rows::{find_result, read_result, tree};
use crate::limits;
use crate::store::Snapshot;
use crate::task::{State, TaskId, ToolResult};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Task,
    End,
}

impl TaskEngine {
    /// A task of this principal, as it is on disk.
    pub async fn task(&self, principal: &Principal, id: TaskId) -> Result<TaskView, EngineError> {
        match self.known(principal, id) {
            Some(view) => Ok(view),
            None => Ok(self.read_current(principal, id, Wanted::Task).await?.0),
        }
    }

    /// What a task came to.
    pub async fn result(&self, principal: &Principal, id: TaskId) -> Result<TaskEnd, EngineError> {
        // A result can be large: it is read each time.
        let known = self.known(principal, id).filter(|view| view.state != State::Completed);
        let (mut view, result) = match known {
            Some(view) => (view, None),
            None => self.read_current(principal, id, Wanted::End).await?,
        };
        view.children.clear();
        Ok(match (view.state, result) {
            (_, Some(result)) => TaskEnd::Completed(result),
            (State::Failed(_), None) => match view.error.clone() {
                Some(error) => TaskEnd::Failed(view, error),
                None => TaskEnd::NotYet(view),
            },
            (State::Cancelled, None) => TaskEnd::Cancelled(view),
            _ => TaskEnd::NotYet(view),
        })
    }

    /// What a task returns of which a follower heard that it completed. Whose it is the given view says: of what is on
    /// disk the result alone is read.
    pub async fn result_of_completed(
        &self,
        principal: &Principal,
        task: &TaskView,
    ) -> Result<TaskEnd, EngineError> {
        let id = task.id;
        if !principal.sees(&task.principal) {
            return Err(EngineError::NoSuchTask(id));
        }
        match self.shared.store.read(move |snapshot| find_result(snapshot, id)).await? {
            Some(result) => Ok(TaskEnd::Completed(result)),
            // It was deleted meanwhile, or has not completed: its other rows say so.
            None => self.result(principal, id).await,
        }
    }

    /// Whether a poll of the task came no sooner than the one before was asked to be followed. `after` is when the next
    /// one may come.
    pub fn is_due_poll(&self, id: TaskId, after: Duration) -> bool {
        self.shared.memory.poll_times.is_due(id, self.shared.clock.elapsed(), after)
    }

    /// What was read of it, where it holds and the principal sees the task. All else is for the store to say.
    fn known(&self, principal: &Principal, id: TaskId) -> Option<TaskView> {
        if !self.shared.is_running() {
            return None;
        }
        let held = self.held(id);
        let known = self.shared.memory.known.get(id, &held.stamp)?;
        let view = known.downcast_ref::<TaskView>().filter(|view| principal.sees(&view.principal))?;
        Some(self.as_held(view.clone(), &held))
    }

    /// The task with its children or, where its end is wanted and it completed, with its result.
    async fn read_current(
        &self,
        principal: &Principal,
        id: TaskId,
        wanted: Wanted,
    ) -> Result<(TaskView, Option<ToolResult>), EngineError> {
        let runs = self.shared.is_running();
        let reading = self.shared.memory.known.begin();
        let held = self.held(id);
        let kept_as = (runs && held.is_settled).then(|| held.stamp.clone());
        let (engine, principal) = (self.clone(), principal.clone());
        let read = move |snapshot: &Snapshot<'_>| {
            let Some((mut view, ..)) = engine.view(snapshot, &principal, id, held)? else {
                return Ok(None);
            };
            if wanted == Wanted::End && view.state == State::Completed {
                return Ok(Some((view, Some(read_result(snapshot, id)?))));
            }
            view.children = tree::list(snapshot, id, limits::MAX_PAGE_ROWS, |_| true)?;
            Ok(Some((view, None)))
        };
        let found = self.shared.store.read(read).await?;
        let (view, result) = found.ok_or(EngineError::NoSuchTask(id))?;
        // Who has the result asks no more.
        if let Some(stamp) = kept_as.filter(|_| result.is_none()) {
            let bytes = view.bytes();
            if bytes <= limits::MAX_KNOWN_TASK_BYTES {
                reading.keep(id, stamp, bytes, Arc::new(view.clone()));
            }
        }
        Ok((view, result))
    }
}
