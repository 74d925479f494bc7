//! A schema as a document: its subschemas, where its references lead, and what checking a value by it may cost.

use std::collections::{HashMap, HashSet};

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use super::error::{SchemaError, shorten};
use crate::limits;

pub(super) fn build(schema: &Value) -> Result<Validator, SchemaError> {
    let patterns = PatternOptions::fancy_regex()
        .backtrack_limit(limits::MAX_PATTERN_BACKTRACKS)
        .size_limit(limits::MAX_PATTERN_BYTES)
        .dfa_size_limit(limits::MAX_PATTERN_BYTES);
    jsonschema::options().offline().with_pattern_options(patterns).build(schema).map_err(|error| {
        SchemaError::Wrong {
            path: shorten(error.instance_path().as_str()),
            message: shorten(&error.to_string()),
        }
    })
}

/// How a subschema hangs below another: on the same value, or on a part of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    SameValue,
    Part,
}

const SAME_VALUE: [&str; 4] = ["not", "if", "then", "else"];
pub(super) const SAME_VALUE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
pub(super) const SAME_VALUE_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
const PARTS: [&str; 8] = [
    "items",
    "additionalItems",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contains",
    "propertyNames",
    "contentSchema",
];
const PART_LISTS: [&str; 2] = ["prefixItems", "items"];
const PART_MAPS: [&str; 2] = ["properties", "patternProperties"];
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
pub(super) const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Keywords whose values are data: a "$ref" in there is none.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];

pub(super) fn check_bounds(schema: &Value) -> Result<(), SchemaError> {
    let bytes = schema.to_string().len();
    if bytes > limits::MAX_DEFINITION_BYTES {
        return Err(SchemaError::TooLarge(bytes));
    }
    if is_deeper_than(schema, limits::MAX_JSON_DEPTH) {
        return Err(SchemaError::TooDeep { what: "levels", limit: limits::MAX_JSON_DEPTH });
    }
    let document = Document::of(schema)?;
    if document.patterns > limits::MAX_SCHEMA_PATTERNS {
        return Err(SchemaError::TooManyPatterns(document.patterns));
    }
    let mut settled = HashMap::new();
    for node in &document.nodes {
        document.chain(node, &mut HashSet::new(), &mut settled)?;
    }
    if document.cost(schema, &mut HashSet::new(), &mut HashMap::new(), 0)? > limits::MAX_SCHEMA_NODES {
        return Err(SchemaError::TooManyNodes);
    }
    Ok(())
}

pub(super) struct Document<'a> {
    root: &'a Value,
    /// Every subschema, the root first.
    pub nodes: Vec<&'a Value>,
    anchors: HashMap<&'a str, &'a Value>,
    patterns: usize,
}

impl<'a> Document<'a> {
    pub fn of(schema: &'a Value) -> Result<Self, SchemaError> {
        let mut document = Self { root: schema, nodes: Vec::new(), anchors: HashMap::new(), patterns: 0 };
        document.read(schema)?;
        Ok(document)
    }

    /// Collects the subschemas, and refuses references that leave the document.
    fn read(&mut self, node: &'a Value) -> Result<(), SchemaError> {
        let Value::Object(fields) = node else { return Ok(()) };
        self.nodes.push(node);
        for key in ["$anchor", "$dynamicAnchor"] {
            if let Some(name) = fields.get(key).and_then(Value::as_str) {
                self.anchors.insert(name, node);
            }
        }
        for key in REFERENCES {
            if let Some(target) = fields.get(key).and_then(Value::as_str)
                && !target.starts_with('#')
            {
                return Err(SchemaError::Outside(shorten(target)));
            }
        }
        self.patterns += usize::from(fields.get("pattern").is_some_and(Value::is_string));
        self.patterns += fields.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
        for (key, value) in fields {
            if DATA.contains(&key.as_str()) {
                continue;
            }
            let is_map = [&PART_MAPS[..], &SAME_VALUE_MAPS, &DEFINITIONS].concat().contains(&key.as_str());
            match value {
                Value::Object(named) if is_map => {
                    named.values().try_for_each(|below| self.read(below))?;
                }
                Value::Object(_) => self.read(value)?,
                Value::Array(list) => list.iter().try_for_each(|below| self.read(below))?,
                _ => {}
            }
        }
        Ok(())
    }

