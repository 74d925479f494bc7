use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use serde_json::{Map, Number, Value};
use wasmtime::component::{Type, Val};

use super::schema::SAFE_INTEGER;
use super::types::{Mismatch, describe, snake};
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
mod tests;
