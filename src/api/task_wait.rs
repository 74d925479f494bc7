use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{Answer, Ended};
use super::documents::TaskDocument;
use super::error::ApiError;
use super::operation::{Caller, Operation, READS};
use super::{schema, task_id};
use crate::catalog::Annotations;
use crate::engine::TaskEngine;
use crate::limits;
use crate::task::TaskId;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskWait {
    /// The id of the task, as its link gave it.
    #[serde(with = "task_id")]
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// How long to wait at most; the operator may have set less.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        range(max = limits::MAX_TASK_WAIT_SECONDS),
        extend("default" = limits::DEFAULT_TASK_WAIT_SECONDS)
    )]
    pub seconds: Option<u64>,
}

/// What the tool answers, without the content of the tool that is waited for.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a schema; the wing makes the answer")]
struct Shown {
    #[schemars(flatten)]
    task: TaskDocument,
    /// The tool's structured result, once completed.
    #[schemars(schema_with = "schema::anything", skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    /// What the result says in words besides.
    #[schemars(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// The task after the wait.
pub struct Waited(pub Ended);

impl From<Waited> for Answer {
    fn from(Waited(ended): Waited) -> Self {
        Self::Waited(Box::new(ended))
    }
}

impl TaskWait {
    /// The time that is waited at most.
    pub fn at_most(&self) -> Duration {
        let seconds = self.seconds.unwrap_or(limits::DEFAULT_TASK_WAIT_SECONDS);
        Duration::from_secs(seconds.min(limits::MAX_TASK_WAIT_SECONDS))
    }
}

impl Operation for TaskWait {
    type Response = Waited;

    const NAME: &'static str = "task_wait";
    const TITLE: &'static str = "Wait for a task";
    // Gateways rename tools, and a model can only call the names in its own list.
    const DESCRIPTION: &'static str = "Wait until a task has ended or asks something, or the time is over; then show it, with its result if there is \
         one. Call it again while the task is not done. A gateway may have renamed {task_wait}: use the names in your \
         list.";
    const HINTS: Annotations = READS;

    fn answers() -> Option<Value> {
        Some(schema::of_response::<Shown>())
    }

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<Waited, ApiError> {
        let (principal, id) = (caller.principal, self.task_id);
        match caller.waiting {
            Some(waiting) => {
                let task = engine.task(principal, id).await?;
                waiting.wait(&task.tool, id, self.at_most()).await?;
            }
            None => drop(engine.wait(principal, id, self.at_most()).await?),
        }
        Ok(Waited(Ended::of(engine, principal, id).await?))
    }
}
