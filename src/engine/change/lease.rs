//! An attempt that lost its lease.

use std::sync::Arc;

use crate::engine::memory::entry::Entry;
use crate::engine::rows;
use crate::engine::shared::Shared;

/// An attempt has lost its lease: what it did since its last commit is void, and the task goes on from what is on disk.
pub fn lose_lease(shared: &Arc<Shared>, entry: &Arc<Entry>, lease: u64) {
    let mut state = entry.lock();
    if state.lease != lease || state.live.is_none() {
        return;
    }
    let id = entry.id;
    match shared.store.read(|snapshot| rows::read_status(snapshot, id)) {
        Ok(Some(status)) => state.status = status,
        Ok(None) => tracing::error!(task = %id, "the row of a task that lost its lease is gone"),
        Err(error) => tracing::error!(task = %id, %error, "a task that lost its lease cannot be read"),
    }
    (state.live, state.lease, state.status_dirty) = (None, 0, false);
    entry.stop.send_modify(|count| *count += 1);
    let is_open = !state.status.state.is_terminal();
    drop(state);
    if is_open {
        shared.memory.ready.push(entry.clone());
    }
}
