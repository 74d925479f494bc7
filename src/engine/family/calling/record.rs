//! The records of a journal that calls and messages make.

use serde::Deserialize;

use super::types::{CallRefusal, ChildCall};
use crate::engine::record::error::RecorderError;
use crate::engine::record::output::call_hash;
use crate::engine::rows;
use crate::store::{Space, StoreError};
use crate::task::TaskId;

pub const KIND_CALLS: u8 = 210;
pub const KIND_GRANTED: u8 = 211;
pub const KIND_SEND: u8 = 212;

/// What the guest sees, or why the attempt cannot go on.
pub type Answer<T> = Result<Result<T, CallRefusal>, RecorderError>;

/// Stands for a call in the row of its operation.
pub fn op_hash(call: &ChildCall) -> u64 {
    call_hash("calls.start", &[call.tool.as_bytes(), call.arguments.as_bytes()])
}

/// A record for people.
pub fn describe(kind: u8, payload: &[u8]) -> (&'static str, Option<String>) {
    match kind {
        KIND_CALLS => (
            "calls.start",
            decode::<Vec<TaskId>>(payload).ok().map(|answer| {
                describe_answer(answer, |ids| {
                    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                })
            }),
        ),
        KIND_GRANTED => ("calls.granted", None),
        _ => (
            "messages.send",
            decode::<u64>(payload).ok().map(|answer| describe_answer(answer, |seq| format!("seq {seq}"))),
        ),
    }
}

fn describe_answer<T>(answer: Result<T, CallRefusal>, text: impl Fn(T) -> String) -> String {
    match answer {
        Ok(value) => text(value),
        Err(refusal) => format!("refused: {refusal:?}"),
    }
}

pub fn decode<T: for<'a> Deserialize<'a>>(payload: &[u8]) -> Answer<T> {
    rows::decode(Space::Journal, b"calls", payload).map_err(fault)
}

pub fn fault(error: StoreError) -> RecorderError {
    RecorderError::Fault(error.to_string())
}
