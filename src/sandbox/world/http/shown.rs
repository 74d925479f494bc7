//! The body of an answer that comes piece by piece, as its guest sees it: a piece is there from the moment in which the
//! guest has waited for it, and not before. So a read without a wait says nothing of when a piece came, and is the same
//! at each replay; which waits ended is in the journal, and what each piece was is on disk.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::mpsc;
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::body::HostIncomingBodyStream;

use super::outcome;
use crate::sandbox::stop::Stop;
use crate::sandbox::threads::Meter;
use crate::sandbox::world::journal::{Call, Journal, Kind, WaitOn};

/// A blocking read that had to wait is one more wait: the record is the pollable's.
const BLOCK: Call = Call { kind: Kind::Block, hash: 0 };

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

/// The stream of a body. One that is there whole is read as ever: no read of it ever waits.
pub struct Shown {
    inner: HostIncomingBodyStream,
    journal: Journal,
    meter: Arc<Meter>,
}

impl Shown {
    pub fn new(inner: HostIncomingBodyStream, journal: Journal, meter: Arc<Meter>) -> Self {
        Self { inner, journal, meter }
    }

    /// Waits for the next piece as `pollable.block` would.
    async fn wait(&mut self) -> Result<(), Stop> {
        if self.journal.replayed(BLOCK).await?.is_some() {
            return self.journal.forced(in_wait(self.inner.ready())).await;
        }
        let awake = self.meter.total();
        self.journal.wait(in_wait(self.inner.ready()), WaitOn::Process, awake).await?;
        self.journal.record(BLOCK, &[])
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Shown {
    async fn ready(&mut self) {
        in_wait(self.inner.ready()).await;
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Shown {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.inner.read(size).map_err(with_code)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        let at_once = self.read(size)?;
        if !at_once.is_empty() || size == 0 {
            return Ok(at_once);
        }
        self.wait().await.map_err(|stop| StreamError::Trap(stop.into()))?;
        self.read(size)
    }
}

/// An error of which the guest can ask what it is.
fn with_code(error: StreamError) -> StreamError {
    let StreamError::LastOperationFailed(error) = error else { return error };
    let error = error.downcast::<Error>().map_or_else(|other| other, |error| outcome::code(error).into());
    StreamError::LastOperationFailed(error)
}
