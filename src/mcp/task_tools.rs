//! Tools for hosts that know neither tasks nor resources.

use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::RequestContext;
use serde::Deserialize;
use serde_json::{Value, json};

use super::convert::{self, document};
use super::error::{self, Refusal, refusal};
use super::follow::{Asking, Followed};
use super::reply::{self, PERSON_META};
use super::server::Handler;
use super::state_tools;
use super::task_answer;
use crate::catalog::{Annotations, Schema};
use crate::engine::messages::Outgoing;
use crate::engine::{Resolution, Slice, TaskDocument, TaskEnd, TaskQuery};
use crate::limits;
use crate::task::TaskId;

/// A person's hand alone: it is never listed, and refused to a call that does not say that it is one.
const RESOLVE: &str = "task_resolve";

/// The task tools, with their schemas compiled.
pub struct TaskTools {
    tools: Vec<TaskTool>,
}

pub struct TaskTool {
    pub name: &'static str,
    /// One of shared state.
    pub is_state: bool,
    wire: Tool,
    arguments: Option<Schema>,
}

impl Default for TaskTools {
    fn default() -> Self {
        let tasks = definitions().into_iter().map(|definition| TaskTool::new(definition, false));
        let state = state_tools::definitions().into_iter().map(|definition| TaskTool::new(definition, true));
        Self { tools: tasks.chain(state).collect() }
    }
}

impl TaskTools {
    /// Those of tasks, or those of shared state.
    pub fn listed(&self, state: bool) -> impl Iterator<Item = Tool> {
        let listed = self.tools.iter().filter(move |tool| tool.is_state == state && tool.name != RESOLVE);
        listed.map(|tool| tool.wire.clone())
    }

    pub fn find(&self, name: &str) -> Option<&TaskTool> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

impl TaskTool {
    fn new(definition: Definition, is_state: bool) -> Self {
        let Definition { name, title, description, input, output, hints } = definition;
        let object = |schema: &Value| Arc::new(schema.as_object().cloned().unwrap_or_default());
        let mut wire = Tool::new(name, description, object(&input));
        wire.title = Some(title.to_owned());
        wire.output_schema = output.as_ref().map(object);
        wire.annotations = convert::annotations(hints);
        Self { name, is_state, wire, arguments: Schema::of_arguments(&input).ok() }
    }

