//! Why a session is not served.

use crate::engine::EngineError;

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("this server has all the {0} sessions it takes: end one, or speak 2026-07-28, which has none")]
    TooMany(usize),
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
