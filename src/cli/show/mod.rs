//! Lives here: what is printed: tasks and results for people, tables, and texts made safe for a terminal.
//! May import: the engine's documents. Never here: a connection, a setting.
//! Read first: `render.rs`.

pub mod render;
pub mod steps;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use self::render::{Output, Table, bytes, escape};
use crate::api::{JournalDocument, OwnedTask, Piece, TaskDocument, resolve_command};
use crate::cli::exit::Result;
use crate::task::{Content, EmbeddedBody, TaskId, ToolResult};

const OF_TASKS: [&str; 6] = ["ID", "TOOL", "STATE", "PROGRESS", "MESSAGE", "UPDATED"];

/// The list of tasks, newest first.
pub fn tasks(output: Output, tasks: &[TaskDocument]) -> Result<()> {
    let mut table = Table::new(&OF_TASKS);
    tasks.iter().for_each(|task| table.row(in_list(task).each_ref()));
    output.table(&table)
}

/// The same with whose they are.
pub fn owned_tasks(output: Output, tasks: &[OwnedTask]) -> Result<()> {
    let [id, rest @ ..] = OF_TASKS;
    let mut table = Table::new(&[&[id, "PRINCIPAL"][..], &rest].concat());
    for OwnedTask { principal, task } in tasks {
        let [id, tool, state, progress, message, updated] = in_list(task);
        table.row([&id, principal, &tool, &state, &progress, &message, &updated]);
    }
    output.table(&table)
}

/// A task's columns.
fn in_list(task: &TaskDocument) -> [String; 6] {
    let message = task.error.as_ref().map(|error| &error.message).or(task.message.as_ref());
    [
        task.id.clone(),
        task.tool.clone(),
        state(task),
        progress(task),
        message.cloned().unwrap_or_default(),
        to_the_second(&task.updated_at),
    ]
}

/// An RFC 3339 time without its fraction.
fn to_the_second(time: &str) -> String {
    match (time.split_once('.'), time.strip_suffix('Z')) {
        (Some((whole, _)), Some(_)) => format!("{whole}Z"),
        _ => time.to_owned(),
    }
}

/// All that a document says, field by field.
pub fn task(output: Output, task: &TaskDocument) -> Result<()> {
    let mut table = Table::new(&["FIELD", "VALUE"]);
    let mut field = |name: &str, value: &str| table.row([name, value]);
    field("id", &task.id);
    field("tool", &task.tool);
    field("component", &task.component);
    if let Some(arguments) = &task.arguments {
        field("arguments", &arguments.to_string());
    }
    field("state", &state(task));
    if let Some(place) = task.queue_place {
        field("queue", &format!("place {place}"));
    }
    if let Some(message) = &task.message {
        field("message", message);
    }
    if task.progress.is_some() {
        field("progress", &progress(task));
    }
    for (key, request) in &task.input_requests {
        let asked = request.message.as_deref().or(request.url.as_deref()).unwrap_or(request.kind.as_str());
        field("asks", &format!("{key}: {asked}"));
    }
    if let Some(step) = task.unknown_step {
        field("next", &resolve_command(&task.id, step));
    }
    for answered in &task.questions_answered {
        let by = &answered.answered_by;
        let mut words = format!("{} by {} ({})", answered.key, by.principal, by.channel);
        if let (Some(model), Some(tokens)) = (&answered.model, answered.tokens) {
            words.push_str(&format!(": {model}, {tokens} tokens"));
        }
        field("answered", &words);
    }
    if let Some(cost) = &task.model_cost {
        field("model cost", cost);
    }
    field("attempt", &task.attempt.to_string());
    field("steps", &task.steps.to_string());
    field("created", &task.created_at);
    field("updated", &task.updated_at);
    let times = [("ended", &task.ended_at), ("due", &task.wake_at)];
    let links = [("parent", &task.parent), ("root", &task.root), ("key", &task.idempotency_key)];
    for (name, value) in times.into_iter().chain(links) {
        if let Some(value) = value {
            field(name, value);
        }
    }
    for child in &task.children {
        field("child", child);
    }
    if task.cancel_requested == Some(true) {
        field("cancel", "requested");
    }
    for named in &task.outputs {
        let grows = if named.done { "" } else { ", grows" };
        let what = format!("{} ({}, {}{grows})", named.name, named.mime_type, bytes(named.bytes));
        field("output", &what);
    }
    if let Some(error) = &task.error {
        let words = match error.message.starts_with(&error.reason) {
            true => error.message.clone(),
            false => format!("{}: {}", error.reason, error.message),
        };
        field("error", &words);
        if let Some(detail) = &error.detail {
            detail.lines().for_each(|line| field("detail", line));
        }
        if error.is_trap() {
            field("log", &log_command(task));
        }
        if let Some(next) = &error.next {
            field("next", next);
        }
    }
    output.table(&table)
}

