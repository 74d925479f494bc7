//! What is no session or event of the caller's is as good as made up: 404, before rmcp sees it.

use std::sync::Arc;

use http::{HeaderName, Method, StatusCode};
use rmcp::transport::streamable_http_server::session::SessionId;

use super::manager::Sessions;
use super::owner::owner_of_this_request;
use super::refused;
use crate::http::{Next, Request, Response, status, text};
use crate::mcp::era;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

pub async fn guard(sessions: Arc<Sessions>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let value_of = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // 2026-07-28 has neither sessions nor events, and ignores them.
    let Some(session) = value_of(SESSION).filter(|_| !era::is_modern_head(headers)) else {
        // Those of 2026-07-28 make none.
        return match request.method() == Method::POST && !era::is_modern_head(headers) {
            true => refused::answer(next.run(request)).await,
            false => next.run(request).await,
        };
    };
    let id = SessionId::from(session);
    match sessions.owner(&id).await {
        Ok(Some(owner)) if owner == owner_of_this_request() => {}
        Ok(_) => return not_found(),
        Err(error) => {
            tracing::error!(%error, "a session cannot be looked up");
            return status(StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
    if request.method() == Method::GET
        && let Some(event) = headers.get(LAST_EVENT)
        && !event.to_str().is_ok_and(|event| sessions.knows_event(&id, event))
    {
        return not_found();
    }
    // A session that had left memory comes back, where there is room.
    refused::answer(next.run(request)).await
}

/// As rmcp says it of a session that it does not know.
fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "Not Found: Session not found")
}
