//! Checkpoints: the guest's own state in place of the journal so far.

use serde::{Deserialize, Serialize};

use super::commit::Commit;
use super::entry::{Entry, EntryState, LogTail};
use super::journal::Journal;
use super::ops::Ops;
use super::ports::Divergence;
use super::recorder::RecorderError;
use super::rows::{self, Payload};
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

/// One commit: what was told so far, the checkpoint, the next epoch, and the old journal's end.
pub(super) fn save(task: &Entry, entry: &mut EntryState, state: Vec<u8>) -> Result<Commit, RecorderError> {
    let id = task.id;
    let Some(live) = entry.live.as_mut() else {
        return Err(RecorderError::Fault("the attempt has ended: its lease is void".to_owned()));
    };
    if live.journal.is_replaying() {
        // A checkpoint that was committed took the journal with it, so replay never meets one.
        return Err(RecorderError::Diverged(Divergence {
            record: live.journal.next_number(),
            expected: "another record".to_owned(),
            actual: "a checkpoint".to_owned(),
        }));
    }
    // The records are needed no more; what the guest saw of time goes on.
    live.journal.take_flush();
    let (records, logical) = (live.journal.next_number(), live.journal.logical());
    let (log_position, reports) = (live.log.position(), live.reports);
    let awake_nanos = u64::try_from(live.awake.as_nanos()).unwrap_or(u64::MAX);
    let old = rows::journal_prefix(id, entry.status.epoch);

    entry.status.epoch += 1;
    entry.status.seed = *blake3::keyed_hash(&entry.status.seed, b"next epoch").as_bytes();
    entry.status_dirty = true;
    let fault = |error: StoreError| RecorderError::Fault(error.to_string());
    let pending = entry.take_pending(task).map_err(fault)?;
    let mut commit = pending.unwrap_or_else(|| Commit::under_lease(id, entry.lease));
    let payload = rows::put_payload(&mut commit, id, &state);
    let outputs = entry.status.outputs.clone();
    let row = CheckpointRow { state: payload, log_position, reports, logical, records, awake_nanos, outputs };
    commit.add_put(Space::Checkpoint, id.as_bytes().as_slice(), rows::encode(&row).map_err(fault)?);
    commit.add_delete_prefix(Space::Op, old.clone());
    commit.add_delete_prefix(Space::Journal, old);
    if let Some(live) = entry.live.as_mut() {
        live.journal = Journal::resumed(Vec::new(), records, logical);
        live.log = LogTail::new(log_position, log_position, None);
        live.journal_bytes = 0;
        live.ops = Ops::default();
        live.restored = Some(state.into());
    }
    Ok(commit)
}
