//! The guest of the table: one body, which does what its arguments say, verb by verb. It suspends at once where others
//! have patience, so that nothing depends on how fast the machine is.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use tokio::sync::watch;

use super::super::*;
use crate::catalog::{Catalog, Component, Inspection};
use crate::engine::family::calling::op_hash;
use crate::engine::ports::Sampled;
use crate::engine::ports::Sampler;
use crate::engine::questions::ask::Asked;
use crate::engine::questions::asked::Answer;
use crate::engine::questions::asked::Ask;
use crate::engine::questions::asked::Question;
use crate::engine::record::output::call_hash;
use crate::task::{By, Effects, UnknownOutcome, WakeOn};

/// Of records that `note` leaves uncommitted.
const KIND_NOTE: u8 = 3;
const HOUR: u64 = 3_600_000_000_000;
/// What a runner's fault is called that stands for another end of the attempt.
const TRAPPED: &str = "it trapped";
const UNKNOWN: &str = "nobody knows what became of step ";

/// Where guests are held, and what breaks them.
#[derive(Default)]
pub struct Gates {
    /// How many of its holds each script may pass. It passes them again when it is replayed.
    pub passes: watch::Sender<usize>,
    /// Guests that are held.
    pub held: AtomicUsize,
    /// As long as it is set, `trap`, `fault` and `limit` do what they say.
    pub is_broken: AtomicBool,
}

struct Held<'a>(&'a AtomicUsize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gates {
    /// The gates of another process, through which the same may pass.
    pub fn again(&self) -> Self {
        Self {
            passes: watch::Sender::new(*self.passes.borrow()),
            held: AtomicUsize::new(0),
            is_broken: AtomicBool::new(self.is_broken.load(Ordering::SeqCst)),
        }
    }

    async fn pass(&self, number: usize, recorder: &Recorder, heeds: bool) -> &'static str {
        let mut passes = self.passes.subscribe();
        self.held.fetch_add(1, Ordering::SeqCst);
        let _held = Held(&self.held);
        tokio::select! {
            biased;
            _ = passes.wait_for(|passes| number <= *passes) => "passed",
            () = recorder.cancelled(), if heeds => "asked to end",
        }
    }
}

/// Closures, and ends of attempts that closures have no word for.
pub struct Guests(Closures);

impl Guests {
    pub fn new(gates: &Arc<Gates>) -> Self {
        let body = |gates: &Arc<Gates>| {
            let gates = gates.clone();
            move |steps: Steps, arguments: Value| play(steps, arguments, gates.clone())
        };
        let stubborn = RetryPolicy { attempts: 2, backoff: Duration::from_secs(10) };
        let brief = TaskLimits { total_seconds: 600, ..TaskLimits::default() };
        let mut once = definition("once");
        once.dedupe_seconds = Some(86_400);
        let (all, no_retry) = (TaskLimits::default, RetryPolicy::default);
        let closures = Closures::new()
            .tool(definition("guest"), "1", body(gates))
            .tool(definition("other"), "1", body(gates))
            .tool(definition("asks"), "1", body(gates))
            .tool(once, "1", body(gates))
            .tool_with(definition("stubborn"), "1", all(), stubborn, body(gates))
            .tool_with(definition("brief"), "1", brief, no_retry(), body(gates));
        Self(closures)
    }

    pub fn catalog(&self) -> Catalog {
        let catalog = self.0.catalog().expect("a catalog");
        catalog.tools().fold(Catalog::default(), |all, entry| {
            let mut tool = entry.tool.clone();
            if tool.definition.name == "asks" {
                tool.effects = Effects { unknown_outcome: UnknownOutcome::Ask, ..Effects::default() };
            }
            let named = (tool.component_name.clone(), tool.component.clone());
            all.with(Component::of_tools(named.0, named.1, vec![tool]).expect("a tool")).expect("a new one")
        })
    }
}

