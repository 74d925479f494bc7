//! Values of the engine's between the two, where they are no plain data themselves.

use serde::{Deserialize, Serialize};

use crate::engine::questions::{Ask, Question};
use crate::engine::{Divergence, Op, Outcome, RecorderError, Suspension};
use crate::task::{By, ProtocolError, ToolResult};

/// [`Op`] as bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpWire {
    Intent { hash: u64, sends: u32 },
    Done { hash: u64, outcome: Vec<u8> },
    Abandoned { hash: u64 },
    Resend { hash: u64, sends: u32 },
}

impl From<&Op> for OpWire {
    fn from(op: &Op) -> Self {
        match op {
            Op::Intent { hash, sends } => Self::Intent { hash: *hash, sends: *sends },
            Op::Done { hash, outcome } => Self::Done { hash: *hash, outcome: outcome.to_vec() },
            Op::Abandoned { hash } => Self::Abandoned { hash: *hash },
            Op::Resend { hash, sends } => Self::Resend { hash: *hash, sends: *sends },
        }
    }
}

impl From<OpWire> for Op {
    fn from(op: OpWire) -> Self {
        match op {
            OpWire::Intent { hash, sends } => Self::Intent { hash, sends },
            OpWire::Done { hash, outcome } => Self::Done { hash, outcome: outcome.into() },
            OpWire::Abandoned { hash } => Self::Abandoned { hash },
            OpWire::Resend { hash, sends } => Self::Resend { hash, sends },
        }
    }
}

/// [`Question`] as bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct AskWire {
    key: Option<String>,
    by: By,
    ask: Ask,
    deadline: u64,
}

impl From<Question> for AskWire {
    fn from(question: Question) -> Self {
        let Question { key, by, ask, deadline } = question;
        Self { key, by, ask, deadline }
    }
}

impl From<AskWire> for Question {
    fn from(wire: AskWire) -> Self {
        let AskWire { key, by, ask, deadline } = wire;
        Self { key, by, ask, deadline }
    }
}

/// [`RecorderError`] as bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorWire {
    Diverged(Divergence),
    Limit { bound: String, message: String },
    Fault(String),
    Refused(String),
}

impl From<RecorderError> for ErrorWire {
    fn from(error: RecorderError) -> Self {
        match error {
            RecorderError::Diverged(divergence) => Self::Diverged(divergence),
            RecorderError::Limit { bound, message } => Self::Limit { bound: bound.to_owned(), message },
            RecorderError::Fault(message) => Self::Fault(message),
            RecorderError::Refused(message) => Self::Refused(message),
        }
    }
}

impl From<ErrorWire> for RecorderError {
    fn from(error: ErrorWire) -> Self {
        match error {
            ErrorWire::Diverged(divergence) => Self::Diverged(divergence),
            ErrorWire::Limit { bound, message } => Self::Limit { bound: bound_named(&bound), message },
            ErrorWire::Fault(message) => Self::Fault(message),
            ErrorWire::Refused(message) => Self::Refused(message),
        }
    }
}

/// [`Outcome`] as bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EndWire {
    Completed(ToolResult),
    Protocol(ProtocolError),
    Trap { message: String, backtrace: Option<String> },
    Diverged(Divergence),
    Limit { bound: String, message: String },
    Refused { message: String },
    Suspended(Suspension),
    NoRoom { needs: u64 },
    Cancelled,
    MissingComponent { message: String },
    UnknownOutcome { op: u64, message: String },
    HostFault { message: String },
}

impl From<Outcome> for EndWire {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed(result) => Self::Completed(result),
            Outcome::Protocol(error) => Self::Protocol(error),
            Outcome::Trap { message, backtrace } => Self::Trap { message, backtrace },
            Outcome::Diverged(divergence) => Self::Diverged(divergence),
            Outcome::Limit { bound, message } => Self::Limit { bound: bound.to_owned(), message },
            Outcome::Refused { message } => Self::Refused { message },
            Outcome::Suspended(suspension) => Self::Suspended(suspension),
            Outcome::NoRoom { needs } => Self::NoRoom { needs },
            Outcome::Cancelled => Self::Cancelled,
            Outcome::MissingComponent { message } => Self::MissingComponent { message },
            Outcome::UnknownOutcome { op, message } => Self::UnknownOutcome { op, message },
            Outcome::HostFault { message } => Self::HostFault { message },
        }
    }
}

/// Bounds that end an attempt, by their names in the manifest or in `limits`.
const BOUNDS: [&str; 16] = [
    "memory_mib",
    "run_seconds",
    "journal_mib",
    "guest_memory",
    "REPLAY_BUDGET_FACTOR",
    "MAX_TABLE_ELEMENTS",
    "MAX_OPEN_TICKETS",
    "MAX_INSPECTION_MS",
    "MAX_HANDLES",
    "MAX_OPEN_STREAMS",
    "MAX_PIECES",
    "MAX_HOSTCALL_BYTES",
    "MAX_CORE_INSTANCES",
    "MAX_TABLES",
    "MAX_MEMORIES",
    "MAX_FILE_READ_BYTES",
];

/// The other side names one; a name that is none stands for no bound in particular.
pub fn bound_named(name: &str) -> &'static str {
    BOUNDS.into_iter().find(|bound| *bound == name).unwrap_or("a bound of its instance")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_operations_come_back_as_they_were() {
        let divergence = Divergence { record: 3, expected: "a".into(), actual: "b".into() };
        for error in [
            RecorderError::Diverged(divergence),
            RecorderError::Limit { bound: "run_seconds", message: "too long".into() },
            RecorderError::Fault("gone".into()),
            RecorderError::Refused("not here".into()),
        ] {
            assert_eq!(RecorderError::from(ErrorWire::from(error.clone())), error);
        }
        for op in [
            Op::Intent { hash: 1, sends: 2 },
            Op::Done { hash: 1, outcome: Vec::from(b"o").into() },
            Op::Abandoned { hash: 1 },
            Op::Resend { hash: 1, sends: 2 },
        ] {
            assert_eq!(Op::from(OpWire::from(&op)), op);
        }
        assert_eq!(bound_named("a name that no bound has"), "a bound of its instance");
    }

    /// What ends an attempt by a bound that is not listed above would come without its name.
    #[test]
    fn every_bound_that_the_sandbox_names_is_known() {
        let sources = [
            include_str!("../end.rs"),
            include_str!("../limiter.rs"),
            include_str!("../stop.rs"),
            include_str!("../world/tickets.rs"),
            include_str!("../world/journal.rs"),
            include_str!("../world/files/mod.rs"),
            include_str!("../world/http/exchanges/pump.rs"),
            include_str!("../../engine/record/pieces.rs"),
            include_str!("../../engine/record/recorder.rs"),
        ];
        let mut named = 0;
        for source in sources {
            for after in source.split("bound: \"").skip(1) {
                let bound = after.split('"').next().unwrap();
                assert_eq!(bound_named(bound), bound);
                named += 1;
            }
        }
        assert!(named >= 6, "{named}");
    }
}