/// `failed (trap)`; `running` alone where it runs as usual.
pub fn state(task: &TaskDocument) -> String {
    match &task.reason {
        Some(reason) if reason != "live" => format!("{} ({reason})", task.state),
        _ => task.state.clone(),
    }
}

fn progress(task: &TaskDocument) -> String {
    match &task.progress {
        Some(progress) => match progress.total {
            Some(total) => format!("{}/{total}", progress.done),
            None => progress.done.to_string(),
        },
        None => String::new(),
    }
}

/// Why an ended task has no result: one line, and where it trapped the end of its log.
pub fn why_it_ended(task: &TaskDocument) -> String {
    let Some(error) = &task.error else { return format!("task {} is {}", task.id, state(task)) };
    let mut why = format!("task {} is {}: {}", task.id, state(task), escape(&error.message));
    for line in error.log_lines() {
        why.push_str(&format!("\n  {}", escape(line)));
    }
    if error.is_trap() {
        why.push_str(&format!("\n  its log: {}", log_command(task)));
    }
    why
}

fn log_command(task: &TaskDocument) -> String {
    format!("longhaul task output {} log", task.id)
}

/// The records of a journal.
pub fn journal(output: Output, journal: &JournalDocument) -> Result<()> {
    let mut table = Table::new(&["STEP", "KIND", "ABOUT", "BYTES"]);
    for record in &journal.records {
        let about = record.about.as_deref().unwrap_or_default();
        table.row([&record.step.to_string(), record.kind.as_str(), about, &record.bytes.to_string()]);
    }
    if journal.records.is_empty() {
        // On stderr: it is no record.
        eprintln!(
            "no records: the journal goes when a task completes, and begins anew at a checkpoint or a retry"
        );
    }
    output.table(&table)
}

/// A named output as one document: text where it is text.
pub fn output_json(name: &str, bytes: &[u8], last: &Piece) -> Value {
    let mut document = json!({ "name": name, "mime_type": last.mime_type });
    match std::str::from_utf8(bytes) {
        Ok(text) => document["text"] = json!(text),
        Err(_) => document["base64"] = json!(BASE64.encode(bytes)),
    }
    document["bytes"] = json!(last.bytes);
    document["done"] = json!(last.done);
    document
}

/// What a tool handed back: text as text, what a terminal cannot show by its kind and size.
pub fn result(output: Output, result: &ToolResult) -> Result<()> {
    for content in &result.content {
        match content {
            Content::Text(text) => output.foreign_text(text)?,
            Content::Image { data, mime_type } | Content::Audio { data, mime_type } => {
                output.line(format!("[{}, {}]", escape(mime_type), bytes(data.len() as u64)))?;
            }
            Content::Link { uri, name, .. } => output.line(format!("{}: {}", escape(name), escape(uri)))?,
            Content::Embedded { uri, body, .. } => {
                output.line(format!("{}:", escape(uri)))?;
                match body {
                    EmbeddedBody::Text(text) => output.foreign_text(text)?,
                    EmbeddedBody::Data(data) => output.line(format!("[{}]", bytes(data.len() as u64)))?,
                }
            }
        }
    }
    match &result.structured {
        Some(structured) if result.content.is_empty() => output.foreign_text(&pretty(structured)),
        _ => Ok(()),
    }
}

/// The result as MCP spells it.
pub fn result_json(result: &ToolResult) -> Value {
    let mut document = json!({ "content": result.content.iter().map(content_json).collect::<Vec<_>>() });
    if let Some(structured) = &result.structured {
        document["structuredContent"] = parsed(structured);
    }
    if result.is_error {
        document["isError"] = json!(true);
    }
    document
}

