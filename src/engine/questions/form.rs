//! What a form may ask for: an object of plain fields, as MCP has it, so that any client can draw it.

use serde_json::Value;

use crate::catalog::{Schema, show_hidden};
use crate::limits;

/// Whether people can be asked to fill this in; the error says what is wrong with it and what may stand there.
pub fn check_form(schema: &Value) -> Result<(), String> {
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else {
        return Err("the schema of a form is {\"type\": \"object\", \"properties\": {…}}".to_owned());
    };
    if fields.len() > limits::MAX_FORM_FIELDS {
        return Err(format!(
            "the form has {} fields; at most {} are taken",
            fields.len(),
            limits::MAX_FORM_FIELDS
        ));
    }
    for (name, field) in fields {
        if !is_plain(field) {
            return Err(format!(
                "the field '{name}' is no plain one: a field is a string, number, integer or boolean, a choice (enum, or \
                 oneOf of const and title), or an array of choices"
            ));
        }
    }
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !required.as_str().is_some_and(|name| fields.contains_key(name)) {
            return Err(format!("the form requires {required}, which is none of its fields"));
        }
    }
    Schema::of_arguments(schema).map(drop).map_err(|error| error.to_string())
}

fn is_plain(field: &Value) -> bool {
    match field.get("type").and_then(Value::as_str) {
        Some("string" | "number" | "integer" | "boolean") => true,
        Some("array") => {
            field.get("items").is_some_and(|items| is_choice(items, "anyOf") || is_choice(items, "oneOf"))
        }
        Some(_) => false,
        None => is_choice(field, "oneOf") || is_choice(field, "anyOf"),
    }
}

fn is_choice(field: &Value, titled: &str) -> bool {
    let names = |value: &Value| {
        value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(Value::is_string))
    };
    let consts = |value: &Value| {
        let all = value.as_array();
        all.is_some_and(|all| {
            !all.is_empty() && all.iter().all(|one| one.get("const").is_some_and(Value::is_string))
        })
    };
    field.get("enum").is_some_and(names) || field.get(titled).is_some_and(consts)
}

/// An answer in the form's own names and choices: people are shown those with what is hidden spelled out.
pub fn restore(form: &Value, content: Value) -> Value {
    let (Some(fields), Value::Object(given)) = (form["properties"].as_object(), &content) else {
        return content;
    };
    let own = |(name, value): (&String, &Value)| {
        let meant = original(name, fields.keys().map(String::as_str));
        let field = fields.get(&meant).unwrap_or(&Value::Null);
        let value = match value {
            Value::Array(chosen) => chosen.iter().map(|one| choice(&field["items"], one)).collect(),
            one => choice(field, one),
        };
        (meant, value)
    };
    Value::Object(given.iter().map(own).collect())
}

fn choice(field: &Value, given: &Value) -> Value {
    let Value::String(text) = given else { return given.clone() };
    let titled = ["oneOf", "anyOf"].into_iter().filter_map(|kind| field[kind].as_array()).flatten();
    let named = field["enum"].as_array().into_iter().flatten();
    let all = named.chain(titled.map(|one| &one["const"]));
    Value::String(original(text, all.filter_map(Value::as_str)))
}

/// The one of `all` that is meant by a text as it was shown, or the text itself.
fn original<'a>(text: &str, mut all: impl Iterator<Item = &'a str> + Clone) -> String {
    let is_there = all.clone().any(|one| one == text);
    let meant = if is_there { None } else { all.find(|one| show_hidden(one) == text) };
    meant.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form(field: Value) -> Value {
        json!({"type": "object", "properties": {"f": field}, "required": ["f"]})
    }

    #[test]
    fn plain_fields_and_choices_are_taken() {
        for field in [
            json!({"type": "boolean", "default": true}),
            json!({"type": "integer", "minimum": 1}),
            json!({"type": "string", "format": "email"}),
            json!({"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"]}),
            json!({"oneOf": [{"const": "a", "title": "A"}]}),
            json!({"type": "array", "items": {"type": "string", "enum": ["a"]}, "minItems": 1}),
            json!({"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}}),
        ] {
            assert_eq!(check_form(&form(field.clone())), Ok(()), "{field}");
        }
    }

    #[test]
    fn what_no_client_can_draw_is_refused_with_its_name() {
        for field in [
            json!({"type": "object", "properties": {}}),
            json!({"type": "array", "items": {"type": "string"}}),
            json!({"$ref": "#/$defs/x"}),
            json!({}),
        ] {
            let why = check_form(&form(field.clone())).expect_err("no plain field");
            assert!(why.contains("'f'"), "{field}: {why}");
        }
        assert!(check_form(&json!({"type": "string"})).is_err());
        let missing = json!({"type": "object", "properties": {}, "required": ["g"]});
        assert!(check_form(&missing).expect_err("missing").contains("\"g\""));
        assert!(check_form(&form(json!({"type": "string", "pattern": "("}))).is_err());
    }

    #[test]
    fn an_answer_by_what_was_shown_is_one_to_what_was_asked() {
        let form = json!({"type": "object", "properties": {
            "pay\u{200b}": {"type": "boolean"},
            "way": {"enum": ["by\u{202e}air", "by rail"]},
            "class": {"oneOf": [{"const": "1\u{e0031}", "title": "first"}]},
            "days": {"type": "array", "items": {"enum": ["mon\u{ad}", "tue"]}},
            "note": {"type": "string"},
        }});
        let shown = crate::catalog::show_value(form.clone());
        assert!(crate::catalog::find_hidden(&shown.to_string()).is_none(), "{shown}");
        let given = json!({
            "pay\\u{200b}": true, "way": "by\\u{202e}air", "class": "1\\u{e0031}", "days": ["tue", "mon\\u{ad}"],
            "note": "by\\u{202e}air",
        });
        let meant = json!({
            "pay\u{200b}": true, "way": "by\u{202e}air", "class": "1\u{e0031}", "days": ["tue", "mon\u{ad}"],
            "note": "by\\u{202e}air",
        });
        assert_eq!(restore(&form, given), meant);
        assert_eq!(restore(&form, meant.clone()), meant);
        assert_eq!(restore(&form, json!("no object")), json!("no object"));
    }
}
