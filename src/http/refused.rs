//! How a request is answered that is not served now, whatever there is no room in.

use axum::response::IntoResponse;
use http::{StatusCode, header};

use super::message::Response;
use crate::shares::{Refusal, RefusalKind};

/// Why a request is not served now, and when it may be.
#[derive(Clone, Debug)]
pub struct NotNow {
    pub kind: RefusalKind,
    pub retry_after_seconds: u64,
    pub words: String,
}

impl From<&Refusal> for NotNow {
    fn from(refusal: &Refusal) -> Self {
        let (kind, retry_after_seconds) = (refusal.kind(), refusal.retry_after_seconds());
        Self { kind, retry_after_seconds, words: refusal.to_string() }
    }
}

/// Says which bound is reached, and when to come again (RFC 6585, 4; RFC 9110, 10.2.3).
pub fn refused(why: impl Into<NotNow>) -> Response {
    let NotNow { kind, retry_after_seconds, words } = why.into();
    let status = match kind {
        RefusalKind::Share => StatusCode::TOO_MANY_REQUESTS,
        RefusalKind::Process => StatusCode::SERVICE_UNAVAILABLE,
    };
    let after = retry_after_seconds.to_string();
    (status, [(header::RETRY_AFTER, after)], format!("{words}\n")).into_response()
}
