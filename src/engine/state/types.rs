//! Entries, writes and pages of shared state.

use serde::{Deserialize, Serialize};

use crate::clock::UnixNanos;

/// An entry as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    pub key: String,
    /// A JSON document as text.
    pub value: String,
    /// From 1; an entry that does not exist has 0.
    pub version: u64,
    pub updated_at: UnixNanos,
    /// The principal, or the URI of the task, that wrote it.
    pub by: String,
}

/// One change of several that are made together or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateWrite {
    pub key: String,
    /// A JSON document as text; `None` deletes.
    pub value: Option<String>,
    /// Only if this is the entry's version; 0: only if there is none.
    pub if_version: Option<u64>,
    /// From then on it reads as if it had been deleted.
    pub ttl_seconds: Option<u64>,
}

impl StateWrite {
    pub fn put(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: Some(value.into()), if_version: None, ttl_seconds: None }
    }

    pub fn delete(key: impl Into<String>) -> Self {
        Self { key: key.into(), value: None, if_version: None, ttl_seconds: None }
    }

    #[must_use]
    pub fn if_version(mut self, version: Option<u64>) -> Self {
        self.if_version = version;
        self
    }

    #[must_use]
    pub fn ttl_seconds(mut self, seconds: Option<u64>) -> Self {
        self.ttl_seconds = seconds;
        self
    }
}

/// Which entries of a namespace are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateQuery {
    pub prefix: String,
    /// 0 is as many as one page holds.
    pub limit: usize,
    /// From the page before; a guest's is a key, which its journal keeps.
    pub cursor: Option<String>,
}

/// Entries in the order of their keys' bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePage {
    pub entries: Vec<StateEntry>,
    pub next_cursor: Option<String>,
}