impl Runner for Guests {
    fn inspect(&self, component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>> {
        self.0.inspect(component)
    }

    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome> {
        let running = self.0.run(attempt);
        Box::pin(async move {
            match running.await {
                Outcome::HostFault { message } if message == TRAPPED => {
                    Outcome::Trap { message, backtrace: None }
                }
                Outcome::HostFault { message } => {
                    match message.strip_prefix(UNKNOWN).map(|op| op.parse::<u64>()) {
                        Some(Ok(op)) => Outcome::UnknownOutcome { op, message },
                        _ => Outcome::HostFault { message },
                    }
                }
                outcome => outcome,
            }
        })
    }

    fn settle(&self, _component: &ComponentId, outcome: Option<Value>) -> Result<Vec<u8>, String> {
        Ok(outcome.map_or_else(|| "failed".to_owned(), |outcome| outcome.to_string()).into_bytes())
    }
}

/// Answers each sample with the same word.
pub struct Model;

impl Sampler for Model {
    fn sample(&self, _request: Value, _key: String) -> BoxFuture<Result<Sampled, String>> {
        let message = json!({"model": "m", "role": "assistant", "content": {"type": "text", "text": "word"}});
        Box::pin(std::future::ready(Ok(Sampled { message, tokens: Some(1) })))
    }
}

fn fault(message: String) -> StepError {
    RecorderError::Fault(message).into()
}

fn suspend(reason: WaitingReason, until: Option<u64>, on: WakeOn) -> StepError {
    StepError::suspend(Suspension { reason, until, on: vec![on] })
}

/// What a guest has begun and not ended.
struct Played {
    steps: Steps,
    recorder: Recorder,
    gates: Arc<Gates>,
    heeds: bool,
    /// Holds so far.
    holds: usize,
    calls: Vec<(OpHandle, u64, TaskId)>,
    asked: Option<(OpHandle, u64, u64, u64)>,
}

async fn play(steps: Steps, arguments: Value, gates: Arc<Gates>) -> Result<ToolResult, StepError> {
    let recorder = steps.recorder().clone();
    let (mut from, mut seen) = (0, Vec::<String>::new());
    if let Some(saved) = recorder.restored() {
        (from, seen) = serde_json::from_slice(&saved).expect("its own words");
    }
    let mut played =
        Played { steps, recorder, gates, heeds: false, holds: 0, calls: Vec::new(), asked: None };
    let verbs = arguments["do"].as_str().unwrap_or_default();
    for (number, verb) in verbs.split(", ").enumerate().skip(from) {
        if verb == "checkpoint" {
            let saved = serde_json::to_vec(&(number + 1, &seen)).expect("JSON");
            played.recorder.checkpoint(saved).await?;
        } else {
            seen.push(played.act(number, verb).await?);
        }
    }
    Ok(ToolResult::text(seen.join(" ")))
}

impl Played {
    async fn act(&mut self, number: usize, verb: &str) -> Result<String, StepError> {
        let (verb, rest) = verb.split_once(' ').unwrap_or((verb, ""));
        self.holds += usize::from(verb == "hold" || verb == "stand");
        let (steps, recorder) = (&self.steps, &self.recorder);
        Ok(match verb {
            "record" => steps.step(&format!("{number}"), || async { Ok(format!("record-{number}")) }).await?,
            "note" => {
                let hash = call_hash("note", &[]);
                if matches!(recorder.next(KIND_NOTE, hash, "note")?, Next::Live) {
                    // No timer is to commit it.
                    recorder.with(|_, live| recorder.append(live, KIND_NOTE, hash, b"a note"))?;
                }
                "note".to_owned()
            }
            "op" => self.operation().await?,
            "" => String::new(),
            "large" => "large ".repeat(limits::MAX_INLINE_PAYLOAD_BYTES),
            "flush" => {
                recorder.flush()?;
                "flushed".to_owned()
            }
            "log" => {
                steps.log("a line")?;
                recorder.flush()?;
                "logged".to_owned()
            }
            "progress" => {
                steps.progress(1, Some(2), Some("half"))?;
                recorder.flush()?;
                "told".to_owned()
            }
            "output" => {
                let (name, data) = (format!("out-{number}"), b"data");
                steps.output(OutputOp::Write { name: &name, mime_type: "text/plain", data }).await?;
                "written".to_owned()
            }
            "sleep" => {
                steps.sleep(DAY).await?;
                "slept".to_owned()
            }
            "heed" => {
                self.heeds = true;
                recorder.handles_cancellation();
                "heeds".to_owned()
            }
            "stand" => self.gates.pass(self.holds, recorder, false).await.to_owned(),
            "hold" => self.gates.pass(self.holds, recorder, self.heeds).await.to_owned(),
            "wait" => {
                if !recorder.is_met(&WakeOn::Cancellation).await? {
                    return Err(suspend(WaitingReason::Input, None, WakeOn::Cancellation));
                }
                "asked to end".to_owned()
            }
            "trap_first" if recorder.epoch()? > 0 => "again".to_owned(),
            "trap_first" => return Err(fault(TRAPPED.to_owned())),
            "trap" | "fault" | "limit" if !self.gates.is_broken.load(Ordering::SeqCst) => "mended".to_owned(),
            "trap" => return Err(fault(TRAPPED.to_owned())),
            "fault" => return Err(fault("the machine broke".to_owned())),
            "limit" => {
                let message = "enough is enough".to_owned();
                return Err(RecorderError::Limit { bound: "run_seconds", message }.into());
            }
            "fail" => return Err(StepError::Tool("it did not work".to_owned())),
            "unknown" => self.unknown().await?,
            "put" => {
                let written = steps.state_write("board", &[StateWrite::put(rest, "1")]).await?;
                format!("{written:?}")
            }
            "watch" => self.watch(rest).await?,
            "receive" => self.receive().await?,
            "send" => {
                let to = match (rest, self.calls.first()) {
                    ("parent", _) | (_, None) => Addressee::Parent,
                    (_, Some((_, _, child))) => Addressee::Child(*child),
                };
                format!("{:?}", recorder.send_message(to, "news", "1").await?)
            }
            "call" | "detach" | "try" | "twice" => self.call(verb, rest).await?,
            "join" => self.join().await?,
            "give_up" => {
                for (op, hash, _) in std::mem::take(&mut self.calls) {
                    if !matches!(recorder.op(op)?, Some(Op::Abandoned { .. })) {
                        recorder.give_up_child(op, hash)?;
                    }
                }
                "given up".to_owned()
            }
            "ask" | "sample" => self.ask(verb, number)?,
            "answer" => self.answer().await?,
            "withdraw" => {
                if let Some((op, hash, question, _)) = self.asked.take()
                    && !matches!(recorder.op(op)?, Some(Op::Abandoned { .. }))
                {
                    recorder.withdraw(op, hash, question)?;
                    recorder.flush()?;
                }
                "withdrawn".to_owned()
            }
            other => panic!("a guest knows no '{other}'"),
        })
    }

