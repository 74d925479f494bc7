//! JSON as hosts write it: everything but the one entry stays as it is, to the byte.

use std::ops::Range;

use serde::Serialize;
use serde_json::{Map, Value};

/// Where one writes its first entry, so does everybody.
const INDENT: &str = "  ";

pub fn parsed(text: &str) -> Result<Map<String, Value>, String> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(root)) => Ok(root),
        Ok(_) => Err("it is no JSON object".to_owned()),
        Err(error) => Err(format!("it has comments or is no JSON ({error})")),
    }
}

/// The text with `entry` at `section`, `name`, as far as its form is known.
pub fn edit(text: &str, section: &str, name: &str, entry: &Map<String, Value>) -> Option<String> {
    let entry = Value::Object(entry.clone());
    if text.trim().is_empty() {
        let root = serde_json::json!({ section: { name: entry } });
        return Some(format!("{}\n", Style::of("").rendered(&root, "")?));
    }
    let style = Style::of(text);
    let root = Object::at(text, text.find('{')?)?;
    let Some(section) = root.last(section) else {
        let value = serde_json::json!({ name: entry });
        return root.with(text, &style, "", section, &value);
    };
    let entries = Object::at(text, section.value.start)?;
    match entries.last(name) {
        None => entries.with(text, &style, indent_of(text, section.key.start), name, &entry),
        Some(there) => {
            let value = style.rendered(&entry, indent_of(text, there.key.start))?;
            Some(replaced(text, there.value.clone(), &value))
        }
    }
}

/// How a text is laid out.
struct Style {
    indent: String,
    line_end: &'static str,
}

impl Style {
    fn of(text: &str) -> Self {
        let indented = text.lines().map(|line| &line[..line.len() - line.trim_start().len()]);
        let indent = indented.into_iter().find(|indent| !indent.is_empty()).unwrap_or(INDENT).to_owned();
        Self { indent, line_end: if text.contains("\r\n") { "\r\n" } else { "\n" } }
    }

    fn rendered(&self, value: &Value, indent: &str) -> Option<String> {
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(self.indent.as_bytes());
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter)).ok()?;
        // A line end within a string is written `\n`.
        Some(String::from_utf8(bytes).ok()?.replace('\n', &format!("{}{indent}", self.line_end)))
    }
}

/// An object as it stands in the text; what is known to be JSON needs no checks.
struct Object {
    open: usize,
    close: usize,
    members: Vec<Member>,
}

struct Member {
    name: String,
    key: Range<usize>,
    value: Range<usize>,
}

impl Object {
    fn at(text: &str, open: usize) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut members = Vec::new();
        let mut at = open + 1;
        loop {
            at = behind_space(bytes, at);
            match bytes.get(at)? {
                b'}' => return Some(Self { open, close: at, members }),
                b',' => at += 1,
                _ => {
                    let key = at..behind_value(bytes, at)?;
                    let start = behind_space(bytes, behind_space(bytes, key.end) + 1);
                    let value = start..behind_value(bytes, start)?;
                    at = value.end;
                    members.push(Member { name: serde_json::from_str(&text[key.clone()]).ok()?, key, value });
                }
            }
        }
    }

    /// Of two that are alike the last holds.
    fn last(&self, name: &str) -> Option<&Member> {
        self.members.iter().rev().find(|member| member.name == name)
    }

    /// `indent` is that of the line on which the object begins.
    fn with(&self, text: &str, style: &Style, indent: &str, name: &str, value: &Value) -> Option<String> {
        let Style { indent: step, line_end } = style;
        let key = Value::from(name);
        let Some(last) = self.members.last() else {
            let inner = format!("{indent}{step}");
            let value = style.rendered(value, &inner)?;
            let body = format!("{{{line_end}{inner}{key}: {value}{line_end}{indent}}}");
            return Some(replaced(text, self.open..self.close + 1, &body));
        };
        let end = last.value.end;
        if !text[self.open..self.close].contains('\n') {
            return Some(replaced(text, end..end, &format!(", {key}: {value}")));
        }
        let inner = indent_of(text, last.key.start);
        let value = style.rendered(value, inner)?;
        Some(replaced(text, end..end, &format!(",{line_end}{inner}{key}: {value}")))
    }
}

/// The white space at the beginning of the line.
fn indent_of(text: &str, at: usize) -> &str {
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line = &text[line..at];
    &line[..line.len() - line.trim_start().len()]
}

fn replaced(text: &str, place: Range<usize>, new: &str) -> String {
    [&text[..place.start], new, &text[place.end..]].concat()
}

fn behind_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

fn behind_value(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    let mut depth = 0usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = behind_string(bytes, at)?,
            b'{' | b'[' => (depth, at) = (depth + 1, at + 1),
            b'}' | b']' => (depth, at) = (depth.checked_sub(1)?, at + 1),
            _ => at += 1,
        }
        let ends = matches!(bytes.get(at), None | Some(b',' | b'}' | b']' | b':'))
            || bytes.get(at).is_some_and(u8::is_ascii_whitespace);
        if depth == 0 && ends {
            return Some(at);
        }
    }
}

fn behind_string(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}
