//! `run_program {program}`: an interpreter for the fault tests. What a program computes can be worked out from the
//! program alone, so a test can tell whether a run that was killed and resumed came to the right end.
//!
//! # Ops
//!
//! A program is a list of objects, each with its `op`:
//!
//! | `op` | Fields | Does | Value |
//! |---|---|---|---|
//! | `step` | `name` | appends the line `N name` to the output `trace`, N counting steps from 1; the first one opens it | hash of `name` |
//! | `output` | `name`, `text` | writes a whole output | hash of `text` |
//! | `progress` | `done`, `total?`, `message?` | reports progress | `done` |
//! | `status` | `text` | changes the status line | hash of `text` |
//! | `log` | `text` | writes a log line, level info | hash of `text` |
//! | `print` | `text` | prints it | hash of `text` |
//! | `compute` | `rounds` | xorshift of the accumulator, see below | `rounds` |
//! | `clock` | | prints the time, nanoseconds since 1970 | 0 |
//! | `clock2` | | reads the time twice in a row, then prints both | 0 |
//! | `instant` | | prints the nanoseconds of the monotonic clock since the last `instant`, 0 the first time | 0 |
//! | `random` | `bytes` | prints the hash of that many random bytes | `bytes` |
//! | `sleep` | `ms` | `timers.sleep` | `ms` |
//! | `nap` | `ms` | `std::thread::sleep` | `ms` |
//! | `timer` | `ms` | starts a timer and waits for its ticket | `ms` |
//! | `wait_many` | `ms` (list), `timeout_ms?` | starts all timers, then waits until each is ready; prints their positions in the order in which they came. Where no timer comes within `timeout_ms`, prints `timeout` and abandons the others | length of `ms` |
//! | `environment` | | prints the variables that it sees | 0 |
//! | `http` | `request`, `timeout_ms?` | sends it (its body may be text, so many bytes or so many KiB, and `ends` says how it is written) and prints what it came to, see below | hash of the URL |
//! | `http_many` | `requests` (list), `timeout_ms?` | sends all at once and waits for all in one poll; prints what each came to, in the order given | length of `requests` |
//! | `http_clock` | `request` | reads the time twice and sends both as the body; prints both and what it came to | hash of the URL |
//! | `http_drop` | `request` | writes half of the body, drops the answer, writes the rest; prints what the writes came to | hash of the URL |
//! | `call` | `tool`, `arguments`, `alternatives?`, `retries?`, `timeout_seconds?`, `detached?` | calls another tool and waits for it; prints what it came to, see below | hash of `tool` |
//! | `spawn` | `calls` (list, each with the fields of `call`) | starts all in one; prints how many, or `refused NAME` | length of `calls` |
//! | `join_all` | | waits for all that was spawned; prints what each came to, in the order of their start | 0 |
//! | `join_any` | | waits for the first that is over, takes it out and prints what it came to, or `none` | 0 |
//! | `cancel_children` | | gives up all that was spawned and not joined | 0 |
//! | `granted` | | prints the names of the tools that it may call | 0 |
//! | `send` | `to`, `name`, `payload` | sends a message to `parent`, to the first open `child` or to an id; prints its number or the name of the refusal | hash of `name` |
//! | `checkpoint` | | saves everything; a restart goes on behind it | 0 |
//! | `await_cancel` | `timeout_ms?` | waits to be cancelled, then writes the output `cleanup` and ends the program; goes on after the timeout | 0 |
//! | `cancel_requested` | | prints `true` or `false` | 0 |
//! | `receive` | `names`, `timeout_ms?` | waits for a message with one of the names (any, if none); prints `SEQ NAME PAYLOAD`, or `timeout` | length of `names` |
//! | `ask` | `key`, `seconds?` | asks a person for `{n: integer}`; prints the number, `decline`, `cancel` or `timeout` | hash of `key` |
//! | `ask_many` | `keys` (list) | asks all at once and waits for all; prints what each came to, in the order given | length of `keys` |
//! | `sample` | `prompt`, `max_tokens`, `tools?` | asks a model; prints `MODEL: TEXT`, or `unavailable`. A tool that it uses comes to `NAME INPUT`, and it is asked again | hash of `prompt` |
//! | `roots` | | prints the URIs of the client's root folders | 0 |
//! | `state_put` | `namespace`, `entries` (list of `{key, value, if_version?, ttl_seconds?}`) | writes all or none; prints the versions, `conflict VERSION`, or the refusal's name | length of `entries` |
//! | `state_get` | `namespace`, `key` | prints `VERSION VALUE`, `none`, or the refusal's name | hash of `key` |
//! | `state_add` | `namespace`, `key`, `by` | adds to a number by compare-and-set until that succeeds; prints `VERSION VALUE` | `by` |
//! | `state_delete` | `namespace`, `key` | prints the version, or the refusal's name | hash of `key` |
//! | `state_watch` | `namespace`, `key`, `version`, `timeout_ms?` | waits for another version; prints as `state_get`, or `timeout` | hash of `key` |
//! | `loop` | `times`, `body` (list) | runs the body that often | `times` |
//! | `trap` | | panics | 0 |
//! | `fail` | `text` | ends with a tool error: this text and the usual structured result | 0 |
//! | `protocol_error` | `code`, `message` | ends with that protocol error | 0 |
//!
//! A request is `{method, url, body?, body_bytes?, key?, first_byte_ms?}`; `body_bytes` stands for a body of that many
//! `x`, `key` for an `Idempotency-Key` of the guest's own. What it came to is `STATUS HASH`, the hash being that of
//! the answer's body, or `error NAME`, or `timeout` after `timeout_ms`; of several, with `, ` between.
//!
//! What a call came to is `ok HASH`, `tool_error HASH` (the hash is that of its text), `protocol CODE`, `refused NAME`,
//! `failed`, `timed_out` or `cancelled`.
//!
//! # Result
//!
//! Structured: `{acc, ops, steps, cancelled, printed_lines, printed_bytes, observed}`; `acc` and `observed` are 16
//! hexadecimal digits. At the end the output `trace` is closed, if there is one (a trap leaves it open).
//!
//! `acc`, `ops` and `steps` follow from the program alone, unless it was cancelled. `ops` counts the ops that were
//! executed: a loop as one when it is entered, then its body once each pass. All numbers are 64 bits, unsigned, and
//! wrap around:
//!
//! - hash(bytes): FNV-1a, start 0xcbf29ce484222325, prime 0x100000001b3;
//! - fold(acc, n) = rotate_left((acc xor n) * 0x9e3779b97f4a7c15, 29);
//! - acc begins as 0xcbf29ce484222325. Each op, before it does anything: acc = fold(fold(acc, index), value), where
//!   index is the op's position in the program's text from 0 (a loop counts as one, then come the ops of its body);
//! - `compute` then repeats `rounds` times: acc ^= acc << 13, acc ^= acc >> 7, acc ^= acc << 17;
//! - a loop folds the number of the pass, from 0, at the begin of each pass.
//!
//! `observed` is the hash of all bytes on stdout. Each line there is `> N op text`, N being `ops` at that moment, the
//! present op included; no other line of a task's log begins with `> ` unless the program logs it. So a test takes
//! those lines from the log, newlines included, and compares their hash, number and length with the result.
//!
//! A `clock` or `clock2` that shows less time gone by since the last one than was slept in between (by `sleep`, `nap`,
//! `timer`, and `wait_many` without timeout), or a wait that answers with something that was not asked for, ends the
//! program with a tool error that begins with `inconsistent:`.

