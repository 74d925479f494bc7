use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::approval::Approval;
use super::bounds::RefusedBound;
use super::definition::{SkippedExport, Tool, ToolDefinition, is_tool_name};
use super::error::{CatalogError, DefinitionError};
use super::hidden::find_hidden;
use super::schema::{Schema, Violation};
use crate::authority::Grant;
use crate::limits;
use crate::task::{ComponentId, RetryPolicy, TaskLimits};

/// A tool with its schemas compiled.
#[derive(Clone, Debug)]
pub struct ToolEntry {
    pub tool: Tool,
    arguments: Arc<Schema>,
    result: Option<Arc<Schema>>,
}

/// A component that is served, or could be.
#[derive(Clone, Debug)]
pub struct Component {
    pub name: String,
    pub id: ComponentId,
    pub version: Option<String>,
    /// In the component's own order.
    pub tools: Vec<Arc<ToolEntry>>,
    pub holdings: Holdings,
    /// Exported functions that are no tools.
    pub skipped: Vec<SkippedExport>,
    /// What it is served by; none of one that needs none.
    pub approval: Option<Arc<Approval>>,
}

/// What holds for a component: what `tool inspect` and the start of a server say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holdings {
    pub limits: TaskLimits,
    pub retry: RetryPolicy,
    /// Bounds that its manifest asks for and does not get.
    pub refused: Vec<RefusedBound>,
    pub grant: Grant,
    /// What its manifest requests.
    pub requested: Grant,
    /// What it requests beyond the grant.
    pub denied: Grant,
    /// `blake3:…` of its manifest's text, where it has one.
    pub manifest_digest: Option<String>,
    /// Whether it got what it requests without the operator writing it down.
    pub trusted: bool,
    /// Host interfaces that it imports.
    pub imports: Vec<String>,
    /// Of these, those that no grant can satisfy: they link and are denied.
    pub denied_imports: Vec<String>,
    /// The tools that made it, as `NAME VERSION`, and what follows from them.
    pub toolchain: Vec<String>,
    pub notes: Vec<String>,
}

/// Arguments that do not fit the tool's input schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("arguments are wrong{}", list(violations))]
pub struct ArgumentError {
    pub violations: Vec<Violation>,
}

impl ToolEntry {
    pub fn new(tool: Tool) -> Result<Self, DefinitionError> {
        if !is_tool_name(&tool.definition.name) {
            return Err(DefinitionError::Name(tool.definition.name));
        }
        Self::checked(tool)
    }

    /// A tool `NAME/TOOL` of another server, which no client sees.
    pub fn remote(tool: Tool) -> Result<Self, DefinitionError> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'*';
        let named = tool.definition.name.split_once('/');
        if !named.is_some_and(|(server, rest)| {
            is_tool_name(server) && rest.len() <= 128 && rest.bytes().all(plain)
        }) {
            return Err(DefinitionError::Name(tool.definition.name));
        }
        Self::checked(tool)
    }

    fn checked(tool: Tool) -> Result<Self, DefinitionError> {
        let definition = &tool.definition;
        check_texts(definition)?;
        let tool_name = || definition.name.clone();
        let arguments = Schema::of_arguments(&definition.input_schema)
            .map_err(|source| DefinitionError::InputSchema { tool: tool_name(), source })?;
        let result = definition
            .output_schema
            .as_ref()
            .map(Schema::compile)
            .transpose()
            .map_err(|source| DefinitionError::OutputSchema { tool: tool_name(), source })?;
        Ok(Self { tool, arguments: Arc::new(arguments), result: result.map(Arc::new) })
    }

    /// The arguments as the tool takes them, see [`Schema::accept`]. Defaults are not filled in: the tool knows them.
    pub fn accept<'a>(&self, arguments: &'a Value) -> Result<Cow<'a, Value>, ArgumentError> {
        self.arguments.accept(arguments).map_err(|violations| ArgumentError { violations })
    }

    /// Whether this is a structured result as the tool promised; any is, where it promised nothing.
    pub fn validate_result(&self, structured: &Value) -> Result<(), Vec<Violation>> {
        self.result.as_ref().map_or(Ok(()), |schema| schema.check(structured))
    }
}

impl Component {
    /// A component of ready-made tools, such as closures. It holds what each of them holds.
    pub fn of_tools(
        name: impl Into<String>,
        id: ComponentId,
        tools: Vec<Tool>,
    ) -> Result<Self, CatalogError> {
        let name = name.into();
        let entry = |tool| ToolEntry::new(tool).map(Arc::new);
        let tools = tools.into_iter().map(entry).collect::<Result<_, _>>();
        let tools = tools.map_err(|source| CatalogError::Definition { component: name.clone(), source })?;
        Ok(Self {
            name,
            id,
            version: None,
            tools,
            holdings: Holdings::default(),
            skipped: Vec::new(),
            approval: None,
        })
    }

