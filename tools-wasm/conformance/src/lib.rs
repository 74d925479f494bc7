//! The tools that MCP's official conformance suite asks a server for, by the names and with the words that it checks.

mod content;
mod jobs;
mod questions;

use longhaul_guest::{Tool, ToolResult, Value, export_tools, json};
use serde::Deserialize;

#[derive(Deserialize)]
struct Nothing {}

fn no_arguments() -> Value {
    json!({ "type": "object", "properties": {} })
}

/// A tool without arguments that is answered with its result.
fn plain(name: &str, description: &str, run: fn() -> ToolResult) -> Tool {
    Tool::new(name, description, no_arguments(), move |_: Nothing| run()).inline(0)
}

fn one_text(name: &str, description: &str) -> Value {
    json!({
        "type": "object",
        "properties": { name: { "type": "string", "description": description } },
        "required": [name],
    })
}

fn tools() -> Vec<Tool> {
    [content::tools(), questions::tools(), jobs::tools()].into_iter().flatten().collect()
}

export_tools!(tools);
