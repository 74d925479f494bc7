//! What a person does about approvals: sees them, gives them, takes them back.

use std::sync::Arc;

use super::rows::{self, ApprovalRow, Change, put};
use crate::authority::{NamedCapability, Principal};
use crate::catalog::{
    Approval, Bindable, Bindings, Component, Kept, Reasons, Selection, Since, Statement, Terms, Unapproved,
};
use crate::clock::UnixNanos;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::limits;
use crate::store::Need;

/// A component that waits for a person.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UnapprovedView {
    pub name: String,
    /// What an approval has to name, so that what was seen is what is approved.
    pub digest: String,
    pub tools: Vec<String>,
    pub reasons: Reasons,
    /// The most that an approval gives it that binds nothing new.
    pub offered: Vec<NamedCapability>,
    /// Folders and secrets that it asks for, which an approval binds, and what they stay bound to.
    pub bindable: Vec<Bindable>,
}

/// A component that is served by an approval.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ApprovedView {
    pub name: String,
    /// Of what was approved.
    pub digest: String,
    pub component: String,
    pub tools: Vec<String>,
    /// What it may do.
    pub capabilities: Vec<NamedCapability>,
    /// The most that an approval gives it.
    pub offered: Vec<NamedCapability>,
    /// Folders and secrets that it asks for, and what they are bound to.
    pub bindable: Vec<Bindable>,
    pub bindings: Bindings,
    pub expires_at: Option<UnixNanos>,
    /// Of its manifest's text.
    pub manifest_digest: Option<String>,
    /// Of `[signers]`, who signed its bytes.
    pub signer: Option<String>,
    /// The principal that approved it, where that is known.
    pub by: Option<String>,
}

/// An approval that a person gives.
#[derive(Clone, Debug, Default)]
pub struct Approving {
    /// The component's name.
    pub name: String,
    /// Of the statement that was seen.
    pub digest: String,
    /// Of what it may be given.
    pub selection: Selection,
    pub expires_at: Option<UnixNanos>,
    /// On top of what is bound already.
    pub bindings: Bindings,
}

impl TaskEngine {
    /// What waits for a person, by name.
    pub fn unapproved(&self) -> Vec<UnapprovedView> {
        self.catalog().unapproved().map(|waiting| view_of(waiting)).collect()
    }

    /// What is served by an approval, by name.
    pub fn approved(&self) -> Vec<ApprovedView> {
        self.catalog().components().filter_map(|component| approved_view(component)).collect()
    }

    /// Approves a component as the one whose statement has this digest, and serves it: one that waits, or one that is
    /// served and is to be given something else, or until another time. Durable, and audited.
    pub async fn approve(&self, by: &Principal, approving: Approving) -> Result<ApprovedView, EngineError> {
        let done = self.approve_named(by, approving).await;
        self.shared.audit.record_error(by, Subject::new(AuditAction::ComponentApprove), done)
    }

    /// Takes an approval back: the component is not served any more, and the tasks that it has lose their powers. Durable,
    /// and audited.
    pub async fn revoke_approval(&self, by: &Principal, name: &str) -> Result<UnapprovedView, EngineError> {
        let done = self.revoke_named(by, name).await;
        self.shared.audit.record_error(by, Subject::new(AuditAction::ComponentRevoke), done)
    }

