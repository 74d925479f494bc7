//! `wasi:http`: exchanges with the outside. What comes back is an operation with its outcome on disk before the guest sees it,
//! an error no less than an answer. The body of a request is whole before it leaves where it is short; else it streams out, and
//! what is on disk of it is its hash: its guest writes it again. That of an answer is whole where it is short and comes at once;
//! else it streams, and each piece is on disk before the guest sees it.
//!
//! A request that is not safe bears an `Idempotency-Key` that stays the same however often it is sent; where the
//! guest sets one itself, that one is sent: it follows from the guest's own doings and so stays the same too.

mod body;
mod bounded;
pub mod exchanges;
mod held;
mod outcome;
pub mod overrides;
mod pieces;
mod request;
mod sent;
mod shown;
mod streamed;
mod way_out;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::runtime::Handle;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use self::body::Body;
use self::exchanges::Given;
pub use self::exchanges::{Egress, Exchanges};
use self::held::Held;
use self::outcome::Head;
pub use self::outcome::{Outcome, decode as outcome, encode as encode_outcome, settled};
pub use self::streamed::in_wait;
pub use self::way_out::{Exchanged, FlowHere, WayOut, check as check_way, exchange as exchange_from_here};
use crate::authority::Grant;
use crate::limits;
use crate::sandbox::egress::{Answer, Target};

type Transmission = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Exchange = Box<dyn Future<Output = Result<(Response<WasiBody>, Transmission), Error>> + Send>;

/// The instance's side of its exchanges; nothing is under way any more when it is dropped.
pub struct Hooks {
    /// `None` while a component is only inspected: then every request is refused.
    exchanges: Option<Exchanges>,
    grant: Grant,
    /// Of bodies by the numbers of their handles, and of requests that were not sent yet by those of theirs. One that its guest
    /// drops stays until its number is given again.
    bodies: HashMap<u32, Arc<Held>>,
    requests: HashMap<u32, Arc<Held>>,
    /// Of the request that the guest's present call sends.
    sending: Option<Arc<Held>>,
}

impl Hooks {
    pub fn new(exchanges: Option<Exchanges>, grant: Grant) -> Self {
        let (bodies, requests) = (HashMap::new(), HashMap::new());
        Self { exchanges, grant, bodies, requests, sending: None }
    }

    /// The guest made this body for this request.
    fn made(&mut self, request: u32, body: u32) {
        let held = Held::new();
        self.requests.insert(request, held.clone());
        self.bodies.insert(body, held);
    }

    /// What is held of this body.
    fn held(&mut self, body: u32) -> Arc<Held> {
        // Also of an answer, which a guest may make and cannot give to anyone.
        self.bodies.entry(body).or_default().clone()
    }

    fn finishes(&mut self, body: u32) {
        if let Some(held) = self.bodies.remove(&body) {
            held.mark_finished();
        }
    }

    fn sends(&mut self, request: u32) {
        self.sending = self.requests.remove(&request);
    }

    fn hold(&self, handle: u32) {
        if let Some(exchanges) = &self.exchanges {
            exchanges.hold(handle);
        }
    }

    fn let_go(&self, handle: u32) {
        if let Some(exchanges) = &self.exchanges {
            exchanges.let_go(handle);
        }
    }

    /// What follows from the grant and the request alone.
    fn judge(&self, request: &Request<WasiBody>) -> Result<(&Exchanges, Target), Error> {
        let uri = request.uri();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let target = Target::of(uri.scheme_str().unwrap_or_default(), authority, path)
            .map_err(|_| Error::HttpRequestUriInvalid)?;
        let exchanges = self.exchanges.as_ref().ok_or(Error::HttpRequestDenied)?;
        if !target.is_granted(&self.grant) {
            exchanges.refused(&target, &self.grant);
            return Err(Error::HttpRequestDenied);
        }
        // A tunnel would lead anywhere; an echo would show headers that were added here.
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(Error::HttpRequestMethodInvalid);
        }
        if exchanges.held().len() >= limits::MAX_OPEN_EXCHANGES {
            return Err(Error::ConnectionLimitReached);
        }
        Ok((exchanges, target))
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        if let Some(exchanges) = &self.exchanges {
            exchanges.cut();
        }
    }
}

impl WasiHttpHooks for Hooks {
    /// All that may be held of a body must fit: how fast the host takes it off may not show.
    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        limits::MAX_SENT_BODY_CHUNKS + 1
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        limits::MAX_SENT_PIECE_BYTES
    }

    /// Called inside the guest's `outgoing-handler.handle`, in the guest's own order.
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _transmission: Transmission,
    ) -> Exchange {
        let held = self.sending.take();
        if let Some(held) = &held {
            held.mark_sent();
        }
        let judged = self.judge(&request).map(|(exchanges, target)| (exchanges.clone(), target));
        let (parts, body) = request.into_parts();
        let (exchanges, target) = match judged {
            Ok(judged) => judged,
            Err(error) => {
                // From its next call on the guest may write, and it is thrown away.
                drop(Body::new(body, held, Handle::current()));
                return Box::new(async { Err(error) });
            }
        };
        let answered = exchanges.begin(parts, target, (body, held), options);
        Box::new(async move {
            match answered {
                Ok(receiver) => match receiver.await {
                    Ok(answered) => answered.map(response),
                    // The instance ends: `Exchanges::stopped` says why.
                    Err(_) => std::future::pending().await,
                },
                // The attempt has ended.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

fn response(given: Given) -> (Response<WasiBody>, Transmission) {
    let (Head { status, headers }, body) = match given {
        Given::Whole(Answer { status, headers, body }) => {
            let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
            (Head { status, headers }, body)
        }
        Given::Streams(head, body) => (head, body.boxed_unsync()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    (response, Box::new(async { Ok(()) }))
}
