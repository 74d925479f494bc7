use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::authority::Grant;
use crate::limits::MAX_TOOL_NAME_CHARS;
use crate::task::{ComponentId, Effects, RetryPolicy, TaskLimits};

/// What a client sees of a tool, and how its calls are answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolDefinition {
    pub name: String,
    pub title: Option<String>,
    pub description: String,
    /// JSON Schema 2020-12 of the arguments: an object.
    pub input_schema: Value,
    /// JSON Schema of the tool's own structured result, before it is widened for links.
    pub output_schema: Option<Value>,
    pub annotations: Annotations,
    pub reply: Reply,
    /// Seconds that an inline reply waits; 0 is without end; `None` is the default.
    pub inline_wait_seconds: Option<u64>,
    /// An equal call of the same principal within this time returns the task that is still open.
    pub dedupe_seconds: Option<u64>,
    /// A link is given once the first question is answered.
    pub ask_first: bool,
    /// Its task is cancelled also where the connection of its inline call breaks, under the protocols in which
    /// closing the call does so.
    #[serde(default)]
    pub cancel_when_lost: bool,
}

impl ToolDefinition {
    /// A tool that is answered with a link and says nothing more about itself.
    pub fn new(name: impl Into<String>, description: impl Into<String>, input_schema: Value) -> Self {
        Self {
            name: name.into(),
            title: None,
            description: description.into(),
            input_schema,
            output_schema: None,
            annotations: Annotations::default(),
            reply: Reply::default(),
            inline_wait_seconds: None,
            dedupe_seconds: None,
            ask_first: false,
            cancel_when_lost: false,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    #[default]
    Link,
    Inline,
    Task,
}

/// Hints of MCP; `None` says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annotations {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world: Option<bool>,
}

/// What a runner finds in a component.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inspection {
    pub tools: Vec<InspectedTool>,
    /// Host interfaces that it imports, as `namespace:package/interface@version`.
    pub imports: Vec<String>,
    /// Imports that no grant can satisfy in this version (sockets …): they link and are denied.
    pub denied_imports: Vec<String>,
    /// Exported functions that are no tools.
    pub skipped: Vec<SkippedExport>,
    /// The tools that made it, as `NAME VERSION`.
    pub toolchain: Vec<String>,
    /// What follows from the toolchain for its tasks, in sentences.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedExport {
    /// As `InspectedTool::export`.
    pub export: String,
    /// Why it is no tool, as a clause: "returns a resource, which JSON cannot carry".
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct InspectedTool {
    /// A typed export's name may still be too long, or another's too: a manifest can rename it by its
    /// `export`, so names are judged after that. The tool of a plain command has no name at all yet.
    pub definition: ToolDefinition,
    /// How the runner finds it again; opaque to everybody else.
    pub binding: String,
    /// `ns:pkg/iface#func` of a typed export (`func` alone if the world itself exports it): what a
    /// manifest's `export` names. Holds the interface's version only where two versions are exported.
    pub export: Option<String>,
}

/// `[A-Za-z0-9_-]`, 1 to `MAX_TOOL_NAME_CHARS` characters.
pub fn is_tool_name(name: &str) -> bool {
    (1..=MAX_TOOL_NAME_CHARS).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// A tool that can be called: definition, component, bounds and grant.
#[derive(Clone, Debug)]
pub struct Tool {
    pub definition: ToolDefinition,
    pub component: ComponentId,
    /// The component's name, as `tool list` shows it.
    pub component_name: String,
    pub binding: String,
    pub limits: TaskLimits,
    pub grant: Grant,
    pub retry: RetryPolicy,
    pub effects: Effects,
}

impl Tool {
    /// A tool with the default bounds and no grant, bound by its own name.
    pub fn new(
        definition: ToolDefinition,
        component: ComponentId,
        component_name: impl Into<String>,
    ) -> Self {
        Self {
            binding: definition.name.clone(),
            definition,
            component,
            component_name: component_name.into(),
            limits: TaskLimits::default(),
            grant: Grant::default(),
            retry: RetryPolicy::default(),
            effects: Effects::default(),
        }
    }
}
