//! Texts of a tool that speak to the model that reads them, or of tools that are another's. They are shown to who
//! approves, and nothing more: finding such words is no boundary, since the same can be said in others.

use std::fmt;

use serde_json::Value;

use super::statement::Statement;
use crate::catalog::definition::ToolDefinition;
use crate::catalog::folded;
use crate::limits;

/// A text to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    pub tool: String,
    /// `description`, `title`, or a schema with the place in it.
    pub place: String,
    pub why: String,
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} of {} {}", self.place, self.tool, self.why)
    }
}

/// What is said to a model rather than about a tool, in small letters; between words there is one space.
const PHRASES: [&str; 26] = [
    "ignore previous",
    "ignore all previous",
    "ignore the above",
    "ignore any previous",
    "ignore prior",
    "ignore all other",
    "disregard previous",
    "disregard all",
    "disregard the above",
    "forget previous",
    "forget all previous",
    "system prompt",
    "previous instructions",
    "do not tell the user",
    "don't tell the user",
    "do not mention this",
    "do not inform the user",
    "without telling the user",
    "hide this from",
    "always send",
    "always call this",
    "before using any other",
    "before calling any other",
    "instead of any other",
    "whole conversation",
    "conversation history",
];

/// Marks by which texts set themselves off as orders.
const MARKS: [&str; 6] =
    ["<important>", "<system>", "[system]", "<secret>", "<instructions>", "<|im_start|>"];

/// The texts of a component to look at. `others` are the tools of all other components.
pub fn flags<'a>(statement: &Statement, others: impl IntoIterator<Item = &'a str> + Clone) -> Vec<Flag> {
    let mut found = Vec::new();
    for definition in statement.tools.values() {
        for (place, text) in texts(definition) {
            let Some(why) = orders(&text).or_else(|| mentions(&text, others.clone())) else { continue };
            found.push(Flag { tool: definition.name.clone(), place, why });
            if found.len() >= limits::MAX_DIFFERENCES_SHOWN {
                return found;
            }
        }
    }
    found
}

fn texts(definition: &ToolDefinition) -> Vec<(String, String)> {
    let mut texts = vec![("description".to_owned(), definition.description.clone())];
    texts.extend(definition.title.iter().map(|title| ("title".to_owned(), title.clone())));
    let schemas = [
        ("schema of the arguments", Some(&definition.input_schema)),
        ("schema of the result", definition.output_schema.as_ref()),
    ];
    for (what, schema) in schemas {
        if let Some(schema) = schema {
            collect(schema, what, String::new(), &mut texts);
        }
    }
    texts
}

fn collect(value: &Value, what: &str, at: String, texts: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => texts.push((format!("{what} at {at}"), text.clone())),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, what, format!("{at}/{index}"), texts);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                texts.push((format!("{what} at {at}"), key.clone()));
                collect(field, what, format!("{at}/{key}"), texts);
            }
        }
        _ => {}
    }
}

fn orders(text: &str) -> Option<String> {
    let text = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let found = PHRASES.iter().chain(&MARKS).find(|phrase| text.contains(**phrase))?;
    Some(format!("speaks to the model: \"{found}\""))
}

fn mentions<'a>(text: &str, others: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let words: Vec<String> = text.split(|c| !is_of_name(c)).map(folded).collect();
    // A name of one word is a word of the language as well.
    let is_name = |name: &&str| name.contains(['_', '-']) && words.contains(&folded(name));
    let found = others.into_iter().find(is_name)?;
    Some(format!("names the tool {found} of another component"))
}
