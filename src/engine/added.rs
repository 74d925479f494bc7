//! Components that the owner adds to an engine: they are kept with their manifests, and a later start has them without a
//! file. A running engine serves them at once, or says that they wait for approval.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::authority::Principal;
use crate::catalog::{
    Admission, Candidate, Catalog, Component, ComponentFile, FileError, Flag, Lock, RequestForm, RequestText,
    Requests, Statement, Unapproved, flags,
};
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::rows;
use crate::limits;
use crate::store::{Guard, Need, Snapshot, Space, StoreError};
use crate::task::ComponentId;

/// Of the rows of what was added, by the component's name.
const PREFIX: &str = "added/";

/// A component that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Added {
    pub name: String,
    pub component: ComponentId,
    pub requests: RequestText,
    /// The file that it was read from.
    pub from: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct AddedRow {
    component: ComponentId,
    /// What it requests: the text of a manifest, or of the policy that is named.
    manifest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    from: PathBuf,
    at: u64,
    by: String,
}

/// What is to be added.
#[derive(Clone, Debug)]
pub struct Addition {
    pub name: String,
    pub bytes: Arc<[u8]>,
    pub requests: RequestText,
    pub from: PathBuf,
    /// It is to take the place of the one of its name, which is there; else there may be none.
    pub replaces: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Served,
    /// In a few words, why it waits for a person.
    Waits(&'static str),
    /// Nothing runs: it is looked at when something does.
    Kept,
}

impl TaskEngine {
    /// What was added, by name.
    pub async fn added(&self) -> Result<Vec<Added>, EngineError> {
        Ok(self.shared.store.read(read_all).await?)
    }

    /// The bytes of a component that the store has.
    pub async fn component_bytes(&self, id: &ComponentId) -> Result<Arc<[u8]>, EngineError> {
        let digest = id.digest().ok_or_else(|| EngineError::NoSuchComponent(id.clone()))?;
        Ok(self.shared.store.read_long(move |snapshot| rows::read_blob(snapshot, &digest)).await?)
    }

    /// Adds a component, or another version of one. Durable, and audited. Tasks stay on what they began with.
    pub async fn add_component(
        &self,
        by: &Principal,
        addition: Addition,
    ) -> Result<(ComponentId, Standing), EngineError> {
        let done = self.add(by, addition).await;
        self.shared.audit.record_error(by, Subject::new(AuditAction::ComponentAdd), done)
    }

    /// Serves an added component no more, now and after a restart. Durable, and audited. Its tasks go on.
    pub async fn remove_component(&self, by: &Principal, name: &str) -> Result<ComponentId, EngineError> {
        let done = self.remove(by, name).await;
        self.shared.audit.record_error(by, Subject::new(AuditAction::ComponentRemove), done)
    }

    async fn add(&self, by: &Principal, addition: Addition) -> Result<(ComponentId, Standing), EngineError> {
        let Addition { name, bytes, requests, from, replaces } = addition;
        let unusable = |error: FileError| EngineError::Unusable(error.to_string());
        let Requests { manifest, words } = requests.parse().map_err(unusable)?;
        let shared = &self.shared;
        // Before it is compiled.
        let signed = shared
            .operator
            .signers
            .check(&name, &bytes, &requests, manifest.version.as_deref())
            .map_err(|error| EngineError::Unusable(format!("{}: {error}", from.display())))?;
        let inspection =
            self.inspect(bytes.clone()).await.map_err(|error| EngineError::Unusable(error.to_string()))?;
        let id = ComponentId::of_bytes(&bytes);
        let trusted = shared.trusts_all;
        let candidate = Candidate { name, id: id.clone(), manifest, inspection, trusted, signed };
        let statement =
            (!candidate.trusted).then(|| Statement::of(candidate.clone(), &shared.operator)).transpose()?;
        let mut component = Component::assemble(candidate, &shared.operator)?;
        component.holdings.notes.extend(words);
        let name = component.name.clone();
        self.store_component(bytes, &name).await?;
        let _one = shared.catalog_changes.lock().await;
        let was_added = self.setting(&format!("{PREFIX}{name}")).await?.is_some();
        let catalog = self.catalog();
        let is_there = was_added || has(&catalog, &name);
        if is_there && !replaces {
            return Err(EngineError::ComponentThere(name));
        }
        if !is_there && replaces {
            return Err(EngineError::NotAdded(name));
        }
        let row = AddedRow {
            component: id.clone(),
            policy: (requests.form == RequestForm::Policy).then_some(requests.path),
            manifest: requests.text,
            signature: requests.signature,
            from,
            at: shared.date(),
            by: by.name().to_owned(),
        };
        if !shared.is_running() {
            self.put_added(by, &name, row).await?;
            return Ok((id, Standing::Kept));
        }
        let others = catalog.without(&name);
        let mut approvals = self.approvals(self.lock().await?).await?;
        let admission = statement
            .as_ref()
            .map(|statement| approvals.admit(&name, statement, &flags_of(&others, &name, statement)));
        // Its names may be taken.
        let (next, standing) = match (admission, statement) {
            (Some(Admission::Waits(reasons)), Some(statement)) => {
                let standing = Standing::Waits(reasons.summary());
                (others.with_unapproved(Unapproved { component, statement, reasons }), standing)
            }
            (Some(Admission::Approved(approval) | Admission::Pinned(_, approval)), _) => {
                (others.with(component.approved_as(approval))?, Standing::Served)
            }
            _ => (others.with(component)?, Standing::Served),
        };
        self.put_added(by, &name, row).await?;
        crate::crash_point!("component-added");
        self.pin_components(by, approvals).await?;
        self.audit_grants(by, &next).await?;
        self.set_catalog(Arc::new(next));
        Ok((id, standing))
    }

