//! Components that the owner adds to an engine: they are kept with their manifests, and a later start has them without a
//! file. A running engine serves them at once, or says that they wait for approval.

mod rows;

use std::path::PathBuf;
use std::sync::Arc;

use crate::authority::Principal;
use crate::catalog::{
    Admission, Candidate, Catalog, Component, ComponentFile, FileError, Flag, Lock, RequestText, Requests,
    Statement, Unapproved, flags,
};
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::rows::read_blob;
use crate::limits;
use crate::store::{Guard, Need, Space};
use crate::task::ComponentId;
pub use rows::{Added, AddedVersion};
use rows::{AddedRow, VersionRow, key, read_all};

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
    Waits {
        /// In a few words, why it waits for a person.
        why: &'static str,
        /// What is served until it is approved.
        serves: Option<ComponentId>,
    },
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
        Ok(self.shared.store.read_long(move |snapshot| read_blob(snapshot, &digest)).await?)
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
        let shared = &self.shared;
        let id = ComponentId::of_bytes(&bytes);
        let version = AddedVersion { component: id.clone(), requests, from };
        let (component, statement) = self.assembled(&name, bytes.clone(), &version).await?;
        let name = component.name.clone();
        self.store_component(bytes, &name).await?;
        let _one = shared.catalog_changes.lock().await;
        let there = self.added().await?.into_iter().find(|added| added.name == name);
        let catalog = self.catalog();
        let is_there = there.is_some() || has(&catalog, &name);
        if is_there && !replaces {
            return Err(EngineError::ComponentThere(name));
        }
        if !is_there && replaces {
            return Err(EngineError::NotAdded(name));
        }
        let before = match there {
            Some(there) => self.approved_of(there).await?.filter(|before| *before != version),
            None => None,
        };
        let row = AddedRow {
            version: version.into(),
            before: before.map(VersionRow::from),
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
                let serves = catalog.component(&name).map(|served| served.id.clone());
                let standing = Standing::Waits { why: reasons.summary(), serves };
                let waiting = Unapproved { component, statement, reasons };
                (catalog.with_waiting_version(waiting), standing)
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

    /// Looks into a version: as what it would be served, and what an approval of it is of; none of one that needs none.
    async fn assembled(
        &self,
        name: &str,
        bytes: Arc<[u8]>,
        version: &AddedVersion,
    ) -> Result<(Component, Option<Statement>), EngineError> {
        let AddedVersion { component: id, requests, from } = version;
        let unusable = |error: FileError| EngineError::Unusable(error.to_string());
        let Requests { manifest, words } = requests.parse().map_err(unusable)?;
        let shared = &self.shared;
        // Before it is compiled.
        let signed = shared
            .operator
            .signers
            .check(name, &bytes, requests, manifest.version.as_deref())
            .map_err(|error| EngineError::Unusable(format!("{}: {error}", from.display())))?;
        let inspection =
            self.inspect(bytes).await.map_err(|error| EngineError::Unusable(error.to_string()))?;
        let (name, id, trusted) = (name.to_owned(), id.clone(), shared.trusts_all);
        let candidate = Candidate { name, id, manifest, inspection, trusted, signed };
        let statement =
            (!candidate.trusted).then(|| Statement::of(candidate.clone(), &shared.operator)).transpose()?;
        let mut component = Component::assemble(candidate, &shared.operator)?;
        component.holdings.notes.extend(words);
        Ok((component, statement))
    }

    /// Of what was added under a name, the version that is approved.
    async fn approved_of(&self, added: Added) -> Result<Option<AddedVersion>, EngineError> {
        let Some(approved) = self.approved_statement(&added.name).await? else { return Ok(None) };
        for version in added.versions().filter(|version| version.component == approved.component) {
            let bytes = self.component_bytes(&version.component).await?;
            // One that cannot be served any more is none.
            let Ok((_, statement)) = self.assembled(&added.name, bytes, version).await else { continue };
            if statement.is_some_and(|statement| statement == approved) {
                return Ok(Some(version.clone()));
            }
        }
        Ok(None)
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
        let mut commit = Commit::new().put(Space::Setting, key(name), value);
        let subject = Subject {
            component: Some(&row.version.component),
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
        let key = key(name);
        let there = self.added().await?.into_iter().find(|added| added.name == name);
        let there = there.ok_or_else(missing)?;
        let component = there.version.component.clone();
        let guard = Guard::Present { space: Space::Setting, key: key.as_bytes().to_vec() };
        let mut commit = Commit::new().guard(guard).delete(Space::Setting, key).with_need(Need::Relief);
        let subject = Subject {
            component: Some(&component),
            note: Some(name),
            ..Subject::new(AuditAction::ComponentRemove)
        };
        self.shared.audit.record_admitted(&mut commit, by, subject)?;
        self.shared.commit(commit)?.await?;
        crate::crash_point!("component-removed");
        if self.shared.is_running() {
            let next = without_added(&self.catalog(), &there);
            self.audit_grants(by, &next).await?;
            self.set_catalog(Arc::new(next));
        }
        Ok(component)
    }
}

/// A file of that name, where the start named one, is served in its place, and stays.
fn without_added(catalog: &Catalog, added: &Added) -> Catalog {
    let is_added = |id: &ComponentId| added.versions().any(|version| version.component == *id);
    if catalog.component(&added.name).is_none_or(|served| is_added(&served.id)) {
        let mut waiting = catalog.unapproved().filter(|waiting| waiting.component.name == added.name);
        let is_other = waiting.any(|waiting| !is_added(&waiting.component.id));
        return if is_other { catalog.clone() } else { catalog.without(&added.name) };
    }
    catalog.without_waiting(&added.name)
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
