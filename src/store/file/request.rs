//! A batch that is queued, with its answer.

use tokio::sync::oneshot;

use crate::store::ack::Answer;
use crate::store::batch::Batch;

/// A batch on its way, and whom to tell. Its frame, if it is short, is with the others' in one buffer.
pub(super) struct Request {
    pub batch: Batch,
    frame_bytes: usize,
    pub ack: oneshot::Sender<Answer>,
    /// A waiter blocks a thread, and perhaps a runtime with it.
    pub at_once: bool,
}

impl Request {
    pub fn new(batch: Batch, ack: oneshot::Sender<Answer>, at_once: bool) -> Self {
        Self { frame_bytes: batch.frame.len(), batch, ack, at_once }
    }

    /// About what it will occupy in the log and outside it.
    pub fn bytes(&self) -> usize {
        self.frame_bytes + self.batch.direct_bytes
    }

    /// What it will occupy in the log.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// What of its frame is in the buffer of short ones.
    pub fn copied_bytes(&self) -> usize {
        self.frame_bytes - self.batch.frame.len()
    }

    /// Whether its owner goes on once it is answered.
    pub fn is_awaited(&self) -> bool {
        !self.batch.is_patient && !self.ack.is_closed()
    }

    /// There may be no waiter, which is no harm.
    pub fn answer(self, answer: Answer) {
        let _ = self.ack.send(answer);
    }
}
