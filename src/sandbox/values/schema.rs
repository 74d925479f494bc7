use serde_json::{Map, Value, json};
use wasmtime::component::Type;

use super::types::{describe, snake};
use crate::limits::{MAX_DEFINITION_BYTES, MAX_FIXED_LIST_ITEMS, MAX_JSON_DEPTH, MAX_SCHEMAS_BYTES};

/// Why a type has no JSON Schema. Each reads as a clause behind "the function".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("uses a {0}, which JSON cannot carry")]
    NoValue(&'static str),
    #[error("uses a type that is nested deeper than {MAX_JSON_DEPTH} levels")]
    TooDeep,
    #[error("uses types whose schema is larger than {MAX_DEFINITION_BYTES} bytes")]
    TooLarge,
    #[error("uses lists of fixed length with more than {MAX_FIXED_LIST_ITEMS} items together")]
    TooLongList,
    #[error("has two names that are both `{0}` in snake case")]
    Collision(String),
}

/// The JSON Schema (2020-12) of what [`to_val`](super::to_val) accepts and [`from_val`](super::from_val)
/// gives for the type.
pub fn schema(ty: &Type, room: &mut SchemaRoom) -> Result<Value, SchemaError> {
    room.build(|builder| builder.schema(ty, 0))
}

/// The object schema of named values: a record's fields, a function's parameters.
pub(super) fn object_schema<'a>(
    fields: impl Iterator<Item = (&'a str, Type)>,
    room: &mut SchemaRoom,
) -> Result<Value, SchemaError> {
    room.build(|builder| builder.object(fields, 0))
}

/// What the schemas of one component may take together: thousands of functions may share one huge type.
pub struct SchemaRoom {
    bytes_left: usize,
}

impl Default for SchemaRoom {
    fn default() -> Self {
        Self { bytes_left: MAX_SCHEMAS_BYTES }
    }
}

impl SchemaRoom {
    /// Nothing more is built.
    pub fn is_used_up(&self) -> bool {
        self.bytes_left == 0
    }

    fn build<T>(
        &mut self,
        build: impl FnOnce(&mut Builder) -> Result<T, SchemaError>,
    ) -> Result<T, SchemaError> {
        let given = self.bytes_left.min(MAX_DEFINITION_BYTES);
        let mut builder = Builder { bytes_left: given, fixed_items: 1 };
        let built = build(&mut builder);
        self.bytes_left -= given - builder.bytes_left;
        built
    }
}

pub(super) const SAFE_INTEGER: i64 = (1 << 53) - 1;
/// Standard alphabet, padded, as RFC 4648 has it.
pub(super) const BASE64_PATTERN: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";

/// Types share their parts, schemas do not: a small component can name a type whose schema is huge. So what
/// is built is counted, in bytes.
struct Builder {
    bytes_left: usize,
    /// Items that a list of fixed length would have here for each of its own: the product of those around it.
    fixed_items: u64,
}

impl Builder {
    fn spend(&mut self, bytes: usize) -> Result<(), SchemaError> {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.unwrap_or_default();
        left.map(drop).ok_or(SchemaError::TooLarge)
    }

    fn schema(&mut self, ty: &Type, depth: usize) -> Result<Value, SchemaError> {
        if depth >= MAX_JSON_DEPTH {
            return Err(SchemaError::TooDeep);
        }
        // About the shortest schema, `{"type":"string"},`.
        self.spend(18)?;
        let depth = depth + 1;
        Ok(match ty {
            Type::Bool => json!({ "type": "boolean" }),
            Type::S8 => integer(i8::MIN, i8::MAX),
            Type::U8 => integer(u8::MIN, u8::MAX),
            Type::S16 => integer(i16::MIN, i16::MAX),
            Type::U16 => integer(u16::MIN, u16::MAX),
            Type::S32 => integer(i32::MIN, i32::MAX),
            Type::U32 => integer(u32::MIN, u32::MAX),
            Type::S64 => long_integer(i64::MIN, i64::MAX, "^-?[0-9]{1,19}$"),
            Type::U64 => long_integer(u64::MIN, u64::MAX, "^[0-9]{1,20}$"),
            Type::Float32 => {
                let number = json!({ "type": "number", "minimum": f64::from(f32::MIN), "maximum": f64::from(f32::MAX) });
                either(number, not_finite())
            }
            Type::Float64 => either(json!({ "type": "number" }), not_finite()),
            Type::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
            Type::String => json!({ "type": "string" }),
            Type::List(list) => match list.ty() {
                Type::U8 => {
                    json!({ "type": "string", "contentEncoding": "base64", "pattern": BASE64_PATTERN })
                }
                element => json!({ "type": "array", "items": self.schema(&element, depth)? }),
            },
            Type::FixedLengthList(list) => {
                let around = self.fixed_items;
                self.fixed_items = around.saturating_mul(u64::from(list.len()));
                if self.fixed_items > MAX_FIXED_LIST_ITEMS {
                    return Err(SchemaError::TooLongList);
                }
                let items = self.schema(&list.ty(), depth)?;
                self.fixed_items = around;
                json!({ "type": "array", "items": items, "minItems": list.len(), "maxItems": list.len() })
            }
            Type::Map(map) => {
                let value = self.schema(&map.value(), depth)?;
                match map.key() {
                    Type::String => {
                        json!({ "type": "object", "properties": {}, "additionalProperties": value })
                    }
                    key => {
                        let pair = vec![self.schema(&key, depth)?, value];
                        let pair = self.positions(pair)?;
                        json!({ "type": "array", "items": pair })
                    }
                }
            }
            Type::Tuple(tuple) => {
                let items = tuple.types().map(|ty| self.schema(&ty, depth)).collect::<Result<_, _>>()?;
                self.positions(items)?
            }
            Type::Record(record) => {
                self.object(record.fields().map(|field| (field.name, field.ty)), depth)?
            }
            Type::Variant(variant) => self.cases(variant.cases().map(|case| (case.name, case.ty)), depth)?,
            Type::Result(result) => {
                self.cases([("ok", result.ok()), ("err", result.err())].into_iter(), depth)?
            }
            Type::Enum(names) => self.one_of(names.names())?,
            Type::Flags(flags) => {
                let items = self.one_of(flags.names())?;
                json!({ "type": "array", "items": items, "uniqueItems": true })
            }
            Type::Option(option) => match option.ty() {
                inner @ Type::Option(_) => either(single("some", self.schema(&inner, depth)?), null()),
                inner => either(self.schema(&inner, depth)?, null()),
            },
            Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => {
                return Err(SchemaError::NoValue(describe(ty)));
            }
        })
    }

