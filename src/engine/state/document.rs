//! What is shown of an entry.

use serde_json::{Value, json};

use super::types::{StateEntry, StatePage};
use crate::engine::text::rfc3339;

/// `{value, version, updated_at, by}`, or `{version: 0}` where there is none.
pub fn state_document(entry: Option<&StateEntry>) -> Value {
    match entry {
        Some(entry) => json!({
            "value": serde_json::from_str::<Value>(&entry.value).unwrap_or_default(),
            "version": entry.version,
            "updated_at": rfc3339(entry.updated_at),
            "by": entry.by,
        }),
        None => json!({ "version": 0 }),
    }
}

impl StatePage {
    /// `{entries: [{key, version, updated_at, by}], next_cursor?}`: without the values.
    pub fn document(&self) -> Value {
        let shown = |entry: &StateEntry| {
            let StateEntry { key, version, updated_at, by, .. } = entry;
            json!({ "key": key, "version": version, "updated_at": rfc3339(*updated_at), "by": by })
        };
        let mut document = json!({ "entries": self.entries.iter().map(shown).collect::<Vec<_>>() });
        if let Some(cursor) = &self.next_cursor {
            document["next_cursor"] = json!(cursor);
        }
        document
    }
}