    async fn operation(&self) -> Result<String, StepError> {
        let recorder = &self.recorder;
        let (op, hash) = (recorder.begin_op()?, call_hash("op", &[]));
        if !matches!(recorder.op(op)?, Some(Op::Done { .. })) {
            recorder.op_intent(op, hash, 1)?;
            recorder.barrier().await?;
            recorder.op_done(op, hash, b"done".to_vec())?;
            recorder.barrier().await?;
        }
        Ok("done".to_owned())
    }

    async fn unknown(&self) -> Result<String, StepError> {
        let recorder = &self.recorder;
        let (op, hash) = (recorder.begin_op()?, call_hash("unknown", &[]));
        match recorder.op(op)? {
            Some(Op::Done { outcome, .. }) => return Ok(String::from_utf8_lossy(&outcome).into_owned()),
            Some(Op::Resend { .. }) => {
                recorder.op_done(op, hash, b"sent again".to_vec())?;
                recorder.barrier().await?;
                return Ok("sent again".to_owned());
            }
            Some(_) => {}
            None => {
                recorder.op_intent(op, hash, 1)?;
                recorder.barrier().await?;
            }
        }
        Err(fault(format!("{UNKNOWN}{}", op.number)))
    }

    async fn watch(&self, key: &str) -> Result<String, StepError> {
        let before = self.steps.state_get("board", key).await?;
        let version = before.map_or(0, |entry| entry.version);
        let on = WakeOn::State { namespace: "board".to_owned(), key: key.to_owned(), version };
        self.recorder.waits_for(std::slice::from_ref(&on));
        if !self.recorder.is_met(&on).await? {
            return Err(suspend(WaitingReason::State, None, on));
        }
        Ok("changed".to_owned())
    }

