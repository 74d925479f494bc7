use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::catalog::Schema;
use crate::task::canonical;

fn accepted(schema: &Value, value: &Value) -> Result<Value, String> {
    let schema = Schema::compile(schema).expect("a schema");
    schema
        .accept(value)
        .map(std::borrow::Cow::into_owned)
        .map_err(|violations| violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

#[test]
fn a_null_that_is_neither_required_nor_admitted_is_left_out() {
    let schema = json!({
        "type": "object",
        "properties": {
            "topic": {"type": "string"},
            "steps": {"type": "integer"},
            "kind": {"enum": ["a", "b"]},
            "fixed": {"const": 1},
            "maybe": {"type": ["string", "null"]},
            "either": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "one": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            "not": {"not": {"type": "null"}},
            "any": {"description": "Any JSON."},
            "named": {"$ref": "#/$defs/text"},
            "nullable": {"type": "string", "nullable": true},
            "when": {"if": {"type": "null"}, "then": false},
            "nest": {"$ref": "#/$defs/nest"},
            "list": {"type": "array", "items": {"allOf": [{"$ref": "#/$defs/nest"}, {"properties": {"c": {"type": "boolean"}}}]}},
            "env": {"type": "object", "additionalProperties": {"type": "string"}},
            "open": {"type": "object"},
        },
        "patternProperties": {"^x-": {"type": "string"}},
        "required": ["topic"],
        "additionalProperties": false,
        "$defs": {
            "text": {"type": "string", "minLength": 1},
            "nest": {"type": "object", "properties": {"a": {"type": "integer"}, "b/~": {"type": "string"}, "in": {"$ref": "#/$defs/nest"}}, "required": ["a"]},
        },
    });
    for (sent, taken) in [
        (json!({"steps": null}), json!({})),
        (json!({"kind": null, "fixed": null, "one": null, "not": null, "named": null}), json!({})),
        (json!({"nullable": null, "when": null, "x-y": null, "nest": null, "list": null}), json!({})),
        (
            json!({"maybe": null, "either": null, "any": null, "steps": null}),
            json!({"maybe": null, "either": null, "any": null}),
        ),
        (
            json!({"nest": {"a": 1, "b/~": null, "in": {"a": 2, "in": null}}}),
            json!({"nest": {"a": 1, "in": {"a": 2}}}),
        ),
        (
            json!({"list": [{"a": 1, "c": null}, {"a": 2.0, "in": null}]}),
            json!({"list": [{"a": 1}, {"a": 2}]}),
        ),
        (json!({"env": {"A": null, "B": "b"}}), json!({"env": {"B": "b"}})),
        // It knows nothing of what is in there.
        (json!({"open": {"a": null}, "steps": null}), json!({"open": {"a": null}})),
    ] {
        let with_topic = |mut value: Value| {
            value["topic"] = json!("t");
            value
        };
        let (sent, taken) = (with_topic(sent), with_topic(taken));
        let got = accepted(&schema, &sent).expect("it fits");
        assert_eq!(canonical(&got), canonical(&taken), "{sent}");
    }
    for (sent, named) in [
        (json!({"topic": null}), "/topic"),
        (json!({"topic": "t", "nest": {"a": null}}), "/nest/a"),
        (json!({"topic": "t", "list": [null]}), "/list/0"),
        (json!({"topic": "t", "unknown": null, "steps": null}), "unknown"),
        // The error names what is wrong, not what was left out.
        (json!({"topic": 1, "steps": null}), "/topic"),
    ] {
        let seen = accepted(&schema, &sent).expect_err("it does not fit");
        assert!(seen.contains(named) && !seen.contains("steps"), "{sent}: {seen}");
    }
}

#[test]
fn in_branches_goes_what_has_to_and_stays_what_fits() {
    let schema = json!({
        "type": "object",
        "properties": {"shape": {"anyOf": [{"$ref": "#/$defs/circle"}, {"$ref": "#/$defs/square"}]}},
        "required": ["shape"],
        "$defs": {
            "circle": {
                "type": "object",
                "properties": {"kind": {"const": "circle"}, "r": {"type": "number"}, "name": {"type": ["string", "null"]}, "note": {"type": "string"}},
                "required": ["kind", "r"], "additionalProperties": false,
            },
            "square": {
                "type": "object",
                "properties": {"kind": {"const": "square"}, "side": {"type": "number"}, "name": {"type": "string"}},
                "required": ["kind"], "additionalProperties": false,
            },
        },
    });
    let shape =
        |value: Value| accepted(&schema, &json!({"shape": value})).map(|mut taken| taken["shape"].take());
    assert_eq!(
        shape(json!({"kind": "circle", "r": 1.5, "name": null, "note": null, "side": null})),
        Ok(json!({"kind": "circle", "r": 1.5, "name": null}))
    );
    assert_eq!(
        shape(json!({"kind": "square", "r": null, "name": null, "side": null})),
        Ok(json!({"kind": "square"}))
    );
    assert!(shape(json!({"kind": "circle", "r": null})).is_err(), "it is required there");
    assert!(shape(json!({"kind": "square", "other": null})).is_err(), "no branch knows it");
    // More than are tried one by one.
    let many: Map<String, Value> = (0..crate::limits::MAX_NULLS_TRIED + 1)
        .map(|number| (format!("p{number}"), json!({"type": "string"})))
        .collect();
    let nulls: Map<String, Value> = many.keys().map(|name| (name.clone(), Value::Null)).collect();
    let wide = json!({"anyOf": [{"type": "object", "properties": many, "minProperties": 0, "additionalProperties": false}, {"type": "string"}]});
    assert_eq!(accepted(&wide, &Value::Object(nulls)), Ok(json!({})));
}

/// A schema, and what its author means by it.
#[derive(Clone, Debug)]
enum Shape {
    Text,
    Count,
    TextOrNull,
    Anything,
    One(Vec<&'static str>),
    List(Box<Shape>),
    Object(Vec<(bool, Shape)>),
}

#[derive(Clone, Copy, Debug)]
enum Style {
    Plain,
    Reference,
    AllOf,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let leaves = prop_oneof![
        Just(Shape::Text),
        Just(Shape::Count),
        Just(Shape::TextOrNull),
        Just(Shape::Anything),
        Just(Shape::One(vec!["a", "b"])),
    ];
    leaves.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|shape| Shape::List(Box::new(shape))),
            prop::collection::vec((any::<bool>(), inner), 0..4).prop_map(Shape::Object),
        ]
    })
}

