//! What is answered for a task: a link, its result, why it has none, or its document. A text comes first, and what the
//! structure says is as much as the texts: a client shows a model the one or the other.

use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::RequestContext;
use serde_json::{Value, json};

use super::client_settings::Links;
use super::convert::{self, document};
use super::error::{self, Refusal};
use super::next::{self, after_failure};
use super::own_names::OwnNames;
use super::server::Handler;
use crate::catalog::{ToolEntry, show_in_json};
use crate::engine::{TaskDocument, TaskEnd};
use crate::task::{TaskError, TaskId};

/// How answers are made for one client.
#[derive(Clone, Copy)]
pub struct Form<'a> {
    pub names: &'a OwnNames,
    pub links: Links,
}

impl Handler {
    pub(super) fn form(&self, context: &RequestContext<RoleServer>) -> Form<'_> {
        self.server.form(self.links(context))
    }
}

impl Form<'_> {
    /// The answer that says where the task is.
    pub fn link(self, task: &TaskDocument, id: TaskId) -> CallToolResult {
        let next = next::for_result(self.names, task);
        let asks = next::asked_lines(self.names, task);
        let text = format!("Started {} as task {id}. {next}{asks}", task.tool);
        let mut value = link_value(task, &next);
        if !task.input_requests.is_empty() {
            value["asks"] = next::asks(self.names, task).into();
        }
        let second = match self.links {
            Links::Block => ContentBlock::resource_link(convert::task_resource(task)),
            Links::Text => json_text(&value),
        };
        let mut answer = CallToolResult::success(vec![ContentBlock::text(text), second]);
        answer.structured_content = Some(value);
        answer.meta = Some(convert::task_meta(id));
        answer
    }

    /// The answer for a task that has ended; `None` while it has not.
    pub fn ended(
        self,
        end: TaskEnd,
        entry: Option<&ToolEntry>,
        id: TaskId,
    ) -> Option<Result<CallToolResult, Refusal>> {
        let mut answer = match end {
            TaskEnd::NotYet(_) => return None,
            TaskEnd::Completed(result) => self.shown(convert::completed(entry, result)),
            TaskEnd::Failed(_, TaskError { protocol: Some(protocol), .. }) => {
                return Some(Err(Refusal::Error(error::of_tool(&protocol, id))));
            }
            TaskEnd::Failed(task, _) | TaskEnd::Cancelled(task) => self.not_completed(&task),
        };
        answer.meta = Some(convert::task_meta(id));
        Some(Ok(answer))
    }

    /// A task that failed or was cancelled.
    pub fn not_completed(self, task: &TaskDocument) -> CallToolResult {
        let mut value = link_value(task, &after_failure(self.names, task));
        if let Some(error) = &task.error {
            value["error"] = document(error);
        }
        self.failed(task, value)
    }

    /// The same, with a structure of the caller's, in words that name reason, message and what to do next.
    pub fn failed(self, task: &TaskDocument, value: Value) -> CallToolResult {
        let error = task.error.as_ref();
        let message = error.map_or("", |error| error.message.as_str());
        let mut text = match task.state.as_str() {
            "cancelled" => format!("The task {} of {} was cancelled", task.id, task.tool),
            _ => {
                let reason = task.reason.as_deref().unwrap_or("host_fault");
                format!("The task {} of {} failed ({reason})", task.id, task.tool)
            }
        };
        if !message.is_empty() {
            text.push_str(&format!(": {message}"));
        }
        text.push('.');
        if let Some(detail) = error.and_then(|error| error.detail.as_deref()) {
            text.push_str(&format!("\n{detail}"));
        }
        text.push_str(&format!("\n{}", after_failure(self.names, task)));
        let mut answer = error::tool_error(text);
        if self.links == Links::Text {
            answer.content.push(json_text(&value));
        }
        answer.structured_content = Some(value);
        answer
    }

    /// A task's document, with what to do next.
    pub fn document(self, task: &TaskDocument) -> Value {
        let mut value = document(task);
        value["next"] = json!(next::next(self.names, task));
        value
    }

    /// The same for a task that goes on: the sentence first, which is what a model must not miss.
    pub fn going_on(self, value: Value) -> CallToolResult {
        let next = value["next"].as_str().unwrap_or_default().to_owned();
        let blocks = vec![ContentBlock::text(next), json_text(&value)];
        let mut answer = CallToolResult::success(blocks);
        answer.structured_content = Some(value);
        answer
    }

    /// A tool's own result, for a client that takes no links.
    fn shown(self, mut answer: CallToolResult) -> CallToolResult {
        if self.links == Links::Text {
            answer.content = answer.content.into_iter().map(as_text).collect();
        }
        answer
    }
}

fn link_value(task: &TaskDocument, next: &str) -> Value {
    json!({ "task_id": task.id, "uri": task.uri, "state": task.state, "next": next })
}

/// A value as text, which stands for it where a client takes no structure.
fn json_text(value: &Value) -> ContentBlock {
    ContentBlock::text(show_in_json(&value.to_string()))
}

fn as_text(block: ContentBlock) -> ContentBlock {
    let ContentBlock::ResourceLink(link) = block else { return block };
    let Resource { uri, name, title, description, .. } = link;
    let title = title.filter(|title| *title != name).map(|title| format!(" ({title})")).unwrap_or_default();
    let description = description.map(|text| format!(": {text}")).unwrap_or_default();
    ContentBlock::text(format!("{name}{title} at {uri}{description}"))
}

/// The result of a tool with the document of its task as its structure.
pub fn with_document(mut answer: CallToolResult, mut value: Value) -> CallToolResult {
    value["next"] = json!("Completed: this is its result.");
    if let Some(text) = text_besides(&answer) {
        value["text"] = text.into();
    }
    value["result"] = answer.structured_content.take().unwrap_or(Value::Null);
    answer.structured_content = Some(value);
    answer
}

/// What a result says in words and not in its structure.
fn text_besides(answer: &CallToolResult) -> Option<String> {
    let structured = answer.structured_content.as_ref();
    let says_the_same = |text: &str| {
        let value: Option<Value> = serde_json::from_str(text).ok();
        value.is_some_and(|value| {
            Some(&value) == structured || Some(&json!({ "result": value })) == structured
        })
    };
    let texts = answer.content.iter().filter_map(|block| block.as_text());
    let texts: Vec<&str> = texts.map(|text| text.text.as_str()).filter(|text| !says_the_same(text)).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// A document of Longhaul's own, as text and as structure.
pub fn structured(value: Value) -> CallToolResult {
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    let mut answer = CallToolResult::success(vec![ContentBlock::text(show_in_json(&text))]);
    answer.structured_content = Some(value);
    answer
}
