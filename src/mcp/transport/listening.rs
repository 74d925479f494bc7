//! The response to a `subscriptions/listen`. rmcp checks the request and acknowledges it; what follows is sent past it,
//! so that a listener that hears nothing costs a connection and a watcher, and no service of rmcp's.

use std::sync::Arc;

use futures::StreamExt;
use http::{HeaderName, Method, StatusCode};

use crate::http::{
    Body, Bytes, Caller, EventStream, Next, Request, Response, collect, is_event_stream, refused, status,
};
use crate::limits;
use crate::mcp::watch::handoff::Handoff;
use crate::shares::{Account, Pool, STRANGERS};

const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");

/// Takes the place of rmcp's stream behind its acknowledgment. Streams to those who only listen are marked. A listener
/// takes of its principal's share until its stream ends.
pub async fn serve(account: Arc<Account>, request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    if is_get || request.headers().get(MCP_METHOD).is_none_or(|method| method != "subscriptions/listen") {
        let mut response = next.run(request).await;
        if is_get && is_event_stream(&response) {
            response.extensions_mut().insert(EventStream);
        }
        return response;
    }
    let caller = Caller::of_this_request();
    let who = caller.as_ref().map_or(STRANGERS, |caller| caller.principal.name());
    let place = match account.take(Pool::Subscribers, who, 1) {
        Ok(place) => place,
        Err(refusal) => return refused(&refusal),
    };
    let handoff = Handoff::default();
    let response = handoff.scope(next.run(request)).await;
    if !is_event_stream(&response) {
        return response;
    }
    // The acknowledgment and, since nothing else is left to do there, the end.
    let (parts, body) = response.into_parts();
    let Ok(bytes) = collect(body, limits::MAX_REQUEST_BYTES).await else {
        return status(StatusCode::INTERNAL_SERVER_ERROR);
    };
    match handoff.take().zip(last_event(&bytes)) {
        Some((listener, end)) => {
            let (head, end) = (Bytes::copy_from_slice(&bytes[..end]), Bytes::copy_from_slice(&bytes[end..]));
            let told = listener(head, end).inspect(move |_| {
                // Goes with the stream.
                let _ = &place;
            });
            let mut response = Response::from_parts(parts, Body::from_stream(told));
            response.extensions_mut().insert(EventStream);
            response
        }
        None => Response::from_parts(parts, Body::from(bytes)),
    }
}

/// Where the last event begins, if there is one before it.
fn last_event(events: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(events).ok()?.strip_suffix("\n\n")?;
    text.rfind("\n\n").map(|at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_is_told_from_those_before() {
        assert_eq!(last_event(b"data: 1\n\n:\n\ndata: 2\n\n"), Some(12));
        assert_eq!(last_event(b"data: 1\n\n"), None);
        assert_eq!(last_event(b"data: 1\n\ndata: 2"), None);
    }
}
