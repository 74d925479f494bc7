use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::documents::AuditListed;
use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, READS, shown_as_it_is};
use crate::catalog::Annotations;
use crate::engine::{AuditQuery, TaskEngine, Verdict};

/// Who did what, and what was refused, newest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditList {
    /// From this moment on, nanoseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// next_cursor of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

shown_as_it_is!(AuditListed);

impl Operation for AuditList {
    type Response = AuditListed;

    const NAME: &'static str = "audit_list";
    const TITLE: &'static str = "List the audit";
    const DESCRIPTION: &'static str = "List what was done and what was refused, newest first.";
    const HINTS: Annotations = READS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, _: &Caller<'_>) -> Result<AuditListed, ApiError> {
        let Self { since, principal, tool, verdict, limit, cursor } = self;
        let limit = limit.unwrap_or_default();
        Ok(engine.audit(AuditQuery { since, principal, tool, verdict, limit, cursor }).await?.into())
    }
}
