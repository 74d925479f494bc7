//! One attempt, from dispatch to its end: what is read before, what runs along with it, what its outcome means.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tracing::Instrument;

use super::aside::Aside;
use super::end::{By, Ending, total_time_over};
use super::outcome::of_outcome;
use super::past::{Past, component_source, read_past};
use super::{block, due, end as ending};
use crate::engine::change::commit::commit_event;
use crate::engine::change::lease;
use crate::engine::change::plan::Event;
use crate::engine::commit::Commit;
use crate::engine::effect::Counter;
use crate::engine::error::EngineError;
use crate::engine::family::children;
use crate::engine::memory::entry::{Anchor, Entry, EntryState, begins};
use crate::engine::memory::slot::Slot;
use crate::engine::ports::Outcome;
use crate::engine::probe::Struck;
use crate::engine::record::error::RecorderError;
use crate::engine::record::recorder::Recorder;
use crate::engine::runner::{Attempt, Runner};
use crate::engine::shared::Shared;
use crate::engine::trace::{LiveTrace, TaskTime};
use crate::limits;
use crate::store::{Ack, Need, Space, StoreError};
use crate::task::{FailedReason, State, Task, TaskError};

/// Runs an attempt at a task that is next; the slot is its instance's.
pub async fn drive(shared: Arc<Shared>, runner: Arc<dyn Runner>, entry: Arc<Entry>, slot: Slot) {
    // It may have been queued twice: what woke it also wakes the one who looks after an attempt.
    if std::mem::replace(&mut entry.lock().is_driven, true) {
        return;
    }
    let ended = match begin(&shared, &entry, &slot).await {
        Ok(Some((attempt, recorder))) => {
            shared.memory.counters.count(Counter::Attempts);
            let span = span_of(&attempt.task);
            let driven = async {
                let end = run(&shared, &*runner, &entry, attempt, &recorder).await;
                match shared.probe_of(&entry).and_then(|probe| probe.struck()) {
                    None => settle(&shared, &entry, end).await,
                    Some(Struck::GoesOn) => lose(&shared, &entry).await,
                    Some(Struck::Stays) => Ok(()),
                }
            };
            let settled = driven.instrument(span).await;
            release(&shared, &entry, settled.is_ok());
            settled
        }
        Ok(None) => {
            release(&shared, &entry, false);
            Ok(())
        }
        Err(EngineError::NotLoaded { tool }) => {
            release(&shared, &entry, false);
            // What its component may do now is not known before that is there.
            if !shared.memory.parked.keep(&entry, || shared.catalog().awaits(&tool)) {
                shared.memory.ready.push(entry);
            }
            return;
        }
        Err(error) => {
            release(&shared, &entry, false);
            fail_to_begin(&shared, &entry, error).await
        }
    };
    drop(slot);
    if let Err(error) = ended {
        // The store has latched, or another process ended the task meanwhile: then its row says so.
        tracing::error!(task = %entry.id, %error, "an attempt's end could not be recorded");
    }
}

