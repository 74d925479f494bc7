use proptest::prelude::*;
use serde_json::json;

use super::super::testing::{Dice, Ty, any_ty, component, document, exported_type, mutate, reflect, val};
use super::super::{SchemaError, SchemaRoom};
use super::*;
use crate::catalog::testing::complaints;

fn schema(ty: &Type) -> Result<Value, SchemaError> {
    super::super::schema(ty, &mut SchemaRoom::default())
}

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::draft202012::new(schema).unwrap()
}

proptest! {
    #[test]
    fn a_value_comes_back_from_its_text_and_fits_the_schema(ty in any_ty(), seed: u64) {
        let ty = reflect(&ty);
        let validator = validator(&schema(&ty).unwrap());
        let mut dice = Dice(seed);
        for _ in 0..20 {
            let val = val(&ty, &mut dice);
            let text = from_val(&ty, &val).unwrap().to_string();
            let json: Value = serde_json::from_str(&text).unwrap();
            prop_assert!(validator.is_valid(&json), "{json}");
            prop_assert_eq!(to_val(&ty, &json).unwrap(), val, "{}", json);
        }
    }

    #[test]
    fn what_the_schema_allows_is_accepted_and_nothing_else(ty in any_ty(), seed: u64) {
        let ty = reflect(&ty);
        let schema = schema(&ty).unwrap();
        prop_assert_eq!(complaints(&schema), Vec::<String>::new(), "{}", schema);
        let validator = validator(&schema);
        let mut dice = Dice(seed);
        for round in 0..40 {
            let mut json = document(&schema, &mut dice);
            prop_assert!(validator.is_valid(&json), "the test's own document: {json} of {schema}");
            if round % 2 == 1 {
                mutate(&mut json, &mut dice);
            }
            let result = to_val(&ty, &json);
            prop_assert_eq!(result.is_ok(), validator.is_valid(&json), "{} {:?}", json, result);
        }
    }
}

