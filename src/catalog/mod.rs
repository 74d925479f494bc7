//! Lives here: which components are there, their tools, manifests, and what the operator grants them.
//! May import: `store`, `task`, `authority`, `limits`. Never here: running anything, MCP, wasmtime.
//! Read first: `definition.rs`, then `manifest.rs`.

mod definition;
mod hidden;

pub use definition::{
    Annotations, InspectedTool, Inspection, Reply, SkippedExport, Tool, ToolDefinition, is_tool_name,
};
pub use hidden::{HiddenChar, find_hidden};
