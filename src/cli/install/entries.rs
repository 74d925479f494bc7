//! One entry among the servers in a host's file, in whatever language the file is.

use serde_json::{Map, Value};

use super::clients::Format;
use super::in_json;
use super::in_toml;

/// What stands under `name`.
pub fn entry(format: Format, text: &str, name: &str) -> Result<Option<Value>, String> {
    Ok(servers(format, &parsed(format, text)?)?.remove(name))
}

/// The text with `entry` under `name`; nothing else in it changes.
pub fn with_entry(
    format: Format,
    text: &str,
    name: &str,
    entry: &Map<String, Value>,
) -> Result<String, String> {
    let mut expected = parsed(format, text)?;
    let mut servers = servers(format, &expected)?;
    servers.insert(name.to_owned(), Value::Object(entry.clone()));
    let (Format::Json { section } | Format::Toml { section }) = format;
    expected.insert(section.to_owned(), Value::Object(servers));
    let body = without_mark(text);
    let edited = match format {
        Format::Json { section } => in_json::edit(body, section, name, entry),
        Format::Toml { section } => in_toml::edit(body, section, name, entry),
    };
    let edited = edited.map(|edited| format!("{}{edited}", &text[..text.len() - body.len()]));
    // Whatever was overlooked in the text is seen here.
    let edited = edited.filter(|text| parsed(format, text).is_ok_and(|there| there == expected));
    edited.ok_or_else(|| format!("`{section}` is written in a way that this program does not know"))
}

fn parsed(format: Format, text: &str) -> Result<Map<String, Value>, String> {
    let text = without_mark(text);
    match format {
        Format::Json { .. } => in_json::parsed(text),
        Format::Toml { .. } => in_toml::parsed(text),
    }
}

fn servers(format: Format, root: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let (Format::Json { section } | Format::Toml { section }) = format;
    match root.get(section) {
        None => Ok(Map::new()),
        Some(Value::Object(servers)) => Ok(servers.clone()),
        Some(_) => Err(format!("`{section}` holds no servers by their names")),
    }
}

/// Editors of Windows begin a file with a byte order mark.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
