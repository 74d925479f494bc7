//! What clients may build on in a task's document: less than there is in it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::task::TaskDocument;

impl JsonSchema for TaskDocument {
    fn schema_name() -> Cow<'static, str> {
        "TaskDocument".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": {
                "id": { "type": "string" },
                "uri": { "type": "string" },
                "tool": { "type": "string" },
                "state": {
                    "type": "string",
                    "enum": ["queued", "running", "waiting", "completed", "failed", "cancelled"],
                },
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
                "poll_interval_ms": { "type": "integer", "description": "Ask again after so long, not sooner." },
                "input_requests": {
                    "type": "object",
                    "properties": {},
                    "description": "What it asks, and what its children ask, by the key that {task_answer} takes.",
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
}
