//! Shared state, as programs see it: what each op prints.

use std::time::Duration;

use longhaul_guest::state::{self, Entry, PutError, Write};
use longhaul_guest::{Failure, HostError, Value};
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Put {
    pub key: String,
    pub value: Value,
    pub if_version: Option<u64>,
    pub ttl_seconds: Option<u64>,
}

pub fn put(namespace: &str, entries: &[Put]) -> Result<String, Failure> {
    let mut writes = Vec::new();
    for Put { key, value, if_version, ttl_seconds } in entries {
        writes.push(Write::new(key, value)?.if_version(*if_version).for_seconds(*ttl_seconds));
    }
    let versions = state::put_all(namespace, writes);
    Ok(versions.map_or_else(refused, |versions| {
        let versions: Vec<String> = versions.iter().map(u64::to_string).collect();
        versions.join(" ")
    }))
}

pub fn get(namespace: &str, key: &str) -> String {
    match longhaul_guest::bindings::longhaul::tool::state::get(namespace, key) {
        Ok(Some(entry)) => format!("{} {}", entry.version, entry.value),
        Ok(None) => "none".to_owned(),
        Err(error) => name(&error).to_owned(),
    }
}

pub fn add(namespace: &str, key: &str, by: u64) -> Result<String, Failure> {
    let Entry { value, version } = state::update(namespace, key, |old: Option<u64>| old.unwrap_or(0) + by)?;
    Ok(format!("{version} {value}"))
}

pub fn delete(namespace: &str, key: &str) -> String {
    state::delete(namespace, key).map_or_else(refused, |version| version.to_string())
}

pub fn watch(namespace: &str, key: &str, version: u64, timeout_ms: Option<u64>) -> Result<String, Failure> {
    let changed = state::changed(namespace, key, version, timeout_ms.map(Duration::from_millis))?;
    Ok(if changed { get(namespace, key) } else { "timeout".to_owned() })
}

fn refused(error: PutError) -> String {
    match error {
        PutError::Conflict(version) => format!("conflict {version}"),
        PutError::Refused(error) => name(&error).to_owned(),
    }
}

fn name(error: &HostError) -> &'static str {
    match error {
        HostError::NotGranted(_) => "not-granted",
        HostError::Invalid(_) => "invalid",
        HostError::Limit(_) => "limit",
        HostError::NotFound(_) => "not-found",
        HostError::Unavailable(_) => "unavailable",
    }
}