    fn object<'a>(
        &mut self,
        fields: impl Iterator<Item = (&'a str, Type)>,
        depth: usize,
    ) -> Result<Value, SchemaError> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, ty) in fields {
            let name = snake(name);
            self.spend(2 * name.len())?;
            if !matches!(ty, Type::Option(_)) {
                required.push(Value::from(name.clone()));
            }
            if properties.insert(name.clone(), self.schema(&ty, depth)?).is_some() {
                return Err(SchemaError::Collision(name));
            }
        }
        let mut object = Map::new();
        object.insert("type".to_owned(), json!("object"));
        object.insert("properties".to_owned(), Value::Object(properties));
        if !required.is_empty() {
            object.insert("required".to_owned(), Value::Array(required));
        }
        object.insert("additionalProperties".to_owned(), Value::Bool(false));
        Ok(Value::Object(object))
    }

    fn positions(&mut self, items: Vec<Value>) -> Result<Value, SchemaError> {
        let (len, rest) = (items.len(), any_of_types(&items));
        // About the longest that stands for the rest, with each type once.
        self.spend(150)?;
        Ok(json!({ "type": "array", "prefixItems": items, "items": rest, "minItems": len, "maxItems": len }))
    }

    fn cases<'a>(
        &mut self,
        cases: impl Iterator<Item = (&'a str, Option<Type>)>,
        depth: usize,
    ) -> Result<Value, SchemaError> {
        let mut plain = Vec::new();
        let mut any_of = Vec::new();
        for (name, payload) in cases {
            self.spend(2 * name.len())?;
            match payload {
                None => plain.push(name),
                Some(ty) => any_of.push(single(name, self.schema(&ty, depth)?)),
            }
        }
        if !plain.is_empty() {
            any_of.insert(0, json!({ "type": "string", "enum": plain }));
        }
        Ok(if any_of.len() == 1 { any_of.remove(0) } else { json!({ "anyOf": any_of }) })
    }

    fn one_of<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<Value, SchemaError> {
        let names: Vec<&str> = names.collect();
        self.spend(names.iter().map(|name| name.len() + 3).sum())?;
        Ok(json!({ "type": "string", "enum": names }))
    }
}

fn integer(minimum: impl Into<Value>, maximum: impl Into<Value>) -> Value {
    json!({ "type": "integer", "minimum": minimum.into(), "maximum": maximum.into() })
}

/// Two schemas rather than two names in one "type": some frameworks build no agent with a tool that has a list there,
/// and others drop the string of it.
fn long_integer(minimum: impl Into<Value>, maximum: impl Into<Value>, pattern: &str) -> Value {
    either(integer(minimum, maximum), json!({ "type": "string", "pattern": pattern }))
}

/// No pattern, since the catalog bounds how many a schema may have, and floats are common.
fn not_finite() -> Value {
    json!({ "type": "string", "enum": ["NaN", "Infinity", "-Infinity"] })
}

/// What stands behind the positions, where nothing may stand: some hosts load no tool with an array that has no
/// `items`, and those that do not know `prefixItems` read it for all elements. So it names their types. Whole schemas
/// it does not repeat, which nested would grow without bound.
fn any_of_types(items: &[Value]) -> Value {
    let mut types: Vec<&str> = Vec::new();
    for item in items {
        let branches = item.get("anyOf").and_then(Value::as_array);
        for branch in branches.map_or(std::slice::from_ref(item), Vec::as_slice) {
            match branch["type"].as_str() {
                Some(name) => types.push(name),
                None => return json!({}),
            }
        }
    }
    types.sort_unstable();
    types.dedup();
    let mut schemas: Vec<Value> = types.into_iter().map(of_type).collect();
    if schemas.len() == 1 { schemas.remove(0) } else { json!({ "anyOf": schemas }) }
}

fn of_type(name: &str) -> Value {
    match name {
        "array" => json!({ "type": name, "items": {} }),
        "object" => json!({ "type": name, "properties": {} }),
        name => json!({ "type": name }),
    }
}

fn single(name: &str, value: Value) -> Value {
    json!({
        "type": "object",
        "properties": { name: value },
        "required": [name],
        "additionalProperties": false,
    })
}

fn null() -> Value {
    json!({ "type": "null" })
}

fn either(first: Value, second: Value) -> Value {
    match first {
        Value::Object(mut object) if object.len() == 1 && object.contains_key("anyOf") => {
            if let Some(Value::Array(any_of)) = object.get_mut("anyOf") {
                any_of.push(second);
            }
            Value::Object(object)
        }
        first => json!({ "anyOf": [first, second] }),
    }
}
