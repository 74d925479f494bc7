//! An entry of shared state as it is shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::operation::shown_as_it_is;
use super::{optional, schema};
use crate::clock::rfc3339;
use crate::engine::StateEntry;

/// `{value, version, updated_at, by}`, or `{version: 0}` where there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StateDocument {
    /// Any JSON.
    #[serde(default, deserialize_with = "optional::given", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::anything", default)]
    pub value: Option<Value>,
    /// Grows with every write; 0: there is no entry.
    pub version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

shown_as_it_is!(StateDocument);

// In a list, without its value. A comment for docs would be in the schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["version"]))]
pub struct ListedEntry {
    pub key: String,
    /// Grows with every write; 0: there is no entry.
    pub version: u64,
    pub updated_at: String,
    pub by: String,
}

impl StateDocument {
    pub fn of(entry: Option<&StateEntry>) -> Self {
        let Some(StateEntry { value, version, updated_at, by, .. }) = entry else { return Self::default() };
        Self {
            value: Some(serde_json::from_str(value).unwrap_or_default()),
            version: *version,
            updated_at: Some(rfc3339(*updated_at)),
            by: Some(by.clone()),
        }
    }

    pub fn exists(&self) -> bool {
        self.version > 0
    }
}

impl From<StateEntry> for ListedEntry {
    fn from(entry: StateEntry) -> Self {
        let StateEntry { key, version, updated_at, by, .. } = entry;
        Self { key, version, updated_at: rfc3339(updated_at), by }
    }
}
