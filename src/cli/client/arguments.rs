//! `KEY=VALUE` words to the JSON arguments of a call, typed by the tool's input schema.

use serde_json::{Map, Value};

use crate::cli::exit::{CliError, Result};

/// The arguments of a call: `--args` first, then each `KEY=VALUE` on top.
pub fn arguments(schema: &Value, pairs: &[String], args: Option<&str>) -> Result<Map<String, Value>> {
    let mut arguments = match args {
        Some(text) => match serde_json::from_str(text) {
            Ok(Value::Object(map)) => map,
            Ok(other) => {
                return Err(CliError::usage(format_args!(
                    "--args wants a JSON object, this is {}",
                    kind_of(&other).name()
                )));
            }
            Err(e) => return Err(CliError::usage(format_args!("--args is no JSON: {e}"))),
        },
        None => Map::new(),
    };
    let mut seen = Vec::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(CliError::usage(format_args!("'{pair}' is no KEY=VALUE"))
                .next("for example: topic='deep sea'"));
        };
        if seen.contains(&key) {
            return Err(CliError::usage(format_args!("'{key}' is given twice")));
        }
        seen.push(key);
        arguments.insert(key.to_owned(), typed(schema, key, value)?);
    }
    Ok(arguments)
}

/// Any JSON value that nothing describes: `--args` as it is, or, with `KEY=VALUE`, an object.
pub fn free_value(pairs: &[String], args: Option<&str>) -> Result<Value> {
    match args {
        Some(text) if pairs.is_empty() => serde_json::from_str(text).map_err(|e| {
            CliError::usage(format_args!("--args is no JSON: {e}")).next("text stands in quotes: '\"text\"'")
        }),
        args => arguments(&Value::Bool(true), pairs, args).map(Value::Object),
    }
}

/// What JSON calls a type; `Integer` is JSON Schema's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Null, Self::Boolean, Self::Integer, Self::Number, Self::String, Self::Array, Self::Object];

    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "true or false",
            Self::Integer => "5",
            Self::Number => "2.5",
            Self::String => "text",
            Self::Array => "'[\"a\", \"b\"]'",
            Self::Object => "'{\"a\": 1}'",
        }
    }

    fn admits(self, value: &Value) -> bool {
        let kind = kind_of(value);
        kind == self || (self == Self::Number && kind == Self::Integer)
    }
}

fn kind_of(value: &Value) -> Kind {
    match value {
        Value::Null => Kind::Null,
        Value::Bool(_) => Kind::Boolean,
        Value::Number(number) if number.is_f64() => {
            // 5.0 is an integer to JSON Schema.
            if number.as_f64().is_some_and(|n| n.fract() == 0.0) { Kind::Integer } else { Kind::Number }
        }
        Value::Number(_) => Kind::Integer,
        Value::String(_) => Kind::String,
        Value::Array(_) => Kind::Array,
        Value::Object(_) => Kind::Object,
    }
}

fn typed(schema: &Value, key: &str, text: &str) -> Result<Value> {
    let mut kinds = Vec::new();
    match schema.pointer("/properties").and_then(|properties| properties.get(key)) {
        Some(property) => collect_kinds(schema, property, &mut kinds, 0),
        None => known_or_free(schema, key)?,
    }
    let free = kinds.is_empty();
    let text_is_fine = free || kinds.contains(&Kind::String);
    let others: Vec<Kind> = if free { Kind::ALL.to_vec() } else { kinds };
    let parsed = serde_json::from_str::<Value>(text).ok();
    // Text stays text, whatever it looks like, unless the schema takes something else too.
    if let Some(value) = parsed
        && others.iter().any(|kind| *kind != Kind::String && kind.admits(&value))
    {
        return Ok(value);
    }
    if text_is_fine {
        return Ok(Value::String(text.to_owned()));
    }
    let names: Vec<&str> = others.iter().map(|kind| kind.name()).collect();
    let example = match schema.pointer("/properties").and_then(|properties| properties.get(key)) {
        Some(property) if others.first() == Some(&Kind::Array) && holds_arrays(schema, property) => {
            format!("'{}'", example_of(schema, property, 0))
        }
        _ => others.first().map_or("text", |kind| kind.example()).to_owned(),
    };
    Err(CliError::usage(format_args!("{key}: '{text}' is no {}", names.join(" or ")))
        .next(format!("for example: {key}={example}")))
}

