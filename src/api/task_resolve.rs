use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::documents::TaskDocument;
use super::error::ApiError;
use super::operation::{ADDS, Audience, Caller, Operation};
use super::{schema, task_id};
use crate::catalog::Annotations;
use crate::engine::{Resolution, TaskEngine};
use crate::task::TaskId;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskResolve {
    /// The id of the task, as its link gave it.
    #[serde(with = "task_id")]
    #[schemars(with = "String")]
    pub task_id: TaskId,
    pub step: u64,
    pub resolution: ResolutionName,
    /// With 'done': what came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::anything", default)]
    pub outcome: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResolutionName {
    Done,
    Failed,
    Resend,
}

impl TaskResolve {
    pub fn new(task_id: TaskId, step: u64, resolution: Resolution) -> Self {
        let (resolution, outcome) = match resolution {
            Resolution::Done(outcome) => (ResolutionName::Done, Some(outcome)),
            Resolution::Failed => (ResolutionName::Failed, None),
            Resolution::Resend => (ResolutionName::Resend, None),
        };
        Self { task_id, step, resolution, outcome }
    }
}

impl Operation for TaskResolve {
    type Response = TaskDocument;

    const NAME: &'static str = "task_resolve";
    const TITLE: &'static str = "Resolve a step of unknown outcome";
    const DESCRIPTION: &'static str = "A person says what became of a step whose outcome nobody knows.";
    const HINTS: Annotations = ADDS;
    const AUDIENCE: Audience = Audience::Person;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<TaskDocument, ApiError> {
        let Self { task_id, step, resolution, outcome } = self;
        if !caller.is_person {
            return Err(ApiError::TakesAPerson(format!("say what became of step {step} of task {task_id}")));
        }
        let resolution = match (resolution, outcome) {
            (ResolutionName::Done, Some(outcome)) => Resolution::Done(outcome),
            (ResolutionName::Failed, None) => Resolution::Failed,
            (ResolutionName::Resend, None) => Resolution::Resend,
            _ => {
                let why = "'done' comes with an outcome, the others come without";
                return Err(ApiError::Request(why.to_owned()));
            }
        };
        Ok(engine.resolve(&caller.overseer(), task_id, step, resolution).await?.into())
    }
}
