//! A task as one finds it who is to change it: open, or ended, and memory and disk say the same. A caller has seen the
//! disk, which is a moment ahead of memory where a task ends or is opened, and a moment behind it in all else.

use std::sync::Arc;

use crate::authority::Principal;
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::memory::entry::Entry;
use crate::engine::query::view::TaskView;
use crate::engine::rows;
use crate::limits;
use crate::store::Snapshot;
use crate::task::TaskId;

/// Where a task stands.
pub enum Standing {
    /// Its entry; where no engine runs, one that is made of its rows.
    Open(Arc<Entry>),
    Ended(Box<TaskView>),
}

impl TaskEngine {
    /// The principal's task, once what is on its way between memory and disk has arrived.
    pub(in crate::engine) async fn find(
        &self,
        principal: &Principal,
        id: TaskId,
    ) -> Result<Standing, EngineError> {
        for _ in 0..limits::MAX_LOOKS {
            let view = self.task(principal, id).await?;
            let entry = self.shared.load(id)?;
            let is_over = |entry: &Arc<Entry>| entry.lock().status.state.is_terminal();
            match (entry, view.state.is_terminal()) {
                (Some(entry), false) if !is_over(&entry) => return Ok(Standing::Open(entry)),
                (None, true) => return Ok(Standing::Ended(Box::new(view))),
                (None, false) if !self.shared.is_running() => {
                    return self.entry_on_disk(id).await.map(Standing::Open);
                }
                _ => drop(self.shared.commit(Commit::new())?.await?),
            }
        }
        Err(EngineError::being_changed(id))
    }

    /// The entry of a task that no engine runs, made of its rows.
    pub(in crate::engine) async fn entry_on_disk(&self, id: TaskId) -> Result<Arc<Entry>, EngineError> {
        let read = move |snapshot: &Snapshot<'_>| {
            Ok((rows::read_task(snapshot, id)?, rows::read_status(snapshot, id)?))
        };
        let (task, status) = self.shared.store.read(read).await?;
        match (task, status) {
            (Some(task), Some(status)) => Ok(Entry::of(&task, status)),
            _ => Err(EngineError::NoSuchTask(id)),
        }
    }
}

impl EngineError {
    pub(in crate::engine) fn being_changed(task: TaskId) -> Self {
        let state = "being changed by another caller".to_owned();
        Self::WrongState { task, state, hint: "look at it again" }
    }
}
