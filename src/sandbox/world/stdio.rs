//! stdout and stderr: both go into the task's log. Replay writes the same bytes again, so that nothing of
//! them is journaled; a stream takes any write at once, so that no moment of the host shows in it.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::journal::Journal;
use crate::engine::LastBytes;

/// Bytes that one write may bring; always as many, whatever has been written.
const WRITE_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Keeps what a plain command prints, which is its result, and the end of what it complains of.
#[derive(Clone)]
pub struct Capture {
    kept: Arc<Mutex<Vec<u8>>>,
    errors: Arc<Mutex<LastBytes>>,
    bound_bytes: usize,
}

impl Capture {
    /// Keeps one byte more than the bound, which shows that the bound was passed.
    pub fn new(bound_bytes: usize) -> Self {
        Self { kept: Arc::default(), errors: Arc::default(), bound_bytes }
    }

    pub fn bound_bytes(&self) -> usize {
        self.bound_bytes
    }

    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.kept.lock())
    }

    /// The last lines of stderr, which are in the log alone.
    pub fn error_lines(&self) -> Vec<String> {
        self.errors.lock().lines()
    }

    fn add(&self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Stdout => self.print(bytes),
            Stream::Stderr => self.errors.lock().write(bytes),
        }
    }

    fn print(&self, bytes: &[u8]) {
        let mut kept = self.kept.lock();
        let room = self.bound_bytes.saturating_add(1).saturating_sub(kept.len()).min(bytes.len());
        kept.extend_from_slice(&bytes[..room]);
    }
}

/// One of the two streams.
#[derive(Clone)]
pub struct LogStream {
    pub journal: Journal,
    pub stream: Stream,
    pub capture: Option<Capture>,
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for it, and no guest gets that far.
        Box::new(tokio::io::sink())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE_BYTES {
            return Err(StreamError::trap("wrote more than check-write allowed"));
        }
        self.journal.log(&bytes).map_err(|stop| StreamError::Trap(stop.into()))?;
        if let Some(capture) = &self.capture {
            capture.add(self.stream, &bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }

    async fn write_ready(&mut self) -> StreamResult<usize> {
        // A blocking write may wait for the disk; a guest that prints without end must not fill memory.
        self.journal.flush_if_full().await.map_err(|stop| StreamError::Trap(stop.into()))?;
        Ok(WRITE_BYTES)
    }
}
