//! What the store keeps of components that were added: one row for each component's name.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::catalog::{RequestForm, RequestText};
use crate::clock::UnixNanos;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::ComponentId;

/// Of the rows of what was added, by the component's name.
const PREFIX: &str = "added/";

/// A component that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Added {
    pub name: String,
    pub version: AddedVersion,
    /// What was approved before: it is served as long as the version waits for a person.
    pub before: Option<AddedVersion>,
}

/// One version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedVersion {
    pub component: ComponentId,
    pub requests: RequestText,
    /// The file that it was read from, or its place in a registry.
    pub from: PathBuf,
}

impl Added {
    pub fn versions(&self) -> impl Iterator<Item = &AddedVersion> {
        std::iter::once(&self.version).chain(&self.before)
    }
}

#[derive(Serialize, Deserialize)]
pub struct AddedRow {
    #[serde(flatten)]
    pub version: VersionRow,
    /// What was approved, where the version above waited when it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<VersionRow>,
    pub at: UnixNanos,
    pub by: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct VersionRow {
    pub component: ComponentId,
    /// What it requests: the text of a manifest, or of the policy that is named.
    manifest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    from: PathBuf,
}

impl From<AddedVersion> for VersionRow {
    fn from(version: AddedVersion) -> Self {
        let AddedVersion { component, requests, from } = version;
        Self {
            component,
            policy: (requests.form == RequestForm::Policy).then_some(requests.path),
            manifest: requests.text,
            signature: requests.signature,
            from,
        }
    }
}

impl From<VersionRow> for AddedVersion {
    fn from(row: VersionRow) -> Self {
        let VersionRow { component, manifest, policy, signature, from } = row;
        // A place in a registry has no other file next to it.
        let is_file = from.is_absolute();
        let requests = match policy {
            None if is_file => RequestText::manifest(from.with_extension("toml"), manifest),
            None => RequestText::manifest(from.clone(), manifest),
            Some(path) => RequestText::policy(path, manifest),
        };
        Self { component, requests: RequestText { signature, ..requests }, from }
    }
}

impl AddedRow {
    fn read(name: String, row: &[u8]) -> Option<Added> {
        // What a later version wrote and this one cannot read is not there.
        let unreadable = |error: &serde_json::Error| {
            tracing::warn!("the added component '{name}' cannot be read: {error}");
        };
        let row: Self = serde_json::from_slice(row).inspect_err(unreadable).ok()?;
        Some(Added { name, version: row.version.into(), before: row.before.map(AddedVersion::from) })
    }
}

pub fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

pub fn read_all(snapshot: &Snapshot<'_>) -> Result<Vec<Added>, StoreError> {
    let mut added = Vec::new();
    snapshot.scan_prefix(Space::Setting, PREFIX.as_bytes(), false, |key, row| {
        let name = String::from_utf8_lossy(&key[PREFIX.len()..]).into_owned();
        added.extend(AddedRow::read(name, row));
        ControlFlow::Continue(())
    })?;
    Ok(added)
}
