use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::documents::TaskDocument;
use super::error::ApiError;
use super::operation::{Caller, Operation, REPLACES};
use super::{schema, task_id};
use crate::catalog::Annotations;
use crate::engine::TaskEngine;
use crate::limits;
use crate::task::TaskId;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskCancel {
    /// The id of the task, as its link gave it.
    #[serde(with = "task_id")]
    #[schemars(with = "String")]
    pub task_id: TaskId,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_MESSAGE_BYTES))]
    pub reason: Option<String>,
}

impl Operation for TaskCancel {
    type Response = TaskDocument;

    const NAME: &'static str = "task_cancel";
    const TITLE: &'static str = "Cancel a task";
    const DESCRIPTION: &'static str = "Cancel a task. What it has published stays readable.";
    const HINTS: Annotations = REPLACES;

    fn answers() -> Option<Value> {
        Some(schema::of_response::<TaskDocument>())
    }

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<TaskDocument, ApiError> {
        Ok(engine.cancel(&caller.overseer(), self.task_id, self.reason).await?.into())
    }
}
