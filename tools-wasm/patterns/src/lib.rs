//! The patterns of docs/agents.md, in its order. The guide shows these functions as they stand here.

mod approval;
mod fan_out;
mod model;
mod redirect;
mod shared;
mod steps;
mod supervisor;

use longhaul_guest::{Output, Tool, ToolResult, Value, export_tools, json};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Text {
    text: String,
}

fn count_words(args: Text) -> ToolResult {
    let words = args.text.split_whitespace().count();
    Ok(Output::text(format!("{words} words")))
}

/// The schema of an object that needs this one property.
fn object(name: &str, property: Value) -> Value {
    json!({ "type": "object", "properties": { name: property }, "required": [name], "additionalProperties": false })
}

fn tools() -> Vec<Tool> {
    let text = || object("text", json!({ "type": "string" }));
    let texts = json!({ "type": "array", "items": { "type": "string" }, "maxItems": 100 });
    let item = json!({ "type": "string", "minLength": 1, "maxLength": 100 });
    vec![
        Tool::new(
            "collect",
            "Collects pages one by one.",
            object("pages", json!({ "type": "integer" })),
            steps::collect,
        ),
        Tool::new("publish", "Publishes a text that a person approves.", text(), approval::publish),
        Tool::new("summarize", "Summarizes a text in one sentence.", text(), model::summarize),
        Tool::new("survey", "Summarizes several texts.", object("texts", texts), fan_out::survey),
        Tool::new("handle", "Has a text handled by what suits it.", text(), supervisor::handle),
        Tool::new("tally", "Counts an item once more.", object("item", item), shared::tally),
        Tool::new(
            "listen",
            "Repeats messages `say {text}` until `stop`.",
            json!({ "type": "object" }),
            redirect::listen,
        ),
        Tool::new("count_words", "Counts the words of a text.", text(), count_words),
    ]
}

export_tools!(tools);
