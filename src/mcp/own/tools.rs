//! The tools that are Longhaul's own: how they are listed, and what they take.

use std::borrow::Cow;
use std::sync::Arc;

use rmcp::model::Tool;
use serde_json::{Value, json};

use super::definition::{Definition, READS, any_json, arguments, changes};
use super::state;
use crate::catalog::Schema;
use crate::limits;
use crate::mcp::wire::convert;
use crate::mcp::wire::error::Refusal;
use crate::mcp::wire::own_names::OwnNames;

/// A person's hand alone: it is never listed, and refused to a call that does not say that it is one.
pub const RESOLVE: &str = "task_resolve";

/// The task tools, with their schemas compiled.
pub struct TaskTools {
    tools: Vec<TaskTool>,
}

pub struct TaskTool {
    pub name: &'static str,
    /// One of shared state.
    pub is_state: bool,
    wire: Tool,
    arguments: OwnArguments,
}

/// What a tool of Longhaul's own takes.
pub struct OwnArguments {
    schema: Option<Schema>,
    /// Those that may be left out and are not any JSON. Models fill in every field, with an empty text where they have
    /// nothing to say; null for it is the schema's own rule.
    optional: Vec<String>,
}

impl OwnArguments {
    pub fn new(input: &Value) -> Self {
        let required = input["required"].as_array().cloned().unwrap_or_default();
        let properties = input["properties"].as_object().into_iter().flatten();
        let optional = properties.filter(|(name, schema)| {
            let is_any = schema.get("type").or(schema.get("enum")).is_none();
            !is_any && !required.iter().any(|there| there == *name)
        });
        let optional = optional.map(|(name, _)| name.clone()).collect();
        Self { schema: Schema::of_arguments(input).ok(), optional }
    }

    /// The arguments as the tool reads them: an optional one that says nothing is left out, `1.0` is `1`.
    pub fn accept(&self, mut arguments: Value) -> Result<Value, Refusal> {
        if let Some(fields) = arguments.as_object_mut() {
            fields.retain(|name, value| *value != "" || !self.optional.contains(name));
        }
        let Some(schema) = &self.schema else { return Ok(arguments) };
        let accepted = schema.accept(&arguments).map(Cow::into_owned);
        accepted.map_err(|violations| {
            let told: Vec<String> = violations.iter().map(ToString::to_string).collect();
            Refusal::told(format!("arguments are wrong: {}", told.join("; ")))
        })
    }
}

impl TaskTools {
    /// As clients that call them so are to read of them.
    pub fn new(names: &OwnNames) -> Self {
        let tasks = definitions(names).into_iter().map(|definition| TaskTool::new(definition, false));
        let state = state::definitions().into_iter().map(|definition| TaskTool::new(definition, true));
        Self { tools: tasks.chain(state).collect() }
    }

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
        let object = |own: &Value| Arc::new(own.as_object().cloned().unwrap_or_default());
        let mut wire = Tool::new(name, description, object(&input));
        wire.title = Some(title.to_owned());
        wire.output_schema = output.as_ref().map(object);
        wire.annotations = convert::annotations(hints);
        Self { name, is_state, wire, arguments: OwnArguments::new(&input) }
    }

    pub fn accept(&self, arguments: Value) -> Result<Value, Refusal> {
        self.arguments.accept(arguments)
    }
}

