use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use serde_json::{Map, Number, Value};
use wasmtime::component::{Type, Val};

use super::schema::SAFE_INTEGER;
use super::{Mismatch, describe, snake};
use crate::catalog::find_hidden;
use crate::limits::MAX_JSON_DEPTH;

/// JSON that does not fit its type, and the place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// From the inside out.
    segments: Vec<String>,
    message: String,
}

impl JsonError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { segments: Vec::new(), message: message.into() }
    }

    pub(super) fn inside(mut self, segment: impl ToString) -> Self {
        self.segments.push(segment.to_string());
        self
    }

    /// A JSON pointer (RFC 6901); empty for the whole document.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for segment in self.segments.iter().rev() {
            path.push('/');
            path.push_str(&segment.replace('~', "~0").replace('/', "~1"));
        }
        path
    }
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The keys of a map are the caller's own text.
        let path = self.path();
        match path.as_str() {
            "" => {}
            path if path.len() > SHOWN_PATH_BYTES || find_hidden(path).is_some() => {
                write!(f, "{}: ", quote(path))?;
            }
            path => write!(f, "{path}: ")?,
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for JsonError {}

const SHOWN_PATH_BYTES: usize = 400;
const SHOWN_CHARS: usize = 40;
const SHOWN_NAMES: usize = 20;

/// Accepts what the type's [`schema`](super::schema) accepts, but for the digits of 64-bit integers, whose
/// range no schema holds.
pub fn to_val(ty: &Type, json: &Value) -> Result<Val, JsonError> {
    value(ty, json, 0)
}

/// The other way.
pub fn from_val(ty: &Type, val: &Val) -> Result<Value, Mismatch> {
    let mismatch = Mismatch { expected: describe(ty) };
    Ok(match (ty, val) {
        (Type::Bool, Val::Bool(x)) => Value::Bool(*x),
        (Type::S8, Val::S8(x)) => Value::from(*x),
        (Type::U8, Val::U8(x)) => Value::from(*x),
        (Type::S16, Val::S16(x)) => Value::from(*x),
        (Type::U16, Val::U16(x)) => Value::from(*x),
        (Type::S32, Val::S32(x)) => Value::from(*x),
        (Type::U32, Val::U32(x)) => Value::from(*x),
        (Type::S64, Val::S64(x)) if x.unsigned_abs() <= SAFE_INTEGER.unsigned_abs() => Value::from(*x),
        (Type::S64, Val::S64(x)) => Value::from(x.to_string()),
        (Type::U64, Val::U64(x)) if *x <= SAFE_INTEGER.unsigned_abs() => Value::from(*x),
        (Type::U64, Val::U64(x)) => Value::from(x.to_string()),
        (Type::Float32, Val::Float32(x)) => from_float(shortest(*x)),
        (Type::Float64, Val::Float64(x)) => from_float(*x),
        (Type::Char, Val::Char(x)) => Value::from(x.to_string()),
        (Type::String, Val::String(x)) => Value::from(x.as_str()),
        (Type::List(list), Val::List(items)) => match list.ty() {
            Type::U8 => Value::from(BASE64.encode(bytes(items)?)),
            element => from_items(&element, items)?,
        },
        (Type::FixedLengthList(list), Val::FixedLengthList(items)) => from_items(&list.ty(), items)?,
        (Type::Map(map), Val::Map(entries)) => {
            let (key_ty, value_ty) = (map.key(), map.value());
            if key_ty == Type::String {
                let mut object = Map::new();
                for (key, val) in entries {
                    let Val::String(key) = key else { return Err(mismatch) };
                    object.insert(key.clone(), from_val(&value_ty, val)?);
                }
                Value::Object(object)
            } else {
                let pair =
                    |(key, val)| Ok(Value::Array(vec![from_val(&key_ty, key)?, from_val(&value_ty, val)?]));
                Value::Array(entries.iter().map(|(key, val)| pair((key, val))).collect::<Result<_, _>>()?)
            }
        }
        (Type::Tuple(tuple), Val::Tuple(items)) if tuple.types().len() == items.len() => {
            let items = tuple.types().zip(items).map(|(ty, val)| from_val(&ty, val));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        (Type::Record(record), Val::Record(values)) if record.fields().len() == values.len() => {
            let mut object = Map::new();
            for (field, (name, val)) in record.fields().zip(values) {
                match val {
                    _ if field.name != name => return Err(mismatch),
                    Val::Option(None) if matches!(field.ty, Type::Option(_)) => {}
                    val => drop(object.insert(snake(name), from_val(&field.ty, val)?)),
                }
            }
            Value::Object(object)
        }
        (Type::Variant(variant), Val::Variant(name, payload)) => {
            let case = variant.cases().find(|case| case.name == name).ok_or(mismatch)?;
            from_case(name, case.ty.as_ref(), payload.as_deref())?
        }
        (Type::Result(result), Val::Result(Ok(payload))) => {
            from_case("ok", result.ok().as_ref(), payload.as_deref())?
        }
        (Type::Result(result), Val::Result(Err(payload))) => {
            from_case("err", result.err().as_ref(), payload.as_deref())?
        }
        (Type::Enum(_), Val::Enum(name)) => Value::from(name.as_str()),
        (Type::Flags(_), Val::Flags(names)) => Value::from(names.as_slice()),
        (Type::Option(_), Val::Option(None)) => Value::Null,
        (Type::Option(option), Val::Option(Some(val))) => {
            let ty = option.ty();
            let inner = from_val(&ty, val)?;
            if matches!(ty, Type::Option(_)) { single("some", inner) } else { inner }
        }
        _ => return Err(mismatch),
    })
}

/// Bits behind the last byte are let through: the schema's pattern cannot see them.
const BASE64: GeneralPurpose = GeneralPurpose::new(&ALPHABET, PAD.with_decode_allow_trailing_bits(true));

fn value(ty: &Type, json: &Value, depth: usize) -> Result<Val, JsonError> {
    if depth >= MAX_JSON_DEPTH {
        return Err(JsonError::new(format!("nested deeper than {MAX_JSON_DEPTH} levels")));
    }
    let depth = depth + 1;
    Ok(match ty {
        Type::Bool => Val::Bool(json.as_bool().ok_or_else(|| expected("true or false", json))?),
        Type::S8 => Val::S8(integer(json)?),
        Type::U8 => Val::U8(integer(json)?),
        Type::S16 => Val::S16(integer(json)?),
        Type::U16 => Val::U16(integer(json)?),
        Type::S32 => Val::S32(integer(json)?),
        Type::U32 => Val::U32(integer(json)?),
        Type::S64 => Val::S64(long_integer(json)?),
        Type::U64 => Val::U64(long_integer(json)?),
        Type::Float32 => {
            let x = float(json)?;
            if x.is_finite() && x.abs() > f64::from(f32::MAX) {
                return Err(expected("a number that a 32-bit float holds", json));
            }
            // The nearest 32-bit float is what the guest asked for.
            Val::Float32(x as f32)
        }
        Type::Float64 => Val::Float64(float(json)?),
        Type::Char => {
            let mut chars = json.as_str().unwrap_or_default().chars();
            match (chars.next(), chars.next()) {
                (Some(x), None) => Val::Char(x),
                _ => return Err(expected("a string of one character", json)),
            }
        }
        Type::String => Val::String(string(json, "a string")?.to_owned()),
        Type::List(list) => match list.ty() {
            Type::U8 => {
                let text = string(json, "bytes as a base64 string")?;
                let bytes = BASE64.decode(text).map_err(|error| {
                    JsonError::new(format!("expected bytes as a base64 string, padded: {error}"))
                })?;
                Val::List(bytes.into_iter().map(Val::U8).collect())
            }
            element => Val::List(items(&element, array(json)?, depth)?),
        },
        Type::FixedLengthList(list) => {
            let len = list.len() as usize;
            Val::FixedLengthList(items(&list.ty(), array_of(len, json)?, depth)?)
        }
        Type::Map(map) => {
            let (key_ty, value_ty) = (map.key(), map.value());
            if key_ty == Type::String {
                let object = json.as_object().ok_or_else(|| expected("an object", json))?;
                let entry = |(key, json): (&String, &Value)| {
                    let val = value(&value_ty, json, depth).map_err(|error| error.inside(key))?;
                    Ok((Val::String(key.clone()), val))
                };
                Val::Map(object.iter().map(entry).collect::<Result<_, _>>()?)
            } else {
                let entry = |json| {
                    let pair = array_of(2, json)?;
                    let key = value(&key_ty, &pair[0], depth).map_err(|error| error.inside(0))?;
                    let val = value(&value_ty, &pair[1], depth).map_err(|error| error.inside(1))?;
                    Ok((key, val))
                };
                let entries = array(json)?.iter().enumerate();
                Val::Map(
                    entries
                        .map(|(i, json)| entry(json).map_err(|error: JsonError| error.inside(i)))
                        .collect::<Result<_, _>>()?,
                )
            }
        }
        Type::Tuple(tuple) => {
            let types = tuple.types();
            let items = array_of(types.len(), json)?;
            let vals = types.zip(items).enumerate();
            Val::Tuple(
                vals.map(|(i, (ty, json))| value(&ty, json, depth).map_err(|error| error.inside(i)))
                    .collect::<Result<_, _>>()?,
            )
        }
        Type::Record(record) => {
            let fields: Vec<_> = record.fields().map(|field| (field.name, field.ty)).collect();
            let vals = object(&fields, json, depth)?;
            Val::Record(fields.iter().map(|(name, _)| (*name).to_owned()).zip(vals).collect())
        }
        Type::Variant(variant) => {
            let cases: Vec<_> = variant.cases().map(|case| (case.name, case.ty)).collect();
            let (at, payload) = case(&cases, json, depth)?;
            Val::Variant(cases[at].0.to_owned(), payload)
        }
        Type::Result(result) => {
            let (at, payload) = case(&[("ok", result.ok()), ("err", result.err())], json, depth)?;
            Val::Result(if at == 0 { Ok(payload) } else { Err(payload) })
        }
        Type::Enum(names) => {
            let found = json.as_str().and_then(|text| names.names().find(|name| *name == text));
            Val::Enum(found.ok_or_else(|| expected(&one_of(names.names()), json))?.to_owned())
        }
        Type::Flags(flags) => {
            let mut set = vec![false; flags.names().len()];
            for (i, json) in array(json)?.iter().enumerate() {
                let at = json.as_str().and_then(|text| flags.names().position(|name| name == text));
                let at = at.ok_or_else(|| expected(&one_of(flags.names()), json).inside(i))?;
                if std::mem::replace(&mut set[at], true) {
                    return Err(JsonError::new(format!("{json} stands here twice")).inside(i));
                }
            }
            let names = flags.names().zip(set).filter(|(_, set)| *set);
            Val::Flags(names.map(|(name, _)| name.to_owned()).collect())
        }
        Type::Option(_) if json.is_null() => Val::Option(None),
        Type::Option(option) => Val::Option(Some(Box::new(match option.ty() {
            ty @ Type::Option(_) => {
                let inner = json.as_object().filter(|object| object.len() == 1);
                let inner = inner.and_then(|object| object.get("some"));
                let inner = inner.ok_or_else(|| expected("null or {\"some\": …}", json))?;
                value(&ty, inner, depth).map_err(|error| error.inside("some"))?
            }
            ty => value(&ty, json, depth)?,
        }))),
        Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => {
            return Err(JsonError::new(format!("a {} cannot be written as JSON", describe(ty))));
        }
    })
}

/// The values of a record's fields or a function's parameters, in their order. An `option` may be missing.
pub(super) fn object(fields: &[(&str, Type)], json: &Value, depth: usize) -> Result<Vec<Val>, JsonError> {
    let object = json.as_object().ok_or_else(|| expected("an object", json))?;
    let mut known = 0;
    let mut vals = Vec::with_capacity(fields.len());
    for (name, ty) in fields {
        let name = snake(name);
        vals.push(match (object.get(&name), ty) {
            (Some(json), ty) => {
                known += 1;
                value(ty, json, depth).map_err(|error| error.inside(name))?
            }
            (None, Type::Option(_)) => Val::Option(None),
            (None, _) => return Err(JsonError::new(format!("\"{name}\" is missing"))),
        });
    }
    if known < object.len() {
        let names: Vec<String> = fields.iter().map(|(name, _)| snake(name)).collect();
        if let Some(stray) = object.keys().find(|key| !names.contains(key)) {
            return Err(JsonError::new(match names.as_slice() {
                [] => format!("unexpected {}: none are taken", quote(stray)),
                names => format!("unexpected {}; known are {}", quote(stray), listed(names.iter())),
            }));
        }
    }
    Ok(vals)
}

fn case(
    cases: &[(&str, Option<Type>)],
    json: &Value,
    depth: usize,
) -> Result<(usize, Option<Box<Val>>), JsonError> {
    let position = |name: &str| cases.iter().position(|case| case.0 == name);
    match json {
        Value::String(name) => {
            if let Some(at) = position(name).filter(|at| cases[*at].1.is_none()) {
                return Ok((at, None));
            }
        }
        Value::Object(object) => {
            if let (1, Some((name, json))) = (object.len(), object.iter().next())
                && let Some(at) = position(name)
                && let Some(ty) = &cases[at].1
            {
                let payload = value(ty, json, depth).map_err(|error| error.inside(name))?;
                return Ok((at, Some(Box::new(payload))));
            }
        }
        _ => {}
    }
    let forms = cases.iter().map(|(name, ty)| match ty {
        None => format!("\"{name}\""),
        Some(_) => format!("{{\"{name}\": …}}"),
    });
    Err(expected(&format!("one of {}", listed(forms)), json))
}

fn items(ty: &Type, items: &[Value], depth: usize) -> Result<Vec<Val>, JsonError> {
    let vals = items.iter().enumerate();
    vals.map(|(i, json)| value(ty, json, depth).map_err(|error| error.inside(i))).collect()
}

fn array(json: &Value) -> Result<&Vec<Value>, JsonError> {
    json.as_array().ok_or_else(|| expected("an array", json))
}

fn array_of(len: usize, json: &Value) -> Result<&Vec<Value>, JsonError> {
    let found = json.as_array().filter(|items| items.len() == len);
    found.ok_or_else(|| match json {
        Value::Array(items) => {
            JsonError::new(format!("expected an array of {len} items, found one of {}", items.len()))
        }
        json => expected(&format!("an array of {len} items"), json),
    })
}

fn string<'a>(json: &'a Value, what: &str) -> Result<&'a str, JsonError> {
    json.as_str().ok_or_else(|| expected(what, json))
}