    pub fn check(&self, arguments: &Value) -> Result<(), Refusal> {
        let Some(schema) = &self.arguments else { return Ok(()) };
        schema.check(arguments).map_err(|violations| {
            let told: Vec<String> = violations.iter().map(ToString::to_string).collect();
            Refusal::told(format!("arguments are wrong: {}", told.join("; ")))
        })
    }
}

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
    pub(super) async fn call_task_tool(
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
            return Ok(structured(document(&self.task_answer(arguments, context).await?)));
        }
        let arguments: TaskArguments = parsed(arguments)?;
        let id: TaskId = arguments.task_id.parse().map_err(told)?;
        match name {
            "task_status" => Ok(structured(document(&engine.task(principal, id).map_err(refusal)?))),
            "task_wait" => self.task_wait(id, arguments.seconds, context).await,
            "task_result" => self.task_result(id),
            "task_output" => self.task_output(id, arguments),
            "task_cancel" => {
                let task = engine.cancel(principal, id, arguments.reason).await.map_err(refusal)?;
                Ok(structured(document(&task)))
            }
            "task_retry" => {
                let task = engine.retry(principal, id, arguments.from_step).await.map_err(refusal)?;
                Ok(structured(document(&task)))
            }
            RESOLVE => self.task_resolve(id, arguments, context).await,
            other => Err(Refusal::Error(error::bad_params(format!("there is no tool '{other}'")))),
        }
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
        if context.meta.get(PERSON_META) != Some(&Value::Bool(true)) {
            return Err(Refusal::told(format!(
                "only a person can say what became of step {step}: longhaul task resolve {id} --step {step} --done JSON \
                 | --failed | --resend"
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
        Ok(structured(document(&task)))
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
        let task = engine.task(principal, id).map_err(refusal)?;
        let seconds = seconds.unwrap_or(limits::DEFAULT_TASK_WAIT_SECONDS).min(limits::MAX_TASK_WAIT_SECONDS);
        // Whoever gives the wait up gives up nothing else: the task goes on.
        if let Some(follower) = engine.feed().follow(id) {
            let followed = Followed { follower: &follower, id, tool: &task.tool, fresh: false };
            let at_most = Some(Duration::from_secs(seconds));
            self.follow(followed, at_most, Asking::Ends, context).await?;
        }
        let task = engine.task(principal, id).map_err(refusal)?;
        let catalog = engine.catalog();
        let entry = catalog.tool(&task.tool).map(Arc::as_ref);
        let mut value = document(&task);
        match reply::ended(engine.result(principal, id).map_err(refusal)?, entry, id) {
            Some(Ok(mut answer)) => {
                if task.state == "completed" {
                    value["result"] = answer.structured_content.take().unwrap_or(Value::Null);
                }
                answer.structured_content = Some(value);
                Ok(answer)
            }
            // The tool answered its call with a JSON-RPC error; this call did not fail.
            Some(Err(_)) => Ok(with_document(reply::not_completed(&task), value)),
            None => Ok(structured(value)),
        }
    }

    fn task_result(&self, id: TaskId) -> Result<CallToolResult, Refusal> {
        let (engine, principal) = (self.server.engine(), &self.connection.principal);
        let end = engine.result(principal, id).map_err(refusal)?;
        if let TaskEnd::NotYet(task) = &end {
            let state = match &task.reason {
                Some(reason) => format!("{} ({reason})", task.state),
                None => task.state.clone(),
            };
            return Err(Refusal::told(format!(
                "The task {id} is {state}: there is no result yet. Call task_wait {{\"task_id\":\"{id}\"}}."
            )));
        }
        let task = engine.task(principal, id).map_err(refusal)?;
        let catalog = engine.catalog();
        let entry = catalog.tool(&task.tool).map(Arc::as_ref);
        match reply::ended(end, entry, id) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(_)) | None => Ok(reply::not_completed(&task)),
        }
    }

    fn task_output(&self, id: TaskId, arguments: TaskArguments) -> Result<CallToolResult, Refusal> {
        let (engine, principal) = (self.server.engine(), &self.connection.principal);
        let name = arguments.name.unwrap_or_default();
        let offset = arguments.offset.unwrap_or_default();
        let limit =
            arguments.limit.unwrap_or(limits::MAX_OUTPUT_READ_BYTES).min(limits::MAX_OUTPUT_READ_BYTES);
        let slice = match name.as_str() {
            "log" => engine.log(principal, id, offset, limit),
            name => engine.output(principal, id, name, offset, limit),
        };
        Ok(structured(output_value(slice.map_err(refusal)?, offset)))
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

pub fn structured(value: Value) -> CallToolResult {
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    let mut answer = CallToolResult::success(vec![ContentBlock::text(text)]);
    answer.structured_content = Some(value);
    answer
}

fn with_document(mut answer: CallToolResult, value: Value) -> CallToolResult {
    answer.structured_content = Some(value);
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

pub struct Definition {
    pub name: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    pub input: Value,
    pub output: Option<Value>,
    pub hints: Annotations,
}

fn definitions() -> Vec<Definition> {
    let reads = READS;
    let task_id = json!({ "type": "string", "description": "The id of the task, as its link gave it." });
    let mut wait_output = document_schema();
    wait_output["properties"]["result"] =
        json!({ "description": "The tool's structured result, once completed." });
    vec![
        Definition {
            name: "task_list",
            title: "List tasks",
            description: "List your tasks, newest first.",
            input: arguments(
                json!({
                    "state": {
                        "enum": ["queued", "running", "waiting", "completed", "failed", "cancelled"],
                        "description": "Only tasks in this state.",
                    },
                    "tool": { "type": "string", "description": "Only tasks of this tool." },
                    "parent": { "type": "string", "description": "Only tasks that this task called, oldest first." },
                    "limit": { "type": "integer", "minimum": 1, "maximum": limits::MAX_PAGE_ROWS },
                    "cursor": { "type": "string", "description": "next_cursor of the page before." },
                }),
                &[],
            ),
            output: Some(json!({
                "type": "object",
                "properties": {
                    "tasks": { "type": "array", "items": document_schema() },
                    "next_cursor": { "type": "string" },
                },
                "required": ["tasks"],
            })),
            hints: reads,
        },
        Definition {
            name: "task_status",
            title: "Show a task",
            description: "Show where a task stands: state, message, progress, outputs.",
            input: arguments(json!({ "task_id": task_id }), &["task_id"]),
            output: Some(document_schema()),
            hints: reads,
        },
        Definition {
            name: "task_wait",
            title: "Wait for a task",
            description: "Wait until a task has ended or asks something, or the time is over; then show it, \
                 with its result if there is one. Call it again while the task is not done.",
            input: arguments(
                json!({
                    "task_id": task_id,
                    "seconds": {
                        "type": "integer",
                        "minimum": 0,
                        "maximum": limits::MAX_TASK_WAIT_SECONDS,
                        "default": limits::DEFAULT_TASK_WAIT_SECONDS,
                        "description": "How long to wait at most.",
                    },
                }),
                &["task_id"],
            ),
            output: Some(wait_output),
            hints: reads,
        },
        Definition {
            name: "task_result",
            title: "Get a task's result",
            description: "Get the result of a task that has completed, as the tool gave it.",
            input: arguments(json!({ "task_id": task_id }), &["task_id"]),
            // Whatever the tool's own is.
            output: None,
            hints: reads,
        },
        Definition {
            name: "task_output",
            title: "Read a task's output",
            description: "Read a named output that a task has published, also while it runs. The name 'log' is \
                 the task's log. Go on at next_offset; done says that the output will not grow any more.",
            input: arguments(
                json!({
                    "task_id": task_id,
                    "name": { "type": "string", "description": "The output's name; task_status lists them." },
                    "offset": { "type": "integer", "minimum": 0, "default": 0, "description": "Bytes." },
                    "limit": { "type": "integer", "minimum": 1, "maximum": limits::MAX_OUTPUT_READ_BYTES },
                }),
                &["task_id", "name"],
            ),
            output: Some(json!({
                "type": "object",
                "properties": {
                    "text": { "type": "string" },
                    "base64": { "type": "string" },
                    "mime_type": { "type": "string" },
                    "bytes": { "type": "integer" },
                    "next_offset": { "type": "integer" },
                    "done": { "type": "boolean" },
                },
                "required": ["bytes", "next_offset", "done"],
            })),
            hints: reads,
        },
        Definition {
            name: "task_cancel",
            title: "Cancel a task",
            description: "Cancel a task. What it has published stays readable.",
            input: arguments(
                json!({ "task_id": task_id, "reason": { "type": "string", "maxLength": limits::MAX_MESSAGE_BYTES } }),
                &["task_id"],
            ),
            output: Some(document_schema()),
            hints: changes(true),
        },
        Definition {
            name: "task_send",
            title: "Send a message to a task",
            description: "Send a message to a task that has not ended; the tool's description says which names \
                 it listens to. It is delivered once, in order. The same key again is the same message.",
            input: arguments(
                json!({
                    "task_id": task_id,
                    "name": { "type": "string", "minLength": 1, "maxLength": limits::MAX_MESSAGE_NAME_BYTES },
                    "payload": { "description": "Any JSON; what the tool expects." },
                    "key": { "type": "string", "minLength": 1, "maxLength": limits::MAX_IDEMPOTENCY_KEY_BYTES },
                }),
                &["task_id", "name", "payload"],
            ),
            output: Some(json!({
                "type": "object",
                "properties": { "seq": { "type": "integer", "description": "Its number, from 1." } },
                "required": ["seq"],
            })),
            hints: changes(false),
        },
        Definition {
            name: "task_answer",
            title: "Answer a task's question",
            description: "Answer a question that a task asks (its input_requests). A question by 'person' is for the \
                 person alone, who is told the command for it.",
            input: arguments(task_answer::properties(&task_id), &["task_id", "action"]),
            output: Some(document_schema()),
            hints: changes(false),
        },
        Definition {
            name: "task_retry",
            title: "Retry a task",
            description: "Try a failed or cancelled task again under the same id: from the start, or keeping \
                 what its journal holds before from_step.",
            input: arguments(
                json!({ "task_id": task_id, "from_step": { "type": "integer", "minimum": 0 } }),
                &["task_id"],
            ),
            output: Some(document_schema()),
            hints: changes(false),
        },
        Definition {
            name: RESOLVE,
            title: "Resolve a step of unknown outcome",
            description: "A person says what became of a step whose outcome nobody knows.",
            input: arguments(
                json!({
                    "task_id": task_id,
                    "step": { "type": "integer", "minimum": 0 },
                    "resolution": { "enum": ["done", "failed", "resend"] },
                    "outcome": { "description": "With 'done': what came back." },
                }),
                &["task_id", "step", "resolution"],
            ),
            output: Some(document_schema()),
            hints: changes(false),
        },
    ]
}

pub const READS: Annotations =
    Annotations { read_only: Some(true), destructive: None, idempotent: Some(true), open_world: Some(false) };

pub const fn changes(destructive: bool) -> Annotations {
    Annotations {
        read_only: Some(false),
        destructive: Some(destructive),
        idempotent: Some(destructive),
        open_world: Some(false),
    }
}

pub fn arguments(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn document_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "string" },
            "uri": { "type": "string" },
            "tool": { "type": "string" },
            "state": { "enum": ["queued", "running", "waiting", "completed", "failed", "cancelled"] },
            "reason": { "type": "string" },
            "message": { "type": "string" },
            "progress": {
                "type": "object",
                "properties": { "done": { "type": "integer" }, "total": { "type": "integer" } },
                "required": ["done"],
            },
            "attempt": { "type": "integer" },
            "steps": { "type": "integer" },
            "created_at": { "type": "string" },
            "updated_at": { "type": "string" },
            "input_requests": { "type": "object", "description": "What it asks, by the key that task_answer takes." },
            "questions_answered": { "type": "array", "items": { "type": "object" } },
            "outputs": { "type": "array", "items": { "type": "object" } },
            "result_uri": { "type": "string" },
            "log_uri": { "type": "string" },
            "error": { "type": "object" },
        },
        "required": ["id", "uri", "tool", "state"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_tool_is_reserved_and_its_schemas_compile() {
        for definition in definitions().into_iter().chain(state_tools::definitions()) {
            assert!(crate::catalog::OWN_TOOL_NAMES.contains(&definition.name), "{}", definition.name);
            Schema::of_arguments(&definition.input).expect(definition.name);
            if let Some(output) = &definition.output {
                assert_eq!(output["type"], "object");
                Schema::compile(output).expect(definition.name);
            }
        }
    }

    #[test]
    fn wrong_arguments_are_told_with_their_path() {
        let tools = TaskTools::default();
        let check = |name: &str, arguments| match tools.find(name).expect(name).check(&arguments) {
            Ok(()) => String::new(),
            Err(Refusal::Result(result)) => {
                assert_eq!(result.is_error, Some(true));
                result.content[0].as_text().expect("text").text.clone()
            }
            Err(Refusal::Error(error)) => panic!("{error:?}"),
        };
        assert_eq!(check("task_list", json!({})), "");
        assert!(check("task_wait", json!({"task_id": "x", "seconds": 51})).contains("seconds"));
        assert!(check("task_status", json!({})).contains("task_id"));
        assert!(check("task_status", json!({"task_id": "x", "extra": 1})).contains("extra"));
    }

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