    /// The same with what this approval gives it, and nothing else.
    #[must_use]
    pub fn approved_as(self, approval: Approval) -> Self {
        let granted = self.granted(approval.grant.clone());
        Self { approval: Some(Arc::new(approval)), ..granted }
    }

    /// The same with this grant in the place of its own.
    #[must_use]
    pub fn granted(mut self, grant: Grant) -> Self {
        for entry in &mut self.tools {
            let tool = Tool { grant: grant.clone(), ..entry.tool.clone() };
            *entry = Arc::new(ToolEntry { tool, ..ToolEntry::clone(entry) });
        }
        self.holdings.denied = self.holdings.requested.beyond(&grant);
        self.holdings.grant = grant;
        self
    }
}

/// Texts that people approve and models read: what they say must be what one sees.
fn check_texts(definition: &ToolDefinition) -> Result<(), DefinitionError> {
    let texts =
        [("title", definition.title.as_deref()), ("description", Some(definition.description.as_str()))];
    for (part, text) in texts {
        let text = text.unwrap_or_default();
        if text.len() > limits::MAX_DEFINITION_BYTES {
            let tool = definition.name.clone();
            return Err(DefinitionError::TooLong { tool, part, bytes: text.len() });
        }
        if let Some(source) = find_hidden(text) {
            return Err(DefinitionError::Hidden { tool: definition.name.clone(), part, source });
        }
    }
    let schemas = [
        ("input schema", Some(&definition.input_schema)),
        ("output schema", definition.output_schema.as_ref()),
    ];
    for (part, schema) in schemas {
        if let Some(source) = schema.and_then(hidden_in) {
            return Err(DefinitionError::Hidden { tool: definition.name.clone(), part, source });
        }
    }
    Ok(())
}

fn hidden_in(value: &Value) -> Option<super::HiddenChar> {
    match value {
        Value::String(text) => find_hidden(text),
        Value::Array(items) => items.iter().find_map(hidden_in),
        Value::Object(fields) => {
            fields.iter().find_map(|(key, value)| find_hidden(key).or_else(|| hidden_in(value)))
        }
        _ => None,
    }
}

fn list(violations: &[Violation]) -> String {
    let mut text = String::new();
    for (index, violation) in violations.iter().enumerate() {
        text.push_str(match (index, violation.path.is_empty()) {
            (0, true) => ": ",
            (0, false) => " ",
            _ => "; ",
        });
        text.push_str(&violation.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(definition: ToolDefinition) -> Result<ToolEntry, DefinitionError> {
        ToolEntry::new(Tool::new(definition, ComponentId::of_closures("t", "1"), "t"))
    }

    fn definition() -> ToolDefinition {
        ToolDefinition::new(
            "t",
            "Does.",
            json!({"type": "object", "properties": {"steps": {"type": "integer"}}}),
        )
    }

    #[test]
    fn wrong_arguments_are_told_with_their_path() {
        let entry = entry(definition()).expect("a tool");
        assert!(entry.accept(&json!({"steps": 3})).is_ok());
        let seen = entry.accept(&json!({"steps": "x"})).expect_err("wrong").to_string();
        assert_eq!(seen, "arguments are wrong at /steps: \"x\" is not of type \"integer\"");
        let seen = entry.accept(&json!([])).expect_err("wrong").to_string();
        assert_eq!(seen, "arguments are wrong: the value is not of type \"object\"");
    }

    #[test]
    fn a_result_is_held_against_the_output_schema_if_there_is_one() {
        let mut promising = definition();
        assert!(entry(promising.clone()).expect("a tool").validate_result(&json!(1)).is_ok());
        promising.output_schema = Some(json!({"type": "string"}));
        let promising = entry(promising).expect("a tool");
        assert!(promising.validate_result(&json!("x")).is_ok());
        assert!(promising.validate_result(&json!(1)).is_err());
    }

    #[test]
    fn definitions_that_mislead_or_do_not_compile_are_refused() {
        let refused = |change: fn(&mut ToolDefinition)| {
            let mut wrong = definition();
            change(&mut wrong);
            entry(wrong).expect_err("refused").to_string()
        };
        assert!(refused(|d| d.name = "a b".into()).contains("'a b' is no tool name"));
        assert!(
            refused(|d| d.description = "x\u{200b}y".into()).contains("description of tool 't' holds U+200B")
        );
        assert!(refused(|d| d.title = Some("\u{1b}[2J".into())).contains("title"));
        assert!(
            refused(|d| d.input_schema["properties"]["steps"]["title"] = json!("\u{e0041}"))
                .contains("U+E0041")
        );
        assert!(refused(|d| d.input_schema = json!({"type": "array"})).contains("\"type\": \"object\""));
        assert!(refused(|d| d.output_schema = Some(json!({"type": "strung"}))).contains("output schema"));
        assert!(refused(|d| d.description = "x".repeat(300_000)).contains("300000 bytes"));
    }
}
