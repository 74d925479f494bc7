//! Compiled JSON Schemas. A schema comes from a component's author and is checked on the host's own threads,
//! so that what it may cost is bounded before it is compiled: it names nothing outside itself, and its
//! references neither run in a circle on one value nor multiply without end.

mod alternatives;
mod document;
mod error;
mod omitted;
mod places;
mod whole;

use std::borrow::Cow;

use jsonschema::Validator;
use serde_json::Value;

use self::alternatives::{alternatives, meant};
use self::document::{build, check_bounds, is_deeper_than};
use self::error::shorten;
pub use self::error::{SchemaError, Violation};
use self::places::Places;
use crate::limits;

/// A schema that has been checked and compiled.
pub struct Schema {
    validator: Validator,
    /// What alternatives there are is read off here too.
    places: Places,
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Schema")
    }
}

impl Schema {
    /// A schema of tool arguments: its type must be an object.
    pub fn of_arguments(schema: &Value) -> Result<Self, SchemaError> {
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err(SchemaError::NotAnObject);
        }
        Self::compile(schema)
    }

    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        check_bounds(schema)?;
        Ok(Self { validator: build(schema)?, places: Places::of(schema)? })
    }

    /// The value as the schema's author has it: `1.0` is `1` where the schema takes an integer, and a null that stands
    /// for an argument that was left out is not there. Or at most `limits::MAX_VIOLATIONS` of what is wrong.
    pub fn accept<'a>(&self, value: &'a Value) -> Result<Cow<'a, Value>, Vec<Violation>> {
        if is_deeper_than(value, limits::MAX_JSON_DEPTH) {
            return self.check(value).map(|()| Cow::Borrowed(value));
        }
        let mut taken = Cow::Borrowed(value);
        if whole::is_within(value) {
            let mut violations = whole::settle(&self.places, taken.to_mut());
            violations.truncate(limits::MAX_VIOLATIONS);
            if !violations.is_empty() {
                return Err(violations);
            }
        }
        match self.check(&taken) {
            Ok(()) => Ok(taken),
            Err(_) if omitted::is_within(&taken) => {
                let left = omitted::without(&self.places, &taken, |value| self.validator.is_valid(value));
                self.check(&left).map(|()| Cow::Owned(left))
            }
            Err(violations) => Err(violations),
        }
    }

    /// At most `limits::MAX_VIOLATIONS` of what is wrong.
    pub fn check(&self, value: &Value) -> Result<(), Vec<Violation>> {
        if is_deeper_than(value, limits::MAX_JSON_DEPTH) {
            let message = format!("it nests deeper than {} levels", limits::MAX_JSON_DEPTH);
            return Err(vec![Violation { path: String::new(), message }]);
        }
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let found: Vec<Violation> = if counts_at_most(value, limits::MAX_NODES_FOR_ALL_VIOLATIONS) {
            let errors = self.validator.iter_errors(value).take(limits::MAX_VIOLATIONS);
            errors.map(|error| violation(self.places.root(), &error)).collect()
        } else {
            self.validator
                .validate(value)
                .err()
                .map(|error| violation(self.places.root(), &error))
                .into_iter()
                .collect()
        };
        Err(found)
    }
}

fn violation(schema: &Value, error: &jsonschema::ValidationError<'_>) -> Violation {
    if let Some(inner) = meant(schema, error) {
        return violation(schema, inner);
    }
    // Scalars are quoted, as they tell most; a whole object would bury the message.
    let quoted = match error.instance().as_ref() {
        Value::String(text) => text.len() <= 80,
        Value::Array(_) | Value::Object(_) => false,
        _ => true,
    };
    let message = match alternatives(schema, error) {
        Some(forms) if quoted => format!("{} is not one of {forms}", error.instance()),
        Some(forms) => format!("the value is not one of {forms}"),
        None if quoted => error.to_string(),
        None => error.masked_with("the value").to_string(),
    };
    Violation { path: shorten(error.instance_path().as_str()), message: shorten(&message) }
}

