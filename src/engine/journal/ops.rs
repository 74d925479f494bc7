//! Operations as rows and as what a live instance knows of them.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pieces::piece_of;
use crate::engine::rows;
use crate::engine::rows::Payload;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::TaskId;

/// What is known of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// It was about to leave, or left; it is not known whether it arrived. `sends` counts how often.
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

/// The operations of a live instance.
#[derive(Default)]
pub struct Ops {
    pub begun: u64,
    pub known: HashMap<u64, Op>,
    /// Of their rows, about.
    bytes: u64,
    /// Those that were known and begun again by the same call; noted where a replay is only tried.
    met: BTreeSet<u64>,
}

impl Ops {
    /// Those of one epoch, as they are on disk. Their pieces are counted alone, and read when they are wanted.
    pub fn read(snapshot: &Snapshot<'_>, task: TaskId, epoch: u32) -> Result<Self, StoreError> {
        let (mut own, mut pieces) = (Vec::new(), 0);
        scan_rows(snapshot, task, epoch, |number, key, row| {
            match piece_of(number) {
                Some(_) => pieces += row.len() as u64,
                None => own.push((number, rows::decode::<OpRow>(Space::Op, key, row)?)),
            }
            Ok(())
        })?;
        let mut ops = Self { bytes: pieces, ..Self::default() };
        for (number, row) in own {
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

    /// Whether there never was one in this epoch.
    pub fn are_none(&self) -> bool {
        self.begun == 0 && self.bytes == 0 && self.known.is_empty()
    }

    pub fn insert(&mut self, number: u64, op: Op) {
        self.bytes += op.bytes();
        if let Some(old) = self.known.insert(number, op) {
            self.bytes -= old.bytes();
        }
    }

    /// A piece of one of them was written. It is not held.
    pub fn add_piece(&mut self, row_bytes: u64) {
        self.bytes += row_bytes;
    }

    pub fn get(&self, number: u64) -> Option<&Op> {
        self.known.get(&number)
    }

    /// The guest has begun this one again, by the call that it was.
    pub fn meet(&mut self, number: u64) {
        self.met.insert(number);
    }

    /// The first one that is known and was not begun again.
    pub fn first_unmet(&self) -> Option<u64> {
        self.known.keys().filter(|number| !self.met.contains(number)).min().copied()
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
    pub fn open(&self) -> usize {
        self.known.values().filter(|op| matches!(op, Op::Intent { .. } | Op::Resend { .. })).count()
    }
}

/// The rows of one epoch, by number, without those of pieces.
pub fn read_rows(snapshot: &Snapshot<'_>, task: TaskId, epoch: u32) -> Result<Vec<(u64, OpRow)>, StoreError> {
    let mut found = Vec::new();
    visit_rows(snapshot, task, epoch, |number, row| {
        if piece_of(number).is_none() {
            found.push((number, row));
        }
        Ok(())
    })?;
    Ok(found)
}

/// Visits the rows of one epoch, by number: those of pieces, of which there may be many, come last.
pub fn visit_rows(
    snapshot: &Snapshot<'_>,
    task: TaskId,
    epoch: u32,
    mut visit: impl FnMut(u64, OpRow) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    scan_rows(snapshot, task, epoch, |number, key, row| visit(number, rows::decode(Space::Op, key, row)?))
}

fn scan_rows(
    snapshot: &Snapshot<'_>,
    task: TaskId,
    epoch: u32,
    mut visit: impl FnMut(u64, &[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut visited = Ok(());
    snapshot.scan_prefix(Space::Op, &rows::journal_prefix(task, epoch), false, |key, row| {
        visited = match rows::trailing_number(key) {
            Some(number) => visit(number, key, row),
            None => Err(StoreError::damaged_row(Space::Op, key, "the key is no operation's")),
        };
        if visited.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    visited
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
