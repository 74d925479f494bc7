//! JSON as hosts write it, with comments and trailing commas: everything but the one entry stays as it is, to the byte.

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use jsonc_parser::common::{Range, Ranged as _};
use jsonc_parser::tokens::{Token, TokenAndRange};
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, ParseResult, parse_to_ast};
use serde::Serialize;
use serde_json::{Map, Value};

/// The first entry of a file is indented as most editors do it.
const INDENT: &str = "  ";

/// What VS Code calls "JSON with comments". JSON5 goes further, and no host reads it.
const JSON_WITH_COMMENTS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub fn parsed(text: &str) -> Result<Map<String, Value>, String> {
    let result = read(text).map_err(|why| format!("it is no JSON, not even with comments ({why})"))?;
    match result.value.map(Value::from) {
        None => Ok(Map::new()),
        Some(Value::Object(root)) => Ok(root),
        Some(_) => Err("it is no JSON object".to_owned()),
    }
}

/// The text with `entry` at `section`, `name`, as far as its form is known.
pub fn edit(text: &str, section: &str, name: &str, entry: &Map<String, Value>) -> Option<String> {
    let file = File::of(text)?;
    let entry = Value::Object(entry.clone());
    let Some(root) = file.result.value.as_ref() else {
        let root = serde_json::json!({ section: { name: entry } });
        let line_end = if text.is_empty() || text.ends_with('\n') { "" } else { file.line_end };
        return Some(format!("{text}{line_end}{}{}", file.rendered(&root, "")?, file.line_end));
    };
    let root = root.as_object()?;
    let Some(section) = last(root, section) else {
        let value = serde_json::json!({ name: entry });
        return file.with_member(root, section, &value);
    };
    let entries = section.value.as_object()?;
    match last(entries, name) {
        None => file.with_member(entries, name, &entry),
        Some(there) => {
            let value = file.rendered(&entry, file.indent_at(there.range.start))?;
            Some(file.with(&[(there.value.range(), value)]))
        }
    }
}

fn read(text: &str) -> Result<ParseResult<'_>, String> {
    let collected = CollectOptions { comments: CommentCollectionStrategy::AsTokens, tokens: true };
    parse_to_ast(text, &collected, &JSON_WITH_COMMENTS).map_err(|error| error.to_string())
}

/// Of two members with one name the last holds.
fn last<'a>(object: &'a Object<'a>, name: &str) -> Option<&'a ObjectProp<'a>> {
    object.properties.iter().rev().find(|member| member.name.as_str() == name)
}

/// A text, what it says, and how it is laid out.
struct File<'a> {
    text: &'a str,
    result: ParseResult<'a>,
    indent: &'a str,
    line_end: &'static str,
}

impl<'a> File<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let result = read(text).ok()?;
        let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut file = Self { text, result, indent: INDENT, line_end };
        // A comment may be indented in its own way, so the first member says how it is done.
        if let Some(Node::Object(root)) = &file.result.value
            && let Some(first) = root.properties.first()
        {
            let own = file.indent_at(first.range.start);
            if !own.is_empty() {
                file.indent = own;
            }
        }
        Some(file)
    }

    /// The edits are in the order of their places.
    fn with(&self, edits: &[(Range, String)]) -> String {
        let mut edited = String::new();
        let mut kept = 0;
        for (place, new) in edits {
            edited.push_str(&self.text[kept..place.start]);
            edited.push_str(new);
            kept = place.end;
        }
        edited + &self.text[kept..]
    }

    /// The text with one more member at the end of `object`, behind the comments of the member before it.
    fn with_member(&self, object: &Object<'_>, name: &str, value: &Value) -> Option<String> {
        let key = Value::from(name);
        let inside = Range { start: object.range.start + 1, end: object.range.end - 1 };
        let outer = self.indent_at(object.range.start);
        let Some(before) = object.properties.last() else {
            let inner = format!("{outer}{}", self.indent);
            let member = format!("{}{inner}{key}: {}", self.line_end, self.rendered(value, &inner)?);
            let comment = self.tokens(inside).last().map(|token| token.range.end);
            // The white space goes where it is all there is.
            let start = comment.unwrap_or(inside.start);
            let has_line = comment.is_some() && self.text[start..inside.end].contains('\n');
            let (end, close) = if has_line {
                (start, String::new())
            } else {
                (inside.end, self.line_end.to_owned() + outer)
            };
            return Some(self.with(&[(Range { start, end }, member + &close)]));
        };
        let rest = Range { start: before.range.end, end: inside.end };
        let comma = self.tokens(rest).find(|token| token.token == Token::Comma).map(|token| token.range);
        let place = self.end_of_line(rest, comma);
        let member = if self.text[inside.start..inside.end].contains('\n') {
            let inner = self.indent_at(before.range.start);
            format!("{}{inner}{key}: {}", self.line_end, self.rendered(value, inner)?)
        } else {
            format!(" {key}: {value}")
        };
        let here = |at| Range { start: at, end: at };
        Some(match comma {
            Some(_) => self.with(&[(here(place), format!("{member},"))]),
            None => self.with(&[(here(rest.start), ",".to_owned()), (here(place), member)]),
        })
    }

    /// Behind a member's comma and the comments that begin on its line.
    fn end_of_line(&self, rest: Range, comma: Option<Range>) -> usize {
        let mut end = comma.map_or(rest.start, |comma| comma.end);
        for token in self.tokens(Range { start: end, end: rest.end }) {
            if self.text[end..token.range.start].contains('\n') {
                break;
            }
            end = token.range.end;
        }
        end
    }

    fn tokens(&self, within: Range) -> impl Iterator<Item = &TokenAndRange<'a>> {
        let tokens = self.result.tokens.iter().flatten();
        tokens.filter(move |token| within.start <= token.range.start && token.range.end <= within.end)
    }

    /// The white space at the beginning of the line.
    fn indent_at(&self, at: usize) -> &'a str {
        let line = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        let line = &self.text[line..at];
        &line[..line.len() - line.trim_start().len()]
    }

    fn rendered(&self, value: &Value, indent: &str) -> Option<String> {
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(self.indent.as_bytes());
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter)).ok()?;
        // A line end within a string is written `\n`.
        Some(String::from_utf8(bytes).ok()?.replace('\n', &format!("{}{indent}", self.line_end)))
    }
}
