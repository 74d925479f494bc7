//! Whether two JSON values say the same, and one text for all that do.
//!
//! The text is that of RFC 8785 (JSON Canonicalization Scheme) in the order of members (by the UTF-16 code units of
//! their names) and in how strings are written. Numbers differ from it: RFC 8785 takes every number for a double, so
//! that 9007199254740993 and 9007199254740992 would be one. Here an integer is written by its digits, and `1.0` as `1`
//! as far as a double holds every integer, which is below 2^53.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// From here on two integers may be one double, so that a double names no integer.
const INEXACT_FROM: f64 = 9_007_199_254_740_992.0;

/// The same text for values that say the same, another for others. It is JSON.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// The integer that a number with a zero fraction stands for; `None` for another value, and for a double from which
/// the integer cannot be known.
pub fn integer(value: &Value) -> Option<i128> {
    let number = value.as_number()?;
    number
        .as_i128()
        .or_else(|| number.as_f64().filter(|double| is_exact(*double)).map(|double| double as i128))
}

/// Whether the number is written as a double and is an integer, exact or not.
pub fn is_whole_double(number: &Number) -> bool {
    number.is_f64() && number.as_f64().is_some_and(|double| double.fract() == 0.0)
}

fn is_exact(double: f64) -> bool {
    double.fract() == 0.0 && double.abs() < INEXACT_FROM
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Number(_) => {
            // Writing into a String cannot fail.
            let _ = match integer(value) {
                Some(integer) => write!(text, "{integer}"),
                None => write!(text, "{value}"),
            };
        }
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                separate(place, text);
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            text.push('{');
            for (place, (name, item)) in fields.into_iter().enumerate() {
                separate(place, text);
                write_string(name, text);
                text.push(':');
                write(item, text);
            }
            text.push('}');
        }
        Value::String(string) => write_string(string, text),
        Value::Null | Value::Bool(_) => {
            let _ = write!(text, "{value}");
        }
    }
}

fn separate(place: usize, text: &mut String) {
    if place > 0 {
        text.push(',');
    }
}

/// serde_json escapes what RFC 8785 (3.2.2.2) does, and in the same way.
fn write_string(string: &str, text: &mut String) {
    let _ = write!(text, "{}", Value::from(string));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(text: &str) -> String {
        canonical(&serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn what_says_the_same_has_one_text() {
        for (written, expected) in [
            (r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
            (r#"{ "a": 1.0, "b": [ 1e0, 10e-1, -0.0 ] }"#, r#"{"a":1,"b":[1,1,0]}"#),
            (r#""\u20ac\u000f\n\u0041\u0022\/""#, "\"€\\u000f\\nA\\\"/\""),
            // The order of RFC 8785, 3.2.3: U+1F600 is two code units, of which the first is below U+FB33.
            (
                r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#,
                "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}",
            ),
            ("1.50", "1.5"),
            ("15e-1", "1.5"),
            ("9007199254740991.0", "9007199254740991"),
            ("[null,true,{}]", "[null,true,{}]"),
        ] {
            assert_eq!(of(written), expected, "{written}");
        }
    }

    #[test]
    fn integers_that_differ_are_never_one() {
        let texts = [
            "9007199254740991",
            "9007199254740992",
            "9007199254740993",
            "9007199254740993.0",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "-9223372036854775807",
        ];
        for (place, a) in texts.iter().enumerate() {
            for b in &texts[place + 1..] {
                assert_ne!(of(a), of(b), "{a} and {b}");
            }
        }
    }

    #[test]
    fn an_integer_is_told_by_its_value() {
        for (value, expected) in [
            (json!(5), Some(5)),
            (json!(5.0), Some(5)),
            (json!(-0.0), Some(0)),
            (json!(u64::MAX), Some(i128::from(u64::MAX))),
            (json!(9_007_199_254_740_991.0), Some(9_007_199_254_740_991)),
            (json!(9_007_199_254_740_992.0), None),
            (json!(1e300), None),
            (json!(0.5), None),
            (json!("5"), None),
        ] {
            assert_eq!(integer(&value), expected, "{value}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let numbers = prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1_000i64..1_000).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
        ];
        let leaves = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            numbers,
            ".{0,4}".prop_map(Value::from)
        ];
        leaves.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((".{0,3}", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Written otherwise: members from behind, and small integers as doubles.
    fn rewritten(value: &Value) -> Value {
        match value {
            Value::Object(fields) => Value::Object(
                fields.iter().rev().map(|(name, value)| (name.clone(), rewritten(value))).collect(),
            ),
            Value::Array(items) => items.iter().map(rewritten).collect(),
            Value::Number(number) => match number.as_i64() {
                Some(small) if small.abs() < 1 << 53 => Value::from(small as f64),
                _ => value.clone(),
            },
            other => other.clone(),
        }
    }

    /// Equality of JSON by its definition, in another way than by texts.
    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(one), Value::Number(other)) => match (one.as_f64(), other.as_f64()) {
                (Some(x), Some(y)) if one.is_f64() && other.is_f64() => x == y,
                (Some(double), _) if one.is_f64() => {
                    is_exact(double) && other.as_i128() == Some(double as i128)
                }
                (_, Some(_)) if other.is_f64() => same(b, a),
                _ => one == other,
            },
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
            }
            (a, b) => a == b,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn order_and_spelling_change_nothing(value in values()) {
            prop_assert_eq!(canonical(&value), canonical(&rewritten(&value)));
        }

        #[test]
        fn two_values_have_one_text_only_where_they_are_equal(a in values(), b in values()) {
            prop_assert_eq!(canonical(&a) == canonical(&b), same(&a, &b));
        }

        #[test]
        fn neighbours_are_told_apart(number in any::<i64>()) {
            prop_assume!(number != i64::MAX);
            prop_assert_ne!(canonical(&json!(number)), canonical(&json!(number + 1)));
        }
    }
}