fn counts_at_most(value: &Value, most: usize) -> bool {
    fn spend(value: &Value, left: &mut usize) -> bool {
        if *left == 0 {
            return false;
        }
        *left -= 1;
        match value {
            Value::Array(items) => items.iter().all(|item| spend(item, left)),
            Value::Object(fields) => fields.values().all(|item| spend(item, left)),
            _ => true,
        }
    }
    spend(value, &mut most.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    fn violations(schema: Value, value: Value) -> Vec<String> {
        let schema = Schema::of_arguments(&schema).expect("a schema");
        schema.check(&value).expect_err("a violation").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_violation_names_its_path_and_what_was_expected() {
        let schema = json!({
            "type": "object",
            "properties": {"steps": {"type": "integer"}, "nest": {"type": "object", "properties": {"a": {"maxLength": 2}}}},
            "required": ["topic"],
        });
        assert_eq!(
            violations(schema.clone(), json!({"topic": "x", "steps": "x"})),
            ["at /steps: \"x\" is not of type \"integer\""]
        );
        assert_eq!(violations(schema.clone(), json!({})), ["\"topic\" is a required property"]);
        assert_eq!(
            violations(schema.clone(), json!({"topic": 1, "nest": {"a": "long"}})),
            ["at /nest/a: \"long\" is longer than 2 characters"]
        );
        // A large value is not quoted back, or the message would drown in it.
        let quoted = violations(schema, json!({"topic": 1, "steps": ["x".repeat(10_000)]}));
        assert_eq!(quoted, ["at /steps: the value is not of type \"integer\""]);
    }

    #[test]
    fn only_a_few_violations_are_told_and_one_of_a_large_value() {
        let schema = json!({"type": "object", "properties": {"list": {"items": {"type": "integer"}}}});
        let wrong = |count: usize| json!({"list": vec!["x"; count]});
        assert_eq!(violations(schema.clone(), wrong(100)).len(), limits::MAX_VIOLATIONS);
        assert_eq!(violations(schema, wrong(100_000)).len(), 1);
    }

    #[test]
    fn deep_arguments_are_refused() {
        let mut deep = json!({});
        for _ in 0..limits::MAX_JSON_DEPTH + 1 {
            deep = json!({"a": deep});
        }
        let seen = violations(json!({"type": "object"}), deep);
        assert!(seen[0].contains("deeper than 64"), "{seen:?}");
    }

    #[test]
    fn defaults_are_not_filled_in_and_formats_are_not_enforced() {
        let schema = Schema::of_arguments(
            &json!({"type": "object", "properties": {"n": {"type": "integer", "default": 5}, "d": {"format": "date"}}}),
        )
        .expect("a schema");
        assert!(schema.check(&json!({"d": "no date"})).is_ok());
    }

    fn refused(schema: Value) -> String {
        Schema::of_arguments(&schema).expect_err("refused").to_string()
    }

    #[test]
    fn a_schema_refers_to_itself_alone() {
        for outside in [
            "http://127.0.0.1:1/x.json",
            "file:///etc/passwd",
            "other.json",
            "https://json-schema.org/draft/2020-12/schema",
        ] {
            let seen = refused(json!({"type": "object", "properties": {"a": {"$ref": outside}}}));
            assert!(seen.contains(outside) && seen.contains("$defs"), "{seen}");
        }
        // Also where an unknown keyword hides it, or an id would move the base.
        refused(json!({"type": "object", "x-more": {"$ref": "http://127.0.0.1:1/x"}}));
        refused(json!({"type": "object", "$schema": "http://127.0.0.1:1/meta.json"}));
        // Data is no reference.
        let data = json!({"type": "object", "properties": {"a": {"const": {"$ref": "http://x"}}, "$ref": {"type": "string"}}});
        assert!(Schema::of_arguments(&data).is_ok());
    }

    #[test]
    fn circles_on_one_value_are_refused_and_recursive_types_are_not() {
        for circle in [
            json!({"type": "object", "$ref": "#"}),
            json!({"type": "object", "allOf": [{"anyOf": [{"$ref": "#"}]}]}),
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}},
                   "$defs": {"x": {"not": {"$ref": "#/$defs/y"}}, "y": {"$ref": "#/$defs/x"}}}),
            json!({"type": "object", "$dynamicAnchor": "here", "$dynamicRef": "#here"}),
        ] {
            let seen = refused(circle.clone());
            assert!(seen.contains("back to itself"), "{circle}: {seen}");
        }
        let tree = Schema::of_arguments(&json!({
            "type": "object",
            "properties": {"left": {"$ref": "#"}, "right": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
        }))
        .expect("a recursive type");
        assert!(tree.check(&json!({"left": {"right": null}})).is_ok());
        assert!(tree.check(&json!({"left": {"right": 1}})).is_err());
    }

    #[test]
    fn a_schema_that_would_cost_much_is_refused_at_once() {
        let mut defs = Map::new();
        for level in 0..14 {
            let next = format!("#/$defs/d{}", level + 1);
            defs.insert(format!("d{level}"), json!({"anyOf": [{"$ref": next}, {"$ref": next}]}));
        }
        defs.insert("d14".into(), json!({"const": 1}));
        let started = std::time::Instant::now();
        let doubling = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d8"}}, "$defs": defs});
        assert!(Schema::of_arguments(&doubling).is_ok(), "2^6 is fine");
        let doubling = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": doubling["$defs"]});
        assert!(refused(doubling).contains("more than"));
        let patterns: Vec<Value> = (0..200).map(|n| json!({"pattern": format!("^{n}$")})).collect();
        assert!(
            refused(json!({"type": "object", "properties": {"a": {"anyOf": patterns}}}))
                .contains("200 regular")
        );
        let huge = json!({"type": "object", "properties": {"a": {"pattern": "((a{1000}){1000}){1000}"}}});
        Schema::of_arguments(&huge).expect_err("a huge pattern");
        let mut chain = Map::new();
        for level in 0..5_000 {
            chain.insert(format!("c{level}"), json!({"$ref": format!("#/$defs/c{}", level + 1)}));
        }
        assert!(refused(json!({"type": "object", "$defs": chain})).contains("deep"));
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }

    #[test]
    fn a_regular_expression_cannot_go_back_for_ever() {
        let schema = json!({"type": "object", "properties": {"a": {"pattern": "^(?=(a+)+$)(a|aa)+b$"}}});
        let schema = Schema::of_arguments(&schema).expect("a schema");
        let started = std::time::Instant::now();
        assert!(schema.check(&json!({"a": "a".repeat(100)})).is_err());
        assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
    }

    /// The worst that the bounds let through: the longest chain at every level of the deepest value.
    #[test]
    fn the_longest_chain_on_the_deepest_value_fits_a_small_stack() {
        let mut defs = Map::new();
        // Two subschemas a level, the reference to the first, and the last, which goes down.
        let last = limits::MAX_SCHEMA_CHAIN / 2 - 1;
        for level in 0..last {
            defs.insert(format!("c{level}"), json!({"allOf": [{"$ref": format!("#/$defs/c{}", level + 1)}]}));
        }
        defs.insert(format!("c{last}"), json!({"properties": {"a": {"$ref": "#/$defs/c0"}}}));
        let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/c0"}}, "$defs": defs});
        let mut deep = json!({});
        for _ in 1..limits::MAX_JSON_DEPTH {
            deep = json!({"a": deep});
        }
        let checked = std::thread::Builder::new()
            .stack_size(2 * 1024 * 1024)
            .spawn(move || {
                let schema = Schema::of_arguments(&schema).expect("a schema");
                schema.check(&deep).is_ok()
            })
            .expect("a thread");
        assert!(checked.join().expect("no overflow"));
    }
}
