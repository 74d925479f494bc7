//! The operations. A new one is one more line.

use super::Row;
use super::bench::Act::{self, *};

const DAY: Act = Pass(86_400);
const MONTH: Act = Pass(31 * 86_400);
const SLEEPER: Act = Call("guest", "record, sleep, record");
const ASLEEP: &[Act] = &[SLEEPER];

const fn row(name: &'static str, before: &'static [Act], act: Act, after: &'static [Act]) -> Row {
    Row { name, before, act, after }
}

pub const TABLE: &[Row] = &[
    // Calls, and the ends of their tasks.
    row("a call, begun and completed", &[], Call("guest", ""), &[]),
    row("a call under a key", &[], Keyed("guest", "record"), &[]),
    row("a call that is told from the same", &[], Call("once", "record"), &[]),
    row("a call for a stream", &[], Streamed("guest", "progress, record"), &[]),
    row(
        "a call for a stream, of a task that is there",
        &[Keyed("guest", "sleep")],
        Streamed("guest", "sleep"),
        &[DAY],
    ),
    row(
        "a call for a stream, of a live task",
        &[Keyed("guest", "note, hold")],
        Streamed("guest", "note, hold"),
        &[Let],
    ),
    row("an error of the tool", &[], Call("guest", "record, fail"), &[]),
    row("a bound that strikes", &[], Call("guest", "record, limit"), &[]),
    row("a trap", &[], Call("guest", "record, trap"), &[]),
    row("a trap that is tried again", &[], Call("stubborn", "record, log, trap_first"), &[]),
    row("the second try", &[Call("stubborn", "trap_first, record")], Pass(61), &[]),
    row("the last try", &[Call("stubborn", "trap")], Pass(61), &[]),
    row("a trap of a parent", &[Call("stubborn", "call sleep, receive, trap_first")], Send, &[]),
    row("a host fault", &[], Call("guest", "record, fault"), &[Mend, Pass(61)]),
    row("a step of unknown outcome", &[], Call("guest", "record, unknown"), &[]),
    row("a step that a person is asked about", &[], Call("asks", "record, unknown"), &[Done(0)]),
    row("the total time of a sleeper", &[Call("brief", "sleep")], Pass(601), &[]),
    row("the total time of a live task", &[Call("brief", "record, hold")], Pass(601), &[]),
    // Steps.
    row("records", &[], Call("guest", "record, record"), &[]),
    row("an operation", &[], Call("guest", "op"), &[]),
    row("a line of the log", &[], Call("guest", "log, hold"), &[Let]),
    row("progress", &[], Call("guest", "progress, hold"), &[Let]),
    row("an output", &[], Call("guest", "output"), &[]),
    row("a checkpoint", &[], Call("guest", "record, note, checkpoint, record"), &[]),
    row("what is on its way at the end", &[], Call("guest", "note"), &[]),
    row("what is on its way at a failure", &[], Call("guest", "note, limit"), &[]),
    // Waits, and what ends them.
    row("a sleep", &[], Call("guest", "note, sleep"), &[DAY]),
    row("the end of a sleep", ASLEEP, DAY, &[]),
    row("a wait for a message", &[], Call("guest", "receive"), &[Send]),
    row("a message to a task that waits for it", &[Call("guest", "receive")], Send, &[]),
    row("a message to a sleeper", ASLEEP, Send, &[DAY]),
    row("a message to a live task", &[Call("guest", "note, hold, record, receive")], Send, &[Let]),
    row("a message from a child", &[], Call("guest", "call send parent, receive, join"), &[]),
    row("a wait for shared state", &[], Call("guest", "watch a"), &[Put("a")]),
    row("a write that is waited for", &[Call("guest", "watch a")], Put("a"), &[]),
    row("a wait for a cancellation", &[], Call("guest", "wait, record"), &[Cancel]),
    // Questions.
    row("a question", &[], Call("guest", "ask, answer"), &[Answer]),
    row("an answer", &[Call("guest", "ask, answer")], Answer, &[]),
    row("an answer that declines", &[Call("guest", "ask, answer")], Decline, &[]),
    row("an answer to a live task", &[Call("guest", "ask, flush, hold, answer")], Answer, &[Let]),
    row("an answer to a child's question", &[Call("guest", "call ask+answer, join")], Answer, &[]),
    row("a question that is withdrawn", &[], Call("guest", "ask, flush, withdraw, record"), &[]),
    row("a question whose time is over", &[Call("guest", "ask, answer")], Pass(3_601), &[]),
    row("a sample", &[], Call("guest", "sample, answer"), &[]),
    // Cancellation.
    row("a cancelled sleeper", ASLEEP, Cancel, &[]),
    row("a cancelled task that is queued", &[Call("stubborn", "trap_first")], Cancel, &[]),
    row("a cancelled live task", &[Call("guest", "note, hold")], Cancel, &[]),
    row("a cancelled live task that heeds it", &[Call("guest", "heed, record, hold, record")], Cancel, &[]),
    row("a cancelled waiting task that heeds it", &[Call("guest", "wait, record")], Cancel, &[]),
    row("a cancelled task that does not end in time", &[Call("guest", "heed, stand"), Cancel], Pass(6), &[]),
    row("a cancelled parent", &[Call("guest", "call sleep, join")], Cancel, &[]),
    row("a cancelled task that nobody runs", &[SLEEPER, Close], Cancel, &[Start]),
    row("a cancelled task that asks", &[Call("guest", "ask, answer")], Cancel, &[]),
    // Trying again.
    row("a retry", &[Call("guest", "record, log, limit"), Mend], Retry(None), &[]),
    row("a retry from a step", &[Call("guest", "record, output, limit"), Mend], Retry(Some(1)), &[]),
    row("a retry of a cancelled sleeper", &[SLEEPER, Cancel], Retry(None), &[DAY]),
    row("a retry of a parent", &[Call("guest", "call sleep, limit, join"), Mend], Retry(None), &[DAY]),
    row(
        "a retry of a parent from a step",
        &[Call("guest", "call sleep, limit, join"), Mend],
        Retry(Some(1)),
        &[DAY],
    ),
    row(
        "a retry of a parent with detached children",
        &[Call("guest", "detach sleep, limit"), Mend],
        Retry(Some(1)),
        &[DAY],
    ),
    row("a retry of a child", &[Call("guest", "call limit, sleep, join"), Mend], RetryChild, &[DAY]),
    row("a retry of a task that nobody runs", &[Call("guest", "limit"), Mend, Close], Retry(None), &[Start]),
    // An effect whose outcome is unknown.
    row("a step that was done", &[Call("guest", "record, unknown")], Done(0), &[]),
    row("a step that failed", &[Call("guest", "record, unknown")], Failed(0), &[]),
    row("a step that is sent again", &[Call("guest", "record, unknown")], Resend(0), &[]),
    row("a step of a waiting task", &[Call("asks", "record, unknown, record")], Done(0), &[]),
    row("a step of a waiting parent", &[Call("asks", "call sleep, unknown, join")], Done(1), &[DAY]),
    row("a step of a failed parent", &[Call("guest", "call sleep, unknown, join")], Done(1), &[DAY]),
    row("a step of a task that nobody runs", &[Call("guest", "unknown"), Close], Done(0), &[Start]),
    // Children.
    row("a child", &[], Call("guest", "record, call record, join"), &[]),
    row("a child that sleeps", &[], Call("guest", "call sleep, join"), &[DAY]),
    row("a child's end", &[Call("guest", "call sleep, join")], DAY, &[]),
    row("a detached child", &[], Call("guest", "detach sleep, record"), &[DAY]),
    row("a child with an alternative", &[], Call("guest", "try fail, join"), &[]),
    row("a child that is tried twice", &[], Call("guest", "twice fail, join"), &[]),
    row("a child that is given up", &[Call("guest", "call sleep, receive, give_up, hold")], Send, &[Let]),
    row("a message to a child", &[], Call("guest", "call receive+sleep, send child, join"), &[DAY]),
    row("the end of a parent", &[Call("guest", "call sleep, receive")], Send, &[]),
    // Shared state.
    row("a write", &[], Put("a"), &[]),
    row("a write of a version", &[Put("a")], PutIf("a", 1), &[]),
    row("a write that expires", &[], PutFor("a", 10_000), &[]),
    row("an expiry", &[PutFor("a", 10)], Pass(11), &[]),
    row("an expiry that is waited for", &[PutFor("a", 10), Call("guest", "watch a")], Pass(11), &[]),
    row("a deletion", &[Put("a")], Delete("a"), &[]),
    row("a guest's write", &[], Call("guest", "note, put a, put b"), &[]),
    // What belongs to no task.
    row("a token", &[], NewToken("ann"), &[]),
    row("a revoked token", &[NewToken("ann")], Revoke("ann"), &[]),
    row("a component", &[], Component, &[]),
    row("a setting", &[], Setting, &[]),
    row("grants in the audit", &[], Grants, &[]),
    row("what was done already, in the audit", &[SLEEPER, Cancel], Cancel, &[]),
    row("a deletion of a task", &[Keyed("guest", "output, large, log")], Forget, &[]),
    row("a deletion of a tree", &[Call("guest", "call output, join, record")], Forget, &[]),
    row("a deletion of a task that nobody runs", &[Call("guest", "limit"), Close], Forget, &[Start]),
    row("a sweep", &[Component, Call("guest", "output, large"), Close, MONTH], Sweep, &[Sweep, Start]),
    // Processes.
    row("a start after a crash", &[Call("guest", "record, hold, record"), Crash], Start, &[Let]),
    row("a start after a parent's end", &[Call("guest", "call sleep, join"), Close, Cancel], Start, &[]),
    row("a shutdown", &[Call("guest", "note, hold, record")], Close, &[Start, Let]),
];