/// The attempt was interrupted: what it had not committed is gone.
async fn lose(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<(), EngineError> {
    lease::drop_pending(shared, entry).await?;
    if let Some(probe) = shared.probe_of(entry) {
        probe.let_go_on();
    }
    Ok(())
}

/// Lets another attempt begin. What came meanwhile found this one: where the task goes on, it is looked for now.
pub(in crate::engine) fn release(shared: &Arc<Shared>, entry: &Arc<Entry>, goes_on: bool) {
    let mut state = entry.lock();
    (state.is_driven, state.is_leaving) = (false, false);
    let stands_still = state.status.state.is_terminal() || state.status.state.blocked().is_some();
    if !goes_on || state.live.is_some() || stands_still || !shared.is_running() {
        return;
    }
    if state.status.wake.is_some() {
        due::arm(shared, entry, &state);
        shared.memory.settles.notify_one();
        return;
    }
    drop(state);
    // It lost its lease, and begins again, unless it was reopened as another entry.
    if shared.memory.entry(entry.id).is_some_and(|there| Arc::ptr_eq(&there, entry)) {
        shared.memory.ready.push(entry.clone());
    }
}

/// What an interruption is written with: the task is where it was, and an end may follow.
pub(in crate::engine) fn interruption() -> Commit {
    Commit::new().with_need(Need::End)
}

/// What is logged of an attempt bears the trace of the call that made its task.
fn span_of(task: &Task) -> tracing::Span {
    let trace = task.trace.as_ref();
    tracing::info_span!(
        "attempt",
        tool = task.tool,
        traceparent = trace.and_then(|trace| trace.traceparent.as_deref()),
        tracestate = trace.and_then(|trace| trace.tracestate.as_deref()),
    )
}

/// How an attempt ended, seen from outside.
enum End {
    Outcome(Outcome),
    /// It was decided elsewhere, and committed there.
    Stopped,
    Timeout,
    CancelGraceOver,
    Shutdown,
}

/// What became of the beginning of an attempt.
enum Start {
    Made(Box<(Attempt, Recorder)>),
    /// The task needs none.
    Over,
    /// What it was to go on from is not what it was when it was read.
    Rewritten,
}

async fn begin(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    slot: &Slot,
) -> Result<Option<(Attempt, Recorder)>, EngineError> {
    loop {
        let Some((past, rewritten)) = read_past(shared, entry).await? else { return Ok(None) };
        let past_bytes = past.bytes();
        entry.past_bytes.store(past_bytes, Ordering::Relaxed);
        if shared.catalog().awaits(&past.task.tool) {
            return Err(EngineError::NotLoaded { tool: past.task.tool.clone() });
        }
        slot.hold_past(past_bytes);
        match start(shared, entry, past, rewritten, slot)? {
            Start::Made(begun) => return Ok(Some(*begun)),
            Start::Over => return Ok(None),
            // It was settled by its owner meanwhile.
            Start::Rewritten => {}
        }
    }
}

/// Gives the task an instance that goes on from there, unless that is not so any more.
fn start(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    past: Past,
    rewritten: u64,
    slot: &Slot,
) -> Result<Start, EngineError> {
    let task = past.task.clone();
    let lease = shared.next_lease();
    let status = {
        let mut state = entry.lock();
        if state.live.is_some() || state.status.state.is_terminal() {
            return Ok(Start::Over);
        }
        if state.rewritten != rewritten {
            return Ok(Start::Rewritten);
        }
        state.read = rewritten;
        let was_dropped = state.status.state == State::Running;
        if was_dropped {
            // Its lease was lost, and with it what it had not committed.
            drop(commit_event(shared, entry, &mut state, Event::Interrupted, interruption())?);
        }
        // Since it was queued, or by a block that a sweep has not brought to it yet.
        if state.status.state.blocked().is_some() {
            return Ok(Start::Over);
        }
        if let Some(ack) = block::settle(shared, entry, &mut state, &task.component)? {
            drop(ack);
            return Ok(Start::Over);
        }
        // Not awaited: what the guest commits comes after it.
        let mut more = Commit::new().lease(entry.id, lease);
        let rate = entry.gate.get().filter(|_| begins(&state.status)).and_then(|gate| gate.rate_row());
        if let Some((key, row)) = rate {
            more.add_put(Space::Setting, key, row);
        }
        drop(commit_event(shared, entry, &mut state, Event::Started, more)?);
        if state.anchor.is_none() {
            // The wall clock is asked once a process, and never takes time back.
            let logical = shared.clock.wall().saturating_sub(task.created_at).max(past.logical);
            state.anchor = Some(Anchor { elapsed: shared.clock.elapsed(), logical });
        }
        // An earlier process counted what is there.
        state.charge = state.charge.map(|charge| charge.with(&past.known()));
        state.task = Some(task.clone());
        state.fresh = false;
        state.lease = lease;
        let anchor = state.anchor.unwrap_or(Anchor { elapsed: shared.clock.elapsed(), logical: 0 });
        let time = TaskTime::new(
            shared.clock.clone(),
            anchor.elapsed,
            task.created_at.saturating_add(anchor.logical),
        );
        let attempt = state.status.attempt;
        let probe = shared.probe_of(entry).cloned();
        state.live = Some(Box::new(past.into_live(probe, |tracer, journal| {
            LiveTrace::begin(tracer, time, attempt, journal, was_dropped)
        })));
        state.status.clone()
    };
    let recorder = Recorder::new(shared.clone(), entry.clone(), lease, task.limits.clone());
    let component = component_source(shared.clone(), task.component.clone());
    let memory = slot.guest.clone();
    let is_operators_own = shared.is_operators_own(&task);
    let attempt = Attempt { task, status, component, recorder: recorder.clone(), is_operators_own, memory };
    Ok(Start::Made(Box::new((attempt, recorder))))
}

async fn run(
    shared: &Arc<Shared>,
    runner: &dyn Runner,
    entry: &Arc<Entry>,
    attempt: Attempt,
    recorder: &Recorder,
) -> End {
    let mut stop = entry.stop.subscribe();
    stop.mark_unchanged();
    let mut running = shared.memory.running.subscribe();
    let (deadline, is_over) = {
        let state = entry.lock();
        let anchor = state.anchor.unwrap_or(Anchor { elapsed: Duration::ZERO, logical: 0 });
        (anchor.moment(entry.total_nanos()), state.live.is_none())
    };
    if is_over {
        return End::Stopped;
    }
    let guest = runner.run(attempt);
    tokio::pin!(guest);
    // Polled only when something happens to them: the guest comes and goes with each of its steps.
    let mut waiting: FuturesUnordered<BoxFuture<'_, End>> = [
        stop.changed().map(|_| End::Stopped).boxed(),
        running.wait_for(|running| !running).map(|_| End::Shutdown).boxed(),
        shared.clock.sleep_until(deadline).map(|()| End::Timeout).boxed(),
        cancel_grace(shared, entry).map(|()| End::CancelGraceOver).boxed(),
        flush_when_due(entry, recorder)
            .map(|error| End::Outcome(Outcome::HostFault { message: error.to_string() }))
            .boxed(),
    ]
    .into_iter()
    .collect();
    let mut others = Aside::new(waiting.next());
    tokio::select! {
        biased;
        outcome = &mut guest => End::Outcome(outcome),
        Some(end) = &mut others => end,
    }
}

