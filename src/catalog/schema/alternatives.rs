//! What a value may be where a schema offers alternatives and none was met: cases of a variant, values of an
//! enumeration. The author of the value learns them all.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::limits;

/// The alternatives at the place of this error, if it is about some and they are short: `"red", {"rgb": …}`.
pub fn alternatives(schema: &Value, error: &ValidationError<'_>) -> Option<String> {
    let mut forms = Vec::new();
    match error.kind() {
        ValidationErrorKind::Enum { options } => {
            forms.extend(options.as_array()?.iter().map(Value::to_string))
        }
        ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            for branch in branches(schema, error)? {
                forms_of(schema, branch, &mut forms)?;
            }
        }
        _ => return None,
    }
    let more = forms.len() > limits::MAX_SHOWN_ALTERNATIVES;
    forms.truncate(limits::MAX_SHOWN_ALTERNATIVES);
    if more {
        forms.push("…".to_owned());
    }
    Some(forms.join(", "))
}

/// The error inside the one alternative that was meant: `{"rgb": "x"}` means the case `rgb`, whatever is wrong with it.
pub fn meant<'a>(schema: &Value, error: &'a ValidationError<'_>) -> Option<&'a ValidationError<'static>> {
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) =
        error.kind()
    else {
        return None;
    };
    let instance = error.instance();
    let object = instance.as_object().filter(|object| object.len() == 1)?;
    let at = branches(schema, error)?
        .iter()
        .position(|branch| case_of(resolved(schema, branch)).is_some_and(|name| object.contains_key(name)))?;
    context.get(at)?.first()
}

fn branches<'a>(schema: &'a Value, error: &ValidationError<'_>) -> Option<&'a Vec<Value>> {
    schema.pointer(error.schema_path().as_str())?.as_array()
}

fn resolved<'a>(schema: &'a Value, branch: &'a Value) -> &'a Value {
    let target = branch.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
    target.and_then(|pointer| schema.pointer(pointer)).unwrap_or(branch)
}

/// `None` where an alternative takes more than a few words.
fn forms_of(schema: &Value, branch: &Value, forms: &mut Vec<String>) -> Option<()> {
    let branch = resolved(schema, branch);
    if let Some(values) = branch.get("enum").and_then(Value::as_array) {
        forms.extend(values.iter().map(Value::to_string));
    } else if let Some(value) = branch.get("const") {
        forms.push(value.to_string());
    } else if let Some(name) = case_of(branch) {
        forms.push(format!("{{{}: …}}", Value::from(name)));
    } else {
        forms.push(of_type(branch.get("type")?.as_str()?, branch)?);
    }
    Some(())
}

/// The name of a case with a payload: of an object with this field alone.
fn case_of(branch: &Value) -> Option<&str> {
    match branch.get("required")?.as_array()?.as_slice() {
        [Value::String(name)] if branch.get("properties")?.as_object()?.len() == 1 => Some(name),
        _ => None,
    }
}

fn of_type(name: &str, branch: &Value) -> Option<String> {
    Some(match (name, branch.get("minimum"), branch.get("maximum")) {
        ("null", ..) => "null".to_owned(),
        ("integer", Some(least), Some(most)) => format!("an integer from {least} to {most}"),
        ("integer", ..) => "an integer".to_owned(),
        ("string", ..) if branch.get("pattern").is_some() => "a string of a certain form".to_owned(),
        ("string" | "number" | "boolean", ..) => format!("a {name}"),
        ("array" | "object", ..) => format!("an {name}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::catalog::Schema;

    /// What is said of a value of the one argument `a`.
    fn explain(argument: serde_json::Value, value: serde_json::Value) -> String {
        let schema = Schema::of_arguments(&json!({
            "type": "object", "properties": {"a": argument},
            "$defs": {"dot": {"type": "object", "properties": {"dot": {"type": "integer"}}, "required": ["dot"]}},
        }));
        schema.unwrap().check(&json!({ "a": value })).unwrap_err()[0].to_string()
    }

    #[test]
    fn a_wrong_value_is_told_with_all_there_are() {
        let colours = json!({"enum": ["red", "green", "blue", "pink", "grey"]});
        assert_eq!(
            explain(colours.clone(), json!("rot")),
            r#"at /a: "rot" is not one of "red", "green", "blue", "pink", "grey""#
        );
        assert_eq!(
            explain(json!({"type": "array", "items": colours}), json!(["red", 7])),
            r#"at /a/1: 7 is not one of "red", "green", "blue", "pink", "grey""#
        );
        let many: Vec<String> = (0..100).map(|number| format!("n{number}")).collect();
        let seen = explain(json!({"enum": many}), json!("n"));
        assert!(seen.ends_with(r#""n19", …"#), "{seen}");
    }

    #[test]
    fn a_wrong_case_is_told_with_all_there_are() {
        let shape = json!({"anyOf": [
            {"type": "string", "enum": ["none", "all"]},
            {"type": "object", "properties": {"line": {"type": "integer"}}, "required": ["line"], "additionalProperties": false},
            {"$ref": "#/$defs/dot"},
            {"type": "null"},
        ]});
        let all = r#""none", "all", {"line": …}, {"dot": …}, null"#;
        assert_eq!(explain(shape.clone(), json!("lines")), format!(r#"at /a: "lines" is not one of {all}"#));
        assert_eq!(
            explain(shape.clone(), json!({"Line": 1})),
            format!("at /a: the value is not one of {all}")
        );
        assert_eq!(explain(shape.clone(), json!([])), format!("at /a: the value is not one of {all}"));
        assert_eq!(
            explain(shape.clone(), json!({"line": "x"})),
            r#"at /a/line: "x" is not of type "integer""#
        );
        assert_eq!(explain(shape, json!({"dot": "x"})), r#"at /a/dot: "x" is not of type "integer""#);
    }

    #[test]
    fn alternatives_of_types_are_told_by_their_types() {
        let long = json!({"anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 9}, {"type": "string", "pattern": "^[0-9]+$"},
        ]});
        assert_eq!(
            explain(long, json!(10)),
            "at /a: 10 is not one of an integer from 0 to 9, a string of a certain form"
        );
        let unsaid =
            explain(json!({"oneOf": [{"not": {}}, {"minimum": 5, "type": ["integer", "null"]}]}), json!(1));
        assert!(unsaid.contains("'oneOf'"), "{unsaid}");
    }
}