fn definitions(names: &OwnNames) -> Vec<Definition> {
    let reads = READS;
    let task_id = json!({ "type": "string", "description": "The id of the task, as its link gave it." });
    let mut wait_output = document_schema(names);
    wait_output["properties"]["result"] =
        json!({ "description": "The tool's structured result, once completed." });
    wait_output["properties"]["text"] =
        json!({ "type": "string", "description": "What the result says in words besides." });
    // Gateways rename tools, and a model can only call the names in its own list.
    let renamed =
        format!("A gateway may have renamed {}: use the names in your list.", names.of("task_wait"));
    let named = format!("The output's name; {} lists them.", names.of("task_status"));
    vec![
        Definition {
            name: "task_list",
            title: "List tasks",
            description: "List your tasks, newest first.".to_owned(),
            input: arguments(
                json!({
                    "state": {
                        "type": "string",
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
                    "tasks": { "type": "array", "items": document_schema(names) },
                    "next_cursor": { "type": "string" },
                },
                "required": ["tasks"],
            })),
            hints: reads,
        },
        Definition {
            name: "task_status",
            title: "Show a task",
            description: "Show where a task stands: state, message, progress, outputs, and what to do next."
                .to_owned(),
            input: arguments(json!({ "task_id": task_id }), &["task_id"]),
            output: Some(document_schema(names)),
            hints: reads,
        },
        Definition {
            name: "task_wait",
            title: "Wait for a task",
            description: format!(
                "Wait until a task has ended or asks something, or the time is over; then show it, with its result if \
                 there is one. Call it again while the task is not done. {renamed}"
            ),
            input: arguments(
                json!({
                    "task_id": task_id,
                    "seconds": {
                        "type": "integer",
                        "minimum": 0,
                        "maximum": limits::MAX_TASK_WAIT_SECONDS,
                        "default": limits::DEFAULT_TASK_WAIT_SECONDS,
                        "description": "How long to wait at most; the operator may have set less.",
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
            description: "Get the result of a task that has completed, as the tool gave it.".to_owned(),
            input: arguments(json!({ "task_id": task_id }), &["task_id"]),
            // Whatever the tool's own is.
            output: None,
            hints: reads,
        },
        Definition {
            name: "task_output",
            title: "Read a task's output",
            description:
                "Read a named output that a task has published, also while it runs. The name 'log' is \
                 the task's log. Go on at next_offset; done says that the output will not grow any more."
                    .to_owned(),
            input: arguments(
                json!({
                    "task_id": task_id,
                    "name": { "type": "string", "description": named },
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
            description: "Cancel a task. What it has published stays readable.".to_owned(),
            input: arguments(
                json!({ "task_id": task_id, "reason": { "type": "string", "maxLength": limits::MAX_MESSAGE_BYTES } }),
                &["task_id"],
            ),
            output: Some(document_schema(names)),
            hints: changes(true),
        },
        Definition {
            name: "task_send",
            title: "Send a message to a task",
            description:
                "Send a message to a task that has not ended; the tool's description says which names \
                 it listens to. It is delivered once, in order. The same key again is the same message."
                    .to_owned(),
            input: arguments(
                json!({
                    "task_id": task_id,
                    "name": { "type": "string", "minLength": 1, "maxLength": limits::MAX_MESSAGE_NAME_BYTES },
                    "payload": any_json("What the tool expects."),
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
            description:
                "Answer a question that a task asks (its input_requests). A question by 'person' is for a \
                 person alone, who answers it in a client of their own that is connected to this server."
                    .to_owned(),
            input: arguments(answer_properties(&task_id), &["task_id", "action"]),
            output: Some(document_schema(names)),
            hints: changes(false),
        },
        Definition {
            name: "task_retry",
            title: "Retry a task",
            description:
                "Try a failed or cancelled task again under the same id: from the start, or keeping \
                 what its journal holds before from_step."
                    .to_owned(),
            input: arguments(
                json!({ "task_id": task_id, "from_step": { "type": "integer", "minimum": 0 } }),
                &["task_id"],
            ),
            output: Some(document_schema(names)),
            hints: changes(false),
        },
        Definition {
            name: RESOLVE,
            title: "Resolve a step of unknown outcome",
            description: "A person says what became of a step whose outcome nobody knows.".to_owned(),
            input: arguments(
                json!({
                    "task_id": task_id,
                    "step": { "type": "integer", "minimum": 0 },
                    "resolution": { "type": "string", "enum": ["done", "failed", "resend"] },
                    "outcome": { "description": "With 'done': what came back." },
                }),
                &["task_id", "step", "resolution"],
            ),
            output: Some(document_schema(names)),
            hints: changes(false),
        },
    ]
}

/// What `task_answer` takes.
fn answer_properties(task_id: &Value) -> Value {
    json!({
        "task_id": task_id,
        "key": { "type": "string", "description": "Which question; may be left out where one is open." },
        "action": { "type": "string", "enum": ["accept", "decline", "cancel"] },
        "content": {
            "type": "object",
            "properties": {},
            "additionalProperties": true,
            "description": "With 'accept': what fits the question's schema; for a sample the model's message.",
        },
    })
}

fn document_schema(names: &OwnNames) -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "string" },
            "uri": { "type": "string" },
            "tool": { "type": "string" },
            "state": { "type": "string", "enum": ["queued", "running", "waiting", "completed", "failed", "cancelled"] },
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
            "input_requests": {
                "type": "object",
                "properties": {},
                "description": format!(
                    "What it asks, and what its children ask, by the key that {} takes.", names.of("task_answer")
                ),
            },
            "questions_answered": { "type": "array", "items": { "type": "object", "properties": {} } },
            "outputs": { "type": "array", "items": { "type": "object", "properties": {} } },
            "result_uri": { "type": "string" },
            "log_uri": { "type": "string" },
            "error": { "type": "object", "properties": {} },
            "next": { "type": "string", "description": "What to do next." },
        },
        "required": ["id", "uri", "tool", "state"],
    })
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_tool_is_reserved_and_its_schemas_compile() {
        for definition in definitions(&OwnNames::default()).into_iter().chain(state::definitions()) {
            assert!(crate::catalog::OWN_TOOL_NAMES.contains(&definition.name), "{}", definition.name);
            Schema::of_arguments(&definition.input).expect(definition.name);
            if let Some(output) = &definition.output {
                assert_eq!(output["type"], "object");
                Schema::compile(output).expect(definition.name);
            }
        }
    }

    #[test]
    fn no_host_chokes_on_a_schema_of_ours() {
        use crate::catalog::testing::complaints;
        for tool in TaskTools::new(&OwnNames::default()).tools {
            let schemas = std::iter::once(&tool.wire.input_schema).chain(&tool.wire.output_schema);
            for schema in schemas {
                assert_eq!(complaints(&json!(schema)), Vec::<String>::new(), "{}", tool.name);
            }
        }
        assert_eq!(complaints(&crate::mcp::wire::schema::link_schema()), Vec::<String>::new());
    }

    #[test]
    fn wrong_arguments_are_told_with_their_path() {
        let tools = TaskTools::new(&OwnNames::default());
        let check = |name: &str, arguments| match tools.find(name).expect(name).accept(arguments) {
            Ok(_) => String::new(),
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
    fn an_empty_text_for_an_optional_argument_is_left_out_and_any_other_stays() {
        let tools = TaskTools::new(&OwnNames::default());
        let taken = |name: &str, arguments: Value| match tools.find(name).expect(name).accept(arguments) {
            Ok(taken) => taken,
            Err(_) => panic!("{name} refuses them"),
        };
        let empty = json!({"state": "", "tool": "", "parent": null, "cursor": "", "limit": 2.0});
        assert_eq!(taken("task_list", empty), json!({"limit": 2}));
        assert_eq!(taken("task_wait", json!({"task_id": "t", "seconds": ""})), json!({"task_id": "t"}));
        assert_eq!(
            taken("state_put", json!({"namespace": "n", "key": "k", "value": null, "if_version": null})),
            json!({"namespace": "n", "key": "k", "value": null})
        );
        assert_eq!(taken("task_cancel", json!({"task_id": "t", "reason": ""})), json!({"task_id": "t"}));
        assert_eq!(
            taken("task_answer", json!({"task_id": "t", "key": "", "action": "accept", "content": ""})),
            json!({"task_id": "t", "action": "accept"})
        );
        assert_eq!(
            taken("task_send", json!({"task_id": "t", "name": "n", "payload": "", "key": ""})),
            json!({"task_id": "t", "name": "n", "payload": ""})
        );
        assert_eq!(
            taken("state_put", json!({"namespace": "n", "key": "k", "value": "", "ttl_seconds": 1e1})),
            json!({"namespace": "n", "key": "k", "value": "", "ttl_seconds": 10})
        );
        assert_eq!(
            taken("state_put", json!({"namespace": "n", "key": "k", "value": 1.0}))["value"],
            json!(1.0)
        );
        // What is wanted is wanted.
        assert!(
            tools
                .find("task_status")
                .expect("a tool")
                .accept(json!({"task_id": ""}))
                .is_ok_and(|taken| taken["task_id"] == "")
        );
        assert!(
            tools.find("state_get").expect("a tool").accept(json!({"namespace": "", "key": "k"})).is_err()
        );
    }
}
