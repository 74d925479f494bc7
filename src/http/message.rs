//! Requests and responses as wings see them, so that none has to name the library that carries them.

use std::future::ready;
use std::io;

use axum::response::IntoResponse;
use futures::stream;
use http::{HeaderValue, StatusCode, header};

use crate::limits;
use crate::shares::Refusal;

pub use axum::body::{Body, BodyDataStream as BodyStream, Bytes};
pub use axum::extract::Request;
pub use axum::response::Response;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Why a request's body is not there.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the request's body did not arrive in time")]
    TooSlow,
    #[error(transparent)]
    Refused(Refusal),
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

/// Why a body was not read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollectError {
    #[error("it is larger than the bound")]
    TooLarge,
    #[error("it did not arrive in time")]
    TooSlow,
    #[error("it broke off")]
    Broken,
    /// There is no room for more of it.
    #[error(transparent)]
    Refused(Refusal),
}

/// Reads a body to its end, if that is no longer than `limit`.
pub async fn collect(body: Body, limit: usize) -> Result<Bytes, CollectError> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let whole: &(dyn std::error::Error + 'static) = &error;
        let mut causes = std::iter::successors(Some(whole), |cause| cause.source());
        let of_body = causes.find_map(|cause| match cause.downcast_ref() {
            Some(BodyError::TooSlow) => Some(CollectError::TooSlow),
            Some(BodyError::Broken(_)) => Some(CollectError::Broken),
            Some(BodyError::Refused(refused)) => Some(CollectError::Refused(refused.clone())),
            None => None,
        });
        of_body.unwrap_or(CollectError::TooLarge)
    })
}

/// Answers with a status and nothing else.
pub fn status(status: StatusCode) -> Response {
    status.into_response()
}

/// Answers with words for a person.
pub fn text(status: StatusCode, words: impl Into<String>) -> Response {
    (status, words.into()).into_response()
}

/// Answers with a document of this type.
pub fn content(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// The body of an answer to what is done by now. A long one says nothing of its length: where its caller has no room for
/// it, it is broken off as it goes out. A refusal in its place would invite the client to ask for it to be done again.
pub fn done(bytes: Vec<u8>) -> Body {
    if bytes.len() <= limits::MAX_CONNECTION_BUFFER_BYTES {
        return Body::from(bytes);
    }
    Body::from_stream(stream::once(ready(Ok::<_, io::Error>(Bytes::from(bytes)))))
}

/// Whether a response is a stream of events.
pub fn is_event_stream(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE) == Some(&EVENT_STREAM)
}

#[cfg(test)]
mod tests {
    use hyper::body::Body as _;

    use super::*;

    #[test]
    fn a_long_answer_to_what_is_done_says_no_length() {
        let length = |bytes| done(vec![b'x'; bytes]).size_hint().exact();
        let most = limits::MAX_CONNECTION_BUFFER_BYTES;
        assert_eq!((length(most), length(most + 1)), (Some(most as u64), None));
    }
}
