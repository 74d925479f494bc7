//! Which subschemas of a schema speak of which place of a value.

use std::collections::{HashMap, HashSet};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::document::{Document, REFERENCES, SAME_VALUE_LISTS, SAME_VALUE_MAPS, build};
use super::error::SchemaError;

pub(super) type Fields = Map<String, Value>;

/// A schema as it is walked along with a value.
pub(super) struct Places {
    root: Value,
    /// Of `patternProperties`, by the pattern.
    patterns: HashMap<String, Validator>,
}

/// Which of the subschemas for one value are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// Those that hold whatever the value is: references and `allOf`.
    Certain,
    /// Every branch too.
    Branches,
}

impl Places {
    pub fn of(schema: &Value) -> Result<Self, SchemaError> {
        let document = Document::of(schema)?;
        let mut patterns = HashMap::new();
        for named in document.nodes.iter().filter_map(|node| node.get("patternProperties")?.as_object()) {
            for text in named.keys() {
                patterns.insert(text.clone(), build(&json!({ "pattern": text }))?);
            }
        }
        Ok(Self { root: schema.clone(), patterns })
    }

    pub fn root(&self) -> &Value {
        &self.root
    }

    /// `None` for no schema that was ever made into this.
    pub fn reader(&self) -> Option<Reader<'_>> {
        let document = Document::of(&self.root).ok()?;
        Some(Reader { document, patterns: &self.patterns })
    }
}

pub(super) struct Reader<'a> {
    document: Document<'a>,
    patterns: &'a HashMap<String, Validator>,
}

impl<'a> Reader<'a> {
    pub fn subschemas(&self) -> impl Iterator<Item = &'a Fields> {
        self.document.nodes.iter().filter_map(|node| node.as_object())
    }

    /// Where the subschema's references lead.
    pub fn targets(&self, schema: &'a Fields) -> impl Iterator<Item = &'a Value> {
        let named = REFERENCES.iter().filter_map(|word| schema.get(*word)?.as_str());
        named.filter_map(|target| self.document.resolve(target))
    }

    /// The schemas that say something of the value that these are for.
    pub fn applied(&self, mut open: Vec<&'a Value>, follow: Follow) -> Vec<&'a Fields> {
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        while let Some(schema) = open.pop() {
            let Value::Object(fields) = schema else { continue };
            if !seen.insert(std::ptr::from_ref(schema)) {
                continue;
            }
            found.push(fields);
            open.extend(self.targets(fields));
            if follow == Follow::Certain {
                open.extend(fields.get("allOf").and_then(Value::as_array).into_iter().flatten());
                continue;
            }
            let lists = SAME_VALUE_LISTS.iter().filter_map(|word| fields.get(*word)?.as_array());
            open.extend(lists.flatten());
            let maps = SAME_VALUE_MAPS.iter().filter_map(|word| fields.get(*word)?.as_object());
            open.extend(maps.flat_map(Map::values));
            // "if" and "not" say what is asked of a value, not what it is.
            open.extend(["then", "else"].iter().filter_map(|word| fields.get(*word)));
        }
        found
    }

    /// The schemas of a member, from those of its object.
    pub fn of_member(&self, applied: &[&'a Fields], name: &str) -> Vec<&'a Value> {
        let mut found = self.of_evaluated_member(applied, name);
        if found.is_empty() {
            found.extend(applied.iter().filter_map(|schema| schema.get("unevaluatedProperties")));
        }
        found
    }

    /// The same without those of members that no other schema speaks of.
    pub fn of_evaluated_member(&self, applied: &[&'a Fields], name: &str) -> Vec<&'a Value> {
        let mut found = Vec::new();
        let text = Value::from(name);
        for schema in applied {
            let before = found.len();
            found.extend(schema.get("properties").and_then(|named| named.get(name)));
            for (pattern, below) in
                schema.get("patternProperties").and_then(Value::as_object).into_iter().flatten()
            {
                if self.patterns.get(pattern).is_some_and(|pattern| pattern.is_valid(&text)) {
                    found.push(below);
                }
            }
            if found.len() == before {
                found.extend(schema.get("additionalProperties"));
            }
        }
        found
    }
}

pub(super) fn of_item<'a>(applied: &[&'a Fields], place: usize) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for schema in applied {
        // Drafts before 2020-12 have the list in "items", and in "additionalItems" what follows it.
        let (list, rest) = match schema.get("items") {
            Some(Value::Array(list)) => (Some(list), schema.get("additionalItems")),
            rest => (schema.get("prefixItems").and_then(Value::as_array), rest),
        };
        found.extend(list.and_then(|list| list.get(place)).or(rest));
        found.extend(schema.get("contains"));
    }
    if found.is_empty() {
        found.extend(applied.iter().filter_map(|schema| schema.get("unevaluatedItems")));
    }
    found
}
