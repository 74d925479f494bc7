//! Executes a program. What a checkpoint must keep is in `State`, all in one place.

use std::fmt::Display;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use longhaul_guest::elicit::{self, Answer};
use longhaul_guest::{
    Failure, Output, Ticket, Value, calls, cancellation, checkpoint, json, log, messages, models, outputs,
    progress, roots, sample, timers, waits,
};
use serde::{Deserialize, Serialize};

use crate::children::{self, Call};
use crate::hash::{HASH_START, hash};
use crate::http;
use crate::program::{Instruction, Op};
use crate::state;

mod random {
    wit_bindgen::generate!({
        inline: "
            package test:interpreter;

            world interpreter {
                import wasi:random/random@0.2.0;
            }

            package wasi:random@0.2.0 {
                interface random {
                    get-random-bytes: func(len: u64) -> list<u8>;
                    get-random-u64: func() -> u64;
                }
            }
        ",
        generate_all,
    });
    pub use wasi::random::random::get_random_bytes;
}

#[derive(Serialize, Deserialize)]
struct State {
    position: usize,
    /// Passes done of each open loop, the innermost last.
    passes: Vec<u64>,
    acc: u64,
    ops: u64,
    steps: u64,
    cancelled: bool,
    printed_lines: u64,
    printed_bytes: u64,
    observed: u64,
    last_clock_ns: u64,
    slept_since_clock_ns: u64,
}

pub struct Machine {
    state: State,
    last_instant: Option<Instant>,
    /// Calls under way; none are at a checkpoint.
    children: Vec<calls::Child>,
}

/// A form that takes any number.
fn question(key: &str, seconds: Option<u64>) -> elicit::Question {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    let question = elicit::form(key, format!("What is {key}?"), schema);
    match seconds {
        Some(seconds) => question.within(Duration::from_secs(seconds)),
        None => question,
    }
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Accept(content) => content["n"].to_string(),
        Answer::Decline => "decline".to_owned(),
        Answer::Cancel => "cancel".to_owned(),
        Answer::Timeout => "timeout".to_owned(),
    }
}

impl Machine {
    /// At the last checkpoint, if there is one.
    pub fn start() -> Result<Self, Failure> {
        let state = checkpoint::restore()?.unwrap_or(State {
            position: 0,
            passes: Vec::new(),
            acc: HASH_START,
            ops: 0,
            steps: 0,
            cancelled: false,
            printed_lines: 0,
            printed_bytes: 0,
            observed: HASH_START,
            last_clock_ns: 0,
            slept_since_clock_ns: 0,
        });
        Ok(Self { state, last_instant: None, children: Vec::new() })
    }

    pub fn run(mut self, code: &[Instruction]) -> Result<Self, Failure> {
        while !self.state.cancelled
            && let Some(instruction) = code.get(self.state.position)
        {
            self.state.position += 1;
            match instruction {
                Instruction::Op { index, op, after_loop } => {
                    self.state.ops += 1;
                    self.fold(*index);
                    self.fold(op.value());
                    self.execute(op, *after_loop)?;
                }
                Instruction::LoopEnd { body, times } => self.end_pass(*body, *times),
            }
        }
        self.close_trace()?;
        Ok(self)
    }

    pub fn summary(&self) -> Value {
        let State { acc, ops, steps, cancelled, printed_lines, printed_bytes, observed, .. } = &self.state;
        json!({
            "acc": format!("{acc:016x}"),
            "ops": ops,
            "steps": steps,
            "cancelled": cancelled,
            "printed_lines": printed_lines,
            "printed_bytes": printed_bytes,
            "observed": format!("{observed:016x}"),
        })
    }