/// Such as the pairs of a mapping whose keys are no texts.
fn holds_arrays(root: &Value, schema: &Value) -> bool {
    items_of(root, schema).iter().any(|item| first_kind(root, item) == Some(Kind::Array))
}

fn first_kind(root: &Value, schema: &Value) -> Option<Kind> {
    let mut kinds = Vec::new();
    collect_kinds(root, schema, &mut kinds, 0);
    kinds.first().copied()
}

/// The schemas of an array's elements by their places; one for all of them, where places make no difference.
fn items_of<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let referred = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
    let schema = referred.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema);
    match schema.get("prefixItems").and_then(Value::as_array) {
        Some(places) => places.iter().collect(),
        None => schema.get("items").into_iter().collect(),
    }
}

/// A value of this shape.
fn example_of(root: &Value, schema: &Value, depth: usize) -> Value {
    match first_kind(root, schema) {
        Some(Kind::Array) if depth < MAX_SCHEMA_DEPTH => {
            items_of(root, schema).into_iter().map(|item| example_of(root, item, depth + 1)).collect()
        }
        Some(Kind::Array) => Value::Array(Vec::new()),
        Some(Kind::Null) => Value::Null,
        Some(Kind::Boolean) => Value::Bool(true),
        Some(Kind::Integer) => 1.into(),
        Some(Kind::Number) => 2.5.into(),
        Some(Kind::Object) => Value::Object(Map::new()),
        Some(Kind::String) | None => "x".into(),
    }
}

/// An argument that the schema does not name: an error where it says that there is no other.
fn known_or_free(schema: &Value, key: &str) -> Result<()> {
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Ok(());
    }
    let known: Vec<&str> = match schema.get("properties").and_then(Value::as_object) {
        Some(properties) => properties.keys().map(String::as_str).collect(),
        None => Vec::new(),
    };
    let error = CliError::usage(format_args!("the tool has no argument '{key}'"));
    Err(if known.is_empty() {
        error.next("call it without arguments")
    } else {
        error.next(format!("it takes: {}", known.join(", ")))
    })
}

/// A schema that refers to itself ends here.
const MAX_SCHEMA_DEPTH: usize = 8;

