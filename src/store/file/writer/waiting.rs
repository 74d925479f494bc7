//! What the writer does next: it waits for batches, or for the time to fold or to close.

#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::time::Instant;

use parking_lot::MutexGuard;

use super::{Expected, Work, Writer};
use crate::limits;
use crate::store::file::shared::{Queue, Waits};

impl Writer {
    /// The system may wake a thread later than it asked for, by more than is to be gained here.
    pub(super) fn be_woken_in_time() {
        #[cfg(target_os = "linux")]
        if let Err(error) =
            rustix::thread::set_current_timer_slack(NonZeroU64::new(limits::WRITER_TIMER_SLACK_NANOS))
        {
            tracing::debug!(%error, "the writer's waits may be somewhat longer");
        }
    }

    /// Waits for work, and puts a group together: what is queued, up to the bounds, and at least one batch.
    pub(super) fn next(&mut self) -> Work {
        let expected = self.expected.take();
        {
            let mut queue = self.shared.queue();
            if self.backlog.is_empty() {
                if let Some(expected) = expected {
                    self.gather(expected, &mut queue);
                }
                if let Some(work) = self.wait(&mut queue) {
                    return work;
                }
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

    /// Answers have been given to so many that waited for them, most of whom come again with the next of what they do:
    /// one that is ready first is not worth a sync of its own.
    pub(super) fn expect_back(&mut self, awaited: usize) {
        let (wanted, most) = (awaited / 2, self.shared.options.gather);
        let is_worthwhile = awaited >= limits::MIN_GATHERED_ANSWERS && !most.is_zero();
        self.expected = is_worthwhile.then(|| Expected { wanted, until: Instant::now() + most });
    }

    /// Until those who are expected have come, or are not to be waited for any longer.
    fn gather(&self, Expected { wanted, until }: Expected, queue: &mut MutexGuard<'_, Queue>) {
        while !queue.has_gathered(wanted) {
            queue.writer = Waits::Gathering(wanted);
            if self.shared.bell.wait_until(queue, until).timed_out() {
                break;
            }
        }
    }

    /// Until something is queued that is in a hurry, or has been patient for long enough; else what there is to do
    /// instead.
    pub(super) fn wait(&self, queue: &mut MutexGuard<'_, Queue>) -> Option<Work> {
        let idle = self.shared.options.idle;
        let patience = self.shared.options.patience.min(idle);
        while queue.hurried == 0 {
            if queue.is_closing {
                return queue.waiting.is_empty().then_some(Work::Close);
            }
            queue.writer = Waits::Briefly;
            let is_over = self.shared.bell.wait_for(queue, patience).timed_out();
            // It may have been rung as the time was over.
            if !is_over || queue.hurried > 0 || queue.is_closing {
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
