use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::operation::{ADDS, Audience, Caller, Operation, READS, REPLACES, shown_as_it_is};
use crate::catalog::{Annotations, Since};
use crate::engine::{TaskEngine, UnapprovedView};

/// Serve a component that waits for approval, as what it was shown to be.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolApprove {
    /// The component's name.
    pub name: String,
    /// Of what was seen: `digest` in the list of what waits.
    pub digest: String,
}

/// Take a component's approval back: it is not served any more, and its tasks lose what they were granted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolRevoke {
    /// The component's name.
    pub name: String,
}

/// What waits for approval.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolApprovals {}

/// A component that waits for approval, or did until now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnapprovedDocument {
    pub name: String,
    /// What an approval has to name.
    pub digest: String,
    pub tools: Vec<String>,
    pub since: Since,
    /// Why it waits, in words that quote the component.
    pub reasons: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApprovalsListed {
    pub waiting: Vec<UnapprovedDocument>,
}

shown_as_it_is!(UnapprovedDocument, ApprovalsListed);

impl From<UnapprovedView> for UnapprovedDocument {
    fn from(waiting: UnapprovedView) -> Self {
        let UnapprovedView { name, digest, tools, reasons } = waiting;
        Self { name, digest, tools, since: reasons.since, reasons: reasons.lines }
    }
}

impl Operation for ToolApprove {
    type Response = UnapprovedDocument;

    const NAME: &'static str = "tool_approve";
    const TITLE: &'static str = "Approve a component";
    const DESCRIPTION: &'static str = "Serve a component that waits for a person's approval.";
    const HINTS: Annotations = ADDS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<UnapprovedDocument, ApiError> {
        if !caller.is_person {
            return Err(ApiError::TakesAPerson(format!(
                "approve the component {}",
                self.name.escape_debug()
            )));
        }
        Ok(engine.approve(caller.principal, &self.name, &self.digest).await?.into())
    }
}

impl Operation for ToolApprovals {
    type Response = ApprovalsListed;

    const NAME: &'static str = "tool_approvals";
    const TITLE: &'static str = "List components that wait";
    const DESCRIPTION: &'static str = "List the components that wait for a person's approval.";
    const HINTS: Annotations = READS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, _: &Caller<'_>) -> Result<ApprovalsListed, ApiError> {
        Ok(ApprovalsListed {
            waiting: engine.unapproved().into_iter().map(UnapprovedDocument::from).collect(),
        })
    }
}

impl Operation for ToolRevoke {
    type Response = UnapprovedDocument;

    const NAME: &'static str = "tool_revoke";
    const TITLE: &'static str = "Revoke a component's approval";
    const DESCRIPTION: &'static str = "Take a component's approval back: it is not served any more, and its tasks lose what they were granted.";
    const HINTS: Annotations = REPLACES;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<UnapprovedDocument, ApiError> {
        Ok(engine.revoke_approval(caller.principal, &self.name).await?.into())
    }
}
