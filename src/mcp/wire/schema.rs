//! Output schemas as clients check them: an object at the root that also admits a link to the task.

use serde_json::{Map, Value, json};

/// What a link's `structuredContent` looks like.
pub fn link_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "task_id": { "type": "string" },
            "uri": { "type": "string" },
            "state": { "type": "string" },
            "next": { "type": "string" },
            "asks": { "type": "array", "items": ask_schema() },
            "error": { "type": "object", "properties": {} },
        },
        "required": ["task_id", "uri", "state"],
    })
}

fn ask_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "key": { "type": "string" },
            "by": { "type": "string" },
            "kind": { "type": "string" },
            "message": { "type": "string" },
            "answer": { "type": "string" },
        },
    })
}

/// A schema of arguments as clients get it: as its author wrote it, with `properties` at its root, which some hosts
/// refuse a tool for want of.
pub fn with_properties(mut own: Map<String, Value>) -> Map<String, Value> {
    if own.get("type").is_some_and(|kind| kind == "object") {
        own.entry("properties").or_insert_with(|| json!({}));
    }
    own
}

/// The tool's own schema as clients get it: `anyOf` of its own result and a link, an object at the root.
pub fn widen(own: &Value) -> Map<String, Value> {
    let own = if describes_object(own) { own.clone() } else { wrap(own) };
    let mut root = Map::new();
    let own = match own {
        Value::Object(mut own) => {
            if let Some(dialect) = own.remove("$schema") {
                root.insert("$schema".to_owned(), dialect);
            }
            Value::Object(with_properties(own))
        }
        other => other,
    };
    root.insert("type".to_owned(), json!("object"));
    root.insert("properties".to_owned(), json!({}));
    root.insert("anyOf".to_owned(), json!([move_schema(own, "#/anyOf/0"), link_schema()]));
    root
}

/// A structured result as clients get it: what `own` does not describe as an object is wrapped.
pub fn fit(own: Option<&Value>, structured: Value) -> Value {
    let keep = own.map_or(structured.is_object(), describes_object);
    if keep { structured } else { json!({ "result": structured }) }
}

fn wrap(own: &Value) -> Value {
    let mut inner = own.clone();
    let dialect = inner.as_object_mut().and_then(|own| own.remove("$schema"));
    let mut outer = json!({
        "type": "object",
        "properties": { "result": move_schema(inner, "#/properties/result") },
        "required": ["result"],
    });
    if let Some(dialect) = dialect {
        outer["$schema"] = dialect;
    }
    outer
}

/// Whether only objects can fit. What cannot be seen at a glance is no object.
fn describes_object(schema: &Value) -> bool {
    object_within(schema, schema, 8)
}

fn object_within(root: &Value, schema: &Value, depth: u8) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    if let Some(kind) = schema.get("type") {
        return kind == "object";
    }
    if let Some(pointer) = schema.get("$ref").and_then(Value::as_str).and_then(|at| at.strip_prefix('#')) {
        return root.pointer(pointer).is_some_and(|target| object_within(root, target, depth));
    }
    ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).any(|branches| {
        !branches.is_empty() && branches.iter().all(|branch| object_within(root, branch, depth))
    })
}

/// A schema that stood at the root of its document and now stands at `place`: its references follow.
/// One with an `$id` is a document of its own wherever it stands.
fn move_schema(schema: Value, place: &str) -> Value {
    if schema.get("$id").is_some_and(Value::is_string) {
        return schema;
    }
    match schema {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(key, value)| {
                    let value = match (key.as_str(), value) {
                        // Values, not schemas: a "$ref" in them is data.
                        ("const" | "enum" | "default" | "examples", value) => value,
                        // Names, not keywords, with a schema behind each.
                        (
                            "properties" | "patternProperties" | "dependentSchemas" | "$defs" | "definitions",
                            Value::Object(named),
                        ) => named
                            .into_iter()
                            .map(|(name, schema)| (name, move_schema(schema, place)))
                            .collect(),
                        ("$ref", Value::String(at)) => Value::String(move_reference(at, place)),
                        (_, value) => move_schema(value, place),
                    };
                    (key, value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| move_schema(item, place)).collect()),
        other => other,
    }
}