/// JSON has one kind of number: 5.0 and 5e0 are the integer 5.
fn whole(json: &Value) -> Option<i128> {
    let number = json.as_number()?;
    match number.as_i128() {
        Some(x) => Some(x),
        None => number.as_f64().filter(|x| x.fract() == 0.0 && x.abs() <= 2f64.powi(64)).map(|x| x as i128),
    }
}

trait Integer: TryFrom<i128> + std::fmt::Display + std::str::FromStr {
    const BOUNDS: (Self, Self);
}

macro_rules! integers {
    ($($ty:ty)*) => { $(impl Integer for $ty { const BOUNDS: (Self, Self) = (<$ty>::MIN, <$ty>::MAX); })* };
}
integers!(i8 u8 i16 u16 i32 u32 i64 u64);

fn integer<T: Integer>(json: &Value) -> Result<T, JsonError> {
    whole(json).and_then(|x| T::try_from(x).ok()).ok_or_else(|| {
        let (min, max) = T::BOUNDS;
        expected(&format!("an integer from {min} to {max}"), json)
    })
}

fn long_integer<T: Integer>(json: &Value) -> Result<T, JsonError> {
    let parsed = match json {
        Value::String(text) if !text.starts_with('+') && text.len() <= 20 => text.parse().ok(),
        json => whole(json).and_then(|x| T::try_from(x).ok()),
    };
    parsed.ok_or_else(|| {
        let (min, max) = T::BOUNDS;
        expected(&format!("an integer from {min} to {max}, past 2^53 as a string"), json)
    })
}

