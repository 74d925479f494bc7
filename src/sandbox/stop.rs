use crate::engine::{Divergence, NoRoom, RecorderError, Suspension};

/// Why the host takes a guest off its stack. It travels through wasmtime as the root of an error; the guest
/// cannot catch it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    Diverged(Divergence),
    #[error("{message}")]
    Limit { bound: &'static str, message: String },
    #[error("the instance leaves memory until its wait is over")]
    Suspended(Suspension),
    #[error("the instance makes room until there is memory for it")]
    NoRoom { needs: u64 },
    /// Operation `op` left in an earlier attempt, and the task's effects do not allow to send it again.
    #[error("{message}")]
    UnknownOutcome { op: u64, message: String },
    /// A checkpoint was saved: the guest begins again from it.
    #[error("the guest begins anew from its checkpoint")]
    Restart,
    /// A component did, while it was only inspected, what only a task may do.
    #[error(
        "the component calls {what} while it is inspected: what tools it has must not depend on anything"
    )]
    Inspecting { what: String },
    #[error("{message}")]
    MissingTool { message: String },
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    HostFault(String),
}

impl From<NoRoom> for Stop {
    fn from(error: NoRoom) -> Self {
        match error {
            NoRoom::Now { needs } => Self::NoRoom { needs },
            NoRoom::Ever { message } => Self::Limit { bound: "guest_memory", message },
        }
    }
}

impl From<RecorderError> for Stop {
    fn from(error: RecorderError) -> Self {
        match error {
            RecorderError::Diverged(divergence) => Self::Diverged(divergence),
            RecorderError::Limit { bound, message } => Self::Limit { bound, message },
            RecorderError::Refused(message) => Self::Refused(message),
            RecorderError::Fault(message) => Self::HostFault(message),
        }
    }
}