/// The types that a schema lets through; empty means any.
fn collect_kinds(root: &Value, schema: &Value, kinds: &mut Vec<Kind>, depth: usize) {
    if depth > MAX_SCHEMA_DEPTH {
        return;
    }
    let mut add = |kind: Kind| {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    };
    let by_name = |name: &Value| Kind::ALL.into_iter().find(|kind| Some(kind.name()) == name.as_str());
    match schema.get("type") {
        Some(Value::Array(names)) => names.iter().filter_map(by_name).for_each(&mut add),
        Some(name) => by_name(name).into_iter().for_each(&mut add),
        None => {
            let values = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
            values.chain(schema.get("const")).map(kind_of).for_each(&mut add);
        }
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str)
        && let Some(pointer) = target.strip_prefix('#')
        && let Some(target) = root.pointer(pointer)
    {
        collect_kinds(root, target, kinds, depth + 1);
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        for branch in schema.get(word).and_then(Value::as_array).into_iter().flatten() {
            collect_kinds(root, branch, kinds, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "topic": { "type": "string" },
                "chapters": { "type": "integer" },
                "price": { "type": "number" },
                "deep": { "type": "boolean" },
                "tags": { "type": "array" },
                "where": { "$ref": "#/$defs/place" },
                "note": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
                "count": { "type": ["integer", "string"] },
                "mood": { "enum": ["good", "bad"] },
                "anything": {},
            },
            "$defs": { "place": { "type": "object" } },
            "additionalProperties": false,
        })
    }

    fn parse(pairs: &[&str]) -> Result<Value> {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        arguments(&schema(), &pairs, None).map(Value::Object)
    }

    #[test]
    fn values_get_the_type_that_the_schema_names() {
        let pairs = [
            "topic=123",
            "chapters=5",
            "price=2",
            "deep=true",
            "tags=[1]",
            "where={\"x\":1}",
            "note=true",
            "count=18446744073709551615",
            "mood=good",
            "anything=a=b",
        ];
        let expected = json!({
            "topic": "123", "chapters": 5, "price": 2, "deep": true, "tags": [1], "where": { "x": 1 }, "note": "true",
            "count": u64::MAX, "mood": "good", "anything": "a=b",
        });
        assert_eq!(parse(&pairs), Ok(expected));
        assert_eq!(
            parse(&["note=null", "topic=", "anything=7"]),
            Ok(json!({ "note": null, "topic": "", "anything": 7 }))
        );
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused_with_an_example() {
        for (pair, said) in [
            ("chapters=many", "chapters: 'many' is no integer"),
            ("chapters=1.5", "chapters: '1.5' is no integer"),
            ("deep=yes", "deep: 'yes' is no boolean"),
            ("tags=a,b", "tags: 'a,b' is no array"),
            ("pages=3", "the tool has no argument 'pages'"),
            ("=3", "'=3' is no KEY=VALUE"),
            ("topic", "'topic' is no KEY=VALUE"),
        ] {
            let error = parse(&[pair]).expect_err(pair);
            assert_eq!((error.exit, error.message.as_str()), (Exit::Usage, said));
            assert!(error.next.is_some(), "{pair}");
        }
        assert!(parse(&["topic=a", "topic=b"]).is_err());
    }

    #[test]
    fn the_example_for_a_mapping_is_one_that_it_takes() {
        let pair = |key: &str, value: Value| {
            json!({"type": "array", "items": {
                "type": "array", "prefixItems": [{"type": key}, value], "items": {}, "minItems": 2, "maxItems": 2,
            }})
        };
        for (property, example) in [
            (pair("integer", json!({"type": "string"})), r#"m='[[1,"x"]]'"#),
            (pair("boolean", json!({"type": "number"})), "m='[[true,2.5]]'"),
            (pair("integer", pair("integer", json!({"type": "null"}))), "m='[[1,[[1,null]]]]'"),
            (json!({"type": "array", "items": {"$ref": "#/$defs/row"}}), r#"m='[["x"]]'"#),
            (json!({"type": "array", "items": {"type": "string"}}), r#"m='["a", "b"]'"#),
        ] {
            let schema = json!({
                "type": "object", "properties": {"m": property},
                "$defs": {"row": {"type": "array", "items": {"type": "string"}}},
            });
            let pairs = [r#"m={"1":"x"}"#.to_owned()];
            let next = arguments(&schema, &pairs, None).expect_err("an object").next.expect("advice");
            assert_eq!(next, format!("for example: {example}"));
            let advised = [next.trim_start_matches("for example: ").replace('\'', "")];
            assert!(arguments(&schema, &advised, None).is_ok(), "{advised:?}");
        }
    }

    #[test]
    fn pairs_stand_on_top_of_args() {
        let merged =
            arguments(&schema(), &["chapters=2".to_owned()], Some(r#"{"topic":"sea","chapters":9}"#));
        assert_eq!(merged.map(Value::Object), Ok(json!({ "topic": "sea", "chapters": 2 })));
        assert!(arguments(&schema(), &[], Some("[1]")).expect_err("no object").message.contains("array"));
        assert!(arguments(&schema(), &[], Some("{")).is_err());
    }

    #[test]
    fn a_free_value_is_any_json_or_an_object_of_pairs() {
        assert_eq!(free_value(&[], None), Ok(json!({})));
        assert_eq!(free_value(&[], Some("[1]")), Ok(json!([1])));
        assert_eq!(free_value(&["a=1".to_owned(), "b=x".to_owned()], None), Ok(json!({ "a": 1, "b": "x" })));
        assert!(free_value(&[], Some("text")).is_err());
        assert!(free_value(&["a=1".to_owned()], Some("[1]")).is_err());
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({ "properties": { "x": { "$ref": "#/properties/x" } } });
        assert_eq!(arguments(&schema, &["x=1".to_owned()], None).map(Value::Object), Ok(json!({ "x": 1 })));
    }
}
