use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Ended;
use super::error::ApiError;
use super::operation::{Caller, Operation, READS};
use super::task_id;
use crate::catalog::Annotations;
use crate::engine::TaskEngine;
use crate::task::TaskId;

/// What it answers is the tool's own, so that there is no schema of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskResult {
    /// The id of the task, as its link gave it.
    #[serde(with = "task_id")]
    #[schemars(with = "String")]
    pub task_id: TaskId,
}

impl Operation for TaskResult {
    type Response = Ended;

    const NAME: &'static str = "task_result";
    const TITLE: &'static str = "Get a task's result";
    const DESCRIPTION: &'static str = "Get the result of a task that has completed, as the tool gave it.";
    const HINTS: Annotations = READS;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<Ended, ApiError> {
        Ok(Ended::of(engine, &caller.overseer(), self.task_id).await?)
    }
}
