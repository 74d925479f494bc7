//! Integers as JSON Schema has them: `1`, `1.0` and `1e0` are one number (2020-12, Validation, 6.1.1), which decoders like
//! serde tell apart. Where a schema takes an integer, a number with a zero fraction is made one before anything reads
//! it; where it takes any number, what was sent stays as it is.

use serde_json::{Value, json};

use super::error::{Violation, shorten};
use super::places::{Fields, Follow, Places, Reader, of_item};
use crate::task::{canonical, integer, is_whole_double};

/// Whether a number with a zero fraction that is written as a double is in there.
pub(super) fn is_within(value: &Value) -> bool {
    match value {
        Value::Number(number) => is_whole_double(number),
        Value::Array(items) => items.iter().any(is_within),
        Value::Object(fields) => fields.values().any(is_within),
        _ => false,
    }
}

/// Makes integers of the doubles that stand for them, and says which of those are ambiguous.
pub(super) fn settle(places: &Places, value: &mut Value) -> Vec<Violation> {
    let mut violations = Vec::new();
    if let Some(reader) = places.reader()
        && reader.subschemas().any(names_integers)
    {
        Settling { reader }.settle(vec![places.root()], value, "", &mut violations);
    }
    violations
}

fn names_integers(schema: &Fields) -> bool {
    has_type(schema, "integer") || ["const", "enum"].iter().any(|word| schema.contains_key(*word))
}

fn has_type(schema: &Fields, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(there)) => there == name,
        Some(Value::Array(several)) => several.iter().any(|there| there == name),
        _ => false,
    }
}

struct Settling<'a> {
    reader: Reader<'a>,
}

impl<'a> Settling<'a> {
    /// `schemas` are those of this value. The stack is as deep as the value.
    fn settle(
        &self,
        schemas: Vec<&'a Value>,
        value: &mut Value,
        path: &str,
        violations: &mut Vec<Violation>,
    ) {
        if schemas.is_empty() || !is_within(value) {
            return;
        }
        let applied = self.reader.applied(schemas, Follow::Branches);
        for there in applied.iter().flat_map(|schema| named_values(schema)) {
            if canonical(there) == canonical(value) {
                align(value, there);
            }
        }
        match value {
            Value::Number(_) if applied.iter().any(|schema| has_type(schema, "integer")) => {
                match integer(value) {
                    // Below 2^53.
                    Some(integer) => *value = json!(integer as i64),
                    None if applied.iter().any(|schema| has_type(schema, "number")) => {}
                    None => violations.push(inexact(path, value)),
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                    self.settle(self.reader.of_member(&applied, name), value, &path, violations);
                }
            }
            Value::Array(items) => {
                for (place, value) in items.iter_mut().enumerate() {
                    self.settle(of_item(&applied, place), value, &format!("{path}/{place}"), violations);
                }
            }
            _ => {}
        }
    }
}

fn named_values(schema: &Fields) -> impl Iterator<Item = &Value> {
    let list = schema.get("enum").and_then(Value::as_array);
    list.into_iter().flatten().chain(schema.get("const"))
}

/// Integers in the places where an equal value has them.
fn align(value: &mut Value, like: &Value) {
    match (value, like) {
        (Value::Number(number), Value::Number(like)) if number.is_f64() && !like.is_f64() => {
            *number = like.clone()
        }
        (Value::Array(items), Value::Array(like)) => {
            items.iter_mut().zip(like).for_each(|(item, like)| align(item, like))
        }
        (Value::Object(fields), Value::Object(like)) => {
            for (name, value) in fields {
                if let Some(like) = like.get(name) {
                    align(value, like);
                }
            }
        }
        _ => {}
    }
}

