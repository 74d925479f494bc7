//! Why a recorder cannot go on.

use crate::engine::journal::divergence::Divergence;

/// Why the recorder cannot go on; the runner ends the attempt with the outcome of the same name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecorderError {
    #[error(transparent)]
    Diverged(#[from] Divergence),
    #[error("{message}")]
    Limit { bound: &'static str, message: String },
    /// What the task was granted cannot be used on this machine, and who runs it can say so.
    #[error("{0}")]
    Refused(String),
    /// The store refuses, or the attempt has lost its lease.
    #[error("{0}")]
    Fault(String),
}
