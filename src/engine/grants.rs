//! What the audit notes of requests without a caller, and of what components are granted.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::authority::Principal;
use crate::catalog::Catalog;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::store::{Need, Snapshot, Space};

impl TaskEngine {
    /// Records a request without a valid token.
    pub fn audit_unauthenticated(&self, why: &'static str) {
        let unknown = Principal::new("", Vec::new());
        self.shared.audit.record_refused(&unknown, Subject::new(AuditAction::Authenticate), why);
    }

    /// Notes what has changed in what components are granted since this was last called, also by earlier
    /// processes.
    pub async fn audit_grants(&self, by: &Principal, catalog: &Catalog) -> Result<(), EngineError> {
        const PREFIX: &str = "grant/";
        let read = |snapshot: &Snapshot<'_>| {
            let mut known = HashMap::new();
            snapshot.scan_prefix(Space::Setting, PREFIX.as_bytes(), false, |key, value| {
                let name = String::from_utf8_lossy(&key[PREFIX.len()..]).into_owned();
                known.insert(name, value.to_vec());
                ControlFlow::Continue(())
            })?;
            Ok(known)
        };
        let known = self.shared.store.read(read).await?;
        // A start needs it, also on a full disk.
        let mut commit = Commit::new().with_need(Need::End);
        for component in catalog.components() {
            let grant = serde_json::to_vec(&component.holdings.grant).unwrap_or_default();
            let mut hasher = blake3::Hasher::new();
            hasher.update(component.id.as_str().as_bytes()).update(&grant);
            let value = hasher.finalize().as_bytes().to_vec();
            if known.get(&component.name) == Some(&value) {
                continue;
            }
            let note = format!("component {}", component.name);
            let subject = Subject {
                component: Some(&component.id),
                hash: Some(*blake3::hash(&grant).as_bytes()),
                note: Some(&note),
                ..Subject::new(AuditAction::Grant)
            };
            self.shared.audit.record_admitted(&mut commit, by, subject)?;
            commit.add_put(Space::Setting, format!("{PREFIX}{}", component.name), value);
        }
        // While more are being added, none is missing yet.
        let missing = |name: &&String| !catalog.is_loading() && catalog.component(name).is_none();
        for name in known.keys().filter(missing) {
            let note = format!("component {name} is not served any more");
            let subject = Subject { note: Some(&note), ..Subject::new(AuditAction::Grant) };
            self.shared.audit.record_admitted(&mut commit, by, subject)?;
            commit.add_delete(Space::Setting, format!("{PREFIX}{name}"));
        }
        if !commit.is_empty() {
            self.shared.commit(commit)?.await?;
        }
        Ok(())
    }
}
