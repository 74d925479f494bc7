//! Why a session is not served.

use crate::engine::EngineError;
use crate::shares;

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("{0}; 2026-07-28 has no sessions")]
    TooMany(shares::Refusal),
    #[error("there is no such session")]
    Unknown,
    #[error("the session is over")]
    Over,
    #[error("there is no such event")]
    UnknownEvent,
    #[error("the system gives no randomness: {0}")]
    Random(String),
    #[error(transparent)]
    Engine(#[from] EngineError),
}
