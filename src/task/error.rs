use serde::{Deserialize, Serialize};

/// Why a task failed. (A tool that reports an error of its own has not failed: it completed with `is_error`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailedReason {
    /// The guest trapped.
    Trap,
    /// Replay did something else than the journal says.
    Diverged,
    /// A bound struck.
    Limit,
    /// The total time is over.
    Timeout,
    /// An effect left and it is not known whether it arrived.
    UnknownOutcome,
    /// It needed a capability that it does not hold.
    Refused,
    /// Its component is not in the store any more.
    MissingComponent,
    /// Longhaul's own fault, or its machine's; retried by itself as far as the policy goes.
    HostFault,
    /// Its journal is not whole.
    Damaged,
    /// The tool answered the call with a JSON-RPC error.
    ProtocolError,
}

impl FailedReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Diverged => "diverged",
            Self::Limit => "limit",
            Self::Timeout => "timeout",
            Self::UnknownOutcome => "unknown_outcome",
            Self::Refused => "refused",
            Self::MissingComponent => "missing_component",
            Self::HostFault => "host_fault",
            Self::Damaged => "damaged",
            Self::ProtocolError => "protocol_error",
        }
    }
}

/// What a failed task tells its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    pub reason: FailedReason,
    /// One line: what happened.
    pub message: String,
    /// The last lines of the log and a backtrace, both sides of a divergence, the bound and its value.
    pub detail: Option<String>,
    /// The operation whose outcome is unknown: what `task resolve --step` takes.
    pub op: Option<u64>,
    /// The JSON-RPC error that a tool answered with (`reason` is then `protocol_error`).
    pub protocol: Option<super::ProtocolError>,
}
