//! Answers to the many who shared a commit.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

use crate::limits::{ANSWERS_PER_TASK, MIN_SPREAD_ANSWERS};
use crate::store::ack::Answer;

/// Gives answers, in portions, to tasks of the runtime, which wake whom they concern: a task wakes its neighbours
/// for a tenth of what it costs a foreign thread. Few answers are given at once.
pub(super) struct Answers<'a> {
    runtime: Option<&'a Handle>,
    portion: Portion,
}

/// Answers whose receivers learn them at the latest when it is dropped: also by a runtime that has ended, and by a
/// writer that panics.
struct Portion(Vec<(oneshot::Sender<Answer>, Answer)>);

/// The runtime that the caller is in, if its tasks can run at the same time.
pub(super) fn runtime() -> Option<Handle> {
    Handle::try_current().ok().filter(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

impl<'a> Answers<'a> {
    pub fn new(runtime: Option<&'a Handle>, count: usize) -> Self {
        let runtime = runtime.filter(|_| count >= MIN_SPREAD_ANSWERS);
        Self { runtime, portion: Portion(Vec::new()) }
    }

    /// There may be no waiter, which is no harm.
    pub fn give(&mut self, ack: oneshot::Sender<Answer>, answer: Answer) {
        let Some(runtime) = self.runtime else {
            let _ = ack.send(answer);
            return;
        };
        self.portion.0.push((ack, answer));
        if self.portion.0.len() == ANSWERS_PER_TASK {
            let portion = std::mem::replace(&mut self.portion, Portion(Vec::with_capacity(ANSWERS_PER_TASK)));
            drop(runtime.spawn(async move { drop(portion) }));
        }
    }

    pub fn finish(mut self) {
        let portion = std::mem::replace(&mut self.portion, Portion(Vec::new()));
        if let Some(runtime) = self.runtime {
            drop(runtime.spawn(async move { drop(portion) }));
        }
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        for (ack, answer) in self.0.drain(..) {
            let _ = ack.send(answer);
        }
    }
}
