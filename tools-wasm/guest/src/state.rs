//! Entries that tools and agents share: any JSON under a namespace and a key, with a version that grows with every
//! write. What is written is written once, whatever crashes; what is read is read again at a replay.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::longhaul::tool::state as host;
use crate::{Failure, HostError, Ticket, Value, waits};

pub use host::PutError;

/// A value and its version; an entry that does not exist has version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<T = Value> {
    pub value: T,
    pub version: u64,
}

/// One entry of several that are written together or not at all.
#[derive(Clone, Debug)]
pub struct Write(host::PutRequest);

impl Write {
    pub fn new(key: impl Into<String>, value: &impl Serialize) -> Result<Self, Failure> {
        let value = serde_json::to_string(value)?;
        Ok(Self(host::PutRequest { key: key.into(), value, if_version: None, ttl_seconds: None }))
    }

    /// Only if this is the entry's version; 0: only if there is none.
    pub fn if_version(mut self, version: impl Into<Option<u64>>) -> Self {
        self.0.if_version = version.into();
        self
    }

    /// Gone after this time, in whole seconds.
    pub fn for_seconds(mut self, seconds: impl Into<Option<u64>>) -> Self {
        self.0.ttl_seconds = seconds.into();
        self
    }
}

pub fn get<T: DeserializeOwned>(namespace: &str, key: &str) -> Result<Option<Entry<T>>, Failure> {
    host::get(namespace, key)?.map(entry).transpose()
}

/// Writes an entry, whatever it was; its new version.
pub fn put(namespace: &str, key: &str, value: &impl Serialize) -> Result<u64, Failure> {
    let versions = put_all(namespace, vec![Write::new(key, value)?])?;
    Ok(versions.first().copied().unwrap_or_default())
}

/// Writes all of them or none; their new versions.
pub fn put_all(namespace: &str, writes: Vec<Write>) -> Result<Vec<u64>, PutError> {
    let requests: Vec<host::PutRequest> = writes.into_iter().map(|write| write.0).collect();
    host::put(namespace, &requests)
}

/// Reads an entry, changes it, and writes it unless somebody was faster; then it is done again. `change` is given
/// `None` where there is no entry. Returns what was written.
pub fn update<T: DeserializeOwned + Serialize>(
    namespace: &str,
    key: &str,
    mut change: impl FnMut(Option<T>) -> T,
) -> Result<Entry<T>, Failure> {
    loop {
        let (value, version) = match get(namespace, key)? {
            Some(Entry { value, version }) => (Some(value), version),
            None => (None, 0),
        };
        let value = change(value);
        match put_all(namespace, vec![Write::new(key, &value)?.if_version(version)]) {
            Ok(versions) => {
                return Ok(Entry { value, version: versions.first().copied().unwrap_or_default() });
            }
            Err(PutError::Conflict(_)) => {}
            Err(PutError::Refused(error)) => return Err(error.into()),
        }
    }
}

/// Deletes an entry; 0 where there was none.
pub fn delete(namespace: &str, key: &str) -> Result<u64, PutError> {
    host::delete(namespace, key, None)
}

/// Deletes an entry that has this version.
pub fn delete_if(namespace: &str, key: &str, version: u64) -> Result<u64, PutError> {
    host::delete(namespace, key, Some(version))
}

/// All entries whose keys begin so, in the order of their keys.
pub fn list<T: DeserializeOwned>(namespace: &str, prefix: &str) -> Result<Vec<(String, Entry<T>)>, Failure> {
    let (mut entries, mut cursor) = (Vec::new(), None);
    loop {
        let page = host::list(namespace, prefix, 0, cursor.as_deref())?;
        for found in page.entries {
            entries.push((found.key.clone(), entry(found)?));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(entries);
        }
    }
}

/// A ticket that is ready when the entry has another version than this one; for a wait for several things.
pub fn watch(namespace: &str, key: &str, version: u64) -> Result<Ticket, HostError> {
    host::watch(namespace, key, version)
}

/// Waits until the entry has another version than this one; false when the time is over.
pub fn changed(
    namespace: &str,
    key: &str,
    version: u64,
    timeout: impl Into<Option<Duration>>,
) -> Result<bool, HostError> {
    let ticket = watch(namespace, key, version)?;
    let is_over = waits::any(&[ticket], timeout)?.is_empty();
    if is_over {
        waits::abandon(ticket);
    }
    Ok(!is_over)
}

fn entry<T: DeserializeOwned>(found: host::Entry) -> Result<Entry<T>, Failure> {
    Ok(Entry { value: serde_json::from_str(&found.value)?, version: found.version })
}
