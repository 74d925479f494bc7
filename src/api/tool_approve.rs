use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::ApiError;
use super::operation::{ADDS, Audience, Caller, Operation, READS, REPLACES, shown_as_it_is};
use crate::authority::{NamedCapability, Selector};
use crate::catalog::{Annotations, Bindable, Bindings, Selection, Since};
use crate::clock::{UnixNanos, rfc3339};
use crate::engine::{ApprovedView, Approving, TaskEngine, UnapprovedView};
use crate::limits;

/// Serve a component, as what it was shown to be: one that waits for approval, or one that is approved and is to be given
/// something else.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolApprove {
    /// The component's name.
    pub name: String,
    /// Of what was seen: `digest` in the list of what waits.
    pub digest: String,
    /// What it is given, of what it may be given, such as `http:https://api.example.com`, `state:trips` or `elicit`; a kind
    /// alone (`http`) is all of it. All, where nothing is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// What it is not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Until when: a time such as 2027-01-01T00:00:00Z, or so long from now: 90s, 30m, 2h, 7d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Folders of the server's machine for its slots, as SLOT=PATH with the whole path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bind: Vec<String>,
    /// Where its secrets come from, as NAME=SOURCE: env:NAME, file:PATH or keyring:SERVICE/ACCOUNT.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret: Vec<String>,
}

/// Take a component's approval back: it is not served any more, and its tasks lose what they were granted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolRevoke {
    /// The component's name.
    pub name: String,
}

/// What waits for approval, and what is approved.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolApprovals {}

/// A component that waits for approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnapprovedDocument {
    pub name: String,
    /// What an approval has to name.
    pub digest: String,
    pub tools: Vec<String>,
    pub since: Since,
    /// Why it waits, in words that quote the component.
    pub reasons: Vec<String>,
    /// The most that an approval gives it that binds nothing new.
    pub offered: Vec<NamedCapability>,
    /// Folders and secrets that it asks for, which an approval binds, and what they stay bound to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindable: Vec<Bindable>,
}

/// A component that is served by an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovedDocument {
    pub name: String,
    /// Of what was approved.
    pub digest: String,
    pub component: String,
    pub tools: Vec<String>,
    /// What it may do.
    pub capabilities: Vec<NamedCapability>,
    /// The most that an approval gives it.
    pub offered: Vec<NamedCapability>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Folders and secrets that it asks for, and what they are bound to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindable: Vec<Bindable>,
    /// What the approval has bound.
    #[serde(default, skip_serializing_if = "Bindings::is_empty")]
    pub bindings: Bindings,
    /// Of its manifest's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Of the configuration's `[signers]`, who signed its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// The principal that approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApprovalsListed {
    pub waiting: Vec<UnapprovedDocument>,
    #[serde(default)]
    pub approved: Vec<ApprovedDocument>,
}

shown_as_it_is!(UnapprovedDocument, ApprovedDocument, ApprovalsListed);

impl From<UnapprovedView> for UnapprovedDocument {
    fn from(waiting: UnapprovedView) -> Self {
        let UnapprovedView { name, digest, tools, reasons, offered, bindable } = waiting;
        Self { name, digest, tools, since: reasons.since, reasons: reasons.lines, offered, bindable }
    }
}

impl From<ApprovedView> for ApprovedDocument {
    fn from(approved: ApprovedView) -> Self {
        Self {
            name: approved.name,
            digest: approved.digest,
            component: approved.component,
            tools: approved.tools,
            capabilities: approved.capabilities,
            offered: approved.offered,
            expires_at: approved.expires_at.map(rfc3339),
            bindable: approved.bindable,
            bindings: approved.bindings,
            manifest: approved.manifest_digest,
            signer: approved.signer,
            approver: approved.by,
        }
    }
}

impl Operation for ToolApprove {
    type Response = ApprovedDocument;

    const NAME: &'static str = "tool_approve";
    const TITLE: &'static str = "Approve a component";
    const DESCRIPTION: &'static str = "Serve a component that waits for a person's approval.";
    const HINTS: Annotations = ADDS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<ApprovedDocument, ApiError> {
        if !caller.is_person {
            return Err(ApiError::TakesAPerson(format!(
                "approve the component {}",
                self.name.escape_debug()
            )));
        }
        let approving = self.read(engine.now()).map_err(ApiError::Request)?;
        Ok(engine.approve(caller.principal, approving).await?.into())
    }
}

