use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::documents::TaskDocument;
use super::error::ApiError;
use super::operation::{ADDS, Caller, Operation};
use super::{schema, task_id};
use crate::catalog::Annotations;
use crate::engine::TaskEngine;
use crate::task::TaskId;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskRetry {
    /// The id of the task, as its link gave it.
    #[serde(with = "task_id")]
    #[schemars(with = "String")]
    pub task_id: TaskId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_step: Option<u64>,
}

impl Operation for TaskRetry {
    type Response = TaskDocument;

    const NAME: &'static str = "task_retry";
    const TITLE: &'static str = "Retry a task";
    const DESCRIPTION: &'static str = "Try a failed or cancelled task again under the same id: from the start, or keeping what its journal holds \
         before from_step.";
    const HINTS: Annotations = ADDS;

    fn answers() -> Option<Value> {
        Some(schema::of_response::<TaskDocument>())
    }

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<TaskDocument, ApiError> {
        Ok(engine.retry(&caller.overseer(), self.task_id, self.from_step).await?.into())
    }
}
