//! `wasi:http`: it links, so that components which may use it run; a request is refused in a way that no
//! timing shows in.

use std::future::Future;

use http::Request;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::limits;

/// Bytes that a guest writes to a request's body at once.
const BODY_CHUNK_BYTES: usize = 64 * 1024;

type Transmission = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Exchange = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Transmission), Error>> + Send>;

pub struct Hooks;

impl WasiHttpHooks for Hooks {
    /// A body that is written before the request is sent must fit: nobody takes it off meanwhile.
    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        limits::MAX_HOSTCALL_BYTES / BODY_CHUNK_BYTES
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    /// Called inside the guest's `outgoing-handler.handle`.
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _transmission: Transmission,
    ) -> Exchange {
        // Here and now, while the guest stands still: from its next call on, the body's stream is closed.
        drop(request);
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
