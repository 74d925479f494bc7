//! Arguments as callers of any kind write them, made into those that an operation takes.

use std::borrow::Cow;

use serde_json::Value;

use super::error::ApiError;
use crate::catalog::Schema;

/// What an operation takes, compiled.
pub struct Arguments {
    schema: Option<Schema>,
    /// Those that may be left out and are not any JSON. Models fill in every field, with an empty text where they have
    /// nothing to say; null for it is the schema's own rule.
    optional: Vec<String>,
}

impl Arguments {
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

    /// The arguments as the operation reads them: an optional one that says nothing is left out, `1.0` is `1`.
    pub fn accept(&self, mut arguments: Value) -> Result<Value, ApiError> {
        if let Some(fields) = arguments.as_object_mut() {
            fields.retain(|name, value| *value != "" || !self.optional.contains(name));
        }
        let Some(schema) = &self.schema else { return Ok(arguments) };
        let accepted = schema.accept(&arguments).map(Cow::into_owned);
        accepted.map_err(|violations| {
            let text: Vec<String> = violations.iter().map(ToString::to_string).collect();
            ApiError::Request(format!("arguments are wrong: {}", text.join("; ")))
        })
    }
}
