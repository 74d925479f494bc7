//! What is looked at in a request over HTTP before rmcp reads it: what the client sets by its address, and whether it is
//! a message at all.

use http::{Method, StatusCode, header};
use rmcp::ErrorData;
use rmcp::model::{ClientJsonRpcMessage, ErrorCode, RequestId};
use serde_json::Value;

use crate::http::{Body, CollectError, Next, Request, Response, collect, content, refused, text};
use crate::limits;
use crate::mcp::era::is_modern_head;
use crate::mcp::wire::client_settings::ClientSettings;
use crate::mcp::wire::error;
use crate::mcp::wire::params::{self, AnyRequest};
use crate::mcp::wire::reading::{Scan, Unreadable, envelope_of_body, without_mark};

/// Takes what the client sets by its address; what makes no sense there is refused, in the name of the request.
pub async fn set_by_address(mut request: Request, next: Next) -> Response {
    let error = match ClientSettings::of_query(request.uri().query().unwrap_or_default()) {
        Ok(settings) => {
            request.extensions_mut().insert(settings);
            return next.run(request).await;
        }
        Err(why) => error::bad_params(why),
    };
    let body = collect(request.into_body(), limits::MAX_REQUEST_BYTES).await.unwrap_or_default();
    let id = AnyRequest::read(&body).map_or(Value::Null, |request| request.id.into_json_value());
    rpc_response(StatusCode::BAD_REQUEST, &error::rpc_body(&id, &error))
}

/// What is no JSON-RPC message is refused in JSON-RPC's own words; rmcp answers with an odd status.
pub async fn well_formed(request: Request, next: Next) -> Response {
    let is_json = request.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
        let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    });
    if request.method() == Method::DELETE {
        let mut response = next.run(request).await;
        // Stock clients take 200 and 204 for the end of a session; rmcp says that it was accepted.
        if response.status() == StatusCode::ACCEPTED {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        return response;
    }
    if request.method() != Method::POST || !is_json {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let bytes = match collect(body, limits::MAX_REQUEST_BYTES).await {
        Ok(bytes) => bytes,
        Err(CollectError::TooLarge) => {
            return unreadable(StatusCode::PAYLOAD_TOO_LARGE, &Unreadable::too_long(&Scan::default()));
        }
        Err(CollectError::Refused(refusal)) => return refused(&refusal),
        Err(late @ (CollectError::TooSlow | CollectError::Broken)) => {
            return text(StatusCode::REQUEST_TIMEOUT, format!("the request's body is not whole: {late}\n"));
        }
    };
    let bytes = bytes.slice_ref(without_mark(&bytes));
    if let Err(why) = envelope_of_body(&bytes) {
        return unreadable(StatusCode::BAD_REQUEST, &why);
    }
    let bytes = params::with_text_cursor(&bytes).map_or(bytes, Into::into);
    let is_modern = is_modern_head(&parts.headers);
    let response = next.run(Request::from_parts(parts, Body::from(bytes.clone()))).await;
    match response.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => not_read(&bytes, is_modern).unwrap_or(response),
        StatusCode::BAD_REQUEST => bad_handshake(&bytes).unwrap_or(response),
        _ => response,
    }
}

/// Of what rmcp cannot read: a request with params of the wrong kind, or none.
fn not_read(body: &[u8], is_modern: bool) -> Option<Response> {
    if let Some(request) = AnyRequest::read(body) {
        let error = request.fault(is_modern);
        let status = match (is_modern, error.code) {
            (false, _) => StatusCode::OK,
            (true, ErrorCode::METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
            (true, _) => StatusCode::BAD_REQUEST,
        };
        return Some(rpc_error(status, &request.id, &error));
    }
    let error = serde_json::from_slice::<ClientJsonRpcMessage>(body).err()?;
    Some(unreadable(StatusCode::BAD_REQUEST, &Unreadable::unknown(body, &error)))
}

/// rmcp misses the session of a handshake that it cannot read.
fn bad_handshake(body: &[u8]) -> Option<Response> {
    let request = AnyRequest::read(body).filter(AnyRequest::is_bad_handshake)?;
    Some(rpc_error(StatusCode::BAD_REQUEST, &request.id, &request.fault(false)))
}

fn rpc_error(status: StatusCode, id: &RequestId, error: &ErrorData) -> Response {
    rpc_response(status, &error::rpc_body(&id.clone().into_json_value(), error))
}

fn unreadable(status: StatusCode, why: &Unreadable) -> Response {
    rpc_response(status, &why.http_body())
}

/// Answers in JSON-RPC's words, before a request reaches its handler.
pub fn rpc_response(status: StatusCode, body: &Value) -> Response {
    content(status, "application/json", body.to_string())
}
