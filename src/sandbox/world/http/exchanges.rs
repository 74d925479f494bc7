//! The exchanges of one instance: which are under way, when they may leave, and what becomes of them.
//!
//! An exchange whose outcome is on disk contacts nothing. One without is parked while there is a journal to
//! replay, until the guest waits for the first time beyond its end: only there is it sure that the guest still
//! wants it. Until then the guest may let it go, as it did the first time, and it is never sent again.

mod outcomes;
mod pump;
mod sending;
mod source;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::request;
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::{Body, Gathered};
use super::held::Held;
use super::outcome;
use super::outcome::{Head, Outcome};
use super::request::{Request, may_resend};
use super::streamed::Streamed;
use super::way_out::WayOut;
use crate::authority::Grant;
use crate::engine::{Divergence, NamedHosts, Op, OpHandle, RecorderError, StepKind};
use crate::sandbox::egress::{Answer, Sending, Target};
use crate::sandbox::stop::Stop;
use crate::sandbox::task_host::TaskHost;
use crate::task::Effects;

/// The answer, or the error that the guest gets.
pub type Answered = Result<Given, Error>;

/// An answer as the guest gets it.
pub enum Given {
    Whole(Answer),
    Streams(Head, Streamed),
}

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
    /// Bodies on their way.
    pumps: AtomicUsize,
    /// Requests that a guest in replay sends once more, while it writes their bodies again.
    resending: AtomicUsize,
    /// Bodies that stream and that the guest has, or may yet get.
    bodies: Arc<AtomicUsize>,
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
    /// Its body is not waited for any more: it streams out.
    leaves: Notify,
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
            pumps: AtomicUsize::new(0),
            resending: AtomicUsize::new(0),
            bodies: Arc::default(),
        }))
    }

    /// Takes the request over, in the guest's own order. The receiver ends without a value when the instance is
    /// to end or the guest let the exchange go.
    pub fn begin(
        &self,
        parts: request::Parts,
        target: Target,
        (body, held): (WasiBody, Option<Arc<Held>>),
        options: Option<RequestOptions>,
    ) -> Result<oneshot::Receiver<Answered>, RecorderError> {
        let shared = &self.0;
        let body = Body::new(body, held, shared.egress.runtime.clone());
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
            leaves: Notify::new(),
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

    /// Whether any has no outcome yet, or a body on its way, so that the instance must stay.
    pub fn under_way(&self) -> bool {
        self.is_pumping() || self.0.lock().held.values().flatten().any(|exchange| exchange.is_under_way())
    }

    /// The guest waits, and no longer for its own: bodies that it has not finished stream out, for it may be their answers that it
    /// waits for.
    pub fn leave_unfinished(&self) {
        for exchange in self.0.lock().held.values().flatten() {
            exchange.leaves.notify_one();
        }
    }

    /// Whether replay waits for a server to take a body once more.
    pub fn is_resending(&self) -> bool {
        self.0.resending.load(Ordering::SeqCst) > 0
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
        exchange: &Arc<Exchange>,
        known: Option<(Op, Comparing)>,
        request: Request,
        body: Body,
        sender: oneshot::Sender<Answered>,
    ) {
        let (known, mut comparing) = known.unzip();
        let gathered = match &known {
            Some(known) if known.hash() == request.hash_of_streamed() => Gathered::Grows(body),
            // It left whole.
            Some(_) => body.gather(std::future::pending()).await,
            None => body.gather(exchange.leaves.notified()).await,
        };
        let mut cut = self.0.cut.subscribe();
        let answered = tokio::select! {
            biased;
            _ = cut.wait_for(|cut| *cut) => return,
            () = exchange.let_go.notified() => return,
            answered = async {
                let known = (known, &mut comparing);
                match gathered {
                    Gathered::Whole(body) => self.perform(exchange, known, request, body).await,
                    Gathered::Grows(body) => self.perform_streamed(exchange, known, request, body).await,
                    // It follows from what the guest wrote: there is nothing to record.
                    Gathered::Broken(failure) => {
                        let is_wanted = exchange.step(Phase::Over, || Ok(()));
                        Ok(is_wanted?.then_some(Err(outcome::error(failure))))
                    }
                }
            } => answered,
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
        exchange: &Arc<Exchange>,
        (known, comparing): (Option<Op>, &mut Option<Comparing>),
        request: Request,
        body: Bytes,
    ) -> Result<Option<Answered>, Stop> {
        let (recorder, op) = (&self.0.recorder, exchange.op);
        let hash = request.hash(&body);
        if let Some(known) = &known {
            if known.hash() != hash {
                return Err(diverged_in_hash(exchange, "the request", known.hash(), hash));
            }
            recorder.op_met(op);
            drop(comparing.take());
        }
        let sends = match known {
            None => 0,
            Some(Op::Done { outcome, .. }) => {
                let outcome = outcome::decode(&outcome).ok_or_else(|| unreadable(exchange))?;
                return self.recorded(exchange, hash, outcome, (request, Some(body))).map(Some);
            }
            Some(Op::Abandoned { .. }) => {
                // The guest lets it go before it waits for anything that is not in its journal.
                self.is_live().await;
                return Err(diverged_in_hash(exchange, "to let go of", hash, hash));
            }
            Some(Op::Intent { sends, .. } | Op::Resend { sends, .. }) => sends,
        };
        self.is_live().await;
        let way_out = &self.0.egress.way_out;
        if let Err(failure) = way_out.check(&request.target).await? {
            return self.over(exchange, hash, None, Outcome::Failed(failure)).await;
        }
        let is_safe = request.parts.method.is_safe();
        let key = recorder.op_key(op, hash);
        let timeouts = request.timeouts();
        let outgoing = request.outgoing(Sending::Whole(body), &key);
        if !is_safe {
            let intent = || recorder.op_intent(op, hash, sends.saturating_add(1));
            if !exchange.step(Phase::UnderWay { intent: Some(hash) }, intent)? {
                return Ok(None);
            }
            recorder.barrier().await?;
            crate::crash_point!("op_intent");
        }
        let came = way_out.exchange(outgoing, timeouts).await?;
        self.came(exchange, hash, None, came).await
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

fn diverged_in_hash(exchange: &Exchange, expected: &str, was: u64, is: u64) -> Stop {
    diverged(exchange, &format!("{expected} {was:016x}"), &format!("{is:016x}"))
}

fn diverged(exchange: &Exchange, expected: &str, actual: &str) -> Stop {
    let Exchange { op, what, .. } = exchange;
    Stop::Diverged(Divergence {
        record: op.at(),
        expected: format!("operation {}: {expected}", op.number),
        actual: format!("{what} ({actual})"),
    })
}

fn unreadable(exchange: &Exchange) -> Stop {
    Stop::HostFault(format!("the recorded outcome of {} is unreadable", exchange.what))
}
