//! Which components a person has approved, as what they were then. A component that comes with anything changed is not
//! served before it is approved again; its tasks that run keep what they have.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::authority::Principal;
use crate::catalog::{
    Admission, Approved, Component, FirstSight, Flag, Reasons, Since, Statement, Unapproved, admit,
};
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::limits;
use crate::store::{Need, Snapshot, Space, StoreError};

/// Of the rows of what was approved, by the component's name.
const PREFIX: &str = "approval/";
/// Says that approvals count in this store: what was granted before they did is taken as approved, once.
const SINCE: &str = "approvals-since";

/// What was approved under one name.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ApprovalRow {
    statement: Statement,
    at: u64,
    /// The principal that approved it, or revoked that.
    by: String,
    #[serde(default)]
    is_revoked: bool,
}

/// What is approved, when a start begins to look at components.
#[derive(Debug)]
pub struct Approvals {
    rows: BTreeMap<String, ApprovalRow>,
    /// Approvals did not count in this store before.
    is_first: bool,
    pins: Vec<(String, Statement, FirstSight)>,
}

/// A component that waits for a person.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UnapprovedView {
    pub name: String,
    /// What an approval has to name, so that what was seen is what is approved.
    pub digest: String,
    pub tools: Vec<String>,
    pub reasons: Reasons,
}

impl ApprovalRow {
    fn as_approved(&self) -> Approved<'_> {
        Approved { statement: &self.statement, is_revoked: self.is_revoked }
    }
}

impl Approvals {
    /// How a component stands. One that is pinned counts as approved once [`TaskEngine::pin_components`] has it.
    pub fn admit(&mut self, name: &str, statement: &Statement, flags: &[Flag]) -> Admission {
        let approved = self.rows.get(name).map(ApprovalRow::as_approved);
        let admission = admit(statement, approved, flags, self.is_first);
        if let Admission::Pinned(why) = &admission {
            self.pins.push((name.to_owned(), statement.clone(), *why));
        }
        admission
    }

    /// Those that [`Self::admit`] has pinned since they ask for nothing.
    pub fn pinned_at_first_sight(&self) -> Vec<(String, Statement)> {
        let first = self.pins.iter().filter(|(.., why)| *why == FirstSight::AsksForNothing);
        first.map(|(name, statement, _)| (name.clone(), statement.clone())).collect()
    }

    /// One that was pinned by [`Self::admit`] is not, after all.
    pub fn withdraw(&mut self, name: &str) {
        self.pins.retain(|(pinned, ..)| pinned != name);
    }
}

impl TaskEngine {
    pub async fn approvals(&self) -> Result<Approvals, EngineError> {
        let (rows, has_begun) = self.shared.store.read(read_all).await?;
        let mut known = BTreeMap::new();
        for (name, row) in rows {
            // What a later version wrote and this one cannot read approves nothing.
            match serde_json::from_slice(&row) {
                Ok(row) => drop(known.insert(name, row)),
                Err(error) => {
                    tracing::warn!("the approval of '{name}' cannot be read, and counts for nothing: {error}")
                }
            }
        }
        Ok(Approvals { rows: known, is_first: !has_begun, pins: Vec::new() })
    }

    /// Keeps what a start has pinned, with a row of the audit for each.
    pub async fn pin_components(&self, by: &Principal, approvals: Approvals) -> Result<(), EngineError> {
        // A start needs it, also on a full disk.
        let mut commit = Commit::new().with_need(Need::End);
        if approvals.is_first {
            commit.add_put(Space::Setting, SINCE, self.shared.date().to_be_bytes());
        }
        for (name, statement, why) in &approvals.pins {
            let why = match why {
                FirstSight::AsksForNothing => "it asks for nothing",
                FirstSight::GrantedBefore => "it was granted before approvals counted",
            };
            self.put_approval(&mut commit, by, (name, statement), why)?;
        }
        if !commit.is_empty() {
            self.shared.commit(commit)?.await?;
        }
        Ok(())
    }

    /// What waits for a person, by name.
    pub fn unapproved(&self) -> Vec<UnapprovedView> {
        self.catalog().unapproved().map(|waiting| view_of(waiting)).collect()
    }

    /// Approves a component that waits, as the one whose statement has this digest, and serves it. Durable, and audited.
    pub async fn approve(
        &self,
        by: &Principal,
        name: &str,
        digest: &str,
    ) -> Result<UnapprovedView, EngineError> {
        let done = self.approve_waiting(by, name, digest).await;
        self.shared.audit.record_error(by, Subject::new(AuditAction::ComponentApprove), done)
    }

    /// Takes an approval back: the component is not served any more, and the tasks that it has lose their powers. Durable,
    /// and audited.
    pub async fn revoke_approval(&self, by: &Principal, name: &str) -> Result<UnapprovedView, EngineError> {
        let done = self.revoke_named(by, name).await;
        self.shared.audit.record_error(by, Subject::new(AuditAction::ComponentRevoke), done)
    }

