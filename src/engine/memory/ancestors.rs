//! The open tasks above a task.

use std::sync::Arc;

use super::Memory;
use super::entry::Entry;
use crate::engine::feed::{ResourceKey, TaskChange};
use crate::engine::link::Link;
use crate::task::TaskId;

impl Memory {
    /// The open tasks above, nearest first, up to one that was detached.
    pub fn above(&self, link: Option<Link>) -> Vec<Arc<Entry>> {
        self.upwards(self.parent(link)).collect()
    }

    /// What is asked below `parent` has changed: its followers are notified, and those of the tasks above it.
    pub fn notify_ancestors(&self, parent: TaskId) {
        for entry in self.upwards(self.entry(parent)) {
            self.feed.changed(&[ResourceKey::Task(entry.id)]);
            self.feed.happened(entry.id, &[TaskChange::Questions]);
        }
    }

    fn upwards(&self, first: Option<Arc<Entry>>) -> impl Iterator<Item = Arc<Entry>> {
        std::iter::successors(first, |entry| self.parent(entry.link))
    }

    fn parent(&self, link: Option<Link>) -> Option<Arc<Entry>> {
        link.filter(|link| !link.detached).and_then(|link| self.entry(link.parent))
    }
}
