//! A row of the audit, and its key.

use serde::{Deserialize, Serialize};

use crate::task::{ComponentId, TaskId};

/// The kind of an action that was done or tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    Call,
    Cancel,
    Retry,
    Resolve,
    Answer,
    Send,
    TokenNew,
    TokenRevoke,
    /// What a component is granted has changed.
    Grant,
    /// A request without a known caller: without a token where one is needed, or with one that is not valid.
    Authenticate,
    /// Shared state that a caller wrote or deleted by itself; what a task writes is its steps.
    WriteState,
    /// A host that a guest asked for.
    Reach,
    /// A task, by its owner; what retention takes is not recorded.
    Delete,
    /// A step of a task that lost the power for it.
    Act,
    ComponentBlock,
    ComponentUnblock,
    /// A component, by a person, or by what it was when it was first seen.
    ComponentApprove,
    /// That approval, taken back.
    ComponentRevoke,
    /// A component, or another version of one, by the owner.
    ComponentAdd,
    ComponentRemove,
    /// An open task, to another version of its component.
    TaskMove,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Admitted,
    /// It was done already: the same call again, or the end of what has ended.
    Repeated,
    Refused,
}

impl std::fmt::Display for AuditAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Call => "call",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Resolve => "resolve",
            Self::Answer => "answer",
            Self::Send => "send",
            Self::TokenNew => "token_new",
            Self::TokenRevoke => "token_revoke",
            Self::Grant => "grant",
            Self::Authenticate => "authenticate",
            Self::WriteState => "write_state",
            Self::Reach => "reach",
            Self::Delete => "delete",
            Self::Act => "act",
            Self::ComponentBlock => "component_block",
            Self::ComponentUnblock => "component_unblock",
            Self::ComponentApprove => "component_approve",
            Self::ComponentRevoke => "component_revoke",
            Self::ComponentAdd => "component_add",
            Self::ComponentRemove => "component_remove",
            Self::TaskMove => "task_move",
        })
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Admitted => "admitted",
            Self::Repeated => "repeated",
            Self::Refused => "refused",
        })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditRow {
    pub at: u64,
    pub until: u64,
    pub principal: String,
    pub client: Option<String>,
    pub action: AuditAction,
    pub tool: Option<String>,
    pub component: Option<ComponentId>,
    pub hash: Option<[u8; 32]>,
    pub task: Option<TaskId>,
    pub verdict: Verdict,
    pub reason: Option<String>,
    pub count: u64,
}

/// Rows of what was done: `0 | at BE | number BE`.
pub const DONE: u8 = 0;
/// Rows of what changed nothing, as earlier versions wrote them: `1 | number BE`, without a gap.
pub const OLD_REJECTED: u8 = 1;
/// The same by principal; see `refusals.rs`.
pub const REFUSALS: u8 = 2;
/// The list of those by time.
pub const REFUSALS_BY_TIME: u8 = 3;

/// A key of [`OLD_REJECTED`].
pub fn old_rejected_key(number: u64) -> Vec<u8> {
    let mut key = vec![OLD_REJECTED];
    key.extend_from_slice(&number.to_be_bytes());
    key
}