    fn execute(&mut self, op: &Op, after_loop: usize) -> Result<(), Failure> {
        match op {
            Op::Step { name } => self.step(name)?,
            Op::Output { name, text } => outputs::write(name, "text/plain", text)?,
            Op::Progress { done, total, message } => match message {
                Some(message) => progress::report(*done, *total, message),
                None => progress::advance(*done, *total),
            },
            Op::Status { text } => progress::status(text),
            Op::Log { text } => log::info(text),
            Op::Print { text } => self.print("print", text),
            Op::Compute { rounds } => self.compute(*rounds),
            Op::Clock {} => {
                let time = wall_clock_ns();
                self.check_clock(time)?;
                self.print("clock", time);
            }
            Op::Clock2 {} => {
                let (first, second) = (wall_clock_ns(), wall_clock_ns());
                self.check_clock(first)?;
                self.check_clock(second)?;
                self.print("clock2", format_args!("{first} {second}"));
            }
            Op::Environment {} => {
                let seen: Vec<_> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
                self.print("environment", seen.join(" "));
            }
            Op::Instant {} => {
                let now = Instant::now();
                let elapsed = self.last_instant.replace(now).map_or(Duration::ZERO, |last| now - last);
                self.print("instant", elapsed.as_nanos());
            }
            Op::Random { bytes } => {
                let random = random::get_random_bytes(*bytes);
                if random.len() as u64 != *bytes {
                    return Err(inconsistent(format!("{} random bytes instead of {bytes}", random.len())));
                }
                self.print("random", format_args!("{:016x}", hash(HASH_START, &random)));
            }
            Op::Sleep { ms } => {
                timers::sleep(Duration::from_millis(*ms));
                self.slept(*ms);
            }
            Op::Nap { ms } => {
                std::thread::sleep(Duration::from_millis(*ms));
                self.slept(*ms);
            }
            Op::Timer { ms } => {
                let ticket = timers::start(Duration::from_millis(*ms));
                let ready = waits::any(&[ticket], None)?;
                if ready != [ticket] {
                    return Err(inconsistent(format!("a wait for ticket {ticket} gave {ready:?}")));
                }
                self.slept(*ms);
            }
            Op::WaitMany { ms, timeout_ms } => self.wait_many(ms, *timeout_ms)?,
            Op::Http { request, timeout_ms } => {
                self.print("http", http::send_all(std::slice::from_ref(request), *timeout_ms).join(", "));
            }
            Op::HttpMany { requests, timeout_ms } => {
                self.print("http_many", http::send_all(requests, *timeout_ms).join(", "));
            }
            Op::HttpClock { request } => {
                let (first, second) = (wall_clock_ns(), wall_clock_ns());
                let request = request.clone().with_body(format!("{first} {second}"));
                let answer = http::send_all(&[request], None).join(", ");
                self.print("http_clock", format_args!("{first} {second} {answer}"));
            }
            Op::HttpDrop { request } => self.print("http_drop", http::send_and_drop(request)),
            Op::Checkpoint {} => checkpoint::save(&self.state)?,
            Op::AwaitCancel { timeout_ms } => self.await_cancel(*timeout_ms)?,
            Op::CancelRequested {} => self.print("cancel_requested", cancellation::requested()),
            Op::Call(call) => {
                let outcome = children::outcome(calls::call(call.as_call()));
                self.print("call", outcome);
            }
            Op::Spawn { calls } => match calls::spawn_all(calls.iter().map(Call::as_call)) {
                Ok(children) => {
                    self.print("spawn", children.len());
                    self.children.extend(children);
                }
                Err(error) => self.print("spawn", children::outcome(Err(error))),
            },
            Op::JoinAll {} => {
                let ends = calls::join_all(self.children.drain(..));
                self.print(
                    "join_all",
                    ends.into_iter().map(children::outcome).collect::<Vec<_>>().join(", "),
                );
            }
            Op::JoinAny {} => match calls::join_any(&mut self.children, None)? {
                Some((_, end)) => self.print("join_any", children::outcome(end)),
                None => self.print("join_any", "none"),
            },
            Op::CancelChildren {} => self.children.drain(..).for_each(calls::Child::cancel),
            Op::Granted {} => {
                let names: Vec<String> = calls::granted()?.into_iter().map(|tool| tool.name).collect();
                self.print("granted", names.join(" "));
            }
            Op::Send { to, name, payload } => {
                let to = match to.as_str() {
                    "child" => self.children.first().map_or("none", |child| &child.task_id),
                    to => to,
                };
                let sent = match messages::send(to, name, payload) {
                    Ok(seq) => seq.to_string(),
                    Err(error) => children::refusal(&error).to_owned(),
                };
                self.print("send", sent);
            }
            Op::StatePut { namespace, entries } => self.print("state_put", state::put(namespace, entries)?),
            Op::StateGet { namespace, key } => self.print("state_get", state::get(namespace, key)),
            Op::StateAdd { namespace, key, by } => self.print("state_add", state::add(namespace, key, *by)?),
            Op::StateDelete { namespace, key } => self.print("state_delete", state::delete(namespace, key)),
            Op::StateWatch { namespace, key, version, timeout_ms } => {
                self.print("state_watch", state::watch(namespace, key, *version, *timeout_ms)?);
            }
            Op::Receive { names, timeout_ms } => self.receive(names, *timeout_ms)?,
            Op::Ask { key, seconds } => {
                let answer = question(key, *seconds).wait()?;
                self.print("ask", told(&answer));
            }
            Op::AskMany { keys } => {
                let tickets: Vec<Ticket> =
                    keys.iter().map(|key| question(key, None).ask()).collect::<Result<_, _>>()?;
                waits::all(&tickets)?;
                let answers: Vec<String> = tickets
                    .into_iter()
                    .map(|ticket| Ok(told(&elicit::take(ticket)?)))
                    .collect::<Result<_, Failure>>()?;
                self.print("ask_many", answers.join(" "));
            }
            Op::Sample { prompt, max_tokens, tools } => {
                let mut request = sample::prompt(prompt, *max_tokens);
                if let Some(tools) = tools {
                    request = request.tools(tools, None);
                }
                let mut said = request.try_wait()?;
                while let Some(response) = said.as_ref().filter(|said| !said.tool_uses.is_empty()) {
                    let came_to =
                        |used: &sample::ToolUse| used.result(format!("{} {}", used.name, used.input));
                    let results = response.tool_uses.iter().map(came_to).collect();
                    request = request.went_on(response, results);
                    said = request.try_wait()?;
                }
                let said = said.map(|response| format!("{}: {}", response.model, response.text()));
                self.print("sample", said.as_deref().unwrap_or("unavailable"));
            }
            Op::Model { model, prompt, max_tokens, output, tools } => {
                let mut request = models::prompt(prompt, *max_tokens);
                if let Some(tools) = tools {
                    request = request.tools(tools, None);
                }
                let answer = match output {
                    Some(output) => models::take(models::ask_into(model, &request, output)?)?,
                    None => models::converse(model, request, 5, |used| {
                        used.result(format!("{} {}", used.name, used.input))
                    })?,
                };
                let (said, cost) = (answer.response.text(), answer.usage);
                self.print("model", format!("{said} ({} + {})", cost.input_tokens, cost.output_tokens));
            }
            Op::Roots {} => {
                let uris: Vec<String> = roots::list()?.into_iter().map(|root| root.uri).collect();
                self.print("roots", uris.join(" "));
            }
            Op::Loop { times: 0, .. } => self.state.position = after_loop,
            Op::Loop { .. } => {
                self.state.passes.push(0);
                self.fold(0);
            }
            Op::Trap {} => panic!("the program asks for a trap"),
            Op::Fail { text } => {
                self.close_trace()?;
                return Err(Failure::Tool(Output::text(text).structured(self.summary())));
            }
            Op::ProtocolError { code, message, data } => {
                self.close_trace()?;
                return Err(Failure::Protocol { code: *code, message: message.clone(), data: data.clone() });
            }
        }
        Ok(())
    }

