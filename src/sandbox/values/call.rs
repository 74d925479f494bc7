use serde_json::{Map, Value, json};
use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{Type, Val};

use super::json::{JsonError, from_val, object};
use super::schema::{SchemaError, SchemaRoom, object_schema, schema};
use super::types::Mismatch;
use crate::task::ToolResult;

/// The schema of a typed export's arguments: an object with one property a parameter.
pub fn input_schema(func: &ComponentFunc, room: &mut SchemaRoom) -> Result<Value, SchemaError> {
    object_schema(func.params(), room)
}

/// The schema of the structured content that [`tool_result`] gives where the tool reports no error.
pub fn output_schema(func: &ComponentFunc, room: &mut SchemaRoom) -> Result<Value, SchemaError> {
    let Some(ty) = success(func) else { return object_schema(std::iter::empty(), room) };
    let own = schema(&ty, room)?;
    if is_object(&ty) {
        return Ok(own);
    }
    Ok(json!({
        "type": "object",
        "properties": { "result": own },
        "required": ["result"],
        "additionalProperties": false,
    }))
}

/// The parameters of one call, from the text of a JSON object.
pub fn arguments(func: &ComponentFunc, text: &str) -> Result<Vec<Val>, JsonError> {
    let json: Value = serde_json::from_str(text)
        .map_err(|error| JsonError::new(format!("the arguments are no JSON document: {error}")))?;
    let params: Vec<_> = func.params().collect();
    object(&params, &json, 0)
}

/// What a typed export's return means: the `err` of an outer `result` is the tool's own error.
pub fn tool_result(func: &ComponentFunc, results: &[Val]) -> Result<ToolResult, Mismatch> {
    let Some(ty) = func.results().next() else {
        return if results.is_empty() {
            Ok(structured(Value::Object(Map::new()), true))
        } else {
            Err(Mismatch { expected: "result of a function without one" })
        };
    };
    let [val] = results else { return Err(Mismatch { expected: "single result" }) };
    let (ty, val) = match (&ty, val) {
        (Type::Result(result), Val::Result(Ok(val))) => (result.ok(), val.as_deref()),
        (Type::Result(result), Val::Result(Err(val))) => {
            return Ok(ToolResult::error(match (result.err(), val) {
                (Some(ty), Some(val)) => readable(&from_val(&ty, val)?),
                (None, None) => "the tool reports an error and says no more".to_owned(),
                _ => return Err(Mismatch { expected: "payload of err" }),
            }));
        }
        (ty, val) => (Some(ty.clone()), Some(val)),
    };
    match (ty, val) {
        (Some(ty), Some(val)) => Ok(structured(from_val(&ty, val)?, is_object(&ty))),
        (None, None) => Ok(structured(Value::Object(Map::new()), true)),
        _ => Err(Mismatch { expected: "payload of ok" }),
    }
}

/// What the function gives where all goes well.
fn success(func: &ComponentFunc) -> Option<Type> {
    match func.results().next()? {
        Type::Result(result) => result.ok(),
        ty => Some(ty),
    }
}

/// Whether each value of the type is a JSON object, as structured content has to be.
fn is_object(ty: &Type) -> bool {
    match ty {
        Type::Record(_) => true,
        Type::Map(map) => map.key() == Type::String,
        _ => false,
    }
}

fn structured(json: Value, is_object: bool) -> ToolResult {
    let text = readable(&json);
    let json = if is_object { json } else { Value::Object(Map::from_iter([("result".to_owned(), json)])) };
    ToolResult { structured: Some(json.to_string()), ..ToolResult::text(text) }
}