    async fn revoke_named(&self, by: &Principal, name: &str) -> Result<UnapprovedView, EngineError> {
        let _one = self.shared.catalog_changes.lock().await;
        let missing = || EngineError::NotApproved(name.chars().take(limits::MAX_TOOL_NAME_CHARS).collect());
        let catalog = self.catalog();
        let served = catalog.component(name);
        if served.is_some_and(|component| component.holdings.trusted) {
            return Err(missing());
        }
        let row = self.setting(&format!("{PREFIX}{name}")).await?.ok_or_else(missing)?;
        let ApprovalRow { statement, .. } = serde_json::from_slice(&row).map_err(|_| missing())?;
        let reasons = Reasons { since: Since::Revoked, lines: Vec::new() };
        let mut commit = Commit::new().with_need(Need::Relief);
        self.put_row(&mut commit, by, AuditAction::ComponentRevoke, (name, &statement), "")?;
        self.shared.commit(commit)?.await?;
        crate::crash_point!("approval-revoked");
        let seen = view(name, &statement, &reasons);
        if let Some(component) = served {
            let waiting = Unapproved { component: Component::clone(component), statement, reasons };
            self.set_catalog(Arc::new(catalog.with_unapproved(waiting)));
        }
        Ok(seen)
    }

    async fn approve_waiting(
        &self,
        by: &Principal,
        name: &str,
        digest: &str,
    ) -> Result<UnapprovedView, EngineError> {
        let missing = || EngineError::NotWaiting(name.chars().take(limits::MAX_TOOL_NAME_CHARS).collect());
        let _one = self.shared.catalog_changes.lock().await;
        let catalog = self.catalog();
        let waiting = catalog.unapproved().find(|waiting| waiting.component.name == name);
        let waiting = waiting.ok_or_else(missing)?;
        let seen = view_of(waiting);
        if seen.digest != digest {
            return Err(EngineError::AnotherStatement { name: name.to_owned(), digest: seen.digest });
        }
        // Its names may be taken by now.
        let next = catalog.with_approved(name).ok_or_else(missing)??;
        let mut commit = Commit::new();
        self.put_approval(&mut commit, by, (name, &waiting.statement), "")?;
        self.shared.commit(commit)?.await?;
        crate::crash_point!("approved");
        self.audit_grants(by, &next).await?;
        self.set_catalog(Arc::new(next));
        Ok(seen)
    }

    fn put_approval(
        &self,
        commit: &mut Commit,
        by: &Principal,
        of: (&str, &Statement),
        why: &str,
    ) -> Result<(), EngineError> {
        self.put_row(commit, by, AuditAction::ComponentApprove, of, why)
    }

    fn put_row(
        &self,
        commit: &mut Commit,
        by: &Principal,
        action: AuditAction,
        (name, statement): (&str, &Statement),
        why: &str,
    ) -> Result<(), EngineError> {
        let row = ApprovalRow {
            statement: statement.clone(),
            at: self.shared.date(),
            by: by.name().to_owned(),
            is_revoked: action == AuditAction::ComponentRevoke,
        };
        let row = serde_json::to_vec(&row).map_err(EngineError::Unencodable)?;
        let note = if why.is_empty() { name.to_owned() } else { format!("{name}: {why}") };
        let subject = Subject {
            component: Some(&statement.component),
            hash: Some(*blake3::hash(&row).as_bytes()),
            note: Some(&note),
            ..Subject::new(action)
        };
        self.shared.audit.record_admitted(commit, by, subject)?;
        commit.add_put(Space::Setting, format!("{PREFIX}{name}"), row);
        Ok(())
    }
}

fn view_of(waiting: &Unapproved) -> UnapprovedView {
    view(&waiting.component.name, &waiting.statement, &waiting.reasons)
}

fn view(name: &str, statement: &Statement, reasons: &Reasons) -> UnapprovedView {
    UnapprovedView {
        name: name.to_owned(),
        digest: statement.digest(),
        tools: statement.tools.keys().cloned().collect(),
        reasons: reasons.clone(),
    }
}

type Rows = Vec<(String, Vec<u8>)>;

/// The rows by name, and whether approvals have begun to count.
fn read_all(snapshot: &Snapshot<'_>) -> Result<(Rows, bool), StoreError> {
    let mut rows = Vec::new();
    snapshot.scan_prefix(Space::Setting, PREFIX.as_bytes(), false, |key, row| {
        rows.push((String::from_utf8_lossy(&key[PREFIX.len()..]).into_owned(), row.to_vec()));
        std::ops::ControlFlow::Continue(())
    })?;
    Ok((rows, snapshot.contains(Space::Setting, SINCE.as_bytes())?))
}
