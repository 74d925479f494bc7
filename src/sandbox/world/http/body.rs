//! The body of a request: what the guest may write, bounded where the guest stands, and taken off by the host
//! whatever becomes of the exchange. So no moment of the host's shows in what the guest's calls return.

use bytes::Bytes;
use http_body_util::BodyExt;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::limits;

/// Takes everything off until the guest has finished or dropped the body; what is over a bound is thrown away,
/// and there is no body then.
pub async fn drain(mut body: WasiBody) -> Result<Bytes, Error> {
    let mut written = Written::default();
    let mut outcome = Ok(Vec::new());
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                // Trailers are not sent on: servers of HTTP/1 seldom look at them.
                let Ok(data) = frame.into_data() else { continue };
                if !written.add(data.len()) {
                    outcome = Err(Error::HttpRequestBodySize(Some(written.bytes)));
                }
                if let Ok(bytes) = &mut outcome {
                    bytes.extend_from_slice(&data);
                }
            }
            // The guest dropped it before it was complete.
            Err(error) => return outcome.and(Err(error)),
        }
    }
    outcome.map(Bytes::from)
}

/// The stream on which the guest writes a body. One that wants to hold more than the bounds allow hears so by
/// its own count: the write that passes a bound is the last one.
pub struct Bounded {
    inner: Box<dyn OutputStream>,
    written: Written,
}

impl Bounded {
    pub fn new(inner: Box<dyn OutputStream>) -> Self {
        Self { inner, written: Written::default() }
    }

    fn check(&self) -> StreamResult<()> {
        if self.written.fits() {
            return Ok(());
        }
        let error = ErrorCode::HttpRequestBodySize(Some(self.written.bytes));
        Err(StreamError::LastOperationFailed(error.into()))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Bounded {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

impl OutputStream for Bounded {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.check()?;
        self.written.add(bytes.len());
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.check()?;
        self.inner.check_write()
    }
}

/// Counted alike where the guest writes and where the host takes off.
#[derive(Default)]
struct Written {
    bytes: u64,
    chunks: usize,
}

impl Written {
    /// Whether it all fits.
    fn add(&mut self, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        self.chunks += 1;
        self.fits()
    }

    fn fits(&self) -> bool {
        self.bytes <= limits::MAX_SENT_BODY_BYTES as u64 && self.chunks <= limits::MAX_SENT_BODY_CHUNKS
    }
}