fn inexact(path: &str, value: &Value) -> Violation {
    let message = format!(
        "{value} is read as a double, and from 2^53 on that may be another integer than was meant: write an integer by \
         its digits alone, within 64 bits"
    );
    Violation { path: shorten(path), message: shorten(&message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Schema;

    fn accepted(schema: &Value, text: &str) -> Result<String, String> {
        let schema = Schema::compile(schema).expect("a schema");
        let value: Value = serde_json::from_str(text).expect("JSON");
        match schema.accept(&value) {
            Ok(value) => Ok(value.to_string()),
            Err(violations) => Err(violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        }
    }

    #[test]
    fn a_number_with_a_zero_fraction_is_an_integer_where_one_is_taken() {
        let schema = json!({
            "type": "object",
            "properties": {
                "i": {"type": "integer", "minimum": -5},
                "n": {"type": "number"},
                "any": {},
                "maybe": {"type": ["integer", "null"]},
                "or": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/count"}]},
                "both": {"allOf": [{"minimum": 1}, {"type": "integer"}]},
                "list": {"items": {"type": "integer"}},
                "pair": {"prefixItems": [{"type": "number"}, {"type": "integer"}], "items": {"type": "integer"}},
                "old": {"$ref": "#/$defs/old"},
                "one": {"enum": [1, "x", {"a": [2]}]},
                "two": {"const": 2},
                "tree": {"$ref": "#/$defs/tree"},
                "given": {"if": {"type": "integer"}, "then": {"properties": {}}, "else": {"properties": {"k": {"type": "integer"}}}},
            },
            "patternProperties": {"^i_": {"type": "integer"}, "^n_": {"type": "number"}},
            "additionalProperties": {"type": "object", "additionalProperties": {"type": "integer"}},
            "dependentSchemas": {"n": {"properties": {"dep": {"type": "object", "properties": {"x": {"type": "integer"}}}}}},
            "$defs": {
                "count": {"$anchor": "count", "type": "integer"},
                "old": {"type": "array", "contains": {"type": "integer"}},
                "tree": {"properties": {"left": {"$ref": "#/$defs/tree"}, "v": {"$ref": "#count"}}},
            },
        });
        for (sent, taken) in [
            (r#"{"i":1.0}"#, r#"{"i":1}"#),
            (r#"{"i":1e0,"n":1e0}"#, r#"{"i":1,"n":1.0}"#),
            (r#"{"i":10e-1,"any":10e-1}"#, r#"{"i":1,"any":1.0}"#),
            (r#"{"i":-0.0}"#, r#"{"i":0}"#),
            (r#"{"i":-5.0}"#, r#"{"i":-5}"#),
            (r#"{"i":9007199254740991.0}"#, r#"{"i":9007199254740991}"#),
            (r#"{"i":18446744073709551615}"#, r#"{"i":18446744073709551615}"#),
            (r#"{"maybe":3.0}"#, r#"{"maybe":3}"#),
            (r#"{"or":4.0}"#, r#"{"or":4}"#),
            (r#"{"both":4.0}"#, r#"{"both":4}"#),
            (r#"{"list":[1.0,2,3e0]}"#, r#"{"list":[1,2,3]}"#),
            (r#"{"pair":[1.0,2.0,3.0]}"#, r#"{"pair":[1.0,2,3]}"#),
            (r#"{"old":[7.0]}"#, r#"{"old":[7]}"#),
            (r#"{"one":1.0}"#, r#"{"one":1}"#),
            (r#"{"one":{"a":[2.0]}}"#, r#"{"one":{"a":[2]}}"#),
            (r#"{"two":2.0}"#, r#"{"two":2}"#),
            (
                r#"{"tree":{"left":{"left":{"v":5.0}},"v":6.0}}"#,
                r#"{"tree":{"left":{"left":{"v":5}},"v":6}}"#,
            ),
            (r#"{"given":{"k":1.0}}"#, r#"{"given":{"k":1}}"#),
            (r#"{"i_a":1.0,"n_a":1.0}"#, r#"{"i_a":1,"n_a":1.0}"#),
            (r#"{"else":{"k":1.0}}"#, r#"{"else":{"k":1}}"#),
            (r#"{"n":2.0,"dep":{"x":1.0}}"#, r#"{"n":2.0,"dep":{"x":1}}"#),
        ] {
            assert_eq!(accepted(&schema, sent).as_deref(), Ok(taken), "{sent}");
        }
    }

    #[test]
    fn what_is_no_integer_or_cannot_be_told_is_refused_in_words() {
        let schema = json!({"properties": {
            "i": {"type": "integer", "maximum": 9}, "free": {"type": "integer"}, "n": {"type": ["integer", "number"]},
            "a/b": {"items": {"type": "integer"}},
        }});
        let refused = |text: &str| accepted(&schema, text).expect_err(text);
        assert!(refused(r#"{"i":1.5}"#).contains("not of type \"integer\""));
        assert!(refused(r#"{"i":10.0}"#).contains("maximum"));
        for text in [
            "9007199254740993.0",
            "9007199254740992.0",
            "1e300",
            "18446744073709551616",
            "-9223372036854775809",
        ] {
            let seen = refused(&format!(r#"{{"free":{text}}}"#));
            assert!(seen.starts_with("at /free: ") && seen.contains("2^53"), "{text}: {seen}");
        }
        assert!(refused(r#"{"a/b":[1,1e20]}"#).starts_with("at /a~1b/1: "));
        // There it is a number like any other.
        assert!(accepted(&schema, r#"{"n":1e300}"#).is_ok());
        assert!(serde_json::from_str::<Value>("1e400").is_err(), "it is no JSON for serde");
    }
}
