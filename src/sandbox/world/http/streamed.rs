//! The pieces of an answer's body on their way from disk to the guest. None shows outside of a wait.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::mpsc;
use wasmtime_wasi_http::Error;

tokio::task_local! {
    /// The guest waits, and its journal knows of it.
    static WAITS: ();
}

/// A wait of the guest's: what it waits for may show that it is there.
pub async fn in_wait<F: Future>(future: F) -> F::Output {
    WAITS.scope((), future).await
}

/// What comes next of a body.
pub enum Next {
    Piece(Bytes),
    End,
    Broken(Error),
}

/// Pieces that are on disk, in their order.
pub struct Streamed {
    pieces: mpsc::Receiver<Next>,
    is_over: bool,
    _held: Held,
}

/// Counts a body as long as it is there.
pub struct Held(Arc<AtomicUsize>);

impl Held {
    pub fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Streamed {
    pub fn new(pieces: mpsc::Receiver<Next>, held: Held) -> Self {
        Self { pieces, is_over: false, _held: held }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if WAITS.try_with(|()| ()).is_err() {
            // A read that does not wait: it is not woken by what comes.
            return Poll::Pending;
        }
        match ready!(self.pieces.poll_recv(context)) {
            Some(Next::Piece(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Next::End) => {
                self.is_over = true;
                Poll::Ready(None)
            }
            Some(Next::Broken(error)) => {
                self.is_over = true;
                Poll::Ready(Some(Err(error)))
            }
            // It has no end: the instance is about to have one, which is no end of the body.
            None => Poll::Pending,
        }
    }
}
