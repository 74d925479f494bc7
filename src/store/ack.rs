//! What a batch's owner waits for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::executor::block_on;
use tokio::sync::oneshot;

use super::error::StoreError;
use super::options::Lsn;

pub(super) type Answer = Result<Lsn, StoreError>;

/// The promise of an answer: resolves when the batch is durable and applied, or refused, or lost.
/// Dropping it changes nothing about the batch.
#[derive(Debug)]
#[must_use = "a batch is not durable before its acknowledgement"]
pub struct Ack {
    answer: oneshot::Receiver<Answer>,
}

impl Ack {
    pub(super) fn new(answer: oneshot::Receiver<Answer>) -> Self {
        Self { answer }
    }

    /// Only for an answer that the writer itself gives.
    pub(super) fn wait_blocking(self) -> Result<Lsn, StoreError> {
        block_on(self)
    }
}

impl Future for Ack {
    type Output = Result<Lsn, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map(|answer| match answer {
            Ok(answer) => answer,
            // The writer is gone with the batch in hand: it panicked.
            Err(_) => Err(StoreError::Closed),
        })
    }
}
