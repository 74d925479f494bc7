//! What is shown of questions, in a task's document.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::asked::{Ask, read, read_ask};
use crate::catalog::{show_hidden, show_value};
use crate::engine::text::rfc3339;
use crate::store::{Snapshot, StoreError};
use crate::task::{By, QuestionKind, Task};

/// A question that waits for its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputRequest {
    pub kind: QuestionKind,
    pub by: By,
    /// Who asks: the tool and its component's digest, told by Longhaul and not by the tool.
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

/// A question that was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnsweredDocument {
    pub key: String,
    pub answered_by: AnsweredByDocument,
    pub at: String,
    /// Of a sample: the model that spoke, as it named itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Of a sample: what it cost, as it was told or estimated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnsweredByDocument {
    pub principal: String,
    pub channel: String,
}

impl InputRequest {
    /// The question of this number, where it is on disk.
    pub(in crate::engine) fn read(
        snapshot: &Snapshot<'_>,
        task: &Task,
        number: u64,
    ) -> Result<Option<Self>, StoreError> {
        let Some(row) = read(snapshot, task.id, number)? else { return Ok(None) };
        let ask = read_ask(snapshot, &row)?;
        let mut request = Self::new(task, row.by, &ask);
        request.number = number;
        (request.asked_at, request.expires_at) = (rfc3339(row.asked_at), rfc3339(row.expires_at));
        Ok(Some(request))
    }

    /// What a person is to approve is what they see: nothing of it is hidden. `form::restored` leads back.
    fn new(task: &Task, by: By, ask: &Ask) -> Self {
        let (mut message, mut schema, mut url, mut request) = (None, None, None, None);
        match ask {
            Ask::Form { message: text, schema: form } => {
                message = Some(show_hidden(text).into_owned());
                schema = serde_json::from_str(form).ok().map(show_value);
            }
            Ask::Url { message: text, url: page } => {
                message = Some(show_hidden(text).into_owned());
                url = Some(show_hidden(page).into_owned());
            }
            Ask::Sample { request: params, .. } => {
                request = serde_json::from_str(params).ok().map(show_value)
            }
            Ask::Roots => {}
        }
        Self {
            kind: ask.kind(),
            by,
            tool: task.tool.clone(),
            component: task.component.to_string(),
            number: 0,
            task: None,
            message,
            schema,
            url,
            request,
            asked_at: String::new(),
            expires_at: String::new(),
        }
    }

    /// As lists show it.
    pub fn shortened(mut self) -> Self {
        (self.schema, self.request) = (None, None);
        self
    }
}
