//! The part of YAML that policies are written in: mappings, sequences and scalars, of one document. Anchors, aliases and
//! tags are refused, so that a file is no larger in memory than it is on disk.

use std::path::Path;

use granit_parser::{Event, Marker, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use crate::catalog::file::FileError;
use crate::limits;

/// The text as a value; `null` where it is empty. `path` is for the error alone.
pub fn parse(path: &Path, text: &str) -> Result<Value, FileError> {
    let options = granit_parser::options! {
        strict_indentation: true,
        disallow_directives: true,
        flow_nesting_limit: limits::MAX_POLICY_DEPTH,
        block_nesting_limit: limits::MAX_POLICY_DEPTH,
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let at = |marker: &Marker, message: String| FileError {
            line_column: Some((marker.line(), marker.col() + 1)),
            ..FileError::new(path, message)
        };
        let (event, span) = event.map_err(|error| at(error.marker(), error.info()))?;
        builder.take(event).map_err(|why| at(&span.start, why.to_owned()))?;
    }
    Ok(builder.document.unwrap_or(Value::Null))
}

#[derive(Default)]
struct Builder {
    /// What is open, the innermost last.
    open: Vec<Open>,
    document: Option<Value>,
    documents: usize,
    nodes: usize,
}

enum Open {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Table(Map<String, Value>, Option<String>),
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), &'static str> {
        const ANCHORED: &str = "anchors and aliases are not read here: write it out";
        const TAGGED: &str = "tags are not read here: leave it out";
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 { Err("a second document is not read here") } else { Ok(()) }
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) | Event::Anchor(..) => Err(ANCHORED),
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(_, anchor, _)
            | Event::MappingStart(_, anchor, _)
                if anchor != 0 =>
            {
                Err(ANCHORED)
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_)) => Err(TAGGED),
            Event::Scalar(text, style, ..) => self.scalar(&text, style),
            Event::SequenceStart(..) => self.begin(Open::List(Vec::new())),
            Event::MappingStart(..) => self.begin(Open::Table(Map::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(items)) => self.put(Value::Array(items)),
                Some(Open::Table(fields, _)) => self.put(Value::Object(fields)),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn count(&mut self) -> Result<(), &'static str> {
        self.nodes += 1;
        if self.nodes > limits::MAX_POLICY_NODES {
            Err("it has more values than a policy needs")
        } else {
            Ok(())
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), &'static str> {
        self.count()?;
        if let Some(Open::Table(_, None)) = self.open.last() {
            return Err("a key is a plain text");
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle) -> Result<(), &'static str> {
        self.count()?;
        if let Some(Open::Table(fields, key @ None)) = self.open.last_mut() {
            if fields.contains_key(text) {
                return Err("this key is there twice");
            }
            *key = Some(text.to_owned());
            return Ok(());
        }
        self.put(match style {
            ScalarStyle::Plain => plain(text),
            _ => Value::String(text.to_owned()),
        })
    }

    fn put(&mut self, value: Value) -> Result<(), &'static str> {
        match self.open.last_mut() {
            None => self.document = Some(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Table(fields, key)) => {
                let key = key.take().ok_or("a key is a plain text")?;
                fields.insert(key, value);
            }
        }
        Ok(())
    }
}

/// What is not quoted may be something else than text.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => {
            let integer = text.parse::<i64>().ok().map(Number::from);
            let number = || text.parse::<f64>().ok().and_then(Number::from_f64);
            let starts_as_one = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
            let number = integer.or_else(|| starts_as_one.then(number).flatten());
            number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(text: &str) -> Result<Value, String> {
        parse(Path::new("policy.yaml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn mappings_sequences_and_scalars_are_read() {
        let text = "# why\nversion: \"1.0\"\ntext: >\n  two\n  lines\nlist:\n- a: 1\n  b: [x, 'y', 2.5, \"3\"]\n- ~\nempty:\non: true\n";
        assert_eq!(
            parsed(text),
            Ok(json!({
                "version": "1.0", "text": "two lines\n", "list": [{"a": 1, "b": ["x", "y", 2.5, "3"]}, null],
                "empty": null, "on": true
            }))
        );
        assert_eq!(parsed("# nothing\n"), Ok(Value::Null));
        assert_eq!(parsed("---\na: .inf\n...\n"), Ok(json!({"a": ".inf"})));
    }

    #[test]
    fn what_policies_do_not_need_is_refused_with_its_place() {
        let deep = format!("a: {}", "[".repeat(40));
        let deeper: String = (0..40).map(|depth| format!("{}a:\n", "  ".repeat(depth))).collect();
        let many = format!("a: [{}]", "1, ".repeat(20_000));
        let bomb: String = std::iter::once("a0: &a0 [x, x]\n".to_owned())
            .chain((1..30).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)))
            .collect();
        for (text, why) in [
            (&*bomb, "line 1, column 9: anchors"),
            ("a: &x {b: *x}", "anchors"),
            ("a: *x", "line 1, column 4"),
            ("a: !!binary aGk=", "tags are not read"),
            ("a: !custom [1]", "tags are not read"),
            ("%YAML 1.2\n---\na: 1", "line 1"),
            ("a: 1\n---\nb: 2", "line 2, column 1: a second document"),
            ("a: 1\na: 2", "line 2, column 1: this key is there twice"),
            ("? [a, b]\n: 1", "a key is a plain text"),
            ("? {a: b}\n: 1", "a key is a plain text"),
            ("a: [1", "line"),
            (&deep, "line 1"),
            (&deeper, "line"),
            (&many, "more values"),
        ] {
            let error = parsed(text).expect_err(text);
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    #[test]
    fn no_text_brings_the_parser_down() {
        let seeds =
            ["a: [1, {b: 'c'}]\nd:\n- e\n- |\n  f\n", "\u{feff}? a\n: >-\n b\n", "--- !!x &y *z %w\n"];
        for seed in seeds {
            for at in 0..seed.len() {
                for byte in [0, b'\n', b'\t', b'[', b'{', b'&', b'*', b'!', b'%', b'\'', b'"', b'-', 0x7f] {
                    let mut bytes = seed.as_bytes().to_vec();
                    bytes[at] = byte;
                    let _ = parsed(&String::from_utf8_lossy(&bytes));
                    let _ = parsed(&String::from_utf8_lossy(&bytes[..at]));
                }
            }
        }
    }
}
