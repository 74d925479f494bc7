//! What follows from a commit: effects first, then answers.

use std::sync::atomic::Ordering;

use super::Writer;
use crate::store::error::{Refusal, StoreError};
use crate::store::file::answers::Answers;
use crate::store::file::request::Request;

impl Writer {
    /// Hands the effects of the group to the sink, in the order of commits, and then gives all answers: one that was
    /// given before would set its owner to work, at the locks and on the processor that the rest needs.
    pub(super) fn tell(&mut self, first_lsn: u64) {
        for (count, sum) in self.counts.iter() {
            self.shared.sink.counted(count, sum);
        }
        self.counts.clear();
        let mut lsn = first_lsn - 1;
        let mut refusals = std::mem::take(&mut self.refusals);
        let mut awaited = 0;
        let mut answers = Answers::new(self.backlog.group_len());
        // Taken one by one: if the sink panics, those behind it are still in the backlog.
        for refusal in refusals.drain(..) {
            let Some(mut request) = self.backlog.pop() else { break };
            let answer = match refusal {
                Some(refusal) => Err(self.refuse(&mut request, refusal)),
                None => {
                    lsn += u64::from(!request.batch.is_empty());
                    #[cfg(test)]
                    if let Some(drive) = self.shared.drive.get() {
                        drive.acknowledge(lsn);
                    }
                    self.follow(&mut request);
                    Ok(lsn)
                }
            };
            awaited += usize::from(request.is_awaited());
            answers.add(request, answer);
        }
        self.shared.sink.shown();
        answers.give(self.runtime.as_ref());
        self.expect_back(awaited);
        self.refusals = refusals;
    }

    /// What follows from a batch that does not hold.
    fn refuse(&self, request: &mut Request, refusal: Box<Refusal>) -> StoreError {
        let refused = StoreError::Refused(refusal);
        if let Some(effects) = request.batch.effects.take() {
            self.shared.sink.withdrawn(effects, &refused);
        }
        refused
    }

    /// What follows from a batch that is on disk.
    fn follow(&self, request: &mut Request) {
        for (mark, number) in &request.batch.marks {
            mark.store(*number, Ordering::Release);
        }
        if let Some(effects) = request.batch.effects.take() {
            self.shared.sink.applied(effects);
        }
    }
}
