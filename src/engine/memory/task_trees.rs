//! What trees of tasks share in memory: how many tasks stand under a root, which of them are wanted no more.

use std::collections::{BTreeSet, HashMap};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

#[cfg(test)]
use crate::engine::rows::tree::count_tree;
use crate::limits;
#[cfg(test)]
use crate::store::{Store, StoreError};
use crate::task::TaskId;

/// What the trees of tasks share.
#[derive(Default)]
pub struct TaskTrees {
    /// Tasks under each root whose number was asked for.
    totals: Mutex<HashMap<TaskId, u64>>,
    /// Those that are wanted no more, on disk, until their cancellation is there too.
    unwanted: Mutex<BTreeSet<TaskId>>,
    pub wake: Notify,
}

impl TaskTrees {
    /// Takes room for so many tasks more; `None` where the root has no more. On disk there are `on_disk`, which counts
    /// where memory does not.
    pub fn reserve(&self, root: TaskId, on_disk: u64, count: u64, bound: u64) -> Option<Reserved<'_>> {
        let mut totals = self.totals.lock();
        let total = totals.get(&root).copied().unwrap_or(on_disk);
        if total.saturating_add(count) > bound {
            return None;
        }
        totals.insert(root, total + count);
        Some(Reserved { trees: self, root, count })
    }

    pub fn total(&self, root: TaskId) -> Option<u64> {
        self.totals.lock().get(&root).copied()
    }

    /// They are not made after all.
    pub fn give_back(&self, root: TaskId, count: u64) {
        let mut totals = self.totals.lock();
        if let Some(total) = totals.get_mut(&root) {
            *total = total.saturating_sub(count);
        }
    }

    pub fn knows(&self, root: TaskId) -> bool {
        self.totals.lock().contains_key(&root)
    }

    pub fn forget(&self, root: TaskId) {
        self.totals.lock().remove(&root);
    }

    /// To be called after the commit that says so. Takes no task's lock: the writer thread calls it.
    pub fn disown(&self, children: Vec<TaskId>) {
        self.unwanted().extend(children);
        self.wake.notify_one();
    }

    /// Those that are still to be cancelled.
    pub fn unwanted(&self) -> MutexGuard<'_, BTreeSet<TaskId>> {
        self.unwanted.lock()
    }

    /// Roots whose number of tasks is another one in memory than on disk.
    #[cfg(test)]
    pub fn miscounted(&self, store: &Store) -> Result<Vec<(TaskId, u64, u64)>, StoreError> {
        let totals = self.totals.lock().clone();
        let mut found = Vec::new();
        for (root, total) in totals {
            let on_disk = store.read_blocking(|snapshot| count_tree(snapshot, root))?;
            found.extend((total != on_disk).then_some((root, total, on_disk)));
        }
        Ok(found)
    }
}

/// Room in a tree for tasks that are about to be made; given back unless they are.
pub struct Reserved<'a> {
    trees: &'a TaskTrees,
    root: TaskId,
    count: u64,
}

impl Reserved<'_> {
    /// They are made.
    pub fn keep(mut self) {
        self.count = 0;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.trees.give_back(self.root, self.count);
        }
    }
}

/// The bounds of one tree of tasks; the defaults are those of `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeBounds {
    /// Generations under the root.
    pub depth: u32,
    /// Children of one task that are open at once.
    pub open_children: usize,
    /// Tasks under one root in all its life.
    pub tasks: u64,
}

impl Default for TreeBounds {
    fn default() -> Self {
        Self {
            depth: limits::MAX_CALL_DEPTH,
            open_children: limits::MAX_OPEN_CHILDREN,
            tasks: limits::MAX_TREE_TASKS,
        }
    }
}
