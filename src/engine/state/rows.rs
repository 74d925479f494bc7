//! Rows of shared state. `0 | namespace` counts what a namespace holds, `1 | namespace | 0 | key` is an entry or what
//! is left of one, `2 | due BE | namespace | 0 | key` says when an entry expires.

use serde::{Deserialize, Serialize};

use super::types::StateEntry;
use crate::clock::UnixNanos;
use crate::engine::charge;
use crate::engine::error::StateError;
use crate::engine::rows;
use crate::limits;
use crate::store::{Snapshot, Space, StoreError, codec};
use crate::task::TaskId;

const NAMESPACE: u8 = 0;
const ENTRY: u8 = 1;
const EXPIRY: u8 = 2;

/// What a namespace holds; an expired entry counts until it is swept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceRow {
    pub entries: u64,
    /// Keys and values.
    pub bytes: u64,
    /// Deleted entries of which the version is kept.
    pub tombstones: u64,
    /// No entry whose version is not kept has ever had a higher one.
    pub floor: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    pub version: u64,
    /// JSON; `None` once deleted: what is left keeps the version growing.
    pub value: Option<String>,
    pub updated_at: UnixNanos,
    pub by: String,
    pub expires_at: Option<UnixNanos>,
    /// The principal that it counts for, where a task of its wrote it. Rows of earlier builds do not say: what a task
    /// wrote then counts for none until it is written again.
    #[serde(skip)]
    pub of: Option<String>,
}

/// Version of an entry's row that says for whom it counts; others have the first.
const OWNED_VERSION: u8 = 2;

pub fn encode_entry(row: &EntryRow) -> Result<Vec<u8>, StoreError> {
    match &row.of {
        Some(of) => codec::encode(OWNED_VERSION, &(row, of)),
        None => rows::encode(row),
    }
}

pub fn decode_entry(key: &[u8], bytes: &[u8]) -> Result<EntryRow, StoreError> {
    if codec::version(Space::State, key, bytes)? != OWNED_VERSION {
        return rows::decode(Space::State, key, bytes);
    }
    let (row, of) = codec::decode::<(EntryRow, String)>(OWNED_VERSION, Space::State, key, bytes)?;
    Ok(EntryRow { of: Some(of), ..row })
}

impl EntryRow {
    /// As it reads at this moment: an expired entry is not there any more.
    pub fn into_entry(self, key: &str, now: UnixNanos) -> Option<StateEntry> {
        if self.expires_at.is_some_and(|at| at <= now) {
            return None;
        }
        let Self { version, updated_at, by, .. } = self;
        self.value.map(|value| StateEntry { key: key.to_owned(), value, version, updated_at, by })
    }

    /// 0 where it reads as absent.
    pub fn version_at(&self, now: UnixNanos) -> u64 {
        let is_there = self.value.is_some() && self.expires_at.is_none_or(|at| now < at);
        if is_there { self.version } else { 0 }
    }
}

impl EntryRow {
    /// The principal that it counts for, if it holds anything.
    pub fn counts_for(&self) -> Option<&str> {
        let by = Some(self.by.as_str()).filter(|by| !by.starts_with(TaskId::SCHEME));
        self.value.as_ref().and(self.of.as_deref().or(by))
    }

    /// What it costs in the store; nothing once it is deleted.
    pub fn cost(&self, namespace: &str, key: &str) -> u64 {
        self.value.as_ref().map_or(0, |value| charge::of_entry(namespace, key, value))
    }
}

impl NamespaceRow {
    pub fn add(&mut self, key: &str, row: &EntryRow) {
        match &row.value {
            Some(value) => {
                self.entries += 1;
                self.bytes += (key.len() + value.len()) as u64;
            }
            None => self.tombstones += 1,
        }
    }

    pub fn remove(&mut self, key: &str, row: &EntryRow) {
        match &row.value {
            Some(value) => {
                self.entries = self.entries.saturating_sub(1);
                self.bytes = self.bytes.saturating_sub((key.len() + value.len()) as u64);
            }
            None => self.tombstones = self.tombstones.saturating_sub(1),
        }
    }
}

