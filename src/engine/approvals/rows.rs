//! What the store keeps of approvals: one row for each component's name.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::authority::Principal;
use crate::catalog::{Approved, Since, Statement, Terms};
use crate::clock::{UnixNanos, rfc3339};
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::shared::Shared;
use crate::store::{Snapshot, Space, StoreError};

/// Of the rows of what was approved, by the component's name.
const PREFIX: &str = "approval/";
/// Says that approvals count in this store: what was granted before they did is taken as approved, once.
pub const SINCE: &str = "approvals-since";

/// What was approved under one name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApprovalRow {
    pub statement: Statement,
    #[serde(flatten)]
    pub terms: Terms,
    pub at: UnixNanos,
    /// The principal that approved it, or revoked that.
    by: String,
    #[serde(default)]
    is_revoked: bool,
    #[serde(default)]
    is_expired: bool,
    #[serde(default)]
    is_locked: bool,
}

impl ApprovalRow {
    pub fn as_approved(&self) -> Approved<'_> {
        let ended = match (self.is_revoked, self.is_expired) {
            (true, _) => Some(Since::Revoked),
            (_, true) => Some(Since::Expired),
            _ => None,
        };
        Approved {
            statement: &self.statement,
            terms: &self.terms,
            at: self.at,
            ended,
            is_locked: self.is_locked,
            by: &self.by,
        }
    }

    /// Whether it says already that a lock file approves this.
    pub fn is_locked_as(&self, statement: &Statement, terms: &Terms) -> bool {
        let counts = self.is_locked && !self.is_revoked && !self.is_expired;
        counts && self.statement == *statement && self.terms == *terms
    }

    pub fn decode(name: &str, row: &[u8]) -> Option<Self> {
        // What a later version wrote and this one cannot read approves nothing.
        let unreadable = |error: &serde_json::Error| {
            tracing::warn!("the approval of '{name}' cannot be read, and counts for nothing: {error}");
        };
        serde_json::from_slice(row).inspect_err(unreadable).ok()
    }
}

/// What becomes of the approval of a component, and why.
pub struct Change<'a> {
    pub name: &'a str,
    pub statement: &'a Statement,
    pub terms: Terms,
    /// `None` where it is approved.
    pub ended: Option<Since>,
    /// A lock file says so.
    pub is_locked: bool,
    /// For the audit, besides the name.
    pub why: &'a str,
}

/// Puts the row, and one of the audit.
pub fn put(
    shared: &Shared,
    commit: &mut Commit,
    by: &Principal,
    change: Change<'_>,
) -> Result<(), EngineError> {
    let Change { name, statement, terms, ended, is_locked, why } = change;
    let until = terms.expires_at.filter(|_| ended.is_none()).map(|at| format!(" until {}", rfc3339(at)));
    let row = ApprovalRow {
        statement: statement.clone(),
        terms,
        at: shared.date(),
        by: by.name().to_owned(),
        is_revoked: ended == Some(Since::Revoked),
        is_expired: ended == Some(Since::Expired),
        is_locked,
    };
    let row = serde_json::to_vec(&row).map_err(EngineError::Unencodable)?;
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    let note = format!("{name}{}{why}", until.unwrap_or_default());
    let action = if ended.is_none() { AuditAction::ComponentApprove } else { AuditAction::ComponentRevoke };
    let subject = Subject {
        component: Some(&statement.component),
        hash: Some(*blake3::hash(&row).as_bytes()),
        note: Some(&note),
        ..Subject::new(action)
    };
    shared.audit.record_admitted(commit, by, subject)?;
    commit.add_put(Space::Setting, key(name), row);
    Ok(())
}

pub fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The rows by name, and whether approvals have begun to count.
pub fn read_all(snapshot: &Snapshot<'_>) -> Result<(BTreeMap<String, ApprovalRow>, bool), StoreError> {
    let mut rows = BTreeMap::new();
    snapshot.scan_prefix(Space::Setting, PREFIX.as_bytes(), false, |key, row| {
        let name = String::from_utf8_lossy(&key[PREFIX.len()..]).into_owned();
        if let Some(row) = ApprovalRow::decode(&name, row) {
            rows.insert(name, row);
        }
        ControlFlow::Continue(())
    })?;
    Ok((rows, snapshot.contains(Space::Setting, SINCE.as_bytes())?))
}
