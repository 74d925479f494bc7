//! What makes a task look again.

use std::sync::Arc;
use std::time::Duration;

use super::Memory;
use super::entry::Entry;
use crate::task::TaskId;

impl Memory {
    /// Runs a new task, once `delay` is over.
    pub fn start_after(&self, entry: Arc<Entry>, delay: Duration) {
        if !self.is_running() {
            return;
        }
        if delay.is_zero() {
            self.ready.push(entry);
        } else {
            self.timers.set(entry.id, self.clock.elapsed() + delay);
            self.settles.notify_one();
        }
    }

    /// Something was committed that this task may wait for. Takes no task's lock: the writer thread calls it.
    pub fn nudge(&self, task: TaskId) {
        match self.entry(task) {
            Some(entry) => entry.news.send_modify(|count| *count += 1),
            // One that rests is looked at when its timer fires.
            None if self.is_open(task) => {}
            None => return,
        }
        if self.is_running() {
            self.timers.set(task, self.clock.elapsed());
        }
    }
}
