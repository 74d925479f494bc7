//! The ops as JSON has them, and the flat code that is made of them.

use longhaul_guest::Value;
use serde::Deserialize;

use crate::children::Call;
use crate::hash::{HASH_START, hash};
use crate::http::Request;
use crate::state::Put;

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    Step { name: String },
    Output { name: String, text: String },
    Progress { done: u64, total: Option<u64>, message: Option<String> },
    Status { text: String },
    Log { text: String },
    Print { text: String },
    Compute { rounds: u64 },
    Clock {},
    Clock2 {},
    Instant {},
    Environment {},
    Random { bytes: u64 },
    Sleep { ms: u64 },
    Nap { ms: u64 },
    Timer { ms: u64 },
    WaitMany { ms: Vec<u64>, timeout_ms: Option<u64> },
    Http { request: Request, timeout_ms: Option<u64> },
    HttpMany { requests: Vec<Request>, timeout_ms: Option<u64> },
    HttpClock { request: Request },
    HttpDrop { request: Request },
    Checkpoint {},
    AwaitCancel { timeout_ms: Option<u64> },
    CancelRequested {},
    Call(Box<Call>),
    Spawn { calls: Vec<Call> },
    JoinAll {},
    JoinAny {},
    CancelChildren {},
    Granted {},
    Send { to: String, name: String, payload: Value },
    StatePut { namespace: String, entries: Vec<Put> },
    StateGet { namespace: String, key: String },
    StateAdd { namespace: String, key: String, by: u64 },
    StateDelete { namespace: String, key: String },
    StateWatch { namespace: String, key: String, version: u64, timeout_ms: Option<u64> },
    Receive { names: Vec<String>, timeout_ms: Option<u64> },
    Ask { key: String, seconds: Option<u64> },
    AskMany { keys: Vec<String> },
    Sample { prompt: String, max_tokens: u32, tools: Option<Value> },
    Model { model: String, prompt: String, max_tokens: u32, output: Option<String>, tools: Option<Value> },
    Roots {},
    Loop { times: u64, body: Vec<Op> },
    Trap {},
    Fail { text: String },
    ProtocolError { code: i32, message: String, data: Option<Value> },
}

impl Op {
    /// What the accumulator folds beside the op's index.
    pub fn value(&self) -> u64 {
        match self {
            Self::Step { name: text }
            | Self::Output { text, .. }
            | Self::Status { text }
            | Self::Log { text }
            | Self::Print { text } => hash(HASH_START, text.as_bytes()),
            Self::Progress { done, .. } => *done,
            Self::Compute { rounds } => *rounds,
            Self::Random { bytes } => *bytes,
            Self::Sleep { ms } | Self::Nap { ms } | Self::Timer { ms } => *ms,
            Self::WaitMany { ms, .. } => ms.len() as u64,
            Self::Call(call) => hash(HASH_START, call.tool.as_bytes()),
            Self::Spawn { calls } => calls.len() as u64,
            Self::Send { name, .. } => hash(HASH_START, name.as_bytes()),
            Self::StatePut { entries, .. } => entries.len() as u64,
            Self::StateAdd { by, .. } => *by,
            Self::StateGet { key, .. } | Self::StateDelete { key, .. } | Self::StateWatch { key, .. } => {
                hash(HASH_START, key.as_bytes())
            }
            Self::Receive { names, .. } => names.len() as u64,
            Self::Ask { key: text, .. }
            | Self::Sample { prompt: text, .. }
            | Self::Model { prompt: text, .. } => hash(HASH_START, text.as_bytes()),
            Self::AskMany { keys } => keys.len() as u64,
            Self::Loop { times, .. } => *times,
            Self::Http { request, .. } | Self::HttpClock { request } | Self::HttpDrop { request } => {
                hash(HASH_START, request.url.as_bytes())
            }
            Self::HttpMany { requests, .. } => requests.len() as u64,
            Self::Clock {}
            | Self::Clock2 {}
            | Self::Instant {}
            | Self::Environment {}
            | Self::JoinAll {}
            | Self::JoinAny {}
            | Self::CancelChildren {}
            | Self::Granted {}
            | Self::Checkpoint {}
            | Self::AwaitCancel { .. }
            | Self::CancelRequested {}
            | Self::Roots {}
            | Self::Trap {}
            | Self::Fail { .. }
            | Self::ProtocolError { .. } => 0,
        }
    }
}

/// A program without nesting, so that its state is a position and the passes of the open loops.
#[derive(Debug)]
pub enum Instruction {
    /// For a loop, only its entry; its body follows, then its `LoopEnd`.
    Op { index: u64, op: Op, after_loop: usize },
    /// Back to `body`, the position of the loop's first instruction, or on.
    LoopEnd { body: usize, times: u64 },
}

impl Instruction {
    pub fn flatten(program: Vec<Op>) -> Vec<Self> {
        let (mut code, mut index) = (Vec::new(), 0);
        flatten_into(&mut code, &mut index, program);
        code
    }
}

fn flatten_into(code: &mut Vec<Instruction>, next_index: &mut u64, ops: Vec<Op>) {
    for op in ops {
        let index = *next_index;
        *next_index += 1;
        let (op, body) = match op {
            Op::Loop { times, body } => (Op::Loop { times, body: Vec::new() }, Some((times, body))),
            op => (op, None),
        };
        let entry = code.len();
        code.push(Instruction::Op { index, op, after_loop: 0 });
        if let Some((times, body)) = body {
            flatten_into(code, next_index, body);
            code.push(Instruction::LoopEnd { body: entry + 1, times });
            let end = code.len();
            if let Instruction::Op { after_loop, .. } = &mut code[entry] {
                *after_loop = end;
            }
        }
    }
}
