use super::advice::words;
use crate::engine::EngineError;

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{}", words(.0))]
    Engine(#[from] EngineError),
    /// The request contradicts itself.
    #[error("{0}")]
    Request(String),
    /// Only a person may do this. It names no command: a model reads it, and agents have shells.
    #[error("only a person can {0}; wait for that")]
    TakesAPerson(String),
}
