//! What a batch's owner waits for.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::sync::oneshot;

use super::error::StoreError;
use super::options::Lsn;

pub(super) type Answer = Result<Lsn, StoreError>;

/// The promise of an answer: resolves when the batch is durable and told, or refused, or lost.
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

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
