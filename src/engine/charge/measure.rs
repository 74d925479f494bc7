//! What a task has in the store, row by row.

use std::ops::ControlFlow;

use super::cost::{more_of, of_row};
use super::levels::{Charge, SPACES};
use crate::engine::rows::Payload;
use crate::limits;
use crate::store::{Snapshot, Space, StoreError, read_count};
use crate::task::TaskId;

/// A task's bytes, as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    pub arguments: usize,
    pub of: Vec<(Space, u64)>,
}

impl Measured {
    /// With the small rows that every task has.
    pub fn sum(&self) -> u64 {
        let rows: u64 = self.of.iter().map(|(_, bytes)| bytes).sum();
        limits::TASK_ROWS_BYTES + self.arguments as u64 + rows
    }
}

/// What a task on disk is counted with.
pub fn stored(snapshot: &Snapshot<'_>, id: TaskId) -> Result<Charge, StoreError> {
    more(snapshot, id).map(Charge::stored)
}

/// What it is counted with besides its first bytes.
pub fn more(snapshot: &Snapshot<'_>, id: TaskId) -> Result<u64, StoreError> {
    let key = more_of(id).key();
    Ok(snapshot.get(Space::Count, &key)?.map(|row| read_count(&key, &row)).transpose()?.unwrap_or(0))
}

/// What a task has in each space, its trace among them; its large payloads apart.
pub fn of_task(snapshot: &Snapshot<'_>, task: TaskId, arguments: &Payload) -> Result<Measured, StoreError> {
    let id = task.as_bytes();
    let mut measured = Measured { arguments: length(snapshot, arguments)?, of: Vec::new() };
    for space in SPACES.into_iter().chain([Space::Trace]) {
        let mut bytes = 0;
        snapshot.scan_prefix(space, id, false, |key, value| {
            bytes += of_row(key.len(), value.len());
            ControlFlow::Continue(())
        })?;
        measured.of.push((space, bytes));
    }
    Ok(measured)
}

/// Of a payload, wherever it is.
pub fn length(snapshot: &Snapshot<'_>, payload: &Payload) -> Result<usize, StoreError> {
    Ok(match payload {
        Payload::Inline(bytes) => bytes.len(),
        Payload::Blob(digest) => snapshot.get(Space::Blob, digest)?.map_or(0, |bytes| bytes.len()),
    })
}
