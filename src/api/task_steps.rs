use super::documents::StepsDocument;
use super::error::ApiError;
use super::operation::Caller;
use crate::engine::TaskEngine;
use crate::task::TaskId;

/// What a task did and when. It is a resource, and no tool.
#[derive(Clone, Copy, Debug)]
pub struct TaskSteps {
    pub task_id: TaskId,
}

impl TaskSteps {
    pub async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<StepsDocument, ApiError> {
        Ok(engine.steps(&caller.overseer(), self.task_id).await?.into())
    }
}
