//! An instance that lost its lease: what it had not committed is void, and what went along with it is made again.

use std::sync::Arc;

use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::link::{Children, Link};
use crate::engine::memory::entry::{Entry, EntryState};
use crate::engine::rows;
use crate::engine::rows::tree;
use crate::engine::shared::Shared;
use crate::store::{Ack, Snapshot, StoreError};
use crate::task::TaskId;

/// An attempt has lost its lease: what it did since its last commit is void, and the task goes on from what is on disk.
pub async fn lose_lease(shared: &Arc<Shared>, entry: &Arc<Entry>, lease: u64) {
    {
        let mut state = entry.lock();
        if state.lease != lease || state.live.is_none() {
            return;
        }
        forget(shared, entry, &mut state);
    }
    go_on(shared, entry).await;
}

/// Whether a change of a task is on disk. Where an instance had lost its lease, and the change went along with what that
/// had not committed yet, it is refused: memory says again what the disk says, and the change is to be made once more.
pub async fn has_arrived(shared: &Arc<Shared>, entry: &Arc<Entry>, ack: Ack) -> Result<bool, EngineError> {
    match ack.await {
        Ok(_) => Ok(true),
        Err(StoreError::Refused(_)) => {
            // What has been handed over meanwhile counts.
            shared.commit(Commit::new())?.await?;
            forget(shared, entry, &mut entry.lock());
            go_on(shared, entry).await;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// An instance is to go whose disk has no room for what it has not committed: that is void, and the task is where it was
/// committed last. The caller ends it, or lets it [`go_on`].
pub async fn drop_pending(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<(), EngineError> {
    let queued = |state: &EntryState| state.live.as_ref().map(|live| live.enqueued);
    loop {
        let before = queued(&entry.lock());
        // What has been handed over meanwhile counts.
        shared.commit(Commit::new())?.await?;
        let mut state = entry.lock();
        if state.live.is_none() {
            return Ok(());
        }
        if queued(&state) == before {
            forget(shared, entry, &mut state);
            return Ok(());
        }
    }
}

/// Memory says of the task what the disk says, without an instance.
fn forget(shared: &Shared, entry: &Entry, state: &mut EntryState) {
    let id = entry.id;
    match shared.store.read_held(id, |snapshot| rows::read_status(snapshot, id)) {
        Ok(Some(status)) => state.status = status,
        Ok(None) => tracing::error!(task = %id, "the row of a task that lost its lease is gone"),
        Err(error) => tracing::error!(task = %id, %error, "a task that lost its lease cannot be read"),
    }
    entry.count_questions(&shared.shares, &state.status);
    (state.live, state.lease, state.status_dirty, state.is_leaving) = (None, 0, false, false);
    state.rewritten += 1;
    state.charge = None;
    state.sending.clear();
    entry.stop.send_modify(|count| *count += 1);
}

/// Its place in its tree is what the disk says too, and it goes on from there.
pub async fn go_on(shared: &Shared, entry: &Arc<Entry>) {
    let id = entry.id;
    if let Err(error) = go_back_in_tree(shared, entry).await {
        tracing::error!(task = %id, %error, "the children of a task that lost its lease cannot be read");
    }
    if !entry.lock().status.state.is_terminal() {
        shared.memory.ready.push(entry.clone());
    }
}

/// The same of its place in its tree: its end, or its beginning afresh, was refused.
async fn go_back_in_tree(shared: &Shared, entry: &Entry) -> Result<(), StoreError> {
    let id = entry.id;
    let (task, is_wanted, wanted) = shared
        .store
        .read(move |snapshot| {
            let task = rows::read_task(snapshot, id)?;
            let is_wanted = task.as_ref().map(|task| tree::is_wanted(snapshot, task)).transpose()?;
            Ok((task, is_wanted.unwrap_or(false), wanted_children(snapshot, id)?))
        })
        .await?;
    if let Some(task) = task {
        // The tasks of the tree are counted again when the number is asked for.
        shared.memory.trees.forget(task.root);
    }
    entry.children().extend(wanted.into_iter().filter(|(child, _)| shared.memory.is_open(*child)));
    if let Some((link, parent)) = entry.link.and_then(|link| Some((link, shared.entry(link.parent)?))) {
        let mut siblings = parent.children();
        // Nothing took its place.
        siblings.retain(|_, other| (other.epoch, other.op) != (link.epoch, link.op));
        siblings.extend(is_wanted.then_some((id, link)));
    }
    Ok(())
}

/// The children that the disk says this task wants, open or not.
fn wanted_children(snapshot: &Snapshot<'_>, parent: TaskId) -> Result<Children, StoreError> {
    let mut wanted = Children::new();
    for id in tree::list(snapshot, parent, usize::MAX, |_| true)? {
        let Some(task) = rows::read_task(snapshot, id)? else { continue };
        if tree::is_wanted(snapshot, &task)? {
            wanted.extend(Link::of(&task).map(|link| (id, link)));
        }
    }
    Ok(wanted)
}