/// A string as it is, anything else as indented JSON.
fn readable(json: &Value) -> String {
    match json {
        Value::String(text) => text.clone(),
        json => format!("{json:#}"),
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::component::Linker;

    use super::super::testing::{component, engine, func};
    use super::*;
    use crate::task::Content;

    /// Functions of every shape of result; `echo` gives its text back, the others are never called.
    const SHAPES: &str = r#"(component
        (core module $m
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "echo") (param i32 i32 i32 i32) (result i32)
                (i32.store (i32.const 16) (local.get 0))
                (i32.store (i32.const 20) (local.get 1))
                (i32.const 16))
            (func (export "none"))
            (func (export "one") (result i32) unreachable))
        (core instance $i (instantiate $m))
        (type $point' (record (field "x-axis" u32)))
        (export $point "point" (type $point'))
        (func (export "echo") (param "some-text" string) (param "up-to" (option u8)) (result string)
            (canon lift (core func $i "echo") (memory $i "memory") (realloc (func $i "realloc"))))
        (func (export "nothing") (canon lift (core func $i "none")))
        (func (export "record") (result $point) (canon lift (core func $i "one")))
        (func (export "empty-result") (result (result)) (canon lift (core func $i "one")))
        (func (export "fallible") (result (result u32 (error string)))
            (canon lift (core func $i "one") (memory $i "memory")))
        (func (export "fails-with-record") (result (result (error $point)))
            (canon lift (core func $i "one") (memory $i "memory")))
        (func (export "maybe") (result (option u32)) (canon lift (core func $i "one") (memory $i "memory"))))"#;

    #[test]
    fn arguments_are_one_object_by_the_rules_of_a_record() {
        let echo = func(&component(SHAPES), "echo");
        let schema = input_schema(&echo, &mut SchemaRoom::default()).unwrap();
        assert_eq!(schema["required"], json!(["some_text"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(
            arguments(&echo, r#"{"some_text": "hi"}"#).unwrap(),
            [Val::String("hi".to_owned()), Val::Option(None)]
        );
        for (text, message) in [
            ("{", "the arguments are no JSON document: EOF while parsing an object at line 1 column 1"),
            ("[]", "expected an object, found an array"),
            ("{}", "\"some_text\" is missing"),
            (r#"{"some_text": "", "up_to": "x"}"#, "/up_to: expected an integer from 0 to 255, found \"x\""),
            (r#"{"some_text": "", "some-text": 1}"#, "unexpected \"some-text\"; known are some_text, up_to"),
        ] {
            assert_eq!(arguments(&echo, text).unwrap_err().to_string(), message);
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(arguments(&echo, &deep).unwrap_err().to_string().contains("recursion limit"));
    }

    #[test]
    fn structured_content_is_an_object_that_fits_the_output_schema() {
        let component = component(SHAPES);
        let point = Val::Record(vec![("x-axis".to_owned(), Val::U32(3))]);
        let cases = [
            ("nothing", vec![], "{}", json!({})),
            ("echo", vec![Val::String("a\nb".to_owned())], "a\nb", json!({"result": "a\nb"})),
            ("record", vec![point], "{\n  \"x_axis\": 3\n}", json!({"x_axis": 3})),
            ("empty-result", vec![Val::Result(Ok(None))], "{}", json!({})),
            ("fallible", vec![Val::Result(Ok(Some(Box::new(Val::U32(7)))))], "7", json!({"result": 7})),
            ("maybe", vec![Val::Option(None)], "null", json!({"result": null})),
        ];
        for (name, vals, text, structured) in cases {
            let func = func(&component, name);
            let result = tool_result(&func, &vals).unwrap();
            assert!(!result.is_error);
            assert_eq!(result.content, [Content::Text(text.to_owned())], "{name}");
            let json: Value = serde_json::from_str(&result.structured.unwrap()).unwrap();
            assert_eq!(json, structured, "{name}");
            let schema = output_schema(&func, &mut SchemaRoom::default()).unwrap();
            assert_eq!(schema["type"], "object", "{name}");
            assert!(jsonschema::draft202012::new(&schema).unwrap().is_valid(&json), "{name}");
        }
    }

    #[test]
    fn an_outer_err_is_the_tools_own_error() {
        let component = component(SHAPES);
        let text = Val::String("no such city".to_owned());
        let record = Val::Record(vec![("x-axis".to_owned(), Val::U32(3))]);
        for (name, payload, text) in [
            ("fallible", Some(text), "no such city"),
            ("fails-with-record", Some(record), "{\n  \"x_axis\": 3\n}"),
            ("empty-result", None, "the tool reports an error and says no more"),
        ] {
            let vals = [Val::Result(Err(payload.map(Box::new)))];
            assert_eq!(tool_result(&func(&component, name), &vals).unwrap(), ToolResult::error(text));
        }
    }

    #[test]
    fn a_real_call_takes_and_gives_these_values() {
        let component = component(SHAPES);
        let echo = func(&component, "echo");
        let mut store = wasmtime::Store::new(engine(), ());
        let instance = Linker::new(engine()).instantiate(&mut store, &component).unwrap();
        let exported = instance.get_func(&mut store, "echo").unwrap();
        let params = arguments(&echo, r#"{"some_text": "smörgås 🦀", "up_to": 200}"#).unwrap();
        let mut results = [Val::Bool(false)];
        exported.call(&mut store, &params, &mut results).unwrap();
        assert_eq!(tool_result(&echo, &results).unwrap().content, [Content::Text("smörgås 🦀".to_owned())]);
    }
}
