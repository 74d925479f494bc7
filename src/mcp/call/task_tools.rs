//! Tools for hosts that know neither tasks nor resources.

use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::RequestContext;
use serde::Deserialize;
use serde_json::{Value, json};

use super::follow::{Asking, Followed};
use crate::catalog::show_hidden;
use crate::engine::messages::Outgoing;
use crate::engine::{Resolution, Slice, TaskDocument, TaskEnd, TaskQuery};
use crate::limits;
use crate::mcp::connection::Handler;
use crate::mcp::own::tools::RESOLVE;
use crate::mcp::wire::client_settings::lower;
use crate::mcp::wire::convert::{self, document};
use crate::mcp::wire::error::{self, Refusal, refusal};
use crate::mcp::wire::form::{structured, with_document};
use crate::mcp::wire::next;
use crate::task::TaskId;

#[derive(Deserialize)]
struct ListArguments {
    state: Option<String>,
    tool: Option<String>,
    parent: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct SendArguments {
    task_id: String,
    name: String,
    payload: Value,
    key: Option<String>,
}

#[derive(Deserialize)]
struct TaskArguments {
    task_id: String,
    seconds: Option<u64>,
    name: Option<String>,
    offset: Option<u64>,
    limit: Option<usize>,
    reason: Option<String>,
    from_step: Option<u64>,
    step: Option<u64>,
    resolution: Option<String>,
    outcome: Option<Value>,
}

impl Handler {
    pub(in crate::mcp) async fn call_task_tool(
        &self,
        name: &str,
        arguments: Value,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Refusal> {
        let (engine, principal) = (self.server.engine(), self.connection.actor(context));
        if name == "task_list" {
            return self.task_list(parsed(arguments)?);
        }
        if name == "task_send" {
            return self.task_send(parsed(arguments)?, context).await;
        }
        if name == "task_answer" {
            return Ok(self.shown(&self.task_answer(arguments, context).await?, context));
        }
        let arguments: TaskArguments = parsed(arguments)?;
        let id: TaskId = arguments.task_id.parse().map_err(told)?;
        match name {
            "task_status" => Ok(self.shown(&engine.task(principal, id).map_err(refusal)?, context)),
            "task_wait" => self.task_wait(id, arguments.seconds, context).await,
            "task_result" => self.task_result(id, context),
            "task_output" => self.task_output(id, arguments),
            "task_cancel" => {
                let task = engine.cancel(principal, id, arguments.reason).await.map_err(refusal)?;
                Ok(self.shown(&task, context))
            }
            "task_retry" => {
                let task = engine.retry(principal, id, arguments.from_step).await.map_err(refusal)?;
                Ok(self.shown(&task, context))
            }
            RESOLVE => self.task_resolve(id, arguments, context).await,
            other => Err(Refusal::Error(error::bad_params(format!("there is no tool '{other}'")))),
        }
    }

    fn shown(&self, task: &TaskDocument, context: &RequestContext<RoleServer>) -> CallToolResult {
        structured(self.form(context).document(task))
    }

    async fn task_send(
        &self,
        arguments: SendArguments,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Refusal> {
        let SendArguments { task_id, name, payload, key } = arguments;
        let id: TaskId = task_id.parse().map_err(told)?;
        let (engine, principal) = (self.server.engine(), self.connection.actor(context));
        let seq = engine.send(principal, id, Outgoing { name, payload, key }).await.map_err(refusal)?;
        Ok(structured(json!({ "seq": seq })))
    }

    async fn task_resolve(
        &self,
        id: TaskId,
        arguments: TaskArguments,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Refusal> {
        let step = arguments.step.unwrap_or_default();
        if !self.is_by_person(context) {
            // It names no command: a model reads this, and agents have shells.
            return Err(Refusal::told(format!(
                "only a person can say what became of step {step} of task {id}; wait for that"
            )));
        }
        let resolution = match (arguments.resolution.as_deref(), arguments.outcome) {
            (Some("done"), Some(outcome)) => Resolution::Done(outcome),
            (Some("failed"), None) => Resolution::Failed,
            (Some("resend"), None) => Resolution::Resend,
            _ => return Err(Refusal::told("'done' comes with an outcome, the others come without")),
        };
        let (engine, principal) = (self.server.engine(), self.connection.actor(context));
        let task = engine.resolve(principal, id, step, resolution).await.map_err(refusal)?;
        Ok(self.shown(&task, context))
    }

    fn task_list(&self, arguments: ListArguments) -> Result<CallToolResult, Refusal> {
        let ListArguments { state, tool, parent, limit, cursor } = arguments;
        let parent = parent.map(|id| id.parse()).transpose().map_err(told)?;
        let query = TaskQuery { state, tool, parent, limit: limit.unwrap_or_default(), cursor };
        let page = self.server.engine().tasks(&self.connection.principal, &query).map_err(refusal)?;
        let mut value = json!({ "tasks": document_list(&page.tasks) });
        if let Some(cursor) = page.next_cursor {
            value["next_cursor"] = Value::String(cursor);
        }
        Ok(structured(value))
    }

    async fn task_wait(
        &self,
        id: TaskId,
        seconds: Option<u64>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Refusal> {
        let (engine, principal) = (self.server.engine(), &self.connection.principal);
        let (task, form) = (engine.task(principal, id).map_err(refusal)?, self.form(context));
        let seconds = seconds.unwrap_or(limits::DEFAULT_TASK_WAIT_SECONDS).min(limits::MAX_TASK_WAIT_SECONDS);
        // Whoever gives the wait up gives up nothing else: the task goes on.
        if let Some(follower) = engine.feed().follow(id) {
            let followed = Followed { follower: &follower, id, tool: &task.tool, fresh: false };
            let at_most = lower(Some(Duration::from_secs(seconds)), self.wait_bound(context));
            self.follow(followed, at_most, Asking::Ends, context).await?;
        }
        // In this order: what has ended stays so, and may end between the two.
        let end = engine.result(principal, id).map_err(refusal)?;
        let task = engine.task(principal, id).map_err(refusal)?;
        match end {
            TaskEnd::NotYet(_) => Ok(form.going_on(form.document(&task))),
            // Also where the tool answered its call with a JSON-RPC error: this call did not fail.
            TaskEnd::Failed(task, _) | TaskEnd::Cancelled(task) => {
                Ok(named(form.failed(&task, form.document(&task)), id))
            }
            TaskEnd::Completed(result) => {
                let catalog = engine.catalog();
                let entry = catalog.tool(&task.tool).map(Arc::as_ref);
                Ok(named(with_document(form.completed(entry, result), form.document(&task)), id))
            }
        }
    }

    fn task_result(
        &self,
        id: TaskId,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Refusal> {
        let form = self.form(context);
        let (engine, principal) = (self.server.engine(), &self.connection.principal);
        let end = engine.result(principal, id).map_err(refusal)?;
        if let TaskEnd::NotYet(task) = &end {
            let state = match &task.reason {
                Some(reason) => format!("{} ({reason})", task.state),
                None => task.state.clone(),
            };
            let wait = next::call(form.names, "task_wait", &json!({ "task_id": id }));
            return Err(Refusal::told(format!(
                "The task {id} is {state}: there is no result yet. Call {wait}."
            )));
        }
        let task = engine.task(principal, id).map_err(refusal)?;
        let catalog = engine.catalog();
        let entry = catalog.tool(&task.tool).map(Arc::as_ref);
        match form.ended(end, entry, id) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(_)) | None => Ok(form.not_completed(&task)),
        }
    }

    fn task_output(&self, id: TaskId, arguments: TaskArguments) -> Result<CallToolResult, Refusal> {
        let (engine, principal) = (self.server.engine(), &self.connection.principal);
        let name = arguments.name.unwrap_or_default();
        let offset = arguments.offset.unwrap_or_default();
        let limit =
            arguments.limit.unwrap_or(limits::MAX_OUTPUT_READ_BYTES).min(limits::MAX_OUTPUT_READ_BYTES);
        let is_log = name == "log";
        let slice = match is_log {
            true => engine.log(principal, id, offset, limit),
            false => engine.output(principal, id, &name, offset, limit),
        };
        let mut value = output_value(slice.map_err(refusal)?, offset);
        // The log is for eyes; an output is data, and offsets count its bytes.
        if let (true, Some(text)) = (is_log, value["text"].as_str()) {
            value["text"] = Value::String(show_hidden(text).into_owned());
        }
        Ok(structured(value))
    }
}

fn output_value(slice: Slice, offset: u64) -> Value {
    let Slice { bytes, mime_type, total, done } = slice;
    let reaches_end = offset.saturating_add(bytes.len() as u64) >= total;
    let more_follows = !(reaches_end && done);
    let (key, shown, read) = match convert::as_text(&mime_type, &bytes, more_follows) {
        // A limit of a few bytes may hold no whole character; then the bytes as they are get the reader on.
        Some(text) if !text.is_empty() || bytes.is_empty() || (reaches_end && !done) => {
            ("text", text.to_owned(), text.len())
        }
        _ => ("base64", convert::base64(&bytes), bytes.len()),
    };
    json!({
        key: shown,
        "mime_type": mime_type,
        "bytes": total,
        "next_offset": offset.saturating_add(read as u64),
        "done": done,
    })
}

fn named(mut answer: CallToolResult, id: TaskId) -> CallToolResult {
    answer.meta = Some(convert::task_meta(id));
    answer
}

fn document_list(tasks: &[TaskDocument]) -> Vec<Value> {
    tasks.iter().map(document).collect()
}

pub fn parsed<T: for<'de> Deserialize<'de>>(arguments: Value) -> Result<T, Refusal> {
    serde_json::from_value(arguments).map_err(told)
}

fn told(error: impl std::fmt::Display) -> Refusal {
    Refusal::told(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_cut_between_characters() {
        let slice = |bytes: &[u8], total, done| Slice {
            bytes: bytes.to_vec(),
            mime_type: "text/plain".to_owned(),
            total,
            done,
        };
        let text = "aé".as_bytes();
        let first = output_value(slice(&text[..2], 3, true), 0);
        assert_eq!((&first["text"], &first["next_offset"]), (&json!("a"), &json!(1)));
        let rest = output_value(slice(&text[1..], 3, true), 1);
        assert_eq!(
            (&rest["text"], &rest["next_offset"], &rest["done"]),
            (&json!("é"), &json!(3), &json!(true))
        );
        // One byte of a character of two never stands still.
        let half = output_value(slice(&text[1..2], 3, true), 1);
        assert_eq!((&half["base64"], &half["next_offset"]), (&json!("ww=="), &json!(2)));
        let growing = output_value(slice(&text[1..2], 2, false), 1);
        assert_eq!((&growing["text"], &growing["next_offset"]), (&json!(""), &json!(1)));
    }
}
