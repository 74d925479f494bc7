//! What is held of one request's body: written by its guest, and neither handed on nor thrown away yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::limits;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub bytes: u64,
    /// Writes, of any length.
    pub chunks: usize,
}

impl Amount {
    /// More than what is sent whole, so that a body streams out before its guest has to wait for room.
    const MOST: Self = Self {
        bytes: (limits::MAX_SENT_BODY_BYTES + limits::MAX_SENT_PIECE_BYTES) as u64,
        chunks: limits::MAX_SENT_BODY_CHUNKS + 1,
    };
    /// Once no more is held, a guest that waited for room has it.
    const HALF: Self = Self { bytes: Self::MOST.bytes / 2, chunks: Self::MOST.chunks / 2 };

    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.chunks += 1;
    }

    /// Whether a body of so much is sent whole.
    pub fn is_sent_whole(self) -> bool {
        self.bytes <= limits::MAX_SENT_BODY_BYTES as u64 && self.chunks <= limits::MAX_SENT_BODY_CHUNKS
    }

    /// Bytes that may be written at once.
    pub fn room(self) -> usize {
        if self.chunks >= Self::MOST.chunks {
            return 0;
        }
        usize::try_from(Self::MOST.bytes.saturating_sub(self.bytes)).unwrap_or(usize::MAX)
    }

    /// What is taken to be held after a wait for room. It is less where more has left meanwhile, which no guest sees.
    pub fn after_wait(self) -> Self {
        Self { bytes: self.bytes.min(Self::HALF.bytes), chunks: self.chunks.min(Self::HALF.chunks) }
    }

    fn is_half(self) -> bool {
        self.bytes <= Self::HALF.bytes && self.chunks <= Self::HALF.chunks
    }
}

/// Shared by the stream on which a guest writes and by what takes it off.
#[derive(Default)]
pub struct Held {
    amount: watch::Sender<Amount>,
    is_sent: AtomicBool,
    is_finished: AtomicBool,
}

impl Held {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The guest has sent the request: from now on its body is taken off.
    pub fn mark_sent(&self) {
        self.is_sent.store(true, Ordering::SeqCst);
    }

    pub fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::SeqCst)
    }

    /// The guest has finished the body. One that ends otherwise, as with its instance, is not complete.
    pub fn mark_finished(&self) {
        self.is_finished.store(true, Ordering::SeqCst);
    }

    pub fn is_finished(&self) -> bool {
        self.is_finished.load(Ordering::SeqCst)
    }

    pub fn add(&self, bytes: usize) {
        self.amount.send_if_modified(|amount| {
            amount.add(bytes);
            false
        });
    }

    pub fn take(&self, taken: Amount) {
        self.amount.send_modify(|amount| {
            amount.bytes = amount.bytes.saturating_sub(taken.bytes);
            amount.chunks = amount.chunks.saturating_sub(taken.chunks);
        });
    }

    /// Ends when no more than half of the most is held.
    pub async fn has_room(&self) {
        // The sender lives as long as this does.
        let _ = self.amount.subscribe().wait_for(|amount| amount.is_half()).await;
    }
}
