use std::path::PathBuf;

use super::hidden::HiddenChar;
use super::schema::SchemaError;
use crate::limits;

/// A definition that nobody could call, or that would mislead who reads it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    #[error(
        "'{0}' is no tool name: it takes 1 to {max} of A-Z, a-z, 0-9, '_' and '-'",
        max = limits::MAX_TOOL_NAME_CHARS
    )]
    Name(String),
    #[error("the input schema of tool '{tool}' is wrong: {source}")]
    InputSchema { tool: String, source: SchemaError },
    #[error("the output schema of tool '{tool}' is wrong: {source}")]
    OutputSchema { tool: String, source: SchemaError },
    #[error("the {part} of tool '{tool}' {source}")]
    Hidden { tool: String, part: &'static str, source: HiddenChar },
    #[error(
        "the {part} of tool '{tool}' has {bytes} bytes, {max} at most",
        max = limits::MAX_DEFINITION_BYTES
    )]
    TooLong { tool: String, part: &'static str, bytes: usize },
}

/// Why a component is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    #[error("component '{component}': {source}")]
    Definition { component: String, source: DefinitionError },
    #[error(
        "tool '{tool}' of component '{component}' is too like '{other}' of {owner}; to serve both, write in \
         longhaul.toml:\n[components.{component}]\nprefix = \"{component}\"",
        owner = if owner.contains(' ') { owner.clone() } else { format!("component '{owner}'") }
    )]
    ToolTaken { tool: String, component: String, other: String, owner: String },
    #[error(
        "component '{name}' is too like '{there}', which is served already; grants go by that name: rename \
         one of the two files"
    )]
    ComponentTaken { name: String, there: String },
    #[error("{}: {message}", path.display())]
    File { path: PathBuf, message: String },
}
