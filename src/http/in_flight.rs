//! What a request takes of the account from its head on, until its answer has been read.

use std::sync::Arc;

use http::header;
use hyper::body::Body as _;
use parking_lot::Mutex;

use super::message::{Request, Response};
use super::metered::{Meter, metered};
use super::rates::OfCaller;
use crate::limits;
use crate::shares::{Account, Held, Pool, Refusal};

/// What one request holds.
#[derive(Default)]
pub struct InFlight {
    _request: Option<Held>,
    _bytes: Option<Held>,
    /// Of a body whose length was not declared: as much as has arrived.
    growing: Option<Arc<Mutex<Held>>>,
    answer: Option<Held>,
}

impl InFlight {
    /// Takes what a request declares, before any of its body is read. One that declares no length takes what arrives.
    pub fn take(account: &Arc<Account>, who: &str, declared: Option<u64>) -> Result<Self, Refusal> {
        let _request = Some(account.take(Pool::Requests, who, 1)?);
        let of_bytes = |bytes| account.take(Pool::RequestBytes, who, in_memory(bytes));
        let in_flight = Self { _request, ..Self::default() };
        Ok(match declared {
            Some(0) => in_flight,
            Some(bytes) => Self { _bytes: Some(of_bytes(bytes)?), ..in_flight },
            None => Self { growing: Some(Arc::new(Mutex::new(of_bytes(0)?))), ..in_flight },
        })
    }

    /// The same request, whose body is taken of the account and of its caller's rate as it arrives, if it declares no length.
    pub fn count_as_it_arrives(&self, request: Request, rate: Option<Arc<OfCaller>>) -> Request {
        match &self.growing {
            Some(held) => request.map(|inner| metered(inner, Growing { held: held.clone(), rate, bytes: 0 })),
            None => request,
        }
    }

    /// Whether its answer was taken as a whole.
    pub fn has_answer(&self) -> bool {
        self.answer.is_some()
    }

    /// Takes what the answer has until it is read, where it is known and more than a connection may hold anyway.
    pub fn take_answer(
        &mut self,
        account: &Arc<Account>,
        who: &str,
        response: &Response,
    ) -> Result<(), Refusal> {
        let bytes = response.body().size_hint().exact().unwrap_or(0);
        if bytes > limits::MAX_CONNECTION_BUFFER_BYTES as u64 {
            self.answer = Some(account.take(Pool::AnswerBytes, who, bytes)?);
        }
        Ok(())
    }
}

/// Bytes of the body, where the request says so. Longer bodies are refused where they are read.
pub fn declared(request: &Request) -> Option<u64> {
    if request.body().is_end_stream() {
        return Some(0);
    }
    let length: u64 = request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    Some(length.min(limits::MAX_REQUEST_BYTES as u64))
}

/// What a request of so many bytes takes: its text, its values, and what is written of it.
fn in_memory(bytes: u64) -> u64 {
    bytes.saturating_mul(limits::REQUEST_COPIES)
}

/// A body takes of the account, and of its caller's rate, as it arrives.
struct Growing {
    held: Arc<Mutex<Held>>,
    rate: Option<Arc<OfCaller>>,
    bytes: u64,
}

impl Meter for Growing {
    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let (before, more) = (self.bytes, bytes as u64);
        self.bytes += more;
        if let Some(rate) = &self.rate {
            rate.count_more(before, more)?;
        }
        self.held.lock().grow(in_memory(more))
    }
}