    fn end_pass(&mut self, body: usize, times: u64) {
        let passes = self.state.passes.pop().unwrap_or(times).saturating_add(1);
        if passes < times {
            self.state.passes.push(passes);
            self.fold(passes);
            self.state.position = body;
        }
    }

    fn step(&mut self, name: &str) -> Result<(), Failure> {
        self.state.steps += 1;
        let mut trace = match self.state.steps {
            1 => outputs::open(TRACE, "text/plain")?,
            _ => outputs::reopened(TRACE),
        };
        Ok(trace.append(format!("{} {name}\n", self.state.steps))?)
    }

    fn close_trace(&self) -> Result<(), Failure> {
        if self.state.steps > 0 {
            outputs::reopened(TRACE).close()?;
        }
        Ok(())
    }

    fn compute(&mut self, rounds: u64) {
        let mut acc = self.state.acc;
        for _ in 0..rounds {
            acc ^= acc << 13;
            acc ^= acc >> 7;
            acc ^= acc << 17;
        }
        self.state.acc = acc;
    }

    fn wait_many(&mut self, ms: &[u64], timeout_ms: Option<u64>) -> Result<(), Failure> {
        let all: Vec<Ticket> = ms.iter().map(|ms| timers::start(Duration::from_millis(*ms))).collect();
        let (mut open, mut order) = (all.clone(), String::new());
        while !open.is_empty() {
            let ready = waits::any(&open, timeout_ms.map(Duration::from_millis))?;
            // In the order given, each once: so `ready` must be what is left of `open` without the others.
            if open.iter().filter(|ticket| ready.contains(ticket)).ne(&ready) {
                return Err(inconsistent(format!("a wait for {open:?} gave {ready:?}")));
            }
            if ready.is_empty() {
                if timeout_ms.is_none() {
                    return Err(inconsistent(format!("a wait for {open:?} without timeout gave nothing")));
                }
                open.drain(..).for_each(waits::abandon);
                order += " timeout";
            }
            for ticket in ready {
                open.retain(|other| *other != ticket);
                if let Some(place) = all.iter().position(|other| *other == ticket) {
                    order += &format!(" {place}");
                }
            }
        }
        if timeout_ms.is_none() {
            self.slept(ms.iter().copied().max().unwrap_or(0));
        }
        self.print("wait_many", order.trim_start());
        Ok(())
    }

