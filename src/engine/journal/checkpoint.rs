//! Checkpoints: the guest's own state in place of the journal so far.

use serde::{Deserialize, Serialize};

use crate::engine::rows;
use crate::engine::rows::Payload;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{OutputMeta, TaskId};

/// Where the epoch behind the checkpoint begins.
#[derive(Debug, Serialize, Deserialize)]
pub struct CheckpointRow {
    pub state: Payload,
    pub log_position: u64,
    pub reports: u64,
    pub logical: u64,
    pub records: u64,
    pub awake_nanos: u64,
    /// As they were, for a retry that keeps a part of the journal.
    pub outputs: Vec<OutputMeta>,
}

pub fn read(snapshot: &Snapshot<'_>, id: TaskId) -> Result<Option<CheckpointRow>, StoreError> {
    rows::read_row(snapshot, Space::Checkpoint, id.as_bytes())
}
