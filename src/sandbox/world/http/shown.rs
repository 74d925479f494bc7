//! The body of an answer that comes piece by piece, as its guest sees it: a piece is there from the moment in which the
//! guest has waited for it, and not before. So a read without a wait says nothing of when a piece came, and is the same
//! at each replay; which waits ended is in the journal, and what each piece was is on disk.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::body::HostIncomingBodyStream;

use super::outcome;
use super::streamed::in_wait;
use crate::sandbox::stop::Stop;
use crate::sandbox::threads::Meter;
use crate::sandbox::world::journal::{Call, Journal, Kind, WaitOn};

/// A blocking read that had to wait is one more wait: the record is the pollable's.
const BLOCK: Call = Call { kind: Kind::Block, hash: 0 };

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
}

/// Waits as `pollable.block` would.
pub async fn block(journal: &Journal, meter: &Meter, ready: impl Future<Output = ()>) -> Result<(), Stop> {
    if journal.replayed(BLOCK).await?.is_some() {
        return journal.forced(in_wait(ready)).await;
    }
    let awake = meter.total();
    journal.wait(in_wait(ready), WaitOn::Process, awake).await?;
    journal.record(BLOCK, &[])
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
        let (journal, meter) = (self.journal.clone(), self.meter.clone());
        block(&journal, &meter, self.inner.ready()).await.map_err(|stop| StreamError::Trap(stop.into()))?;
        self.read(size)
    }
}

/// An error of which the guest can ask what it is.
fn with_code(error: StreamError) -> StreamError {
    let StreamError::LastOperationFailed(error) = error else { return error };
    let error = error.downcast::<Error>().map_or_else(|other| other, |error| outcome::code(error).into());
    StreamError::LastOperationFailed(error)
}