    async fn approve_named(&self, by: &Principal, approving: Approving) -> Result<ApprovedView, EngineError> {
        let Approving { name, digest, selection, expires_at, bindings } = approving;
        let missing = || EngineError::NotWaiting(shortened(&name));
        let _one = self.shared.catalog_changes.lock().await;
        let catalog = self.catalog();
        let waiting = catalog.unapproved().find(|waiting| waiting.component.name == name);
        let (component, statement, bindings) = match waiting {
            Some(waiting) => {
                (&waiting.component, &waiting.statement, bindings.over(&waiting.reasons.kept.bindings))
            }
            None => {
                let served = catalog.component(&name).ok_or_else(missing)?;
                let approval = served.approval.as_ref().ok_or_else(missing)?;
                (&**served, &*approval.statement, bindings.over(&approval.bindings))
            }
        };
        let now = statement.digest();
        if now != digest {
            return Err(EngineError::AnotherStatement { name, digest: now });
        }
        bindings.check(statement)?;
        let capabilities = selection.of(&statement.offered(&bindings).named())?;
        let terms = Terms { capabilities: Some(capabilities), expires_at, bindings };
        let beyond = |one| EngineError::Internal(format!("{one} is beyond what it is offered"));
        let approval = Approval::new(statement.clone(), terms.clone()).map_err(beyond)?;
        let approval = Approval { by: Some(by.name().to_owned()), ..approval };
        // Its names may be taken by now.
        let next = catalog.with_approved(component, approval)?;
        let mut commit = Commit::new();
        let change = Change { name: &name, statement, terms, ended: None, is_locked: false, why: "" };
        put(&self.shared, &mut commit, by, change)?;
        self.shared.commit(commit)?.await?;
        crate::crash_point!("approved");
        self.audit_grants(by, &next).await?;
        let approved = next.component(&name).and_then(|component| approved_view(component));
        self.set_catalog(Arc::new(next));
        approved.ok_or_else(missing)
    }

    async fn revoke_named(&self, by: &Principal, name: &str) -> Result<UnapprovedView, EngineError> {
        let missing = || EngineError::NotApproved(shortened(name));
        let _one = self.shared.catalog_changes.lock().await;
        let catalog = self.catalog();
        let served = catalog.component(name);
        if served.is_some_and(|component| component.holdings.trusted) {
            return Err(missing());
        }
        let (statement, terms) = match served.and_then(|component| component.approval.as_deref()) {
            Some(approval) => (Statement::clone(&approval.statement), approval.terms()),
            None => {
                let row = self.setting(&rows::key(name)).await?.ok_or_else(missing)?;
                let row = ApprovalRow::decode(name, &row).ok_or_else(missing)?;
                (row.statement, row.terms)
            }
        };
        let mut commit = Commit::new().with_need(Need::Relief);
        let ended = Some(Since::Revoked);
        let change = Change { name, statement: &statement, terms, ended, is_locked: false, why: "" };
        put(&self.shared, &mut commit, by, change)?;
        self.shared.commit(commit)?.await?;
        crate::crash_point!("approval-revoked");
        let reasons = Reasons { since: Since::Revoked, lines: Vec::new(), kept: Kept::default() };
        let waiting = catalog.unapproved().find(|waiting| waiting.component.name == name);
        let waiting = match (served, waiting) {
            // It has changed, and waits already, whether what it was is served until then or not.
            (_, Some(waiting)) => Unapproved { reasons, ..Unapproved::clone(waiting) },
            (Some(served), None) => Unapproved { component: Component::clone(served), statement, reasons },
            (None, None) => return Ok(view(name, &statement, &reasons)),
        };
        let seen = view_of(&waiting);
        self.set_catalog(Arc::new(catalog.with_unapproved(waiting)));
        Ok(seen)
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(limits::MAX_TOOL_NAME_CHARS).collect()
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
        offered: statement.offered(&reasons.kept.bindings).named(),
        bindable: statement.bindable(&reasons.kept.bindings),
    }
}

fn approved_view(component: &Component) -> Option<ApprovedView> {
    let approval = component.approval.as_deref()?;
    Some(ApprovedView {
        name: component.name.clone(),
        digest: approval.statement.digest(),
        component: component.id.to_string(),
        tools: component.tools.iter().map(|entry| entry.tool.definition.name.clone()).collect(),
        capabilities: approval.capabilities.clone(),
        offered: approval.statement.offered(&approval.bindings).named(),
        bindable: approval.statement.bindable(&approval.bindings),
        bindings: approval.bindings.clone(),
        expires_at: approval.expires_at,
        manifest_digest: component.holdings.manifest_digest.clone(),
        signer: approval.statement.signed.as_ref().map(|signed| signed.by.clone()),
        by: approval.by.clone(),
    })
}
