//! A stream that writes a file. What it takes is written when the guest waits for it, and before it does anything else.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::calls::Files;
use super::descriptor::Place;
use super::fault::Fault;
use super::pending::Pending;

/// Bytes that one write may bring; nothing more before they are written.
const WRITE_BYTES: usize = 64 * 1024;

pub struct Writer {
    files: Files,
    pending: Arc<Pending>,
}

impl Writer {
    /// `offset` is `None` where it appends.
    pub fn new(files: Files, place: Arc<Place>, offset: Option<u64>) -> Self {
        Self { files, pending: Arc::new(Pending::new(place, offset)) }
    }

    fn check_failed(&self) -> StreamResult<()> {
        match self.pending.failed() {
            Some(error) => Err(Fault::from(error).into()),
            None => Ok(()),
        }
    }

    async fn write_out(&self) -> StreamResult<()> {
        self.files.write_pending().await.map_err(|stop| StreamError::Trap(stop.into()))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Writer {
    /// All that is waited for was written before the wait began.
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.check_failed()?;
        if bytes.len() > WRITE_BYTES || !self.pending.is_empty() {
            return Err(StreamError::trap("wrote more than check-write allowed"));
        }
        if !bytes.is_empty() {
            self.pending.put(bytes);
            self.files.0.unwritten.lock().push(Arc::downgrade(&self.pending));
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_failed()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.check_failed()?;
        Ok(if self.pending.is_empty() { WRITE_BYTES } else { 0 })
    }

    async fn write_ready(&mut self) -> StreamResult<usize> {
        self.write_out().await?;
        self.check_write()
    }

    async fn cancel(&mut self) {
        // A stream that ends has written what it took.
        self.files.write_last().await;
    }
}
