//! The exchanges of one instance: which are under way, when they may leave, and what becomes of them.
//!
//! An exchange whose outcome is on disk contacts nothing. One without is parked while there is a journal to
//! replay, until the guest waits for the first time beyond its end: only there is it sure that the guest still
//! wants it. Until then the guest may let it go, as it did the first time, and it is never sent again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{HeaderName, Method, request};
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::way_out::WayOut;
use super::{body, outcome};
use crate::authority::Grant;
use crate::engine::{Divergence, NamedHosts, Op, OpHandle, RecorderError, StepKind, call_hash};
use crate::limits;
use crate::sandbox::egress::{Answer, Failure, Outgoing, Target, Timeouts};
use crate::sandbox::stop::Stop;
use crate::sandbox::task_host::TaskHost;
use crate::task::{Effects, UnknownOutcome};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The answer, or the error that the guest gets.
pub type Answered = Result<Answer, Error>;

/// What a task's exchanges need of the world outside. Cheap to clone.
#[derive(Clone)]
pub struct Egress {
    pub way_out: WayOut,
    /// Exchanges run there and not on the guests' threads, where a guest that computes would delay them.
    pub runtime: Handle,
    pub effects: Effects,
}

#[derive(Clone)]
pub struct Exchanges(Arc<Shared>);

struct Shared {
    recorder: TaskHost,
    egress: Egress,
    state: Mutex<State>,
    /// Open once the guest is live beyond doubt: parked exchanges may leave.
    gate: watch::Sender<bool>,
    /// The instance has ended: what is under way is cut off.
    cut: watch::Sender<bool>,
    stopped: Notify,
    changed: Notify,
    /// Exchanges of which something is on disk, and that were not held against it yet.
    comparing: watch::Sender<usize>,
}

/// One of them, until it was.
struct Comparing(Arc<Shared>);

impl Comparing {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.comparing.send_modify(|count| *count += 1);
        Self(shared.clone())
    }
}

impl Drop for Comparing {
    fn drop(&mut self) {
        self.0.comparing.send_modify(|count| *count -= 1);
    }
}

#[derive(Default)]
struct State {
    /// The one that the guest's present call begins.
    begun: Option<Arc<Exchange>>,
    /// By the number of the guest's handle, from when it gets the handle until it drops it.
    held: HashMap<u32, Option<Arc<Exchange>>>,
    stop: Option<Stop>,
    /// What the grant did not have.
    refused: NamedHosts,
}

/// One exchange.
struct Exchange {
    op: OpHandle,
    /// For people.
    what: String,
    /// It left in an earlier attempt, it is not known whether it arrived, and nothing allows to send it again.
    unknown: bool,
    phase: Mutex<Phase>,
    let_go: Notify,
}

#[derive(Clone, Copy)]
enum Phase {
    /// With the hash of its request, once it may have left in a way that matters.
    UnderWay {
        intent: Option<u64>,
    },
    /// It has an outcome.
    Over,
    LetGo,
}

impl Exchanges {
    pub fn new(recorder: TaskHost, egress: Egress) -> Self {
        Self(Arc::new(Shared {
            recorder,
            egress,
            state: Mutex::default(),
            gate: watch::Sender::new(false),
            cut: watch::Sender::new(false),
            stopped: Notify::new(),
            changed: Notify::new(),
            comparing: watch::Sender::new(0),
        }))
    }

