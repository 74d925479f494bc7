//! Whose a session is.

use crate::http::Caller;

/// By which sessions of different callers are kept apart.
pub fn owner_of_this_request() -> String {
    Caller::of_this_request().map(|caller| caller.owner()).unwrap_or_default()
}