    fn await_cancel(&mut self, timeout_ms: Option<u64>) -> Result<(), Failure> {
        let signal = cancellation::signal();
        let ready = waits::any(&[signal], timeout_ms.map(Duration::from_millis))?;
        if ready.is_empty() {
            waits::abandon(signal);
            return Ok(());
        }
        if !cancellation::requested() {
            return Err(inconsistent("the signal of cancellation came without a request"));
        }
        self.state.cancelled = true;
        Ok(outputs::write("cleanup", "text/plain", "cleaned up\n")?)
    }

    fn receive(&mut self, names: &[String], timeout_ms: Option<u64>) -> Result<(), Failure> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match messages::receive(&names, timeout_ms.map(Duration::from_millis))? {
            Some(message) => {
                self.print("receive", format_args!("{} {} {}", message.seq, message.name, message.payload));
            }
            None => self.print("receive", "timeout"),
        }
        Ok(())
    }

    fn print(&mut self, op: &str, text: impl Display) {
        let line = format!("> {} {op} {text}\n", self.state.ops);
        self.state.printed_lines += 1;
        self.state.printed_bytes += line.len() as u64;
        self.state.observed = hash(self.state.observed, line.as_bytes());
        print!("{line}");
    }

    fn fold(&mut self, number: u64) {
        self.state.acc = (self.state.acc ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    fn slept(&mut self, ms: u64) {
        let ns = ms.saturating_mul(1_000_000);
        self.state.slept_since_clock_ns = self.state.slept_since_clock_ns.saturating_add(ns);
    }

    /// The clock may lag behind the sleeps by its resolution, a millisecond.
    fn check_clock(&mut self, time: u64) -> Result<(), Failure> {
        let State { last_clock_ns: last, slept_since_clock_ns: slept, .. } = self.state;
        let least = if last == 0 { 0 } else { last.saturating_add(slept.saturating_sub(1_000_000)) };
        if time < least {
            return Err(inconsistent(format!("the clock shows {time} after {last} and {slept} ns of sleep")));
        }
        self.state.last_clock_ns = time;
        self.state.slept_since_clock_ns = 0;
        Ok(())
    }
}

const TRACE: &str = "trace";

fn inconsistent(what: impl Display) -> Failure {
    Failure::tool(format!("inconsistent: {what}"))
}

fn wall_clock_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}
