//! Operations: effects that leave the process and come back in their own order. Each has a number that
//! follows from the guest's own doings; its outcome stands in a row, apart from what the guest has seen of
//! it, which stands in the journal. So an outcome that was not looked at yet can never diverge.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::RecorderError;
use super::recorder::Recorder;
use crate::engine::journal::divergence::Divergence;
use crate::engine::journal::ops::{Op, OpRow, OpState};
use crate::engine::memory::entry::Live;
use crate::engine::rows;
use crate::engine::rows::Payload;
use crate::store::Space;
use crate::task::TaskId;

/// One operation of a guest: its number in the epoch, and where in the journal it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpHandle {
    pub number: u64,
    at: u64,
}

impl OpHandle {
    /// Number of the record that the guest had reached when it began.
    pub fn at(self) -> u64 {
        self.at
    }

    /// On disk, this operation was begun by another call than `what`.
    pub fn divergence(self, known: &Op, what: &str, hash: u64) -> RecorderError {
        RecorderError::Diverged(Divergence {
            record: self.at,
            expected: format!("operation {} ({:016x})", self.number, known.hash()),
            actual: format!("operation {} is {what} ({hash:016x})", self.number),
        })
    }
}

impl Recorder {
    /// The operation that the guest begins now. To be called in the order in which the guest does it.
    pub fn begin_op(&self) -> Result<OpHandle, RecorderError> {
        self.with(|_, live| {
            let handle = OpHandle { number: live.ops.begun, at: live.journal.next_number() };
            live.ops.begun += 1;
            live.is_waiting = false;
            Ok(handle)
        })
    }

    /// What is known of it: from an earlier attempt, or from this one.
    pub fn op(&self, op: OpHandle) -> Result<Option<Op>, RecorderError> {
        self.with(|_, live| Ok(live.ops.known.get(&op.number).cloned()))
    }

    /// What the guest does is what it did when this operation was begun first.
    pub fn op_met(&self, op: OpHandle) {
        if self.replays_alone() {
            // Without a live instance there is nothing to note it in.
            let _ = self.with(|_, live| {
                live.ops.meet(op.number);
                Ok(())
            });
        }
    }

    /// How many have left and are neither done nor given up.
    pub fn open_ops(&self) -> usize {
        self.with(|_, live| Ok(live.ops.open())).unwrap_or(0)
    }

    /// The key under which an operation is sent, however often: it follows from the task's history alone.
    pub fn op_key(&self, op: OpHandle, hash: u64) -> String {
        let seed = self.seed();
        let mut hasher = blake3::Hasher::new_keyed(&seed);
        hasher.update(b"idempotency key").update(&op.number.to_le_bytes()).update(&hash.to_le_bytes());
        hasher.finalize().to_hex().as_str()[..32].to_owned()
    }

    /// With the next [`Recorder::barrier`], all that the guest has seen so far and the intent are on disk: then
    /// it may leave.
    pub fn op_intent(&self, op: OpHandle, hash: u64, sends: u32) -> Result<(), RecorderError> {
        self.put_op(op, hash, OpChange::Intent { sends })
    }

    /// With the next [`Recorder::barrier`] the outcome is on disk: then the guest may see it.
    pub fn op_done(&self, op: OpHandle, hash: u64, outcome: Vec<u8>) -> Result<(), RecorderError> {
        let payload = self.large_payload(&outcome)?;
        self.put_op(op, hash, OpChange::Done { payload, outcome: outcome.into() })
    }

    /// The guest gave it up; published with the next commit.
    pub fn op_abandoned(&self, op: OpHandle, hash: u64) -> Result<(), RecorderError> {
        self.put_op(op, hash, OpChange::Abandoned)
    }

    pub(in crate::engine) fn put_op(
        &self,
        op: OpHandle,
        hash: u64,
        change: OpChange,
    ) -> Result<(), RecorderError> {
        self.with(|state, live| live.put_op((self.task_id(), state.epoch()), op, hash, change))?;
        self.mark_dirty();
        // What came back is kept, also where it is too much.
        self.with(|_, live| self.check_journal(live))
    }
}

/// What becomes of an operation.
pub(in crate::engine) enum OpChange {
    Intent { sends: u32 },
    Done { payload: Payload, outcome: Arc<[u8]> },
    Abandoned,
}

impl OpChange {
    /// With an outcome that is short.
    pub fn done(outcome: Vec<u8>) -> Self {
        Self::Done { payload: Payload::Inline(outcome.clone()), outcome: outcome.into() }
    }
}

impl Live {
    /// For those who hold the lock already, and commit more with it.
    pub(in crate::engine) fn put_op(
        &mut self,
        (task, epoch): (TaskId, u32),
        op: OpHandle,
        hash: u64,
        change: OpChange,
    ) -> Result<(), RecorderError> {
        let (sends, state, known) = match change {
            OpChange::Intent { sends } => (sends, OpState::Intent, Op::Intent { hash, sends }),
            OpChange::Done { payload, outcome } => (0, OpState::Done(payload), Op::Done { hash, outcome }),
            OpChange::Abandoned => (0, OpState::Abandoned, Op::Abandoned { hash }),
        };
        let row = OpRow { at: op.at, hash, sends, state };
        let bytes = rows::encode(&row).map_err(|error| RecorderError::Fault(error.to_string()))?;
        self.writes.push((Space::Op, rows::journal_key(task, epoch, op.number).to_vec(), bytes));
        match known {
            Op::Done { .. } => self.trace.end_op(op.number, false),
            Op::Abandoned { .. } => self.trace.end_op(op.number, true),
            Op::Intent { .. } | Op::Resend { .. } => {}
        }
        self.ops.insert(op.number, known);
        Ok(())
    }
}