pub fn namespace_key(namespace: &str) -> Vec<u8> {
    [&[NAMESPACE], namespace.as_bytes()].concat()
}

pub fn namespaces_prefix() -> [u8; 1] {
    [NAMESPACE]
}

/// The namespace of a key of [`namespace_key`].
pub fn namespace_of(key: &[u8]) -> Option<&str> {
    let (first, name) = key.split_first()?;
    (*first == NAMESPACE).then(|| std::str::from_utf8(name).ok()).flatten()
}

/// What the keys of a namespace's entries begin with.
pub fn entries_prefix(namespace: &str) -> Vec<u8> {
    [&[ENTRY], namespace.as_bytes(), &[0]].concat()
}

pub fn entry_key(namespace: &str, key: &str) -> Vec<u8> {
    [&entries_prefix(namespace), key.as_bytes()].concat()
}

pub fn expiry_key(due: UnixNanos, namespace: &str, key: &str) -> Vec<u8> {
    [&[EXPIRY][..], &due.to_be_bytes(), namespace.as_bytes(), &[0], key.as_bytes()].concat()
}

pub fn expiries_prefix() -> [u8; 1] {
    [EXPIRY]
}

/// When and what: the other way of [`expiry_key`].
pub fn read_expiry_key(row: &[u8]) -> Option<(UnixNanos, &str, &str)> {
    let (due, rest) = row.strip_prefix(&[EXPIRY])?.split_first_chunk::<8>()?;
    let (namespace, key) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
    Some((UnixNanos::from_be_bytes(*due), namespace, key))
}

pub fn read_entry(
    snapshot: &Snapshot<'_>,
    namespace: &str,
    key: &str,
) -> Result<Option<EntryRow>, StoreError> {
    let key = entry_key(namespace, key);
    snapshot.get(Space::State, &key)?.map(|row| decode_entry(&key, &row)).transpose()
}

/// What the keys of all entries begin with.
pub fn all_entries_prefix() -> [u8; 1] {
    [ENTRY]
}

/// The namespace and the key of an entry: the other way of [`entry_key`].
pub fn read_entry_key(row: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(row.strip_prefix(&[ENTRY])?).ok()?.split_once('\0')
}

pub fn check_namespace(namespace: &str) -> Result<(), StateError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let limit = limits::MAX_STATE_NAMESPACE_BYTES;
    let fits = namespace.len() <= limit
        && namespace.bytes().next().is_some_and(plain)
        && namespace.bytes().all(|byte| plain(byte) || b"._-".contains(&byte));
    if fits {
        return Ok(());
    }
    let shown: String = namespace.chars().take(limit).collect();
    Err(StateError::Invalid(format!(
        "'{}' is no namespace: 1 to {limit} of a-z, 0-9, '.', '_' and '-', a letter or digit first",
        shown.escape_debug()
    )))
}

pub fn check_key(key: &str) -> Result<(), StateError> {
    let limit = limits::MAX_STATE_KEY_BYTES;
    if key.is_empty() || key.len() > limit {
        return Err(StateError::Invalid(format!(
            "a key is 1 to {limit} bytes of text, this one {}",
            key.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_keys_read_back() {
        for name in ["a", "0", "a.b-c_d", &"x".repeat(64)] {
            assert_eq!(check_namespace(name), Ok(()), "{name}");
        }
        for name in ["", "A", "-a", ".a", "a b", "a/b", "ä", "a\0", &"x".repeat(65)] {
            assert!(check_namespace(name).is_err(), "{name}");
        }
        assert!(check_key("").is_err() && check_key("a/b c\0ä").is_ok());
        let due = expiry_key(7, "trips", "a\0b");
        assert_eq!(read_expiry_key(&due), Some((7, "trips", "a\0b")));
        assert_eq!(namespace_of(&namespace_key("trips")), Some("trips"));
        // No entry of one namespace is within another's.
        assert!(!entry_key("trips2", "a").starts_with(&entries_prefix("trips")));
    }
}
