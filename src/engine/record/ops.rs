//! Operations: effects that leave the process and come back in their own order. Each has a number that
//! follows from the guest's own doings; its outcome stands in a row, apart from what the guest has seen of
//! it, which stands in the journal. So an outcome that nobody has looked at yet can never diverge.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::recorder::{Recorder, RecorderError};
use crate::engine::dispatch::entry::Live;
use crate::engine::ports::Divergence;
use crate::engine::rows::{self, Payload};
use crate::store::{Snapshot, Space, StoreError};
use crate::task::TaskId;

/// What is known of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// It was about to leave, or left; nobody knows whether it arrived. `sends` counts how often.
    Intent { hash: u64, sends: u32 },
    /// It came back.
    Done { hash: u64, outcome: Arc<[u8]> },
    /// The guest gave it up before it came back.
    Abandoned { hash: u64 },
    /// A person decided that it is to be sent again.
    Resend { hash: u64, sends: u32 },
}

impl Op {
    /// Stands for the call that began it.
    pub fn hash(&self) -> u64 {
        match self {
            Self::Intent { hash, .. }
            | Self::Done { hash, .. }
            | Self::Abandoned { hash }
            | Self::Resend { hash, .. } => *hash,
        }
    }

    /// What its row takes, about.
    fn bytes(&self) -> u64 {
        const BESIDE_THE_OUTCOME: u64 = 48;
        match self {
            Self::Done { outcome, .. } => BESIDE_THE_OUTCOME + outcome.len() as u64,
            Self::Intent { .. } | Self::Abandoned { .. } | Self::Resend { .. } => BESIDE_THE_OUTCOME,
        }
    }
}

/// A row of [`Space::Op`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpRow {
    /// Number of the record that the guest had reached when it began.
    pub at: u64,
    pub hash: u64,
    pub sends: u32,
    pub state: OpState,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OpState {
    Intent,
    Done(Payload),
    Abandoned,
    Resend,
}

/// One operation of a guest: its number in the epoch, and where in the journal it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpHandle {
    pub number: u64,
    at: u64,
}

impl OpHandle {
    /// Number of the record that the guest had reached when it began.
    pub fn at(self) -> u64 {
        self.at
    }
}

/// The operations of a live instance.
#[derive(Default)]
pub struct Ops {
    begun: u64,
    known: HashMap<u64, Op>,
    /// Of their rows, about.
    bytes: u64,
}

impl Ops {
    /// Those of one epoch, as they are on disk.
    pub fn read(snapshot: &Snapshot<'_>, task: TaskId, epoch: u32) -> Result<Self, StoreError> {
        let mut ops = Self::default();
        for (number, row) in read_rows(snapshot, task, epoch)? {
            let (hash, sends) = (row.hash, row.sends);
            let op = match &row.state {
                OpState::Intent => Op::Intent { hash, sends },
                OpState::Done(payload) => Op::Done { hash, outcome: rows::read_payload(snapshot, payload)? },
                OpState::Abandoned => Op::Abandoned { hash },
                OpState::Resend => Op::Resend { hash, sends },
            };
            ops.insert(number, op);
        }
        Ok(ops)
    }

    /// Outcomes are read by replay like the journal, and count as it does.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn insert(&mut self, number: u64, op: Op) {
        self.bytes += op.bytes();
        if let Some(old) = self.known.insert(number, op) {
            self.bytes -= old.bytes();
        }
    }

    pub fn get(&self, number: u64) -> Option<&Op> {
        self.known.get(&number)
    }

    /// As it was known before.
    pub fn restore(&mut self, number: u64, op: Option<Op>) {
        match op {
            Some(op) => self.insert(number, op),
            None => {
                if let Some(old) = self.known.remove(&number) {
                    self.bytes -= old.bytes();
                }
            }
        }
    }

    /// Those that left, or were about to, and neither came back nor were given up.
    fn open(&self) -> usize {
        self.known.values().filter(|op| matches!(op, Op::Intent { .. } | Op::Resend { .. })).count()
    }
}

/// The rows of one epoch, by number.
pub fn read_rows(snapshot: &Snapshot<'_>, task: TaskId, epoch: u32) -> Result<Vec<(u64, OpRow)>, StoreError> {
    let (mut found, mut fault) = (Vec::new(), None);
    snapshot.scan_prefix(Space::Op, &rows::journal_prefix(task, epoch), false, |key, row| {
        match (rows::trailing_number(key), rows::decode(Space::Op, key, row)) {
            (Some(number), Ok(row)) => found.push((number, row)),
            (None, _) => fault = Some(StoreError::damaged_row(Space::Op, key, "the key is no operation's")),
            (_, Err(error)) => fault = Some(error),
        }
        if fault.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    fault.map_or(Ok(found), Err)
}

/// The row of one operation.
pub fn read_row(
    snapshot: &Snapshot<'_>,
    task: TaskId,
    epoch: u32,
    number: u64,
) -> Result<Option<OpRow>, StoreError> {
    rows::read_row(snapshot, Space::Op, &rows::journal_key(task, epoch, number))
}

/// Whether this operation was begun and is neither done nor given up.
pub fn is_intent(snapshot: &Snapshot<'_>, task: TaskId, epoch: u32, number: u64) -> Result<bool, StoreError> {
    let row = read_row(snapshot, task, epoch, number)?;
    Ok(row.is_some_and(|row| matches!(row.state, OpState::Intent)))
}

impl Recorder {
    /// The operation that the guest begins now. To be called in the order in which the guest does it.
    pub fn begin_op(&self) -> Result<OpHandle, RecorderError> {
        self.with(|_, live| {
            let handle = OpHandle { number: live.ops.begun, at: live.journal.next_number() };
            live.ops.begun += 1;
            Ok(handle)
        })
    }

    /// What is known of it: from an earlier attempt, or from this one.
    pub fn op(&self, op: OpHandle) -> Result<Option<Op>, RecorderError> {
        self.with(|_, live| Ok(live.ops.known.get(&op.number).cloned()))
    }

    /// On disk, this operation was begun by another call than `what`.
    pub fn op_divergence(&self, op: OpHandle, known: &Op, what: &str, hash: u64) -> RecorderError {
        RecorderError::Diverged(Divergence {
            record: op.at(),
            expected: format!("operation {} ({:016x})", op.number, known.hash()),
            actual: format!("operation {} is {what} ({hash:016x})", op.number),
        })
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

    /// The guest gave it up; told with the next commit.
    pub fn op_abandoned(&self, op: OpHandle, hash: u64) -> Result<(), RecorderError> {
        self.put_op(op, hash, OpChange::Abandoned)
    }

    fn put_op(&self, op: OpHandle, hash: u64, change: OpChange) -> Result<(), RecorderError> {
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
        self.ops.insert(op.number, known);
        Ok(())
    }
}
