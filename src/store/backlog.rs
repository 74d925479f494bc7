//! Batches that the writer has taken and not committed yet.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::answers::Answer;
use super::batch::Batch;
use super::shared::Queue;
use crate::limits::{MAX_GROUP_BATCHES, MAX_GROUP_BYTES};

/// A batch on its way, and whom to tell. Its frame, if it is short, is with the others' in one buffer.
pub(super) struct Request {
    pub batch: Batch,
    frame_bytes: usize,
    pub ack: oneshot::Sender<Answer>,
    /// Whoever waits blocks a thread, and perhaps a runtime with it.
    pub at_once: bool,
}

/// In their order; the first are the group in hand.
#[derive(Default)]
pub(super) struct Backlog {
    requests: VecDeque<Request>,
    /// Their short frames, from `frames_at` on.
    frames: Vec<u8>,
    frames_at: usize,
    group: usize,
}

impl Request {
    pub fn new(batch: Batch, ack: oneshot::Sender<Answer>, at_once: bool) -> Self {
        Self { frame_bytes: batch.frame.len(), batch, ack, at_once }
    }

    /// About what it will occupy in the log and beside it.
    pub fn bytes(&self) -> usize {
        self.frame_bytes + self.batch.direct_bytes
    }

    /// What of its frame is in the buffer of short ones.
    fn copied_bytes(&self) -> usize {
        self.frame_bytes - self.batch.frame.len()
    }

    /// Nobody may be waiting for it, which is no harm.
    pub fn answer(self, answer: Answer) {
        let _ = self.ack.send(answer);
    }
}

impl Backlog {
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// All that waits, once nothing is left from before.
    pub fn refill(&mut self, queue: &mut Queue) {
        if self.requests.is_empty() {
            // The empty ones that go back keep their memory.
            std::mem::swap(&mut self.requests, &mut queue.waiting);
            self.frames.clear();
            self.frames.shrink_to(MAX_GROUP_BYTES);
            self.frames_at = 0;
            std::mem::swap(&mut self.frames, &mut queue.frames);
        }
        queue.taken = self.requests.len();
    }

    /// Put the next group together: up to the bounds, and at least one batch. Gives their number and bytes.
    pub fn begin_group(&mut self) -> (usize, usize) {
        self.group = 0;
        let mut bytes = 0;
        for request in self.requests.iter().take(MAX_GROUP_BATCHES) {
            if self.group > 0 && bytes + request.bytes() > MAX_GROUP_BYTES {
                break;
            }
            bytes += request.bytes();
            self.group += 1;
        }
        (self.group, bytes)
    }

    /// How many the group has.
    pub fn group_len(&self) -> usize {
        self.group
    }

    /// The requests of the group, each with its ops as the log holds them.
    pub fn group(&self) -> impl Iterator<Item = (&Request, &[u8])> {
        let mut short = &self.frames[self.frames_at..];
        self.requests.iter().take(self.group).map(move |request| {
            let (frame, rest) = short.split_at(request.copied_bytes());
            short = rest;
            (request, if frame.is_empty() { &*request.batch.frame } else { frame })
        })
    }

    /// The first one.
    pub fn pop(&mut self) -> Option<Request> {
        let request = self.requests.pop_front()?;
        self.frames_at += request.copied_bytes();
        Some(request)
    }
}
