//! The audit as people read it.

use serde::{Deserialize, Serialize};

use crate::clock::rfc3339;
use crate::engine::{AuditAction, AuditPage, AuditView, Verdict};

/// A row of the audit, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditDocument {
    pub at: String,
    /// When the last of several happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    pub principal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(rename = "deed")]
    pub action: AuditAction,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// `blake3:` and the hash of the arguments, or of what was answered or sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    pub verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many alike this row stands for.
    pub count: u64,
}

/// Newest first. A page may hold fewer rows than were asked for, and still have a next one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AuditListed {
    pub rows: Vec<AuditDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl From<AuditPage> for AuditListed {
    fn from(AuditPage { rows, next_cursor }: AuditPage) -> Self {
        Self { rows: rows.into_iter().map(AuditDocument::from).collect(), next_cursor }
    }
}

impl From<AuditView> for AuditDocument {
    fn from(row: AuditView) -> Self {
        Self {
            at: rfc3339(row.at),
            until: (row.until != row.at).then(|| rfc3339(row.until)),
            principal: row.principal,
            client: row.client,
            action: row.action,
            tool: row.tool,
            component: row.component.map(|component| component.to_string()),
            hash: row.hash.map(|hash| format!("blake3:{}", blake3::Hash::from_bytes(hash).to_hex())),
            task: row.task.map(|task| task.to_string()),
            verdict: row.verdict,
            reason: row.reason,
            count: row.count,
        }
    }
}