#[test]
fn a_tuple_names_the_types_of_its_positions_for_those_who_know_none() {
    let simple = |name| Box::new(Ty::Simple(name));
    for (positions, items) in [
        (vec![Ty::Simple("u8"), Ty::Simple("s32")], json!({"type": "integer"})),
        (
            vec![Ty::Simple("string"), Ty::Simple("s64"), Ty::Simple("char")],
            json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ),
        (
            vec![Ty::Tuple(vec![Ty::Simple("bool")]), Ty::Record(vec![Ty::Simple("u8")])],
            json!({"anyOf": [{"type": "array", "items": {}}, {"type": "object", "properties": {}}]}),
        ),
        (vec![Ty::List(simple("bool")), Ty::Flags(2)], json!({"type": "array", "items": {}})),
        (
            vec![Ty::Simple("f64"), Ty::Simple("u8")],
            json!({"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "string"}]}),
        ),
        (vec![Ty::Option(Box::new(Ty::Variant(vec![Some(Ty::Option(simple("u8")))])))], {
            json!({"anyOf": [{"type": "null"}, {"type": "object", "properties": {}}]})
        }),
    ] {
        let length = positions.len();
        let schema = schema(&reflect(&Ty::Tuple(positions))).unwrap();
        assert_eq!((&schema["items"], &schema["minItems"]), (&items, &json!(length)));
        assert_eq!(schema["maxItems"], json!(length));
        assert_eq!(complaints(&schema), Vec::<String>::new(), "{schema}");
    }
}

/// Every kind of type that has values, with its schema and pairs of documents: one that is accepted and
/// what it becomes when it is written again.
#[test]
fn each_type_has_the_form_that_is_documented() {
    let simple = |name| Box::new(Ty::Simple(name));
    let table = [
        (Ty::Simple("bool"), json!({"type": "boolean"}), vec![(json!(true), json!(true))]),
        (
            Ty::Simple("u8"),
            json!({"type": "integer", "minimum": 0, "maximum": 255}),
            vec![(json!(255.0), json!(255))],
        ),
        (
            Ty::Simple("s64"),
            json!({"anyOf": [{"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX},
                {"type": "string", "pattern": "^-?[0-9]{1,19}$"}]}),
            vec![
                (json!("12"), json!(12)),
                (json!(9007199254740991i64), json!(9007199254740991i64)),
                (json!(-9007199254740992i64), json!("-9007199254740992")),
            ],
        ),
        (
            Ty::Simple("f64"),
            json!({"anyOf": [{"type": "number"},
                {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]}),
            vec![
                (json!("NaN"), json!("NaN")),
                (json!("-Infinity"), json!("-Infinity")),
                (json!(2), json!(2.0)),
            ],
        ),
        (
            Ty::Simple("f32"),
            json!({"anyOf": [{"type": "number", "minimum": f64::from(f32::MIN), "maximum": f64::from(f32::MAX)},
                {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]}),
            vec![(json!(0.1), json!(0.1)), (json!(0.10000000149011612), json!(0.1))],
        ),
        (
            Ty::Simple("char"),
            json!({"type": "string", "minLength": 1, "maxLength": 1}),
            vec![(json!("🦀"), json!("🦀"))],
        ),
        (
            Ty::List(simple("u8")),
            json!({"type": "string", "contentEncoding": "base64", "pattern": super::super::schema::BASE64_PATTERN}),
            vec![(json!("aGk="), json!("aGk=")), (json!(""), json!(""))],
        ),
        (
            Ty::Fixed(simple("bool"), 2),
            json!({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2}),
            vec![(json!([true, false]), json!([true, false]))],
        ),
        (
            Ty::Map("string", simple("bool")),
            json!({"type": "object", "properties": {}, "additionalProperties": {"type": "boolean"}}),
            vec![(json!({"b": true, "a": false}), json!({"b": true, "a": false}))],
        ),
        (
            Ty::Map("bool", simple("string")),
            json!({"type": "array", "items": {"type": "array", "minItems": 2, "maxItems": 2,
                   "prefixItems": [{"type": "boolean"}, {"type": "string"}],
                   "items": {"anyOf": [{"type": "boolean"}, {"type": "string"}]}}}),
            vec![(json!([[true, "x"]]), json!([[true, "x"]]))],
        ),
        (
            Ty::Record(vec![Ty::Simple("bool"), Ty::Option(simple("bool"))]),
            json!({"type": "object", "required": ["f_0"], "additionalProperties": false,
                   "properties": {"f_0": {"type": "boolean"},
                                  "f_1": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}}}),
            vec![
                (json!({"f_1": null, "f_0": true}), json!({"f_0": true})),
                (json!({"f_0": true, "f_1": false}), json!({"f_0": true, "f_1": false})),
            ],
        ),
        (
            Ty::Variant(vec![None, Some(Ty::Simple("bool"))]),
            json!({"anyOf": [{"type": "string", "enum": ["c-0"]},
                {"type": "object", "properties": {"c-1": {"type": "boolean"}}, "required": ["c-1"],
                 "additionalProperties": false}]}),
            vec![(json!("c-0"), json!("c-0")), (json!({"c-1": true}), json!({"c-1": true}))],
        ),
        (
            Ty::Result(None, Some(simple("bool"))),
            json!({"anyOf": [{"type": "string", "enum": ["ok"]},
                {"type": "object", "properties": {"err": {"type": "boolean"}}, "required": ["err"],
                 "additionalProperties": false}]}),
            vec![(json!("ok"), json!("ok")), (json!({"err": true}), json!({"err": true}))],
        ),
        (
            Ty::Flags(2),
            json!({"type": "array", "uniqueItems": true, "items": {"type": "string", "enum": ["g-0", "g-1"]}}),
            vec![(json!(["g-1", "g-0"]), json!(["g-0", "g-1"])), (json!([]), json!([]))],
        ),
        (
            Ty::Option(Box::new(Ty::Option(simple("bool")))),
            json!({"anyOf": [
                {"type": "object", "required": ["some"], "additionalProperties": false,
                 "properties": {"some": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}}},
                {"type": "null"}]}),
            vec![
                (json!(null), json!(null)),
                (json!({"some": null}), json!({"some": null})),
                (json!({"some": true}), json!({"some": true})),
            ],
        ),
    ];
    for (ty, expected, documents) in table {
        let ty = reflect(&ty);
        assert_eq!(schema(&ty).unwrap(), expected, "{ty:?}");
        for (given, back) in documents {
            assert_eq!(from_val(&ty, &to_val(&ty, &given).unwrap()).unwrap(), back, "{given}");
        }
    }
}

#[test]
fn an_error_names_the_place_what_is_expected_and_what_is_there() {
    let pair = Ty::Tuple(vec![Ty::Simple("u8"), Ty::Map("string", Box::new(Ty::Simple("s64")))]);
    let ty = reflect(&Ty::Record(vec![Ty::List(Box::new(pair)), Ty::Option(Box::new(Ty::Enum(2)))]));
    let cases = [
        (json!({"f_0": [[1, {}], ["x", {}]]}), r#"/f_0/1/0: expected an integer from 0 to 255, found "x""#),
        (json!({"f_0": [[256, {}]]}), "/f_0/0/0: expected an integer from 0 to 255, found 256"),
        (json!({"f_0": [[1.5, {}]]}), "/f_0/0/0: expected an integer from 0 to 255, found 1.5"),
        (json!({"f_0": [[1]]}), "/f_0/0: expected an array of 2 items, found one of 1"),
        (
            json!({"f_0": [[1, {"a/b~": "9223372036854775808"}]]}),
            "/f_0/0/1/a~1b~0: expected an integer from -9223372036854775808 to 9223372036854775807, \
             past 2^53 as a string, found \"9223372036854775808\"",
        ),
        (json!({"f_0": [[1, {"\u{202e}": []}]]}), r#""/f_0/0/1/\u{202e}": expected an integer from"#),
        (json!({"f_0": [], "f_1": "e-7"}), r#"/f_1: expected one of "e-0", "e-1", found "e-7""#),
        (json!({"f_1": null}), "\"f_0\" is missing"),
        (json!({"f_0": [], "f-1": "e-0"}), r#"unexpected "f-1"; known are f_0, f_1"#),
        (json!([]), "expected an object, found an array"),
    ];
    for (json, message) in cases {
        let error = to_val(&ty, &json).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}\n{message}");
    }
    let long = to_val(&reflect(&Ty::Simple("u8")), &json!("y".repeat(10_000))).unwrap_err();
    assert!(long.to_string().len() < 200, "{long}");
}

#[test]
fn a_type_deeper_than_the_bound_is_refused_by_schema_and_conversion() {
    let nested = |levels| reflect(&(1..levels).fold(Ty::Simple("bool"), |inner, _| Ty::Tuple(vec![inner])));
    let document = |levels| (1..levels).fold(json!(true), |inner, _| json!([inner]));
    assert!(schema(&nested(MAX_JSON_DEPTH)).is_ok());
    assert!(to_val(&nested(MAX_JSON_DEPTH), &document(MAX_JSON_DEPTH)).is_ok());
    let too_deep = MAX_JSON_DEPTH + 1;
    assert_eq!(schema(&nested(too_deep)), Err(SchemaError::TooDeep));
    let error = to_val(&nested(too_deep), &document(too_deep)).unwrap_err();
    assert!(error.to_string().ends_with("nested deeper than 64 levels"), "{error}");
}

/// Types share their parts: here ten lines have 3^10 leaves.
#[test]
fn a_schema_that_would_explode_is_refused() {
    let mut text = String::from("(component (type $t0 (tuple u64 u64 u64))");
    for n in 1..10 {
        let inner = n - 1;
        let _ = write!(text, "(type $t{n} (tuple $t{inner} $t{inner} $t{inner}))");
    }
    text.push_str("(export \"top\" (type $t9)))");
    let error = schema(&exported_type(&component(&text))).unwrap_err();
    assert_eq!(error, SchemaError::TooLarge);
}

#[test]
fn floats_keep_every_bit_through_text() {
    let (f32, f64) = (reflect(&Ty::Simple("f32")), reflect(&Ty::Simple("f64")));
    let mut dice = Dice(7);
    for _ in 0..20_000 {
        let bits = dice.bits();
        for (ty, val) in
            [(&f32, Val::Float32(f32::from_bits(bits as u32))), (&f64, Val::Float64(f64::from_bits(bits)))]
        {
            let text = from_val(ty, &val).unwrap().to_string();
            let back: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(to_val(ty, &back).unwrap(), val, "{text}");
        }
    }
    // Its shortest digits are those of a number beyond it.
    assert_eq!(from_val(&f32, &Val::Float32(f32::MAX)).unwrap(), json!(f64::from(f32::MAX)));
}

#[test]
fn lists_of_fixed_length_are_bounded_with_all_that_are_nested_in_them() {
    let fixed = |ty: Ty, len: u32| Ty::Fixed(Box::new(ty), len);
    let byte = || Ty::Simple("u8");
    for (ty, taken) in [
        (fixed(byte(), 65_536), true),
        (fixed(byte(), 65_537), false),
        (fixed(fixed(byte(), 256), 256), true),
        (fixed(Ty::List(Box::new(fixed(byte(), 257))), 256), false),
        (Ty::Tuple(vec![fixed(byte(), 65_536), fixed(byte(), 65_536)]), true),
        (fixed(Ty::Option(Box::new(fixed(byte(), 1 << 30))), 4), false),
    ] {
        let schema = schema(&reflect(&ty));
        assert_eq!(schema.is_ok(), taken, "{ty:?}");
        assert!(taken || schema == Err(SchemaError::TooLongList), "{ty:?}");
    }
}
