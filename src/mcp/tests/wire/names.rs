use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::limits;

/// Stable names for what is another with each run: ids by the order in which they are seen, times, the version.
#[derive(Default)]
pub struct Names {
    known: Vec<(String, String)>,
}

impl Names {
    /// The name of a value: the kind and a number.
    pub fn name(&mut self, kind: &str, value: &str) -> String {
        if let Some((_, name)) = self.known.iter().find(|(known, _)| known == value) {
            return name.clone();
        }
        let number = self.known.iter().filter(|(_, name)| name.starts_with(kind)).count() + 1;
        let name = format!("{kind}-{number}");
        self.known.push((value.to_owned(), name.clone()));
        name
    }

    /// The text with names for the ids in it.
    pub fn clean(&mut self, text: &str) -> String {
        const LENGTH: usize = 36;
        let mut clean = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let id = rest.get(..LENGTH).filter(|id| Uuid::try_parse(id).is_ok());
            match id {
                Some(id) => {
                    clean += &self.name("TASK", id);
                    rest = &rest[LENGTH..];
                }
                None => {
                    clean.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        clean
    }

    /// The same in a document, whose keys are put in order.
    pub fn clean_json(&mut self, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut keys: Vec<&String> = fields.keys().collect();
                keys.sort();
                let clean = keys.into_iter().map(|key| (key.clone(), self.field(key, &fields[key])));
                Value::Object(clean.collect::<Map<_, _>>())
            }
            Value::Array(items) => items.iter().map(|item| self.clean_json(item)).collect(),
            Value::String(text) => match serde_json::from_str(text) {
                // A document within a text, such as that of a task.
                Ok(inner @ Value::Object(_)) => json!({ "JSON in a text": self.clean_json(&inner) }),
                _ if OffsetDateTime::parse(text, &Rfc3339).is_ok() => json!("TIME"),
                _ => json!(self.clean(text)),
            },
            other => other.clone(),
        }
    }

    fn field(&mut self, key: &str, value: &Value) -> Value {
        match (key, value) {
            // Whether it has begun depends on who is faster.
            ("state" | "description", Value::String(state))
                if matches!(state.as_str(), "queued" | "running") =>
            {
                json!("queued or running")
            }
            // Of a request that the server made.
            ("id", Value::String(id)) if Uuid::try_parse(id).is_err() => json!(self.name("REQUEST", id)),
            ("requestState", Value::String(state)) => json!(self.name("STATE", state)),
            ("version", Value::String(version)) if version == env!("CARGO_PKG_VERSION") => json!("VERSION"),
            // How long a task is kept, and how long it has been there.
            ("ttlMs", Value::Number(ttl))
                if ttl.as_u64() >= Some(limits::DEFAULT_RETENTION_SECONDS * 1_000) =>
            {
                json!("RETENTION")
            }
            _ => self.clean_json(value),
        }
    }
}
