use super::documents::JournalDocument;
use super::error::ApiError;
use super::operation::Caller;
use crate::engine::TaskEngine;
use crate::task::TaskId;

/// The records that a restart would replay. It is a resource, and no tool.
#[derive(Clone, Copy, Debug)]
pub struct TaskJournal {
    pub task_id: TaskId,
}

impl TaskJournal {
    pub async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<JournalDocument, ApiError> {
        Ok(engine.journal(&caller.overseer(), self.task_id).await?.into())
    }
}