mod children;
mod hash;
mod http;
mod machine;
mod program;
mod state;

use longhaul_guest::{Output, Tool, ToolResult, export_tools, json};
use serde::Deserialize;

use machine::Machine;
use program::{Instruction, Op};

#[derive(Deserialize)]
struct Arguments {
    program: Vec<Op>,
}

fn run_program(arguments: Arguments) -> ToolResult {
    let code = Instruction::flatten(arguments.program);
    let machine = Machine::start()?.run(&code)?;
    let summary = machine.summary();
    Ok(Output::text(format!("{summary}")).structured(summary))
}

fn tools() -> Vec<Tool> {
    let input = json!({
        "type": "object",
        "properties": {
            "program": {
                "type": "array",
                "items": { "type": "object", "properties": { "op": { "type": "string" } }, "required": ["op"] },
            },
        },
        "required": ["program"],
        "additionalProperties": false,
    });
    let output = json!({
        "type": "object",
        "properties": {
            "acc": { "type": "string" },
            "ops": { "type": "integer" },
            "steps": { "type": "integer" },
            "cancelled": { "type": "boolean" },
            "printed_lines": { "type": "integer" },
            "printed_bytes": { "type": "integer" },
            "observed": { "type": "string" },
        },
        "required": ["acc", "ops", "steps", "cancelled", "printed_lines", "printed_bytes", "observed"],
    });
    vec![Tool::new("run_program", "Runs a small program, for tests.", input, run_program).output(output)]
}

export_tools!(tools);
