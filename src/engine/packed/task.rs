//! What an export holds.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::authority::Grant;
use crate::task::{Effects, TaskId, TaskLimits, Variable};

/// A task with all that its replay needs, and nothing that it could act by.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    pub head: ExportedHead,
    pub component: Vec<u8>,
    pub(super) task: PackedTask,
    /// The journal since its last checkpoint.
    pub(super) records: Vec<u8>,
    pub(super) ops: Vec<PackedOp>,
    pub(super) checkpoint: Option<PackedCheckpoint>,
    /// The variables that it sees.
    pub(super) environment: Vec<Variable>,
}

/// What it is, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ExportedHead {
    /// Of the program that wrote it.
    pub longhaul: String,
    /// Texts are replaced: its replay differs where a call depends on one.
    pub redacted: bool,
    pub task: String,
    pub tool: String,
    /// As it is served, where it is.
    pub definition: Option<Value>,
    pub component: String,
    pub state: String,
    pub reason: Option<String>,
    pub error: Option<ExportedError>,
    pub attempt: u32,
    /// Records in its journal.
    pub records: u64,
    /// The number of the first of them that is here: those before it are in its checkpoint.
    pub first_record: u64,
    pub created_at: u64,
    pub exported_at: u64,
}

/// Why it failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedError {
    pub message: String,
    pub detail: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PackedTask {
    pub id: TaskId,
    pub binding: String,
    pub arguments: String,
    pub limits: TaskLimits,
    pub grant: Grant,
    pub effects: Effects,
    pub seed: [u8; 32],
    /// Questions so far, and the keys that they took.
    pub asked: u64,
    pub keys: Vec<String>,
    /// Which operation asked which question.
    pub asked_by: Vec<(u64, u64)>,
    pub reports: u64,
    /// Where its log ends, and the hash there.
    pub log_end: Option<(u64, [u8; 8])>,
    pub awake_nanos: u64,
    pub logical_nanos: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PackedOp {
    pub number: u64,
    pub at: u64,
    pub hash: u64,
    pub sends: u32,
    pub state: PackedState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PackedState {
    Intent,
    Done(Vec<u8>),
    Abandoned,
    Resend,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PackedCheckpoint {
    pub state: Vec<u8>,
    pub log_position: u64,
    pub reports: u64,
    pub logical: u64,
    pub records: u64,
    pub awake_nanos: u64,
}
