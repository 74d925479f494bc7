//! A trace in the store. Key: `id | block BE u32 | row BE u16`.

use std::ops::ControlFlow;

use super::tracer::{KEY_BYTES, Tracer, Write};
use crate::store::{Batch, Snapshot, Space, StoreError};
use crate::task::TaskId;

const BLOCK_KEY_BYTES: usize = 20;

/// A task's trace, to go on with, of at most so many blocks: the last one is read.
pub fn read(snapshot: &Snapshot<'_>, task: TaskId, kept: u32) -> Result<Tracer, StoreError> {
    if kept == 0 {
        return Ok(Tracer::new(kept));
    }
    let (mut last, mut rows) = (None, Vec::new());
    snapshot.scan_prefix(Space::Trace, task.as_bytes(), true, |key, value| {
        let Some((block, row)) = place_of(key) else { return ControlFlow::Continue(()) };
        if *last.get_or_insert(block) != block {
            return ControlFlow::Break(());
        }
        rows.push((row, value.to_vec()));
        ControlFlow::Continue(())
    })?;
    let Some(last) = last else { return Ok(Tracer::new(kept)) };
    rows.reverse();
    let mut first = last;
    snapshot.scan_prefix(Space::Trace, task.as_bytes(), false, |key, _| match place_of(key) {
        Some((block, _)) => {
            first = block;
            ControlFlow::Break(())
        }
        None => ControlFlow::Continue(()),
    })?;
    Ok(Tracer::resume(kept, first, last, &rows))
}

/// Adds to a commit what is not on its way yet; it stays pending until [`Tracer::queued`].
pub fn draft(tracer: &mut Tracer, task: TaskId, batch: &mut Batch) {
    tracer.draft(|write| match write {
        Write::Row { block, row, value } => {
            batch.add_put(Space::Trace, row_key(task, *block, *row), value);
        }
        Write::Fold { block } => {
            batch.add_delete_prefix(Space::Trace, &row_key(task, *block, 0)[..BLOCK_KEY_BYTES]);
        }
    });
}

fn row_key(task: TaskId, block: u32, row: u16) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..16].copy_from_slice(task.as_bytes());
    key[16..20].copy_from_slice(&block.to_be_bytes());
    key[20..].copy_from_slice(&row.to_be_bytes());
    key
}

/// The block and the row of a key.
pub fn place_of(key: &[u8]) -> Option<(u32, u16)> {
    let (block, row) = key.get(16..)?.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*block), u16::from_be_bytes(row.try_into().ok()?)))
}
