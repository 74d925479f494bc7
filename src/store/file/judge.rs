//! Whether a batch's guards hold, as of the batches before it.

use std::collections::HashMap;
use std::sync::Arc;

use super::layer::{Found, Layer};
use super::snapshot::Snapshot;
use crate::store::batch::Guard;
use crate::store::error::StoreError;
use crate::store::frame;
use crate::store::space::Space;

/// Whether it holds over what memory and disk have. `large` finds the large value that an earlier batch of the group has
/// put there: `pending` only knows that there is one.
pub(super) fn holds<'a>(
    guard: &Guard,
    leases: &HashMap<[u8; 16], u64>,
    pending: &Layer,
    snapshot: &Snapshot<'_>,
    large: impl Fn(Space, &[u8]) -> Option<&'a Arc<[u8]>>,
) -> Result<bool, StoreError> {
    let is_there = |space, key: &[u8]| match pending.get(space, key) {
        Found::Value(_) | Found::InBase => Ok(true),
        Found::Deleted => Ok(false),
        Found::Below => snapshot.contains(space, key),
    };
    match guard {
        Guard::Lease { task, token } => Ok(leases.get(task) == Some(token)),
        Guard::Absent { space, key } => is_there(*space, key).map(|is_there| !is_there),
        Guard::Present { space, key } => is_there(*space, key),
        Guard::Is { space, key, value } => match pending.get(*space, key) {
            Found::Value(found) => Ok(found == &**value),
            Found::Deleted => Ok(false),
            Found::InBase => Ok(large(*space, key) == Some(value)),
            Found::Below => Ok(snapshot.get(*space, key)?.as_ref() == Some(value)),
        },
    }
}

/// What a batch writes to the spaces in `guarded`, in memory of its own: its row is not made yet.
pub(super) fn note(pending: &mut Layer, frame: &[u8], guarded: u32) -> Result<(), StoreError> {
    let row = Arc::new(frame.to_vec());
    let noted = frame::read_ops(&row, |op| {
        if guarded & bit(op.space()) != 0 {
            pending.apply(&row, op);
        }
    });
    noted.map_err(|why| StoreError::damaged("a batch in memory", why))
}

pub(super) fn bit(space: Space) -> u32 {
    1 << space.index()
}
