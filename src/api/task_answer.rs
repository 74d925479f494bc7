use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::documents::TaskDocument;
use super::error::ApiError;
use super::operation::{ADDS, Caller, Operation};
use super::{schema, task_id};
use crate::catalog::Annotations;
use crate::engine::TaskEngine;
use crate::engine::questions::Given;
use crate::task::TaskId;

/// What a person is asked, a person answers: the caller says whether it is one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskAnswer {
    /// The id of the task, as its link gave it.
    #[serde(with = "task_id")]
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// Which question; may be left out where one is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub action: AnswerAction,
    /// With 'accept': what fits the question's schema; for a sample the model's message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object", default)]
    pub content: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnswerAction {
    Accept,
    Decline,
    Cancel,
}

impl Operation for TaskAnswer {
    type Response = TaskDocument;

    const NAME: &'static str = "task_answer";
    const TITLE: &'static str = "Answer a task's question";
    const DESCRIPTION: &'static str = "Answer a question that a task asks (its input_requests). A question by 'person' is for a person alone, who \
         answers it in a client of their own that is connected to this server.";
    const HINTS: Annotations = ADDS;

    fn answers() -> Option<Value> {
        Some(schema::of_response::<TaskDocument>())
    }

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<TaskDocument, ApiError> {
        let Self { task_id, key, action, content } = self;
        let given = match (action, content) {
            (AnswerAction::Accept, content) => Given::Accept(content.unwrap_or_else(|| json!({}))),
            (AnswerAction::Decline, None) => Given::Decline,
            (AnswerAction::Cancel, None) => Given::Cancel,
            (AnswerAction::Decline | AnswerAction::Cancel, Some(_)) => {
                return Err(ApiError::Request("only 'accept' comes with a content".to_owned()));
            }
        };
        Ok(engine
            .answer(&caller.overseer(), task_id, key.as_deref(), given, caller.answered_via())
            .await?
            .into())
    }
}
