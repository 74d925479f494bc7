//! What a commit of a task changes in what that is counted with, as part of the same commit.

use crate::engine::charge::{self, Charge};
use crate::engine::commit::Commit;
use crate::engine::memory::entry::{Entry, EntryState};
use crate::engine::shared::Shared;
use crate::limits;
use crate::shares::Pool;
use crate::store::{Need, StoreError};

/// When what a task adds waits for room on its principal's account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bounded {
    /// What is new and ends nothing.
    Growth,
    /// Its room was asked for before, or it ends something.
    Nothing,
}

/// Adds to a commit of the task what it changes in its counts. What is given is the task's from the moment on in which
/// the commit is queued.
pub fn add(
    shared: &Shared,
    entry: &Entry,
    state: &EntryState,
    commit: &mut Commit,
    bounded: Bounded,
    is_over: bool,
) -> Result<Charge, StoreError> {
    let before = match state.charge {
        Some(charge) => charge,
        None => shared.store.read_held(entry.id, |snapshot| charge::stored(snapshot, entry.id))?,
    };
    let (charge, change) = before.with_batch(entry.id, commit, most_trace(shared), is_over)?;
    if change == 0 {
        return Ok(charge);
    }
    let is_growth = bounded == Bounded::Growth && commit.need() == Need::Growth;
    if let Ok(more) = u64::try_from(change)
        && is_growth
    {
        let admitted = shared.shares.admit(Pool::StoredBytes, &entry.principal, more);
        admitted.map_err(|refused| StoreError::NoShare(refused.to_string().into()))?;
    }
    commit.add_count(charge::bytes_of(entry.principal.as_str().into()), change);
    commit.add_count(charge::more_of(entry.id), change);
    Ok(charge)
}

/// Blocks of the trace that are kept, with what their rows cost.
fn most_trace(shared: &Shared) -> u64 {
    u64::from(shared.trace_blocks) * limits::TRACE_BLOCK_KIB * 1024 * 5 / 4
}
