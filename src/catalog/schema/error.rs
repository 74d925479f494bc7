//! What is wrong with a schema, and with a value by it.

use crate::limits;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("it is no JSON Schema of an object: write \"type\": \"object\" at its top")]
    NotAnObject,
    #[error(
        "it refers to '{0}', and a schema may refer to itself alone ('#…'): put the definition under $defs"
    )]
    Outside(String),
    #[error("'{0}' leads back to itself without going down into the value")]
    Circle(String),
    #[error("it goes {what} deep, {limit} at most")]
    TooDeep { what: &'static str, limit: usize },
    #[error("with its references written out it has more than {limit} subschemas", limit = limits::MAX_SCHEMA_NODES)]
    TooManyNodes,
    #[error("it has {0} regular expressions, {limit} at most", limit = limits::MAX_SCHEMA_PATTERNS)]
    TooManyPatterns(usize),
    #[error("it is {0} bytes, {limit} at most", limit = limits::MAX_DEFINITION_BYTES)]
    TooLarge(usize),
    #[error("{message}{at}", at = if path.is_empty() { String::new() } else { format!(" (at {path})") })]
    Wrong { path: String, message: String },
}

/// What is wrong with a value, in words for its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON Pointer; empty for the whole.
    pub path: String,
    pub message: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "at {}: {}", self.path, self.message)
        }
    }
}

pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(limits::MAX_VIOLATION_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