    /// What is in a component's files.
    pub async fn read_component(
        &self,
        file: &ComponentFile,
    ) -> Result<(Arc<[u8]>, RequestText), EngineError> {
        let here = file.clone();
        let read = tokio::task::spawn_blocking(move || Ok((here.bytes()?, here.requests()?))).await;
        let read: Result<_, FileError> = read.map_err(|error| EngineError::Internal(error.to_string()))?;
        match (read, &self.shared.reader) {
            (Ok(read), _) => Ok(read),
            (Err(_), Some(reader)) => reader(file.path.clone()).await.map_err(EngineError::Unusable),
            (Err(error), None) => Err(EngineError::Unusable(error.to_string())),
        }
    }

    /// What the lock file says now, as a start would read it.
    async fn lock(&self) -> Result<Lock, EngineError> {
        let Some(path) = self.shared.lock_file.clone() else { return Ok(Lock::default()) };
        let read = tokio::task::spawn_blocking(move || Lock::read(&path)).await;
        let read = read.map_err(|error| EngineError::Internal(error.to_string()))?;
        read.map_err(|error| EngineError::Unusable(error.to_string()))
    }

    async fn put_added(&self, by: &Principal, name: &str, row: AddedRow) -> Result<(), EngineError> {
        let value = serde_json::to_vec(&row).map_err(EngineError::Unencodable)?;
        let mut commit = Commit::new().put(Space::Setting, format!("{PREFIX}{name}"), value);
        let subject = Subject {
            component: Some(&row.component),
            note: Some(name),
            ..Subject::new(AuditAction::ComponentAdd)
        };
        self.shared.audit.record_admitted(&mut commit, by, subject)?;
        self.shared.commit(commit)?.await?;
        Ok(())
    }

    async fn remove(&self, by: &Principal, name: &str) -> Result<ComponentId, EngineError> {
        let missing = || EngineError::NotAdded(name.chars().take(limits::MAX_TOOL_NAME_CHARS).collect());
        let _one = self.shared.catalog_changes.lock().await;
        let key = format!("{PREFIX}{name}");
        let row = self.setting(&key).await?.ok_or_else(missing)?;
        let row: AddedRow = serde_json::from_slice(&row).map_err(|_| missing())?;
        let guard = Guard::Present { space: Space::Setting, key: key.as_bytes().to_vec() };
        let mut commit = Commit::new().guard(guard).delete(Space::Setting, key).with_need(Need::Relief);
        let subject = Subject {
            component: Some(&row.component),
            note: Some(name),
            ..Subject::new(AuditAction::ComponentRemove)
        };
        self.shared.audit.record_admitted(&mut commit, by, subject)?;
        self.shared.commit(commit)?.await?;
        crate::crash_point!("component-removed");
        // A file of that name, where the start named one, is served in its place.
        if self.shared.is_running() && stands_for(&self.catalog(), name, &row.component) {
            let next = self.catalog().without(name);
            self.audit_grants(by, &next).await?;
            self.set_catalog(Arc::new(next));
        }
        Ok(row.component)
    }
}

/// Whether what the catalog has under this name is this component, or nothing that could be another.
fn stands_for(catalog: &Catalog, name: &str, id: &ComponentId) -> bool {
    let served = catalog.component(name).map(|component| &component.id);
    let waiting = catalog.unapproved().find(|waiting| waiting.component.name == name);
    served.or(waiting.map(|waiting| &waiting.component.id)).is_none_or(|there| there == id)
}

fn has(catalog: &Catalog, name: &str) -> bool {
    catalog.component(name).is_some()
        || catalog.unapproved().any(|waiting| waiting.component.name == name)
        || catalog.pending().any(|(pending, _)| pending == name)
}

/// What stands out in the words of a component, next to the tools of all others.
pub fn flags_of(catalog: &Catalog, name: &str, statement: &Statement) -> Vec<Flag> {
    let served = catalog.components().map(|component| &**component);
    let others = served.chain(catalog.unapproved().map(|waiting| &waiting.component));
    let others = others.filter(|other| other.name != name).flat_map(|other| &other.tools);
    let names: Vec<&str> = others.map(|entry| entry.tool.definition.name.as_str()).collect();
    flags(statement, names.iter().copied())
}

/// What a later version wrote and this one cannot read is not there.
pub fn read_all(snapshot: &Snapshot<'_>) -> Result<Vec<Added>, StoreError> {
    let mut added = Vec::new();
    snapshot.scan_prefix(Space::Setting, PREFIX.as_bytes(), false, |key, row| {
        let name = String::from_utf8_lossy(&key[PREFIX.len()..]).into_owned();
        match serde_json::from_slice::<AddedRow>(row) {
            Ok(AddedRow { component, manifest, policy, signature, from, .. }) => {
                let requests = match policy {
                    None => RequestText::manifest(from.with_extension("toml"), manifest),
                    Some(path) => RequestText::policy(path, manifest),
                };
                let requests = RequestText { signature, ..requests };
                added.push(Added { name, component, requests, from });
            }
            Err(error) => tracing::warn!("the added component '{name}' cannot be read: {error}"),
        }
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(added)
}
