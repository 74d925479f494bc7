//! How an instance in a worker ended, and what the server takes of it: a worker is trusted no more than its guest.

use serde::de::IgnoredAny;

use super::waits::may_wait_for;

use crate::authority::Grant;
use crate::engine::{Divergence, Outcome};
use crate::limits;
use crate::sandbox::wire::{EndWire, bound_named};

/// The outcome, within the bounds that one of this process has.
pub fn judged(end: EndWire, grant: &Grant) -> Outcome {
    match end {
        EndWire::Completed(result) => match &result.structured {
            Some(json) if serde_json::from_str::<IgnoredAny>(json).is_err() => {
                wrong("its structured result is no JSON")
            }
            _ => Outcome::Completed(result),
        },
        EndWire::Protocol(error) => Outcome::Protocol(error),
        EndWire::Trap { message, backtrace } => {
            let backtrace = backtrace.map(|text| cut(text, limits::MAX_WORKER_WORDS_BYTES));
            Outcome::Trap { message: words(message), backtrace }
        }
        EndWire::Diverged(Divergence { record, expected, actual }) => {
            Outcome::Diverged(Divergence { record, expected: words(expected), actual: words(actual) })
        }
        EndWire::Limit { bound, message } => {
            Outcome::Limit { bound: bound_named(&bound), message: words(message) }
        }
        EndWire::Refused { message } => Outcome::Refused { message: words(message) },
        EndWire::Suspended(suspension) if !suspension.on.iter().all(|on| may_wait_for(grant, on)) => {
            wrong("it waits for what its task may not see")
        }
        EndWire::Suspended(suspension) => Outcome::Suspended(suspension),
        EndWire::NoRoom { needs } => Outcome::NoRoom { needs: needs.min(limits::MAX_MEMORY_MIB << 20) },
        EndWire::Cancelled => Outcome::Cancelled,
        EndWire::MissingComponent { message } => Outcome::MissingComponent { message: words(message) },
        EndWire::UnknownOutcome { op, message } => Outcome::UnknownOutcome { op, message: words(message) },
        EndWire::HostFault { message } => Outcome::HostFault { message: words(message) },
    }
}

/// No instance ends so, but what has broken out of one may say so.
fn wrong(why: &str) -> Outcome {
    Outcome::Trap {
        message: format!("the worker of this component ended its task wrongly: {why}"),
        backtrace: None,
    }
}

fn words(text: String) -> String {
    cut(text, limits::MAX_WORKER_WORDS_BYTES)
}

/// At most `bytes` of it, cut between characters.
pub fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes));
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Suspension;
    use crate::task::{ToolResult, WaitingReason, WakeOn};

    fn judged(end: EndWire) -> Outcome {
        super::judged(end, &Grant::default())
    }

    #[test]
    fn what_a_worker_says_of_an_end_is_bounded() {
        let long = "é".repeat(limits::MAX_WORKER_WORDS_BYTES);
        let Outcome::Trap { message, backtrace: Some(backtrace) } =
            judged(EndWire::Trap { message: long.clone(), backtrace: Some(long.clone()) })
        else {
            panic!("no trap")
        };
        assert!(message.len() <= limits::MAX_WORKER_WORDS_BYTES && long.starts_with(&message));
        assert_eq!(backtrace, message);
        let Outcome::NoRoom { needs } = judged(EndWire::NoRoom { needs: u64::MAX }) else { panic!("room") };
        assert_eq!(needs, limits::MAX_MEMORY_MIB << 20);
        let result = |structured: &str| ToolResult {
            structured: Some(structured.to_owned()),
            ..ToolResult::text("t")
        };
        assert!(matches!(judged(EndWire::Completed(result("{}"))), Outcome::Completed(_)));
        assert!(matches!(judged(EndWire::Completed(result("{"))), Outcome::Trap { .. }));
    }

    #[test]
    fn a_guest_is_not_woken_by_state_that_it_may_not_read() {
        let wait =
            |on| EndWire::Suspended(Suspension { reason: WaitingReason::State, until: None, on: vec![on] });
        let state = WakeOn::State { namespace: "trips".into(), key: "1".into(), version: 0 };
        assert!(matches!(judged(wait(state)), Outcome::Trap { .. }));
        assert!(matches!(judged(wait(WakeOn::Cancellation)), Outcome::Suspended(_)));
    }
}