fn move_reference(at: String, place: &str) -> String {
    match at.strip_prefix('#') {
        Some("") => place.to_owned(),
        Some(pointer) if pointer.starts_with('/') => format!("{place}{pointer}"),
        // An anchor is found wherever it stands, another document is elsewhere.
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Schema;

    fn fits(schema: &Value, value: &Value) -> bool {
        let widened = Value::Object(widen(schema));
        assert_eq!(widened["type"], "object");
        Schema::compile(&widened).expect("a schema").check(value).is_ok()
    }

    #[test]
    fn a_link_and_the_tools_own_result_fit_and_nothing_else() {
        let own = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
        assert!(fits(&own, &json!({"n": 1})));
        assert!(fits(&own, &json!({"task_id": "a", "uri": "task://a", "state": "queued"})));
        assert!(!fits(&own, &json!({"n": "one"})));
        assert!(!fits(&own, &json!({"task_id": "a"})));
        assert_eq!(fit(Some(&own), json!({"n": 1})), json!({"n": 1}));
    }

    #[test]
    fn arguments_of_no_properties_say_so_and_all_else_stays_as_it_was_written() {
        let listed =
            |own: Value| Value::Object(with_properties(own.as_object().cloned().unwrap_or_default()));
        assert_eq!(listed(json!({"type": "object"})), json!({"type": "object", "properties": {}}));
        let closed = json!({"type": "object", "additionalProperties": false, "description": "none"});
        assert_eq!(listed(closed)["properties"], json!({}));
        let nested = json!({"type": "object", "properties": {"a": {"type": "object"}, "b": {"enum": ["x"]}}});
        assert_eq!(listed(nested.clone()), nested);
        for own in [
            json!({"type": "integer"}),
            json!({"type": "object"}),
            json!({"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {}}}}),
        ] {
            let root = Value::Object(widen(&own));
            assert_eq!((&root["type"], &root["properties"]), (&json!("object"), &json!({})), "{own}");
        }
    }

    #[test]
    fn what_is_no_object_is_wrapped() {
        for own in [json!({"type": "integer"}), json!({"type": ["object", "null"]}), json!({}), json!(true)] {
            let value = fit(Some(&own), json!(7));
            assert_eq!(value, json!({"result": 7}));
        }
        assert!(fits(&json!({"type": "integer"}), &json!({"result": 7})));
        assert!(!fits(&json!({"type": "integer"}), &json!({"result": "7"})));
        assert_eq!(fit(None, json!([1])), json!({"result": [1]}));
        assert_eq!(fit(None, json!({"a": 1})), json!({"a": 1}));
    }

    #[test]
    fn references_follow_their_schema() {
        let own = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": "#/$defs/node",
            "$defs": { "node": {
                "type": "object",
                "properties": {
                    "next": { "$ref": "#/$defs/node" },
                    "default": { "$ref": "#/$defs/node" },
                    "was": { "const": { "$ref": "#/x" } },
                },
                "required": ["was"],
                "additionalProperties": false,
            } },
        });
        let data = json!({"$ref": "#/x"});
        assert!(fits(&own, &json!({"was": data, "next": {"was": data}})));
        assert!(!fits(&own, &json!({"was": data, "next": {"was": 1}})));
        assert!(!fits(&own, &json!({"was": data, "default": {"was": 1}})));
        assert_eq!(widen(&own)["$schema"], "https://json-schema.org/draft/2020-12/schema");
        // The same, wrapped.
        let list = json!({
            "type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}},
        });
        assert!(fits(&list, &json!({"result": [1, 2]})));
        assert!(!fits(&list, &json!({"result": ["1"]})));
    }
}
