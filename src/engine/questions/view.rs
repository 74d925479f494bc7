//! Questions in types, as a program sees them in its task.

use serde_json::Value;

use super::asked::{Ask, read, read_ask};
use crate::clock::UnixNanos;
use crate::store::{Snapshot, StoreError};
use crate::task::{AnsweredBy, By, ComponentId, QuestionKind, Task, TaskId};

/// A question that waits for its answer. Its texts stand here as the tool gave them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QuestionView {
    /// What an answer names: the question's own key or, of a task below, `CHILD:KEY`.
    pub key: String,
    /// The task that asks: the one that is looked at, or one below it. With its tool and the component's digest this is
    /// Longhaul's word, not the tool's.
    pub task: TaskId,
    pub tool: String,
    pub component: ComponentId,
    /// Which of its task's questions it is.
    pub number: u64,
    pub kind: QuestionKind,
    /// Who may answer.
    pub by: By,
    pub message: Option<String>,
    /// Of a form: the JSON Schema of the answer. Left out in lists.
    pub schema: Option<Value>,
    /// The page where the person does it.
    pub url: Option<String>,
    /// Of a sample: the parameters of MCP's `sampling/createMessage`. Left out in lists.
    pub request: Option<Value>,
    pub asked_at: UnixNanos,
    pub expires_at: UnixNanos,
}

/// A question that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnsweredView {
    pub key: String,
    pub by: AnsweredBy,
    pub at: UnixNanos,
    /// Of a sample: the model that spoke, as it named itself.
    pub model: Option<String>,
    /// Of a sample: what it cost, as it was reported or estimated.
    pub tokens: Option<u64>,
}

impl QuestionView {
    /// The question of this number of a task, where it is on disk; `key` is what an answer names.
    pub(in crate::engine) fn read(
        snapshot: &Snapshot<'_>,
        task: &Task,
        number: u64,
        key: String,
    ) -> Result<Option<Self>, StoreError> {
        let Some(row) = read(snapshot, task.id, number)? else { return Ok(None) };
        let ask = read_ask(snapshot, &row)?;
        let kind = ask.kind();
        let (message, schema, url, request) = match ask {
            Ask::Form { message, schema } => (Some(message), parsed(&schema), None, None),
            Ask::Url { message, url } => (Some(message), None, Some(url), None),
            Ask::Sample { request, .. } => (None, None, None, parsed(&request)),
            Ask::Roots => (None, None, None, None),
            // No client is asked.
            Ask::Model(_) => return Ok(None),
        };
        Ok(Some(Self {
            key,
            task: task.id,
            tool: task.tool.clone(),
            component: task.component.clone(),
            number,
            kind,
            by: row.by,
            message,
            schema,
            url,
            request,
            asked_at: row.asked_at,
            expires_at: row.expires_at,
        }))
    }
}

fn parsed(json: &str) -> Option<Value> {
    serde_json::from_str(json).ok()
}
