//! Null for an argument that was left out. Frameworks fill in every argument that a schema names, with null where their
//! model said nothing. A null at a property that is not required and that its schema does not admit is as if the
//! property were not there; one that is admitted, or required, stays what it is.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::places::{Fields, Follow, Places, Reader, of_item};
use crate::limits;

/// Whether a member of an object is null in there.
pub(super) fn is_within(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_within),
        Value::Object(fields) => fields.values().any(|value| value.is_null() || is_within(value)),
        _ => false,
    }
}

/// A value that does not fit, without the nulls that stand for what was left out. Where only some branch of the schema
/// rejects a null, it goes if the value fits without it and not with it; `fits` says which.
pub(super) fn without(places: &Places, value: &Value, fits: impl Fn(&Value) -> bool) -> Value {
    let Some(reader) = places.reader() else { return value.clone() };
    let mut nulls = Nulls { reader, certain: Vec::new(), possible: Vec::new() };
    nulls.find(vec![places.root()], value, "");
    let Nulls { certain, possible, .. } = nulls;
    let settled = removed(value, certain.iter());
    if possible.is_empty() || fits(&settled) {
        return settled;
    }
    let fewest = removed(&settled, possible.iter());
    if !fits(&fewest) {
        return settled;
    }
    if possible.len() > limits::MAX_NULLS_TRIED {
        return fewest;
    }
    let mut gone: Vec<bool> = vec![true; possible.len()];
    let of = |gone: &[bool]| {
        removed(&settled, possible.iter().zip(gone).filter(|(_, gone)| **gone).map(|(at, _)| at))
    };
    for place in 0..possible.len() {
        gone[place] = false;
        gone[place] = !fits(&of(&gone));
    }
    of(&gone)
}

/// A member of an object: the JSON Pointer of the object, and the name.
struct Member {
    object: String,
    name: String,
}

struct Nulls<'a> {
    reader: Reader<'a>,
    /// No branch of the schema takes them.
    certain: Vec<Member>,
    /// Some branch does not.
    possible: Vec<Member>,
}

impl<'a> Nulls<'a> {
    /// `schemas` are those of this value. The stack is as deep as the value.
    fn find(&mut self, schemas: Vec<&'a Value>, value: &Value, path: &str) {
        if schemas.is_empty() || !is_within(value) {
            return;
        }
        let certain = self.reader.applied(schemas.clone(), Follow::Certain);
        let all = self.reader.applied(schemas, Follow::Branches);
        match value {
            Value::Object(fields) => {
                let required: HashSet<&str> = certain.iter().flat_map(|schema| required(schema)).collect();
                for (name, value) in fields {
                    if !value.is_null() {
                        let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                        self.find(self.reader.of_member(&all, name), value, &path);
                    } else if !required.contains(name.as_str()) {
                        self.judge(&certain, &all, path, name);
                    }
                }
            }
            Value::Array(items) => {
                for (place, value) in items.iter().enumerate() {
                    self.find(of_item(&all, place), value, &format!("{path}/{place}"));
                }
            }
            _ => {}
        }
    }

    /// A name that no schema knows is no optional argument: it is refused by name.
    fn judge(&mut self, certain: &[&'a Fields], all: &[&'a Fields], object: &str, name: &str) {
        let rejects = |schema: &&Value| schema.is_object() && !self.admits_null(schema);
        let is_certain = self.reader.of_evaluated_member(certain, name).iter().any(rejects);
        let member = Member { object: object.to_owned(), name: name.to_owned() };
        if is_certain {
            self.certain.push(member);
            return;
        }
        let schemas = self.reader.of_member(all, name);
        let is_known = schemas.iter().any(|schema| schema.is_object());
        if is_known && schemas.iter().any(|schema| **schema == Value::Bool(false) || rejects(schema)) {
            self.possible.push(member);
        }
    }

    /// Validation of one value, null. Bounded as the schema is: it leads nowhere back on the same value.
    fn admits_null(&self, schema: &'a Value) -> bool {
        let fields = match schema {
            Value::Bool(admits) => return *admits,
            Value::Object(fields) => fields,
            _ => return true,
        };
        let admits = |schema: &&'a Value| self.admits_null(schema);
        let count = |word: &str| {
            let list = fields.get(word)?.as_array()?;
            Some((list.iter().filter(admits).count(), list.len()))
        };
        let then = fields
            .get("if")
            .and_then(|asked| fields.get(if self.admits_null(asked) { "then" } else { "else" }));
        is_of_type_null(fields)
            && fields.get("const").is_none_or(Value::is_null)
            && fields.get("enum").and_then(Value::as_array).is_none_or(|all| all.iter().any(Value::is_null))
            && count("allOf").is_none_or(|(admitting, of)| admitting == of)
            && count("anyOf").is_none_or(|(admitting, _)| admitting > 0)
            && count("oneOf").is_none_or(|(admitting, _)| admitting == 1)
            && fields.get("not").is_none_or(|not| !self.admits_null(not))
            && then.is_none_or(|then| self.admits_null(then))
            && self.reader.targets(fields).all(|target| self.admits_null(target))
    }
}

fn is_of_type_null(schema: &Fields) -> bool {
    match schema.get("type") {
        Some(Value::String(name)) => name == "null",
        Some(Value::Array(names)) => names.iter().any(|name| name == "null"),
        _ => true,
    }
}

fn required(schema: &Fields) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn removed<'a>(value: &Value, members: impl Iterator<Item = &'a Member>) -> Value {
    let mut by_object: HashMap<&str, HashSet<&str>> = HashMap::new();
    for Member { object, name } in members {
        by_object.entry(object).or_default().insert(name);
    }
    let mut value = value.clone();
    for (object, names) in by_object {
        if let Some(fields) = value.pointer_mut(object).and_then(Value::as_object_mut) {
            fields.retain(|name, _| !names.contains(name.as_str()));
        }
    }
    value
}

#[cfg(test)]
mod tests;
