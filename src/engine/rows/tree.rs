//! Rows of who called whom: `parent | 0 | child` lists a task's children, `parent | 1 | epoch BE | operation BE` holds the
//! child that the operation waits for, `root | 2 | task` counts the tasks under a root.

use std::ops::ControlFlow;

use crate::engine::link::Link;
use crate::engine::rows;
use crate::store::{Batch, Snapshot, Space, StoreError};
use crate::task::{Task, TaskId};

/// The child that an operation waits for; none where it was given up.
pub fn current(
    snapshot: &Snapshot<'_>,
    parent: TaskId,
    epoch: u32,
    op: u64,
) -> Result<Option<TaskId>, StoreError> {
    let row = snapshot.get(Space::Child, &pointer_key(parent, epoch, op))?;
    Ok(row.as_deref().and_then(rows::trailing_id))
}

/// Whether nothing more comes of an operation: what is tried after a child stands in the commit of its end.
pub fn is_over(snapshot: &Snapshot<'_>, parent: TaskId, epoch: u32, op: u64) -> Result<bool, StoreError> {
    let Some(child) = current(snapshot, parent, epoch, op)? else { return Ok(true) };
    Ok(rows::read_status(snapshot, child)?.is_none_or(|status| status.state.is_terminal()))
}

/// A task's children that `keep` takes, oldest first, at most so many.
pub fn list(
    snapshot: &Snapshot<'_>,
    parent: TaskId,
    limit: usize,
    mut keep: impl FnMut(TaskId) -> bool,
) -> Result<Vec<TaskId>, StoreError> {
    let mut found = Vec::new();
    snapshot.scan_prefix(Space::Child, &prefix(parent, LISTING), false, |key, _| {
        found.extend(rows::trailing_id(key).filter(|id| keep(*id)));
        if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

pub fn is_child(snapshot: &Snapshot<'_>, parent: TaskId, child: TaskId) -> Result<bool, StoreError> {
    Ok(snapshot.get(Space::Child, &listing_key(parent, child))?.is_some())
}

/// Whether a task that is taken up again is still what its parent waits for, or was detached from it. One that
/// no task called is.
pub fn is_wanted(snapshot: &Snapshot<'_>, task: &Task) -> Result<bool, StoreError> {
    let Some(link) = Link::of(task) else { return Ok(true) };
    let is_open = snapshot.get(Space::Open, link.parent.as_bytes())?.is_some();
    let pointed_at = current(snapshot, link.parent, link.epoch, link.op)?;
    Ok(link.detached || (is_open && pointed_at == Some(task.id)))
}

/// A task is swept: what lists it, and what it listed.
pub fn sweep(snapshot: &Snapshot<'_>, task: &Task, batch: &mut Batch) -> Result<(), StoreError> {
    batch.add_delete_prefix(Space::Child, task.id.as_bytes().as_slice());
    if let Some(parent) = task.parent {
        batch.add_delete(Space::Child, listing_key(parent, task.id));
        // The root counts all that it ever had, as long as it is there itself.
        if snapshot.get(Space::Task, task.root.as_bytes())?.is_none() {
            batch.add_delete(Space::Child, tree_key(task.root, task.id));
        }
    }
    Ok(())
}

/// Prefix of the keys of all that a task's operations point to.
pub fn pointers(task: TaskId) -> Vec<u8> {
    prefix(task, POINTER)
}

/// Holds the child that an operation waits for; empty where it was given up.
pub fn pointer_key(parent: TaskId, epoch: u32, op: u64) -> Vec<u8> {
    let mut key = prefix(parent, POINTER);
    key.extend_from_slice(&epoch.to_be_bytes());
    key.extend_from_slice(&op.to_be_bytes());
    key
}

pub const LISTING: u8 = 0;

pub const POINTER: u8 = 1;

pub const TREE: u8 = 2;

pub fn listing_key(parent: TaskId, child: TaskId) -> Vec<u8> {
    let mut key = prefix(parent, LISTING);
    key.extend_from_slice(child.as_bytes());
    key
}

pub fn tree_key(root: TaskId, task: TaskId) -> Vec<u8> {
    let mut key = prefix(root, TREE);
    key.extend_from_slice(task.as_bytes());
    key
}

pub fn prefix(task: TaskId, kind: u8) -> Vec<u8> {
    let mut key = task.as_bytes().to_vec();
    key.push(kind);
    key
}

pub fn count_tree(snapshot: &Snapshot<'_>, root: TaskId) -> Result<u64, StoreError> {
    let mut count = 0;
    snapshot.scan_prefix(Space::Child, &prefix(root, TREE), false, |_, _| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}
