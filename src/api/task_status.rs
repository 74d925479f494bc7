use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::documents::TaskDocument;
use super::error::ApiError;
use super::operation::{Caller, Operation, READS};
use super::{schema, task_id};
use crate::catalog::Annotations;
use crate::engine::TaskEngine;
use crate::task::TaskId;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskStatus {
    /// The id of the task, as its link gave it.
    #[serde(with = "task_id")]
    #[schemars(with = "String")]
    pub task_id: TaskId,
}

impl Operation for TaskStatus {
    type Response = TaskDocument;

    const NAME: &'static str = "task_status";
    const TITLE: &'static str = "Show a task";
    const DESCRIPTION: &'static str =
        "Show where a task stands: state, message, progress, outputs, and what to do next.";
    const HINTS: Annotations = READS;

    fn answers() -> Option<Value> {
        Some(schema::of_response::<TaskDocument>())
    }

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<TaskDocument, ApiError> {
        Ok(engine.task(&caller.overseer(), self.task_id).await?.into())
    }
}
