//! Why a request of a session was not served, for the answer over HTTP: rmcp makes a fault of the server's of it.

use std::cell::RefCell;
use std::future::Future;

use super::error::SessionError;
use crate::engine::EngineError;
use crate::http::{NotNow, Response, refused};

tokio::task_local! {
    static REFUSED: RefCell<Option<NotNow>>;
}

/// Notes why this request is refused, if it may be sent again and is one that is answered by [`answer`]. The same error.
pub fn noted(error: impl Into<SessionError>) -> SessionError {
    let error = error.into();
    if let Some(refusal) = not_now(&error) {
        let _ = REFUSED.try_with(|noted| noted.replace(Some(refusal)));
    }
    error
}

fn not_now(error: &SessionError) -> Option<NotNow> {
    let refused: &EngineError = match error {
        SessionError::TooMany(refusal) => return Some(refusal.into()),
        SessionError::Engine(error) => error,
        _ => return None,
    };
    let (kind, retry_after_seconds) = (refused.refusal_kind()?, refused.retry_after_seconds()?);
    Some(NotNow { kind, retry_after_seconds, words: refused.to_string() })
}

/// The answer of a request, or the refusal that was noted meanwhile.
pub async fn answer(served: impl Future<Output = Response>) -> Response {
    let noting = async {
        let response = served.await;
        REFUSED.with(RefCell::take).map_or(response, refused)
    };
    REFUSED.scope(RefCell::new(None), noting).await
}
