//! From the way in which an instance ended to the outcome of its attempt.

use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::binding::Binding;
use super::instance::Returned;
use super::limiter::OutOfMemory;
use super::stop::Stop;
use super::synchronous::STAND_IN;
use super::task_host::TaskHost;
use super::world::World;
use crate::catalog::show_hidden;
use crate::engine::{Outcome, RecorderError};
use crate::limits;
use crate::task::ToolResult;

/// An instance is over.
pub(super) enum End {
    Outcome(Outcome),
    /// It is to begin again, from the checkpoint that it saved.
    Restart,
}

/// Where the guest was when it ended with an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Instantiating,
    Called,
}

pub(super) fn of_return(returned: Returned, result_kib: u64) -> Outcome {
    match returned {
        Returned::Result(result) => Outcome::Completed(bound(result, result_kib)),
        Returned::Protocol(error) => Outcome::Protocol(error),
    }
}

pub(super) fn of_error(error: wasmtime::Error, stage: Stage, binding: &Binding, world: &World) -> End {
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string);
    let error = match error.downcast::<Stop>() {
        Ok(stop) => return of_stop(stop),
        Err(error) => error,
    };
    if let Some((bound, what)) = host_bound(&error) {
        return End::Outcome(Outcome::Limit { bound, message: format!("the guest {what} ({bound})") });
    }
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return End::Outcome(Outcome::Trap { message: exited(*status, stage, binding), backtrace: None });
    }
    let mut message = match (stand_in(&error), error.downcast_ref::<Trap>()) {
        (Some(kind), _) => format!(
            "the guest called an asynchronous function or built-in ({kind}), of which none is offered: do without it in \
             what a tool calls"
        ),
        (None, Some(trap)) => trap.to_string(),
        (None, None) => error.root_cause().to_string(),
    };
    let machine =
        error.is::<OutOfMemory>() || error.is::<PoolConcurrencyLimitError>() || error.is::<std::io::Error>();
    End::Outcome(if machine {
        Outcome::HostFault { message: format!("{error:#}") }
    } else if stage == Stage::Instantiating
        && backtrace.is_none()
        && let Some(bound) = world.limiter.denied()
    {
        Outcome::Limit {
            bound,
            message: format!("the component needs more than its {bound} to start: {message}"),
        }
    } else {
        if let Some(bound) = world.limiter.denied() {
            // It went on after it was refused, so this may or may not be why it ended.
            message += &format!("; before that it had asked for more than its {bound} allows");
        }
        Outcome::Trap { message, backtrace }
    })
}

/// A guest left by `exit` where it should have returned. A program (`wasi:cli/run`) never comes here: that is how it ends.
fn exited(status: i32, stage: Stage, binding: &Binding) -> String {
    let (what, then) = match binding {
        Binding::Export { function, .. } => {
            (function.as_str(), "a function returns its result, or an err of its own")
        }
        Binding::Tool { name } => (name.as_str(), "call returns an output or a failure"),
        Binding::Command { .. } => ("the program", "only its run may end it"),
    };
    let during = if stage == Stage::Instantiating { "while it was started" } else { "instead of returning" };
    let what: String = what.chars().take(limits::MAX_TOOL_NAME_CHARS).collect();
    // Of another status, WASI 0.2 tells no more than that.
    let how = if status == 0 { "exit(0)" } else { "exit and a status other than 0," };
    format!("{what} ended its program with {how} {during}: {then}")
}

/// The kind of what the guest called in vain, in a component whose asynchronous parts were put aside.
fn stand_in(error: &wasmtime::Error) -> Option<String> {
    let frame = error.downcast_ref::<WasmBacktrace>()?.frames().first()?;
    // A guest can name functions of its own like that.
    let kind: String =
        frame.func_name()?.strip_prefix(STAND_IN)?.chars().take(limits::MAX_TOOL_NAME_CHARS).collect();
    Some(show_hidden(&kind).into_owned())
}

/// The bound of the host's own bookkeeping that was in the way, and what the guest did. Some of wasmtime's
/// errors have no type that could be asked for.
fn host_bound(error: &wasmtime::Error) -> Option<(&'static str, &'static str)> {
    const HANDLES: (&str, &str) = ("MAX_HANDLES", "holds more handles than a guest may at once");
    const BYTES: (&str, &str) = ("MAX_HOSTCALL_BYTES", "hands the host more bytes than one call may move");
    if error.chain().any(|cause| matches!(cause.downcast_ref(), Some(ResourceTableError::Full))) {
        return Some(HANDLES);
    }
    let root = error.root_cause().to_string();
    if root.ends_with("store handle limit exceeded") {
        return Some(HANDLES);
    }
    const PARTS: [(&str, &str, &str); 3] = [
        ("instance count too high", "MAX_CORE_INSTANCES", "has more core instances than a component may"),
        ("table count too high", "MAX_TABLES", "has more tables than a component may"),
        ("memory count too high", "MAX_MEMORIES", "has more memories than a component may"),
    ];
    if let Some((_, bound, what)) = PARTS.into_iter().find(|(words, ..)| root.contains(words)) {
        return Some((bound, what));
    }
    root.ends_with("fuel allocated for hostcalls has been exhausted").then_some(BYTES)
}

/// What replay left over wins over whatever the guest made of it.
pub(super) fn checked(outcome: Outcome, host: &TaskHost, saw_cancellation: bool) -> Outcome {
    let ended_itself = matches!(
        outcome,
        Outcome::Completed(_) | Outcome::Protocol(_) | Outcome::Trap { .. } | Outcome::Cancelled
    );
    if !ended_itself {
        return outcome;
    }
    match host.finish() {
        Ok(()) if saw_cancellation => Outcome::Cancelled,
        Ok(()) => outcome,
        Err(error) => of_recorder(error),
    }
}

pub(super) fn of_recorder(error: RecorderError) -> Outcome {
    match error {
        RecorderError::Diverged(divergence) => Outcome::Diverged(divergence),
        RecorderError::Limit { bound, message } => Outcome::Limit { bound, message },
        RecorderError::Refused(message) => Outcome::Refused { message },
        RecorderError::Fault(message) => Outcome::HostFault { message },
    }
}

fn of_stop(stop: Stop) -> End {
    End::Outcome(match stop {
        Stop::Restart => return End::Restart,
        Stop::Diverged(divergence) => Outcome::Diverged(divergence),
        Stop::Limit { bound, message } => Outcome::Limit { bound, message },
        Stop::Suspended(suspension) => Outcome::Suspended(suspension),
        Stop::NoRoom { needs } => Outcome::NoRoom { needs },
        Stop::UnknownOutcome { op, message } => Outcome::UnknownOutcome { op, message },
        Stop::Refused(message) => Outcome::Refused { message },
        Stop::MissingTool { message } => Outcome::MissingComponent { message },
        stop @ (Stop::HostFault(_) | Stop::Inspecting { .. }) => {
            Outcome::HostFault { message: stop.to_string() }
        }
    })
}

fn bound(result: ToolResult, result_kib: u64) -> ToolResult {
    let bytes = result.size_bytes();
    if bytes as u64 <= result_kib.saturating_mul(1024) {
        return result;
    }
    ToolResult::error(format!(
        "the tool's result has {bytes} bytes, more than result_kib = {result_kib} allows; big results belong into \
         named outputs"
    ))
}
