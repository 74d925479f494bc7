//! The open tasks above a task.

use std::sync::Arc;

use super::Memory;
use super::entry::Entry;
use crate::engine::feed::{ResourceKey, TaskChange};
use crate::engine::link::Link;
use crate::task::TaskId;

impl Memory {
    /// The open tasks above that have an entry, nearest first, up to one that was detached.
    pub fn above(&self, link: Option<Link>) -> Vec<Arc<Entry>> {
        self.upwards(parent(link)).filter_map(|id| self.entry(id)).collect()
    }

    /// What is asked below `parent` has changed: its followers are notified, and those of the tasks above it.
    pub fn notify_ancestors(&self, parent: TaskId) {
        for id in self.upwards(Some(parent)) {
            self.feed.changed(&[ResourceKey::Task(id)]);
            self.feed.happened(id, &[TaskChange::Questions]);
        }
    }

    /// Those that are open, from this one on.
    fn upwards(&self, first: Option<TaskId>) -> impl Iterator<Item = TaskId> {
        let open = |id: &TaskId| self.is_open(*id);
        std::iter::successors(first.filter(open), move |id| {
            let link = self.open_tasks().link(*id);
            parent(link).filter(open)
        })
    }
}

fn parent(link: Option<Link>) -> Option<TaskId> {
    link.filter(|link| !link.detached).map(|link| link.parent)
}
