//! Batches that the writer has taken and not committed yet.

use std::collections::VecDeque;

use super::request::Request;
use super::shared::Queue;
use crate::limits::{MAX_GROUP_BATCHES, MAX_GROUP_BYTES};

/// In their order; the first are the group in hand.
#[derive(Default)]
pub(super) struct Backlog {
    requests: VecDeque<Request>,
    /// Their short frames, from `frames_at` on.
    frames: Vec<u8>,
    frames_at: usize,
    group: usize,
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
            (queue.hurried, queue.has_at_once) = (0, false);
        }
        queue.taken = self.requests.len();
    }

    /// Puts the next group together: up to the bounds, and at least one batch. Gives their number and bytes.
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
