//! One table in a host's TOML: everything else stays as it is, comments included.

use serde_json::{Map, Value};
use toml::Table;

/// What stands at `section`, `name`.
pub fn entry(text: &str, section: &str, name: &str) -> Result<Option<Value>, String> {
    match parsed(text)?.get(section) {
        None => Ok(None),
        Some(toml::Value::Table(entries)) => match entries.get(name) {
            None => Ok(None),
            Some(there) => serde_json::to_value(there).map(Some).map_err(|error| error.to_string()),
        },
        Some(_) => Err(format!("`{section}` is no table")),
    }
}

/// The text with the table `section.name`.
pub fn with_entry(
    text: &str,
    section: &str,
    name: &str,
    entry: &Map<String, Value>,
) -> Result<String, String> {
    let table = Table::try_from(entry).map_err(|error| error.to_string())?;
    let mut expected = parsed(text)?;
    let entries = expected.entry(section).or_insert_with(|| Table::new().into());
    let entries = entries.as_table_mut().ok_or_else(|| format!("`{section}` is no table"))?;
    let is_there = entries.insert(name.to_owned(), table.into()).is_some();

    let body = toml::to_string(entry).map_err(|error| error.to_string())?;
    let block = format!("[{section}.{name}]\n{body}");
    let edited = if is_there { replaced(text, section, name, &block) } else { Some(appended(text, &block)) };
    // Other ways to write a table are seen here: inline, by dotted keys, with quotes.
    let edited = edited.filter(|text| parsed(text).is_ok_and(|there| there == expected));
    edited.ok_or_else(|| format!("`{section}` is written in a way that this program does not know"))
}

fn parsed(text: &str) -> Result<Table, String> {
    toml::from_str(text).map_err(|error| format!("it is no TOML: {}", error.message()))
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