impl ToolApprove {
    fn read(self, now: UnixNanos) -> Result<Approving, String> {
        let selected = |texts: &[String]| -> Result<Vec<Selector>, String> {
            if texts.len() > limits::MAX_SELECTED_CAPABILITIES {
                return Err(format!("at most {} capabilities are named", limits::MAX_SELECTED_CAPABILITIES));
            }
            texts.iter().map(|text| Selector::parse(text).map_err(|error| error.to_string())).collect()
        };
        let selection = Selection { only: selected(&self.only)?, without: selected(&self.without)? };
        let expires_at = self.expires.map(|text| expiry(&text, now)).transpose()?;
        let bindings = Bindings::of_pairs(&self.bind, &self.secret).map_err(|error| error.to_string())?;
        Ok(Approving { name: self.name, digest: self.digest, selection, expires_at, bindings })
    }
}

/// A time to come, or so long from now.
fn expiry(text: &str, now: UnixNanos) -> Result<UnixNanos, String> {
    let shown = text.escape_debug();
    let at = moment_ahead(text, now).ok_or_else(|| {
        format!(
            "'{shown}' is no end of an approval: it takes a time such as 2027-01-01T00:00:00Z, or so long from now: 90s, \
             30m, 2h, 7d"
        )
    })?;
    if at <= now {
        return Err(format!("an approval until {shown} would be over: it is {} now", rfc3339(now)));
    }
    if at - now > limits::MAX_APPROVAL_SECONDS * 1_000_000_000 {
        return Err(format!("an approval until {shown} is longer than ten years: leave its end out"));
    }
    Ok(at)
}

fn moment_ahead(text: &str, now: UnixNanos) -> Option<UnixNanos> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return u64::try_from(time.unix_timestamp_nanos()).ok();
    }
    let seconds = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let count: u64 = text[..text.len() - 1].parse().ok()?;
    now.checked_add(count.checked_mul(seconds)?.checked_mul(1_000_000_000)?)
}

impl Operation for ToolApprovals {
    type Response = ApprovalsListed;

    const NAME: &'static str = "tool_approvals";
    const TITLE: &'static str = "List approvals";
    const DESCRIPTION: &'static str =
        "List the components that wait for a person's approval, and those that have one.";
    const HINTS: Annotations = READS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, _: &Caller<'_>) -> Result<ApprovalsListed, ApiError> {
        Ok(ApprovalsListed {
            waiting: engine.unapproved().into_iter().map(UnapprovedDocument::from).collect(),
            approved: engine.approved().into_iter().map(ApprovedDocument::from).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixNanos = 1_800_000_000_000_000_000;

    #[test]
    fn an_approval_ends_at_a_time_to_come() {
        assert_eq!(expiry("90s", NOW), Ok(NOW + 90_000_000_000));
        assert_eq!(expiry("7d", NOW), Ok(NOW + 7 * 86_400_000_000_000));
        assert_eq!(expiry("2027-01-15T08:00:01Z", NOW), Ok(NOW + 1_000_000_000));
        for (text, why) in [
            ("soon", "no end of an approval"),
            ("", "no end of an approval"),
            ("-1d", "no end of an approval"),
            ("7é", "no end of an approval"),
            ("99999999999999999d", "no end of an approval"),
            ("0s", "would be over"),
            ("2027-01-15T08:00:00Z", "would be over"),
            ("1999-01-01T00:00:00Z", "would be over"),
            ("9000d", "longer than ten years"),
        ] {
            let error = expiry(text, NOW).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn what_names_no_capability_is_no_request() {
        let approve = ToolApprove { only: vec!["sockets:x".to_owned()], ..ToolApprove::default() };
        assert!(approve.read(NOW).expect_err("refused").contains("no such kind"));
        let many = ToolApprove { without: vec!["http".to_owned(); 1_001], ..ToolApprove::default() };
        assert!(many.read(NOW).expect_err("refused").contains("at most 1000"));
    }
}
