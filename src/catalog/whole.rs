//! Integers as JSON Schema has them: `1`, `1.0` and `1e0` are one number (2020-12, Validation, 6.1.1), which decoders like
//! serde tell apart. Where a schema takes an integer, a number with a zero fraction is made one before anything reads
//! it; where it takes any number, what was sent stays as it is.

use std::collections::{HashMap, HashSet};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::schema::{
    Document, REFERENCES, SAME_VALUE_LISTS, SAME_VALUE_MAPS, SchemaError, Violation, build, shorten,
};
use crate::task::{canonical, integer, is_whole_double};

type Fields = Map<String, Value>;

/// Where a schema takes integers.
pub(super) struct Integers {
    /// `None` where it takes none.
    root: Option<Value>,
    /// Of `patternProperties`, by the pattern.
    patterns: HashMap<String, Validator>,
}

/// Whether a number with a zero fraction that is written as a double is in there.
pub(super) fn is_within(value: &Value) -> bool {
    match value {
        Value::Number(number) => is_whole_double(number),
        Value::Array(items) => items.iter().any(is_within),
        Value::Object(fields) => fields.values().any(is_within),
        _ => false,
    }
}

impl Integers {
    pub fn of(schema: &Value) -> Result<Self, SchemaError> {
        let document = Document::of(schema)?;
        let mut found = Self { root: None, patterns: HashMap::new() };
        if !document.nodes.iter().any(|node| node.as_object().is_some_and(names_integers)) {
            return Ok(found);
        }
        for pattern in document.nodes.iter().filter_map(|node| node.get("patternProperties")?.as_object()) {
            for text in pattern.keys() {
                found.patterns.insert(text.clone(), build(&json!({ "pattern": text }))?);
            }
        }
        found.root = Some(schema.clone());
        Ok(found)
    }

    /// Makes integers of the doubles that stand for them, and says which of those cannot be told.
    pub fn settle(&self, value: &mut Value) -> Vec<Violation> {
        let mut violations = Vec::new();
        // It was read before.
        if let Some(root) = &self.root
            && let Ok(document) = Document::of(root)
        {
            let settling = Settling { document, patterns: &self.patterns };
            settling.settle(vec![root], value, "", &mut violations);
        }
        violations
    }
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
    document: Document<'a>,
    patterns: &'a HashMap<String, Validator>,
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
        let applied = self.applied(schemas);
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
                    self.settle(self.of_member(&applied, name), value, &path, violations);
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

    /// The schemas that may say something of the value that these are for, every branch among them.
    fn applied(&self, mut open: Vec<&'a Value>) -> Vec<&'a Fields> {
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        while let Some(schema) = open.pop() {
            let Value::Object(fields) = schema else { continue };
            if !seen.insert(std::ptr::from_ref(schema)) {
                continue;
            }
            found.push(fields);
            let targets = REFERENCES.iter().filter_map(|word| fields.get(*word)?.as_str());
            open.extend(targets.filter_map(|target| self.document.resolve(target)));
            let lists = SAME_VALUE_LISTS.iter().filter_map(|word| fields.get(*word)?.as_array());
            open.extend(lists.flatten());
            let maps = SAME_VALUE_MAPS.iter().filter_map(|word| fields.get(*word)?.as_object());
            open.extend(maps.flat_map(Map::values));
            // "if" and "not" say what is asked of a value, not what it is.
            open.extend(["then", "else"].iter().filter_map(|word| fields.get(*word)));
        }
        found
    }

    fn of_member(&self, applied: &[&'a Fields], name: &str) -> Vec<&'a Value> {
        let mut found = Vec::new();
        let text = Value::from(name);
        for schema in applied {
            let before = found.len();
            found.extend(schema.get("properties").and_then(|named| named.get(name)));
            for (pattern, below) in
                schema.get("patternProperties").and_then(Value::as_object).into_iter().flatten()
            {
                if self.patterns.get(pattern).is_some_and(|pattern| pattern.is_valid(&text)) {
                    found.push(below);
                }
            }
            if found.len() == before {
                found.extend(schema.get("additionalProperties"));
            }
        }
        if found.is_empty() {
            found.extend(applied.iter().filter_map(|schema| schema.get("unevaluatedProperties")));
        }
        found
    }
}

fn of_item<'a>(applied: &[&'a Fields], place: usize) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for schema in applied {
        // Drafts before 2020-12 have the list in "items", and in "additionalItems" what follows it.
        let (list, rest) = match schema.get("items") {
            Some(Value::Array(list)) => (Some(list), schema.get("additionalItems")),
            rest => (schema.get("prefixItems").and_then(Value::as_array), rest),
        };
        found.extend(list.and_then(|list| list.get(place)).or(rest));
        found.extend(schema.get("contains"));
    }
    if found.is_empty() {
        found.extend(applied.iter().filter_map(|schema| schema.get("unevaluatedItems")));
    }
    found
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
            let told = refused(&format!(r#"{{"free":{text}}}"#));
            assert!(told.starts_with("at /free: ") && told.contains("2^53"), "{text}: {told}");
        }
        assert!(refused(r#"{"a/b":[1,1e20]}"#).starts_with("at /a~1b/1: "));
        // There it is a number like any other.
        assert!(accepted(&schema, r#"{"n":1e300}"#).is_ok());
        assert!(serde_json::from_str::<Value>("1e400").is_err(), "it is no JSON for serde");
    }
}