    /// Takes the request over, in the guest's own order. The receiver ends without a value when the instance is
    /// to end or the guest let the exchange go.
    pub fn begin(
        &self,
        parts: request::Parts,
        target: Target,
        body: WasiBody,
        options: Option<RequestOptions>,
    ) -> Result<oneshot::Receiver<Answered>, RecorderError> {
        let shared = &self.0;
        let op = shared.recorder.begin_op()?;
        let known = shared.recorder.op(op)?;
        let intent = match &known {
            Some(Op::Intent { hash, .. } | Op::Resend { hash, .. }) => Some(*hash),
            _ => None,
        };
        let resent = may_resend(&shared.egress.effects, &parts.method, &target);
        let what = format!("{} {}", parts.method, target.describe());
        if known.is_none() {
            let label = format!("{} {}", parts.method, target.origin());
            shared.recorder.trace_begun(op, StepKind::Http, &label)?;
        }
        let exchange = Arc::new(Exchange {
            op,
            what,
            unknown: matches!(known, Some(Op::Intent { .. })) && !resent,
            phase: Mutex::new(Phase::UnderWay { intent }),
            let_go: Notify::new(),
        });
        {
            let mut state = shared.lock();
            // What is parked leaves first, and may yet end the instance.
            let parked = known.is_some() || state.held.values().flatten().any(|other| other.is_under_way());
            if !parked && !shared.recorder.is_replaying() {
                shared.gate.send_replace(true);
            }
            state.begun = Some(exchange.clone());
        }
        let (sender, receiver) = oneshot::channel();
        let exchanges = self.clone();
        let known = known.map(|op| (op, Comparing::new(shared)));
        shared.egress.runtime.spawn(async move {
            exchanges.run(&exchange, known, Request { parts, target, options }, body, sender).await;
        });
        Ok(receiver)
    }

    /// The task's grant does not have this target.
    pub fn refused(&self, target: &Target, grant: &Grant) {
        let wanted = target.pattern();
        let in_log = self.0.lock().refused.add(&wanted);
        let granted = target.granted_otherwise(grant);
        if let Err(error) = self.0.recorder.refused_by_grant(&wanted, granted, in_log) {
            self.0.stop(error.into());
        }
    }

    /// The guest got a handle for what it began.
    pub fn hold(&self, handle: u32) {
        let mut state = self.0.lock();
        let begun = state.begun.take();
        state.held.insert(handle, begun);
    }

    /// Handles that the guest has.
    pub fn held(&self) -> Vec<u32> {
        self.0.lock().held.keys().copied().collect()
    }

    /// The guest dropped the handle: what is not over will not be looked at.
    pub fn let_go(&self, handle: u32) {
        let Some(Some(exchange)) = self.0.lock().held.remove(&handle) else { return };
        let mut phase = exchange.lock();
        let Phase::UnderWay { intent } = *phase else { return };
        *phase = Phase::LetGo;
        let left = match intent {
            Some(hash) => self.0.recorder.op_abandoned(exchange.op, hash),
            None => {
                self.0.recorder.trace_left(exchange.op);
                Ok(())
            }
        };
        if let Err(error) = left {
            drop(phase);
            return self.0.stop(error.into());
        }
        exchange.let_go.notify_one();
        self.0.changed.notify_one();
    }

    /// The guest waits, beyond the end of its journal: what it holds is what it wants.
    pub fn go_live(&self) -> Result<(), Stop> {
        if *self.0.gate.borrow() {
            return Ok(());
        }
        let mut unknown: Option<Arc<Exchange>> = None;
        for exchange in self.0.lock().held.values().flatten() {
            let is_first = unknown.as_ref().is_none_or(|first| exchange.op.number < first.op.number);
            if exchange.unknown && exchange.is_under_way() && is_first {
                unknown = Some(exchange.clone());
            }
        }
        if let Some(exchange) = unknown {
            return Err(Stop::UnknownOutcome {
                op: exchange.op.number,
                message: format!("{} left, and nobody knows whether it arrived", exchange.what),
            });
        }
        self.0.gate.send_replace(true);
        Ok(())
    }

    /// Whether any has no outcome yet, so that the instance must stay.
    pub fn under_way(&self) -> bool {
        self.0.lock().held.values().flatten().any(|exchange| exchange.is_under_way())
    }