    pub fn resolve(&self, reference: &str) -> Option<&'a Value> {
        let fragment = reference.strip_prefix('#')?;
        if fragment.is_empty() || fragment.starts_with('/') {
            let decoded = percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?;
            return self.root.pointer(&decoded);
        }
        self.anchors.get(fragment).copied()
    }

    fn below(&self, node: &'a Value) -> Vec<(Reach, &'a Value)> {
        let mut found = Vec::new();
        let Value::Object(fields) = node else { return found };
        for (key, value) in fields {
            let key = key.as_str();
            match value {
                Value::String(target) if REFERENCES.contains(&key) => {
                    found.extend(self.resolve(target).map(|node| (Reach::SameValue, node)));
                }
                Value::Array(list) if SAME_VALUE_LISTS.contains(&key) => {
                    found.extend(list.iter().map(|node| (Reach::SameValue, node)));
                }
                Value::Array(list) if PART_LISTS.contains(&key) => {
                    found.extend(list.iter().map(|node| (Reach::Part, node)));
                }
                Value::Object(named) if SAME_VALUE_MAPS.contains(&key) => {
                    found.extend(named.values().map(|node| (Reach::SameValue, node)));
                }
                Value::Object(named) if PART_MAPS.contains(&key) => {
                    found.extend(named.values().map(|node| (Reach::Part, node)));
                }
                Value::Object(_) if SAME_VALUE.contains(&key) => found.push((Reach::SameValue, value)),
                Value::Object(_) if PARTS.contains(&key) => found.push((Reach::Part, value)),
                _ => {}
            }
        }
        found
    }

    /// How many subschemas follow each other on one value, from here.
    fn chain(
        &self,
        node: &'a Value,
        open: &mut HashSet<*const Value>,
        settled: &mut HashMap<*const Value, usize>,
    ) -> Result<usize, SchemaError> {
        let id = std::ptr::from_ref(node);
        if let Some(length) = settled.get(&id) {
            return Ok(*length);
        }
        if !open.insert(id) {
            return Err(SchemaError::Circle(reference_in(node)));
        }
        // The stack of this walk is bounded by the same number as the stack of the check itself.
        if open.len() > limits::MAX_SCHEMA_CHAIN {
            return Err(too_long());
        }
        let mut longest = 0;
        for (reach, below) in self.below(node) {
            if reach == Reach::SameValue {
                longest = longest.max(self.chain(below, open, settled)?);
            }
        }
        open.remove(&id);
        if longest + 1 > limits::MAX_SCHEMA_CHAIN {
            return Err(too_long());
        }
        settled.insert(id, longest + 1);
        Ok(longest + 1)
    }

    /// How many subschemas there are from here, with each reference written out. One that leads back up to
    /// where it came from, by way of a part of the value, counts as one: the value's depth bounds it.
    fn cost(
        &self,
        node: &'a Value,
        open: &mut HashSet<*const Value>,
        settled: &mut HashMap<*const Value, u64>,
        depth: usize,
    ) -> Result<u64, SchemaError> {
        let id = std::ptr::from_ref(node);
        if let Some(cost) = settled.get(&id) {
            return Ok(*cost);
        }
        if !open.insert(id) {
            return Ok(1);
        }
        let limit = limits::MAX_SCHEMA_CHAIN * 8;
        if depth > limit {
            return Err(SchemaError::TooDeep { what: "subschemas", limit });
        }
        let mut cost: u64 = 1;
        for (_, below) in self.below(node) {
            cost = cost.saturating_add(self.cost(below, open, settled, depth + 1)?);
        }
        open.remove(&id);
        settled.insert(id, cost);
        Ok(cost)
    }
}

fn too_long() -> SchemaError {
    SchemaError::TooDeep { what: "references or combinations", limit: limits::MAX_SCHEMA_CHAIN }
}

fn reference_in(node: &Value) -> String {
    let target = REFERENCES.iter().find_map(|key| node.get(*key).and_then(Value::as_str));
    shorten(target.unwrap_or("a combination of schemas"))
}

pub(super) fn is_deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| is_deeper_than(item, levels - 1)),
        Value::Object(fields) => levels == 0 || fields.values().any(|item| is_deeper_than(item, levels - 1)),
        _ => false,
    }
}
