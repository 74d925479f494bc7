//! What a call is answered.

use futures::future::BoxFuture;
use serde::Serialize;

use crate::engine::{RecorderError, Wait};
use crate::sandbox::wire::ErrorWire;

/// What becomes of a call.
pub enum Served {
    /// It is answered.
    Now(Vec<u8>),
    /// It will be; dropped, it is withdrawn.
    Later(BoxFuture<'static, Vec<u8>>),
    /// It is answered when the guest is asked to make room, and over when it is withdrawn.
    Waits(Wait),
}

/// An answer as the worker reads it.
pub fn answer<T: Serialize>(answered: Result<T, RecorderError>) -> Vec<u8> {
    let answered = answered.map_err(ErrorWire::from);
    postcard::to_stdvec(&answered).unwrap_or_else(|error| refusal(&error.to_string()))
}

fn refusal(why: &str) -> Vec<u8> {
    let refused: Result<(), _> = Err(ErrorWire::Fault(why.to_owned()));
    postcard::to_stdvec(&refused).unwrap_or_default()
}

/// What no guest's host asks for, since it checks it itself.
pub fn not_allowed(what: &str) -> Served {
    Served::Now(refusal(&format!("the worker asks for what its guest may not have: {what}")))
}

pub fn now<T: Serialize>(answered: Result<T, RecorderError>) -> Served {
    Served::Now(answer(answered))
}

pub fn known<T: Serialize>(value: T) -> Served {
    now(Ok(value))
}

pub fn later<T, F>(future: F) -> Served
where
    T: Serialize,
    F: Future<Output = Result<T, RecorderError>> + Send + 'static,
{
    Served::Later(Box::pin(async move { answer(future.await) }))
}
