//! Schemas of requests and responses as hosts of any kind bear them: no references, no format of Rust's numbers, and
//! what may be left out is left out, not null.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// Of the arguments that `T` is read from.
pub fn of_request<T: JsonSchema>() -> Value {
    let mut schema = generated::<T>(SchemaSettings::draft2020_12().for_deserialize());
    if let Some(fields) = schema.as_object_mut() {
        fields.entry("properties").or_insert_with(|| json!({}));
        fields.entry("required").or_insert_with(|| json!([]));
    }
    schema
}

/// Of what `T` is written as.
pub fn of_response<T: JsonSchema>() -> Value {
    let mut schema = generated::<T>(SchemaSettings::draft2020_12().for_serialize());
    // A bound that the type has anyway is of no use to a reader.
    each_object(&mut schema, &mut |fields| {
        if fields.get("minimum") == Some(&json!(0)) {
            fields.remove("minimum");
        }
    });
    schema
}

fn generated<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let settings = settings.with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    // The name and the comment of the type are for readers of the source.
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("title");
        fields.remove("description");
    }
    each_object(&mut schema, &mut tidy);
    schema
}

fn tidy(fields: &mut Map<String, Value>) {
    if fields.get("format").is_some_and(is_of_rust) {
        fields.remove("format");
    }
    if fields.get("default") == Some(&Value::Null) {
        fields.remove("default");
    }
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [one] = &types[..] {
            let one = one.clone();
            fields.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(choices)) = fields.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    // An option of what has a schema of several fields is one of two alternatives.
    let one_of_two = match fields.get_mut("anyOf").map(Value::take) {
        Some(Value::Array(forms)) if forms.len() == 2 && forms[1] == json!({ "type": "null" }) => forms,
        Some(forms) => return drop(fields.insert("anyOf".to_owned(), forms)),
        None => return,
    };
    fields.remove("anyOf");
    if let Some(Value::Object(inner)) = one_of_two.into_iter().next() {
        for (name, value) in inner {
            fields.entry(name).or_insert(value);
        }
    }
}

fn is_of_rust(format: &Value) -> bool {
    matches!(format.as_str(), Some("uint" | "uint8" | "uint32" | "uint64" | "int32" | "int64"))
}

/// Outermost last.
fn each_object(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(|field| each_object(field, change));
            change(fields);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_object(item, change)),
        _ => {}
    }
}

/// Any JSON, with each type written out: some frameworks take a property without a type for a text.
pub fn any_json(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [
            { "type": "object", "properties": {}, "additionalProperties": true },
            { "type": "array", "items": {} },
            { "type": "string" },
            { "type": "number" },
            { "type": "boolean" },
            { "type": "null" },
        ],
    })
}

/// An object of any fields.
pub fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "properties": {}, "additionalProperties": true })
}

/// Something of which nothing is said.
pub fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({})
}
