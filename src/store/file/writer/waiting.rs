//! What the writer does next: it waits for batches, or for the time to fold or to close.

use parking_lot::MutexGuard;

use super::{Work, Writer};
use crate::store::file::shared::{Queue, Waits};

impl Writer {
    /// Waits for work, and puts a group together: what is queued, up to the bounds, and at least one batch.
    pub(super) fn next(&mut self) -> Work {
        {
            let mut queue = self.shared.queue();
            if self.backlog.is_empty()
                && let Some(work) = self.wait(&mut queue)
            {
                return work;
            }
            queue.writer = Waits::No;
            self.backlog.refill(&mut queue);
        }
        // What the others wait for is held no longer than it takes.
        let (count, bytes) = self.backlog.begin_group();
        let mut queue = self.shared.queue();
        // What is about to be committed still counts as queued.
        let disk = if queue.is_look_due() || self.shared.reserve.was_tapped() {
            self.shared.look_at_disk(&mut queue)
        } else {
            None
        };
        let refill = disk.and_then(|disk| queue.room.refill(disk));
        queue.taken -= count;
        queue.bytes -= bytes;
        drop(queue);
        if let Some(bytes) = refill {
            self.shared.reserve.fit(bytes);
        }
        Work::Group
    }

    /// Until something is queued that is in a hurry, or has been patient for long enough; else what there is to do
    /// instead.
    pub(super) fn wait(&self, queue: &mut MutexGuard<'_, Queue>) -> Option<Work> {
        let idle = self.shared.options.idle;
        let patience = self.shared.options.patience.min(idle);
        while !queue.is_hurried {
            if queue.is_closing {
                return queue.waiting.is_empty().then_some(Work::Close);
            }
            queue.writer = Waits::Briefly;
            let is_over = self.shared.bell.wait_for(queue, patience).timed_out();
            // It may have been rung as the time was over.
            if !is_over || queue.is_hurried || queue.is_closing {
                continue;
            }
            if !queue.waiting.is_empty() {
                return None;
            }
            queue.writer = Waits::UntilRung;
            if !self.is_dirty {
                self.shared.bell.wait(queue);
            } else if self.shared.bell.wait_for(queue, idle - patience).timed_out()
                && queue.waiting.is_empty()
                && !queue.is_closing
            {
                queue.writer = Waits::No;
                return Some(Work::Idle);
            }
        }
        None
    }
}
