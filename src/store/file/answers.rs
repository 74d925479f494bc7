//! Answers to all who shared a commit.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

use super::request::Request;
use crate::limits::{ANSWERS_PER_TASK, MIN_SPREAD_ANSWERS};
use crate::store::ack::Answer;

/// The answers of a group, which are all given at its end: also by a writer that panics.
pub(super) struct Answers {
    portion: Portion,
    /// Those whose owners block a thread, and perhaps a runtime with it.
    at_once: Portion,
}

/// Answers whose receivers learn them at the latest when it is dropped: also by a runtime that has ended.
#[derive(Default)]
struct Portion(Vec<(oneshot::Sender<Answer>, Answer)>);

/// The runtime that the caller is in, if its tasks can run at the same time.
pub(super) fn runtime() -> Option<Handle> {
    Handle::try_current().ok().filter(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

impl Answers {
    pub fn new(count: usize) -> Self {
        Self { portion: Portion(Vec::with_capacity(count)), at_once: Portion::default() }
    }

    pub fn add(&mut self, request: Request, answer: Answer) {
        let portion = if request.at_once { &mut self.at_once } else { &mut self.portion };
        portion.0.push((request.ack, answer));
    }

    /// Very many are given, in portions, by tasks of the runtime: a task wakes its neighbours for a tenth of what it
    /// costs a foreign thread. Fewer are given here: a task that had to be woken first would be one thread more on the
    /// way, and most owners are not its neighbours.
    pub fn give(mut self, runtime: Option<&Handle>) {
        if let Some(runtime) = runtime.filter(|_| self.portion.0.len() >= MIN_SPREAD_ANSWERS) {
            let tasks = self.portion.0.len().div_ceil(ANSWERS_PER_TASK);
            let mut rest = self.portion.0.drain(..);
            for _ in 0..tasks {
                let portion = Portion(rest.by_ref().take(ANSWERS_PER_TASK).collect());
                drop(runtime.spawn(async move { drop(portion) }));
            }
        }
    }
}

impl Drop for Portion {
    /// There may be no waiter, which is no harm.
    fn drop(&mut self) {
        for (ack, answer) in self.0.drain(..) {
            let _ = ack.send(answer);
        }
    }
}
