//! Saving a checkpoint: one commit ends an epoch and begins the next.

use std::sync::Arc;

use super::error::RecorderError;
use crate::engine::change::commit::commit_pending;
use crate::engine::change::draft::Parts;
use crate::engine::commit::Commit;
use crate::engine::feed::ResourceKey;
use crate::engine::journal::checkpoint::CheckpointRow;
use crate::engine::journal::divergence::Divergence;
use crate::engine::journal::log_tail::LogTail;
use crate::engine::journal::ops::Ops;
use crate::engine::journal::records::Journal;
use crate::engine::memory::entry::{Entry, EntryState};
use crate::engine::rows;
use crate::engine::shared::Shared;
use crate::store::{Ack, Space, StoreError};

/// One commit; an error of the store, the inner one, leaves the instance as it was: what was reported so far, the checkpoint, the next epoch, and the old journal's end.
pub fn save(
    shared: &Arc<Shared>,
    entry: &Entry,
    state: &mut EntryState,
    saved: &[u8],
) -> Result<Result<Ack, StoreError>, RecorderError> {
    let fault = |error: StoreError| RecorderError::Fault(error.to_string());
    let Some(live) = state.live.as_mut() else {
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
    live.journal.mark_reads();
    let place = live.trace.place();
    live.trace.checkpoint(&live.journal);
    let (records, logical) = (live.journal.next_number(), live.journal.logical());
    let (log_position, reports) = (live.log.position(), live.reports);
    let awake_nanos = u64::try_from(live.awake.as_nanos()).unwrap_or(u64::MAX);
    let (id, old) = (entry.id, rows::journal_prefix(entry.id, state.status.epoch));

    let mut status = state.status.clone();
    status.epoch += 1;
    status.seed = *blake3::keyed_hash(&status.seed, b"next epoch").as_bytes();
    status.steps = records;
    let mut more = Commit::new();
    more.add_put(Space::Status, id.as_bytes().as_slice(), rows::encode_status(&status).map_err(fault)?);
    more.changed(ResourceKey::Task(id));
    let payload = rows::put_payload(&mut more, id, saved);
    let outputs = status.outputs.clone();
    let row = CheckpointRow { state: payload, log_position, reports, logical, records, awake_nanos, outputs };
    more.add_put(Space::Checkpoint, id.as_bytes().as_slice(), rows::encode(&row).map_err(fault)?);
    more.add_delete_prefix(Space::Op, old.clone());
    more.add_delete_prefix(Space::Journal, old);
    let parts = Parts { has_records: false, has_status: false, is_marked: true };
    let ack = match commit_pending(shared, entry, state, parts, more) {
        Ok(ack) => ack,
        Err(error) => {
            if let Some(live) = state.live.as_mut() {
                live.trace.return_to(place);
            }
            return Ok(Err(error));
        }
    };
    (state.status, state.status_dirty) = (status, false);
    if let Some(live) = state.live.as_mut() {
        live.journal = Journal::resume(Vec::new(), records, logical);
        live.log = LogTail::new(log_position, log_position, None);
        live.journal_bytes = 0;
        live.ops = Ops::default();
        live.restored = Some(saved.into());
    }
    Ok(Ok(ack))
}
