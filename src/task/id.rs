use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A task's id: a UUIDv7, so that ids sort by creation; 74 of its bits are random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId(Uuid);

impl TaskId {
    /// What a task's URI begins with.
    pub const SCHEME: &'static str = "task://";

    /// `millis` since the Unix epoch, and ten random bytes.
    pub fn new(millis: u64, random: &[u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid())
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// `task://{id}`
    pub fn uri(&self) -> String {
        format!("{}{self}", Self::SCHEME)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no task id: a task id is a UUID such as 01982f3e-7c41-7b2a-9d3e-5f6a7b8c9d0e")]
pub struct ParseTaskIdError(String);

impl FromStr for TaskId {
    type Err = ParseTaskIdError;

    /// Only the hyphenated form: one task has one URI.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseTaskIdError(text.chars().take(64).collect());
        let id = Uuid::try_parse(text).map_err(|_| refuse())?;
        let canonical = id.as_hyphenated().to_string();
        if canonical == text { Ok(Self(id)) } else { Err(refuse()) }
    }
}

/// What runs a task: the BLAKE3 digest of a component (`blake3:HEX`), or `NAME@VERSION` of closures.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ComponentId(String);

impl ComponentId {
    pub fn of_bytes(component: &[u8]) -> Self {
        Self(format!("blake3:{}", blake3::hash(component).to_hex()))
    }

    pub fn of_closures(name: &str, version: &str) -> Self {
        Self(format!("{name}@{version}"))
    }

    /// As it was written before.
    pub fn from_stored(id: String) -> Self {
        Self(id)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digest, unless it is made of closures.
    pub fn digest(&self) -> Option<[u8; 32]> {
        let hex = self.0.strip_prefix("blake3:")?;
        blake3::Hash::from_hex(hex).ok().map(|hash| *hash.as_bytes())
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_creation_and_have_one_spelling() {
        let old = TaskId::new(1_000, &[255; 10]);
        let new = TaskId::new(1_001, &[0; 10]);
        assert!(old < new);
        assert_eq!(old.to_string().parse::<TaskId>(), Ok(old));
        assert!(old.to_string().to_uppercase().parse::<TaskId>().is_err());
        assert!(old.to_string().replace('-', "").parse::<TaskId>().is_err());
        assert!("".parse::<TaskId>().is_err());
    }
}