    /// Ends when all that was begun, and of which something is on disk, was held against that.
    pub async fn compared(&self) {
        // The sender lives as long as this does.
        let _ = self.0.comparing.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Ends when one more has come to its end.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Ends when an exchange has found a reason to end the guest.
    pub async fn stopped(&self) -> Stop {
        loop {
            if let Some(stop) = self.take_stop() {
                return stop;
            }
            self.0.stopped.notified().await;
        }
    }

    /// The same for a guest that has ended by itself.
    pub fn take_stop(&self) -> Option<Stop> {
        self.0.lock().stop.take()
    }

    /// The instance has ended.
    pub fn cut(&self) {
        for exchange in self.0.lock().held.values().flatten() {
            *exchange.lock() = Phase::LetGo;
        }
        self.0.cut.send_replace(true);
    }

    async fn run(
        &self,
        exchange: &Exchange,
        known: Option<(Op, Comparing)>,
        request: Request,
        body: WasiBody,
        sender: oneshot::Sender<Answered>,
    ) {
        let (known, mut comparing) = known.unzip();
        // Whatever becomes of the exchange.
        let body = body::drain(body).await;
        let mut cut = self.0.cut.subscribe();
        let answered = tokio::select! {
            biased;
            _ = cut.wait_for(|cut| *cut) => return,
            () = exchange.let_go.notified() => return,
            answered = self.perform(exchange, (known, &mut comparing), request, body) => answered,
        };
        match answered {
            // The guest may have dropped its handle just now.
            Ok(Some(answered)) => drop(sender.send(answered)),
            Ok(None) => {}
            Err(stop) => self.0.stop(stop),
        }
        self.0.changed.notify_one();
    }

    /// `None`: the guest let it go.
    async fn perform(
        &self,
        exchange: &Exchange,
        (known, comparing): (Option<Op>, &mut Option<Comparing>),
        request: Request,
        body: Result<bytes::Bytes, Error>,
    ) -> Result<Option<Answered>, Stop> {
        let (recorder, op) = (&self.0.recorder, exchange.op);
        let body = match body {
            Ok(body) => body,
            // It follows from what the guest wrote: there is nothing to record.
            Err(error) => return Ok(exchange.step(Phase::Over, || Ok(()))?.then_some(Err(error))),
        };
        let hash = request.hash(&body);
        if let Some(known) = &known {
            if known.hash() != hash {
                return Err(diverged(exchange, "the request", known.hash(), hash));
            }
            recorder.op_met(op);
            drop(comparing.take());
        }
        let sends = match known {
            None => 0,
            Some(Op::Done { outcome, .. }) => {
                exchange.step(Phase::Over, || Ok(()))?;
                let outcome = outcome::decode(&outcome).ok_or_else(|| {
                    Stop::HostFault(format!("the recorded outcome of {} is unreadable", exchange.what))
                })?;
                return Ok(Some(outcome.map_err(outcome::error)));
            }
            Some(Op::Abandoned { .. }) => {
                // The guest lets it go before it waits for anything that is not in its journal.
                self.is_live().await;
                return Err(diverged(exchange, "to let go of", hash, hash));
            }
            Some(Op::Intent { sends, .. } | Op::Resend { sends, .. }) => sends,
        };
        self.is_live().await;
        let way_out = &self.0.egress.way_out;
        if let Err(failure) = way_out.check(&request.target).await? {
            return self.over(exchange, hash, Err(failure)).await;
        }
        let is_safe = request.parts.method.is_safe();
        let key = recorder.op_key(op, hash);
        let timeouts = request.timeouts();
        let outgoing = request.outgoing(body, &key);
        if !is_safe {
            let intent = || recorder.op_intent(op, hash, sends.saturating_add(1));
            if !exchange.step(Phase::UnderWay { intent: Some(hash) }, intent)? {
                return Ok(None);
            }
            recorder.barrier().await?;
            crate::crash_point!("op_intent");
        }
        let outcome = way_out.exchange(outgoing, timeouts).await?;
        self.over(exchange, hash, outcome).await
    }

    /// Puts the outcome on disk, and then shows it to the guest. `None`: the guest let it go.
    async fn over(
        &self,
        exchange: &Exchange,
        hash: u64,
        outcome: Result<Answer, Failure>,
    ) -> Result<Option<Answered>, Stop> {
        let recorder = &self.0.recorder;
        let stored = outcome::encode(&outcome).map_err(Stop::HostFault)?;
        if !exchange.step(Phase::Over, || recorder.op_done(exchange.op, hash, stored))? {
            return Ok(None);
        }
        crate::crash_point!("op_done");
        recorder.barrier().await?;
        Ok(Some(outcome.map_err(outcome::error)))
    }
}

impl Exchanges {
    /// The gate is open, which it never is while one is known whose outcome is not.
    async fn is_live(&self) {
        if self.0.gate.subscribe().wait_for(|open| *open).await.is_err() {
            // The sender lives as long as this does.
            std::future::pending::<()>().await;
        }
    }
}

impl Shared {
    fn stop(&self, stop: Stop) {
        self.lock().stop.get_or_insert(stop);
        self.stopped.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Exchange {
    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock()
    }

    fn is_under_way(&self) -> bool {
        matches!(*self.lock(), Phase::UnderWay { .. })
    }

    /// Records and moves on, unless the guest let it go before (then: false). In one go, for what is recorded
    /// of an exchange that was let go could get into the epoch behind a checkpoint.
    fn step(
        &self,
        next: Phase,
        record: impl FnOnce() -> Result<(), RecorderError>,
    ) -> Result<bool, RecorderError> {
        let mut phase = self.lock();
        if !matches!(*phase, Phase::UnderWay { .. }) {
            return Ok(false);
        }
        record()?;
        *phase = next;
        Ok(true)
    }
}

/// A request without its body.
struct Request {
    parts: request::Parts,
    target: Target,
    options: Option<RequestOptions>,
}

impl Request {
    /// Stands for all that leaves.
    fn hash(&self, body: &[u8]) -> u64 {
        let mut headers: Vec<(&str, &[u8])> =
            self.parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        // Stable, so that values of one name keep their order.
        headers.sort_by_key(|(name, _)| *name);
        let count = headers.len().to_le_bytes();
        let mut pieces: Vec<&[u8]> =
            vec![self.parts.method.as_str().as_bytes(), self.target.url().as_str().as_bytes(), &count];
        pieces.extend(headers.iter().flat_map(|(name, value)| [name.as_bytes(), value]));
        pieces.push(body);
        call_hash("http", &pieces)
    }