fn admits_null(shape: &Shape) -> bool {
    matches!(shape, Shape::TextOrNull | Shape::Anything)
}

/// The schema as JSON, written in the style; what it refers to is added to `named`.
fn written(shape: &Shape, style: Style, named: &mut Map<String, Value>) -> Value {
    let plain = match shape {
        Shape::Text => json!({"type": "string"}),
        Shape::Count => json!({"type": "integer"}),
        Shape::TextOrNull => json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
        Shape::Anything => json!({}),
        Shape::One(names) => json!({"type": "string", "enum": names}),
        Shape::List(inner) => json!({"type": "array", "items": written(inner, style, named)}),
        Shape::Object(fields) => {
            let mut properties = Map::new();
            let mut required = Vec::new();
            for (place, (is_required, shape)) in fields.iter().enumerate() {
                properties.insert(format!("p{place}"), written(shape, style, named));
                required.extend(is_required.then(|| format!("p{place}")));
            }
            json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
        }
    };
    match style {
        Style::Plain => plain,
        Style::AllOf => json!({"allOf": [plain]}),
        Style::Reference => {
            let name = format!("n{}", named.len());
            named.insert(name.clone(), plain);
            json!({"$ref": format!("#/$defs/{name}")})
        }
    }
}

/// A value with nulls for what is left out, and the value that is meant.
fn value_of(shape: &Shape, choices: &mut impl Iterator<Item = u8>) -> (Value, Value) {
    let both = |value: Value| (value.clone(), value);
    match shape {
        Shape::Text | Shape::TextOrNull | Shape::Anything => both(json!("t")),
        Shape::Count => both(json!(7)),
        Shape::One(names) => both(json!(names[0])),
        Shape::List(inner) => {
            let of = (0..choices.next().unwrap_or(0) % 3).map(|_| value_of(inner, choices));
            let (sent, meant): (Vec<Value>, Vec<Value>) = of.unzip();
            (json!(sent), json!(meant))
        }
        Shape::Object(fields) => {
            let (mut sent, mut meant) = (Map::new(), Map::new());
            for (place, (is_required, shape)) in fields.iter().enumerate() {
                let name = format!("p{place}");
                match choices.next().unwrap_or(0) % 3 {
                    0 if !is_required => {}
                    1 if !is_required || admits_null(shape) => {
                        if admits_null(shape) {
                            meant.insert(name.clone(), Value::Null);
                        }
                        sent.insert(name, Value::Null);
                    }
                    _ => {
                        let (given, understood) = value_of(shape, choices);
                        sent.insert(name.clone(), given);
                        meant.insert(name, understood);
                    }
                }
            }
            (Value::Object(sent), Value::Object(meant))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_taken_is_what_was_meant(
        fields in prop::collection::vec((any::<bool>(), shapes()), 1..5),
        style in prop_oneof![Just(Style::Plain), Just(Style::Reference), Just(Style::AllOf)],
        choices in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let shape = Shape::Object(fields);
        let mut named = Map::new();
        let mut schema = json!({"type": "object", "allOf": [written(&shape, style, &mut named)]});
        schema["$defs"] = Value::Object(named);
        let (sent, meant) = value_of(&shape, &mut choices.into_iter());
        let taken = accepted(&schema, &sent);
        prop_assert_eq!(taken.as_ref().map(canonical), Ok(canonical(&meant)), "{} for {}", sent, schema);
        let again = accepted(&schema, &meant);
        prop_assert_eq!(again.as_ref().map(canonical), Ok(canonical(&meant)));
    }
}