fn content_json(content: &Content) -> Value {
    let mut block = match content {
        Content::Text(text) => json!({ "type": "text", "text": text }),
        Content::Image { data, mime_type } => {
            json!({ "type": "image", "data": BASE64.encode(data), "mimeType": mime_type })
        }
        Content::Audio { data, mime_type } => {
            json!({ "type": "audio", "data": BASE64.encode(data), "mimeType": mime_type })
        }
        Content::Link { uri, name, title, description, mime_type } => json!({
            "type": "resource_link", "uri": uri, "name": name, "title": title, "description": description,
            "mimeType": mime_type,
        }),
        Content::Embedded { uri, mime_type, body } => {
            let mut resource = match body {
                EmbeddedBody::Text(text) => json!({ "uri": uri, "mimeType": mime_type, "text": text }),
                EmbeddedBody::Data(data) => {
                    json!({ "uri": uri, "mimeType": mime_type, "blob": BASE64.encode(data) })
                }
            };
            drop_nulls(&mut resource);
            json!({ "type": "resource", "resource": resource })
        }
    };
    drop_nulls(&mut block);
    block
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, field| !field.is_null());
    }
}

fn pretty(json: &str) -> String {
    serde_json::to_string_pretty(&parsed(json)).unwrap_or_else(|_| json.to_owned())
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.to_owned()))
}

/// As much of an id as distinguishes tasks for a person: the end, since ids of one time begin alike.
const SHORT_ID_CHARS: usize = 6;

pub fn short(id: TaskId) -> String {
    let id = id.to_string();
    id[id.len() - SHORT_ID_CHARS..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_times_to_the_second() {
        assert_eq!(to_the_second("2026-11-21T12:30:48.616545Z"), "2026-11-21T12:30:48Z");
        assert_eq!(to_the_second("2026-11-21T12:30:48Z"), "2026-11-21T12:30:48Z");
    }

    #[test]
    fn a_trap_is_shown_with_the_end_of_its_log_and_where_the_rest_is() {
        let document = |error: Value| -> TaskDocument {
            serde_json::from_value(json!({
                "id": "7", "uri": "task://7", "tool": "ship", "component": "c", "state": "failed",
                "reason": error["reason"], "attempt": 1, "steps": 0, "created_at": "", "updated_at": "",
                "log_uri": "task://7/log", "error": error,
            }))
            .unwrap()
        };
        let detail =
            "the last lines of its log:\n  panicked at src/lib.rs:3\n  no bolts\u{1b}[2J\nbacktrace:\n  0: f";
        let trap = json!({ "reason": "trap", "message": "wasm trap: unreachable", "detail": detail });
        assert_eq!(
            why_it_ended(&document(trap)),
            "task 7 is failed (trap): wasm trap: unreachable\n  panicked at src/lib.rs:3\n  no bolts\\u{1b}[2J\n  \
             its log: longhaul task output 7 log"
        );
        let silent =
            json!({ "reason": "trap", "message": "wasm trap: unreachable", "detail": "backtrace:\n  0: f" });
        assert!(
            why_it_ended(&document(silent)).ends_with("unreachable\n  its log: longhaul task output 7 log")
        );
        let limit = json!({ "reason": "limit", "message": "too big", "detail": "bound: result_kib" });
        assert_eq!(why_it_ended(&document(limit)), "task 7 is failed (limit): too big");
    }

    #[test]
    fn a_result_is_spelled_as_mcp_has_it() {
        let result = ToolResult {
            content: vec![
                Content::Text("done".into()),
                Content::Image { data: vec![1, 2], mime_type: "image/png".into() },
                Content::Link {
                    uri: "task://1".into(),
                    name: "task".into(),
                    title: None,
                    description: None,
                    mime_type: None,
                },
                Content::Embedded {
                    uri: "x:y".into(),
                    mime_type: None,
                    body: EmbeddedBody::Text("t".into()),
                },
            ],
            structured: Some("{\"steps\":2}".into()),
            is_error: true,
        };
        let expected = json!({
            "content": [
                { "type": "text", "text": "done" },
                { "type": "image", "data": "AQI=", "mimeType": "image/png" },
                { "type": "resource_link", "uri": "task://1", "name": "task" },
                { "type": "resource", "resource": { "uri": "x:y", "text": "t" } },
            ],
            "structuredContent": { "steps": 2 },
            "isError": true,
        });
        assert_eq!(result_json(&result), expected);
        assert_eq!(
            result_json(&ToolResult::text("a")),
            json!({ "content": [{ "type": "text", "text": "a" }] })
        );
    }
}
