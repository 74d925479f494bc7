//! Requests and responses as wings see them, so that none has to name the library that carries them.

use axum::response::IntoResponse;
use http::{HeaderValue, StatusCode, header};

pub use axum::body::{Body, BodyDataStream as BodyStream, Bytes};
pub use axum::extract::Request;
pub use axum::response::Response;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Reads a body to its end; an error where it is longer than `limit`, or breaks off.
pub async fn collect(body: Body, limit: usize) -> Result<Bytes, axum::Error> {
    axum::body::to_bytes(body, limit).await
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

/// Whether a response is a stream of events.
pub fn is_event_stream(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE) == Some(&EVENT_STREAM)
}
