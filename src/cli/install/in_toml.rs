//! TOML as hosts write it: everything but the one table stays as it is, comments included.

use serde_json::{Map, Value};
use toml::Table;

pub fn parsed(text: &str) -> Result<Map<String, Value>, String> {
    let table: Table = toml::from_str(text).map_err(|error| format!("it is no TOML: {}", error.message()))?;
    table
        .into_iter()
        .map(|(key, value)| Ok((key, serde_json::to_value(value)?)))
        .collect::<Result<_, _>>()
        .map_err(|error: serde_json::Error| error.to_string())
}

/// The text with the table `section.name`, as far as its form is known: not inline, by dotted keys, or with quotes.
pub fn edit(text: &str, section: &str, name: &str, entry: &Map<String, Value>) -> Option<String> {
    let block = format!("[{section}.{name}]\n{}", toml::to_string(entry).ok()?);
    let is_there = parsed(text).ok()?.get(section).and_then(|entries| entries.get(name)).is_some();
    if is_there { replaced(text, section, name, &block) } else { Some(appended(text, &block)) }
}

fn appended(text: &str, block: &str) -> String {
    let text = text.trim_end();
    if text.is_empty() { block.to_owned() } else { format!("{text}\n\n{block}") }
}

/// In the place of the table and of those below it.
fn replaced(text: &str, section: &str, name: &str, block: &str) -> Option<String> {
    let (own, below) = (format!("[{section}.{name}]"), format!("[{section}.{name}."));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_header = |line: &&str| line.trim_start().starts_with('[');
    let start = lines.iter().position(|line| line.trim_start().starts_with(&own))?;
    let is_next = |line: &&str| is_header(line) && !line.trim_start().starts_with(&below);
    let mut end = lines[start + 1..].iter().position(is_next).map_or(lines.len(), |at| start + 1 + at);
    // What stands just before the next table is about that one.
    while end > start + 1 && matches!(lines[end - 1].trim_start().chars().next(), None | Some('#')) {
        end -= 1;
    }
    Some([&lines[..start].concat(), block, &lines[end..].concat()].concat())
}
