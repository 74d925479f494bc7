//! What is shown of questions, in a task's document.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text::shown;
use crate::catalog::show_value;
use crate::clock::rfc3339;
use crate::engine::questions::{AnsweredView, QuestionView};
use crate::task::{By, QuestionKind, TaskId};

/// A question that waits for its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputRequest {
    pub kind: QuestionKind,
    pub by: By,
    /// Who asks: the tool and its component's digest. It is Longhaul's word, not the tool's.
    pub tool: String,
    pub component: String,
    /// Which of its task's questions it is. Not shown: a key says it better.
    #[serde(skip)]
    pub number: u64,
    /// The task that asks, where it is one below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Of a form: the JSON Schema of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// The page where the person does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Of a sample: the parameters of MCP's `sampling/createMessage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
    pub asked_at: String,
    pub expires_at: String,
}

impl InputRequest {
    /// The task that asks, where it is one below.
    pub fn asker(&self) -> Option<TaskId> {
        self.task.as_deref()?.parse().ok()
    }
}

/// A question that was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnsweredDocument {
    pub key: String,
    pub answered_by: AnsweredByDocument,
    pub at: String,
    /// Of a sample: the model that spoke, as it named itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Of a sample: what it cost, as it was reported or estimated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnsweredByDocument {
    pub principal: String,
    pub channel: String,
}

impl InputRequest {
    /// A question under its key, in the document of `task`. What a person is to approve is what they see: nothing of it
    /// is hidden. The engine leads an answer back to what the tool wrote.
    pub(super) fn entry(question: QuestionView, task: TaskId) -> (String, Self) {
        let request = Self {
            kind: question.kind,
            by: question.by,
            tool: question.tool,
            component: question.component.to_string(),
            number: question.number,
            task: (question.task != task).then(|| question.task.to_string()),
            message: question.message.map(shown),
            schema: question.schema.map(show_value),
            url: question.url.map(shown),
            request: question.request.map(show_value),
            asked_at: rfc3339(question.asked_at),
            expires_at: rfc3339(question.expires_at),
        };
        (question.key, request)
    }

    /// Without what can be large.
    pub fn shortened(mut self) -> Self {
        (self.schema, self.request) = (None, None);
        self
    }
}

impl From<AnsweredView> for AnsweredDocument {
    fn from(answered: AnsweredView) -> Self {
        let answered_by =
            AnsweredByDocument { principal: answered.by.principal, channel: answered.by.channel };
        Self {
            key: answered.key,
            answered_by,
            at: rfc3339(answered.at),
            model: answered.model,
            tokens: answered.tokens,
        }
    }
}
