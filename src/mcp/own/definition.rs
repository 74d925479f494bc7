//! What a tool of Longhaul's own is described by.

use serde_json::{Value, json};

use crate::catalog::Annotations;

pub struct Definition {
    pub name: &'static str,
    pub title: &'static str,
    pub description: String,
    pub input: Value,
    pub output: Option<Value>,
    pub hints: Annotations,
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

/// Any JSON, with each type written out: some frameworks take a property without a type for a text.
pub fn any_json(description: &str) -> Value {
    json!({
        "description": description,
        "anyOf": [
            { "type": "object", "properties": {}, "additionalProperties": true },
            { "type": "array", "items": {} },
            { "type": "string" },
            { "type": "number" },
            { "type": "boolean" },
            { "type": "null" },
        ],
    })
}

pub fn arguments(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}