    async fn receive(&self) -> Result<String, StepError> {
        let recorder = &self.recorder;
        let (op, hash) = (recorder.begin_op()?, call_hash("receive", &[]));
        let message = match recorder.op(op)? {
            Some(Op::Done { outcome, .. }) => Some(messages::decode(&outcome)?),
            _ => recorder.take_message(op, hash, &[]).await?,
        };
        match message {
            Some(message) => Ok(format!("{} {}", message.seq, message.name)),
            None => Err(suspend(WaitingReason::Message, None, WakeOn::Message(Vec::new()))),
        }
    }

    async fn call(&mut self, verb: &str, script: &str) -> Result<String, StepError> {
        let call = ChildCall {
            alternatives: if verb == "try" { vec!["other".to_owned()] } else { Vec::new() },
            retries: u32::from(verb == "twice"),
            detached: verb == "detach",
            ..ChildCall::new("guest", &json!({ "do": script.replace('+', ", ") }))
        };
        let (op, hash) = (self.recorder.begin_op()?, op_hash(&call));
        let started = self.recorder.start_children(&[op], std::slice::from_ref(&call)).await?;
        let ids = started.map_err(|refusal| StepError::Tool(format!("{refusal:?}")))?;
        self.calls.extend(ids.into_iter().map(|id| (op, hash, id)));
        Ok("called".to_owned())
    }

    async fn join(&self) -> Result<String, StepError> {
        let (recorder, mut seen) = (&self.recorder, Vec::new());
        for (op, hash, _) in &self.calls {
            let on = WakeOn::Child { epoch: recorder.epoch()?, op: op.number };
            if !matches!(recorder.op(*op)?, Some(Op::Done { .. })) && !recorder.is_met(&on).await? {
                return Err(suspend(WaitingReason::Child, None, on));
            }
            match recorder.take_child(*op, *hash).await? {
                Some(ChildEnd::Completed(result)) => seen.push(format!("{:?}", result.content)),
                Some(end) => seen.push(format!("{end:?}")),
                None => return Err(suspend(WaitingReason::Child, None, on)),
            }
        }
        Ok(seen.join(" "))
    }

    fn ask(&mut self, verb: &str, number: usize) -> Result<String, StepError> {
        let recorder = &self.recorder;
        let deadline = recorder.now()?.saturating_add(HOUR);
        let (op, hash) = (recorder.begin_op()?, call_hash("ask", &[]));
        let asked = match recorder.op(op)? {
            Some(Op::Abandoned { .. }) => Asked::Open(0),
            Some(known) => recorder.asked(op, &known)?,
            None => {
                let (key, ask) = match verb {
                    "sample" => {
                        let request = json!({"messages": [], "maxTokens": 10}).to_string();
                        (None, Ask::Sample { request, max_tokens: 10 })
                    }
                    _ => {
                        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
                        let message = "how many?".to_owned();
                        (Some(format!("q{number}")), Ask::Form { message, schema: schema.to_string() })
                    }
                };
                recorder.ask(op, hash, Question { key, by: By::Any, ask, deadline })?
            }
        };
        match asked {
            Asked::Open(question) => self.asked = Some((op, hash, question, deadline)),
            Asked::Refused(why) | Asked::Lost(why) => return Err(StepError::Tool(why)),
        }
        Ok("asked".to_owned())
    }

    async fn answer(&self) -> Result<String, StepError> {
        let (recorder, asked) = (&self.recorder, self.asked.expect("a question"));
        let (op, hash, question, deadline) = asked;
        let on = WakeOn::Answer(question);
        let is_there = matches!(recorder.op(op)?, Some(Op::Done { .. })) || recorder.is_met(&on).await?;
        if !is_there && recorder.raw_now() < deadline {
            return Err(suspend(WaitingReason::Input, Some(deadline), on));
        }
        let answer: Answer = recorder.take_answer(op, hash, question).await?;
        Ok(format!("{answer:?}"))
    }
}
