//! What hosts and frameworks choke on in a tool's schema; for tests.

use serde_json::Value;

/// Each place of a schema that some host refuses or drops, with why: a list of types, an object without `properties`, an
/// array without `items`, an enumeration of texts without a type.
pub fn complaints(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    read(schema, "#", &mut found);
    found
}

fn read(schema: &Value, at: &str, found: &mut Vec<String>) {
    let Value::Object(fields) = schema else { return };
    let mut complain = |what: &str| found.push(format!("{at}: {what}"));
    if schema["type"].is_array() {
        complain("a list of types");
    }
    if schema["type"] == "object" && !schema["properties"].is_object() {
        complain("an object without properties");
    }
    if schema["type"] == "array" && !schema["items"].is_object() {
        complain("an array without items");
    }
    let names_texts = |all: &Value| all.as_array().is_some_and(|all| all.iter().all(Value::is_string));
    if fields.get("enum").is_some_and(names_texts) && schema["type"] != "string" {
        complain("an enumeration of texts without its type");
    }
    for (key, value) in fields {
        let at = format!("{at}/{key}");
        match (key.as_str(), value) {
            ("const" | "enum" | "default" | "examples" | "required" | "type", _) => {}
            (
                "properties" | "patternProperties" | "dependentSchemas" | "$defs" | "definitions",
                Value::Object(named),
            ) => {
                named.iter().for_each(|(name, below)| read(below, &format!("{at}/{name}"), found));
            }
            (_, Value::Array(below)) => below.iter().for_each(|below| read(below, &at, found)),
            (_, below) => read(below, &at, found),
        }
    }
}

#[test]
fn what_hosts_choke_on_is_found_wherever_it_stands() {
    use serde_json::json;
    let good = json!({
        "type": "object",
        "properties": {"type": {"type": "string", "enum": ["a"]}, "enum": {"enum": [1, 2]}, "l": {"type": "array", "items": {}}},
        "default": {"type": ["a"]},
    });
    assert_eq!(complaints(&good), Vec::<String>::new());
    for (bad, at) in [
        (json!({"type": "object"}), "#: an object"),
        (json!({"anyOf": [{}, {"type": ["a", "b"]}]}), "#/anyOf: a list"),
        (json!({"$defs": {"x": {"items": {"enum": ["a"]}}}}), "#/$defs/x/items: an enumeration"),
        (json!({"additionalProperties": {"type": "array"}}), "#/additionalProperties: an array"),
    ] {
        let found = complaints(&bad);
        assert!(found.len() == 1 && found[0].starts_with(at), "{bad}: {found:?}");
    }
}