    fn timeouts(&self) -> Timeouts {
        let options = self.options.unwrap_or_default();
        let given = |wanted: Option<Duration>, most_ms: u64| {
            let most = Duration::from_millis(most_ms);
            wanted.map_or(most, |wanted| wanted.min(most))
        };
        Timeouts {
            connect: given(options.connect_timeout, limits::HTTP_CONNECT_MS),
            first_byte: given(options.first_byte_timeout, limits::HTTP_ANSWER_MS),
            between_bytes: given(options.between_bytes_timeout, limits::HTTP_ANSWER_MS),
        }
    }

    fn outgoing(self, body: bytes::Bytes, key: &str) -> Outgoing {
        let Self { parts, target, .. } = self;
        let request::Parts { method, mut headers, .. } = parts;
        // The client sets them from what it sends.
        headers.remove(header::HOST);
        headers.remove(header::CONTENT_LENGTH);
        if !method.is_safe()
            && !headers.contains_key(IDEMPOTENCY_KEY)
            && let Ok(key) = HeaderValue::from_str(key)
        {
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        // The client would set it.
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let body = (!method.is_safe() || !body.is_empty()).then_some(body);
        Outgoing { method, target, headers, body }
    }
}

/// Whether a request that left and perhaps arrived may leave once more.
fn may_resend(effects: &Effects, method: &Method, target: &Target) -> bool {
    let with_port = format!("{}:{}", target.host(), target.port());
    let honours_keys =
        |host: &String| host.eq_ignore_ascii_case(target.host()) || host.eq_ignore_ascii_case(&with_port);
    method.is_idempotent()
        || effects.unknown_outcome == UnknownOutcome::Retry
        || effects.idempotent_hosts.iter().any(honours_keys)
}

fn diverged(exchange: &Exchange, expected: &str, was: u64, is: u64) -> Stop {
    let Exchange { op, what, .. } = exchange;
    Stop::Diverged(Divergence {
        record: op.at(),
        expected: format!("operation {}: {expected} {was:016x}", op.number),
        actual: format!("{what} ({is:016x})"),
    })
}