/// Ends when a guest that was asked to end has had its time for it.
async fn cancel_grace(shared: &Shared, entry: &Entry) {
    let mut requests = entry.cancel.subscribe();
    if requests.wait_for(|requested| *requested).await.is_err() {
        return std::future::pending().await;
    }
    let until = shared.clock.elapsed() + Duration::from_millis(limits::CANCEL_GRACE_MS);
    shared.clock.sleep_until(until).await;
}

async fn flush_when_due(entry: &Entry, recorder: &Recorder) -> RecorderError {
    loop {
        entry.flush.due.notified().await;
        if let Err(error) = recorder.flush() {
            return error;
        }
    }
}

/// Records what an attempt came to, as soon as the store takes it.
async fn settle(shared: &Arc<Shared>, entry: &Arc<Entry>, end: End) -> Result<(), EngineError> {
    let tree = children::tree_of(shared, entry).await?;
    let record = |state: &mut EntryState| {
        if state.live.is_none() {
            return Ok(None);
        }
        let recorded = match &end {
            End::Stopped => return Ok(None),
            End::Shutdown => commit_event(shared, entry, state, Event::Interrupted, interruption()),
            End::Timeout => {
                let over = Ending::Failed(total_time_over(entry));
                ending::end(shared, entry, state, &over, By::Itself(tree.as_ref()))
            }
            End::CancelGraceOver => {
                ending::end(shared, entry, state, &Ending::Cancelled(None), By::Itself(None))
            }
            End::Outcome(outcome) => of_outcome(shared, entry, state, outcome, tree.as_ref()),
        };
        recorded.map(Some)
    };
    if let Some(ack) = once_taken(shared, entry, record).await?
        && lease::has_arrived(shared, entry, ack).await?
    {
        crate::crash_point!("settled");
    }
    Ok(())
}

/// What `record` hands over under the task's lock, tried again as long as the store is busy; `None` where there is
/// nothing to record.
async fn once_taken(
    shared: &Shared,
    entry: &Entry,
    mut record: impl FnMut(&mut EntryState) -> Result<Option<Ack>, EngineError>,
) -> Result<Option<Ack>, EngineError> {
    loop {
        let recorded = record(&mut entry.lock());
        match recorded {
            Err(EngineError::Store(why)) if why.passes() => shared.pause(&why).await,
            recorded => return recorded,
        }
    }
}

/// The attempt could not even begin: that one task fails visibly, the others go on.
async fn fail_to_begin(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    error: EngineError,
) -> Result<(), EngineError> {
    let reason = match &error {
        EngineError::NoSuchComponent(_) => FailedReason::MissingComponent,
        EngineError::Store(StoreError::Damaged { .. }) => FailedReason::Damaged,
        EngineError::Store(why) if why.passes() => {
            shared.look_again(entry.id, why);
            return Ok(());
        }
        _ => return Err(error),
    };
    let error = TaskError { reason, message: error.to_string(), detail: None, op: None, protocol: None };
    let ending = Ending::Failed(error);
    let tree = children::tree_of(shared, entry).await?;
    let record = |state: &mut EntryState| match state.status.state.is_terminal() {
        true => Ok(None),
        false => ending::end(shared, entry, state, &ending, By::Itself(tree.as_ref())).map(Some),
    };
    if let Some(ack) = once_taken(shared, entry, record).await? {
        ack.await?;
    }
    Ok(())
}