fn float(json: &Value) -> Result<f64, JsonError> {
    match json {
        Value::Number(x) => x.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
    .ok_or_else(|| expected("a number, \"NaN\", \"Infinity\" or \"-Infinity\"", json))
}

fn from_float(x: f64) -> Value {
    match Number::from_f64(x) {
        Some(number) => Value::Number(number),
        None if x.is_nan() => Value::from("NaN"),
        None if x > 0.0 => Value::from("Infinity"),
        None => Value::from("-Infinity"),
    }
}

/// The number with the fewest digits that is the same 32-bit float: 0.1 and not 0.10000000149011612.
fn shortest(x: f32) -> f64 {
    let short = x.to_string().parse::<f64>().ok();
    let fits = |short: &f64| *short as f32 == x && short.abs() <= f64::from(f32::MAX);
    short.filter(fits).unwrap_or(f64::from(x))
}

fn from_items(ty: &Type, items: &[Val]) -> Result<Value, Mismatch> {
    Ok(Value::Array(items.iter().map(|val| from_val(ty, val)).collect::<Result<_, _>>()?))
}

fn from_case(name: &str, ty: Option<&Type>, payload: Option<&Val>) -> Result<Value, Mismatch> {
    match (ty, payload) {
        (None, None) => Ok(Value::from(name)),
        (Some(ty), Some(val)) => Ok(single(name, from_val(ty, val)?)),
        _ => Err(Mismatch { expected: "variant" }),
    }
}

fn single(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

/// The bytes of a `list<u8>`.
pub(super) fn bytes(items: &[Val]) -> Result<Vec<u8>, Mismatch> {
    let byte = |val: &Val| match val {
        Val::U8(x) => Ok(*x),
        _ => Err(Mismatch { expected: "u8" }),
    };
    items.iter().map(byte).collect()
}

fn expected(what: &str, found: &Value) -> JsonError {
    let found = match found {
        Value::String(text) => quote(text),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    };
    JsonError::new(format!("expected {what}, found {found}"))
}

/// A caller's text in a message: short, and with nothing that a terminal could stumble over.
fn quote(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("one of {}", listed(names.map(|name| format!("\"{name}\""))))
}

fn listed(names: impl Iterator<Item: std::fmt::Display>) -> String {
    let mut list = String::new();
    for (i, name) in names.enumerate() {
        if i == SHOWN_NAMES {
            list.push_str(", …");
            break;
        }
        let separator = if i == 0 { "" } else { ", " };
        // Writing into a string cannot fail.
        let _ = write!(list, "{separator}{name}");
    }
    list
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::schema;
    use super::super::testing::{Dice, Ty, any_ty, component, document, exported_type, mutate, reflect, val};
    use super::*;

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
                json!({"type": ["integer", "string"], "minimum": i64::MIN, "maximum": i64::MAX,
                       "pattern": "^-?[0-9]{1,19}$"}),
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
                json!({"type": "object", "additionalProperties": {"type": "boolean"}}),
                vec![(json!({"b": true, "a": false}), json!({"b": true, "a": false}))],
            ),
            (
                Ty::Map("bool", simple("string")),
                json!({"type": "array", "items": {"type": "array", "minItems": 2, "maxItems": 2,
                       "prefixItems": [{"type": "boolean"}, {"type": "string"}]}}),
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
            (
                json!({"f_0": [[1, {}], ["x", {}]]}),
                r#"/f_0/1/0: expected an integer from 0 to 255, found "x""#,
            ),
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
        let nested =
            |levels| reflect(&(1..levels).fold(Ty::Simple("bool"), |inner, _| Ty::Tuple(vec![inner])));
        let document = |levels| (1..levels).fold(json!(true), |inner, _| json!([inner]));
        assert!(schema(&nested(MAX_JSON_DEPTH)).is_ok());
        assert!(to_val(&nested(MAX_JSON_DEPTH), &document(MAX_JSON_DEPTH)).is_ok());
        let too_deep = MAX_JSON_DEPTH + 1;
        assert_eq!(schema(&nested(too_deep)), Err(super::super::SchemaError::TooDeep));
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
        assert_eq!(error, super::super::SchemaError::TooLarge);
    }

    #[test]
    fn floats_keep_every_bit_through_text() {
        let (f32, f64) = (reflect(&Ty::Simple("f32")), reflect(&Ty::Simple("f64")));
        let mut dice = Dice(7);
        for _ in 0..20_000 {
            let bits = dice.bits();
            for (ty, val) in [
                (&f32, Val::Float32(f32::from_bits(bits as u32))),
                (&f64, Val::Float64(f64::from_bits(bits))),
            ] {
                let text = from_val(ty, &val).unwrap().to_string();
                let back: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(to_val(ty, &back).unwrap(), val, "{text}");
            }
        }
        // Its shortest digits are those of a number beyond it.
        assert_eq!(from_val(&f32, &Val::Float32(f32::MAX)).unwrap(), json!(f64::from(f32::MAX)));
    }
}
