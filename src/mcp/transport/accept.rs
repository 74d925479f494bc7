//! Whether a client accepts what it may be answered with. rmcp knows no wildcards, and takes a request without `Accept` for one
//! that accepts nothing.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use rmcp::ErrorData;
use serde_json::Value;

use super::well_formed::rpc_response;
use crate::http::{Next, Request, Response, accepts};
use crate::mcp::wire::error;

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Whether a client accepts whatever a request may be answered with.
pub fn is_of_all(headers: &HeaderMap) -> bool {
    accepts(headers, JSON) && accepts(headers, EVENTS)
}

/// Lets requests through whose client accepts what they may be answered with, and says so in rmcp's words.
pub async fn check(mut request: Request, next: Next) -> Response {
    let kinds: &[&str] = match *request.method() {
        // Which of them it is turns out later.
        Method::POST => &[JSON, EVENTS],
        Method::GET => &[EVENTS],
        _ => return next.run(request).await,
    };
    if let Some(kind) = kinds.iter().find(|kind| !accepts(request.headers(), kind)) {
        let message = format!(
            "the answer may be {kind}, which this request does not accept: send `Accept: {JSON}, {EVENTS}`"
        );
        let body = error::rpc_body(&Value::Null, &ErrorData::invalid_request(message, None));
        return rpc_response(StatusCode::NOT_ACCEPTABLE, &body);
    }
    let both = HeaderValue::from_static("application/json, text/event-stream");
    request.headers_mut().insert(header::ACCEPT, both);
    next.run(request).await
}
