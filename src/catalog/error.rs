use super::file::{FileError, key};
use super::hidden::HiddenChar;
use super::schema::SchemaError;
use crate::limits;

/// A definition that could not be called, or that would mislead its readers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
#[non_exhaustive]
pub enum CatalogError {
    #[error("component '{component}': {source}")]
    Definition { component: String, source: DefinitionError },
    #[error(
        "tool '{tool}' of component '{component}' is too like '{other}' of {owner}; to serve both, write in \
         longhaul.toml:\n[components.{}]\nprefix = \"{}\"",
        key(component),
        component.replace('.', "_"),
        owner = if owner.contains(' ') { owner.clone() } else { format!("component '{owner}'") }
    )]
    ToolTaken { tool: String, component: String, other: String, owner: String },
    #[error(
        "component '{name}' is too like '{there}', which is served already; grants go by that name: rename \
         one of the two files"
    )]
    ComponentTaken { name: String, there: String },
    #[error(
        "'{name}' is no component name: a component's file is named by 1 to 64 of A-Z, a-z, 0-9, '_', '-' and \
         '.'; rename it"
    )]
    ComponentName { name: String },
    #[error(
        "the manifest of '{file}' says name = \"{name}\", and grants go by the file's name: write \
         name = \"{file}\", or rename the files to {name}.wasm and {name}.toml"
    )]
    ManifestName { file: String, name: String },
    #[error("component '{component}' exports no function that could be a tool{skipped}")]
    NoTools { component: String, skipped: String },
    #[error(
        "component '{component}' has {tools} tools, {max} at most",
        max = limits::MAX_TOOLS_PER_COMPONENT
    )]
    TooManyTools { component: String, tools: usize },
    #[error(
        "the manifest of '{component}' speaks of [tools.{tool}], and there is no such tool; there are: {there}"
    )]
    NoSuchTool { component: String, tool: String, there: String },
    #[error("the manifest of '{component}' names \"{export}\" {tool}, and that is no tool: {why}")]
    NoSuchExport { component: String, tool: String, export: String, why: String },
    #[error("the manifest of '{component}' gives \"{export}\" two names; leave one")]
    ExportTwice { component: String, export: String },
    #[error("the manifest of '{component}' must say which version of \"{export}\" it means: {there}")]
    ExportVersions { component: String, export: String, there: String },
    #[error(
        "'{name}' of component '{component}' is no tool name: it takes 1 to {max} of A-Z, a-z, 0-9, '_' and \
         '-'; give it one in {component}.toml:\n[tools.NAME]\nexport = \"{export}\"",
        max = limits::MAX_TOOL_NAME_CHARS
    )]
    Unnameable { component: String, name: String, export: String },
    #[error(
        "component '{component}' has two tools that are too like: '{tool}' and '{other}'; give one another \
         name{}",
        if export.is_empty() {
            String::new()
        } else {
            format!(" in {component}.toml:\n[tools.NAME]\nexport = \"{export}\"")
        }
    )]
    ToolTwice { component: String, tool: String, other: String, export: String },
    #[error(transparent)]
    File(#[from] FileError),
}
