//! One attempt, from dispatch to its end: what is read before, what runs along with it, what its outcome means.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tracing::Instrument;

use super::aside::Aside;
use super::end::{By, Ending, retry_later, total_time_over};
use super::{block, due, end as ending};
use crate::engine::change::commit::commit_event;
use crate::engine::change::lease;
use crate::engine::change::plan::Event;
use crate::engine::commit::Commit;
use crate::engine::effect::Counter;
use crate::engine::error::EngineError;
use crate::engine::family::children::{self, Tree};
use crate::engine::journal::last_lines::trap_detail;
use crate::engine::journal::log_tail::{LogTail, split_log_row};
use crate::engine::journal::ops::Ops;
use crate::engine::journal::records::Journal;
use crate::engine::journal::{checkpoint, prefix};
use crate::engine::memory::entry::{Anchor, Entry, EntryState, Live, arguments_in_memory, begins};
use crate::engine::memory::slot::Slot;
use crate::engine::ports::{ComponentSource, Outcome, Suspension};
use crate::engine::probe::{Probe, Struck};
use crate::engine::random::random;
use crate::engine::record::error::RecorderError;
use crate::engine::record::recorder::Recorder;
use crate::engine::rows;
use crate::engine::runner::{Attempt, Runner};
use crate::engine::shared::Shared;
use crate::engine::trace::{self, LiveTrace, TaskTime, Tracer};
use crate::limits;
use crate::store::{Ack, Need, Snapshot, Space, StoreError};
use crate::task::{
    ComponentId, FailedReason, RetryPolicy, State, Task, TaskError, TaskId, ToolResult, UnknownOutcome,
    WakeOn,
};

/// A fault of our own or of the machine is tried again this often, whatever the tool's policy.
const HOST_FAULT_RETRY: RetryPolicy = RetryPolicy { attempts: 6, backoff: Duration::from_secs(1) };

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
        return;
    }
    drop(state);
    // It lost its lease, and begins again, unless it was reopened as another entry.
    if shared.entry(entry.id).is_some_and(|there| Arc::ptr_eq(&there, entry)) {
        shared.memory.ready.push(entry.clone());
    }
}

/// What an interruption is written with: the task is where it was, and an end may follow.
pub(super) fn interruption() -> Commit {
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

/// What a task's rows say of its journal.
struct Past {
    task: Arc<Task>,
    records: Vec<u8>,
    journal_bytes: u64,
    awake_nanos: u64,
    logical: u64,
    log_durable: u64,
    log_hash: Option<[u8; 8]>,
    ops: Ops,
    checkpoint: Option<(checkpoint::CheckpointRow, Arc<[u8]>)>,
    has_component: bool,
    trace: Tracer,
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

/// What an attempt goes on from, with the state's count of what rewrote that; `None` where none is to begin.
async fn read_past(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<Option<(Past, u64)>, EngineError> {
    let (cached, fresh, epoch, rewritten, is_read) = {
        let state = entry.lock();
        if state.live.is_some() || state.status.state.is_terminal() {
            return Ok(None);
        }
        let is_read = state.rewritten == state.read;
        (state.task.clone(), state.fresh, state.status.epoch, state.rewritten, is_read)
    };
    if !is_read {
        // Memory knows of it since it was queued, and may be ahead of the disk.
        shared.commit(Commit::new())?.await?;
    }
    let past = match cached {
        Some(task) if fresh => {
            let blocks = shared.trace_blocks;
            shared.store.read(move |snapshot| Past::none(snapshot, task, blocks)).await?
        }
        None if fresh => {
            let (id, blocks) = (entry.id, shared.trace_blocks);
            let read = move |snapshot: &Snapshot<'_>| Past::none(snapshot, task_of(snapshot, id)?, blocks);
            shared.store.read_long(read).await?
        }
        cached => {
            let (id, blocks) = (entry.id, shared.trace_blocks);
            shared.store.read_long(move |snapshot| Past::read(snapshot, id, cached, epoch, blocks)).await?
        }
    };
    if !past.has_component {
        let id = past.task.component.clone();
        return Err(EngineError::NoSuchComponent(id));
    }
    Ok(Some((past, rewritten)))
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
        state.live = Some(past.into_live(probe, |tracer, journal| {
            LiveTrace::begin(tracer, time, attempt, journal, was_dropped)
        }));
        state.status.clone()
    };
    let recorder = Recorder::new(shared.clone(), entry.clone(), lease, task.limits.clone());
    let component = component_source(shared.clone(), task.component.clone());
    let memory = slot.guest.clone();
    let attempt = Attempt { task, status, component, recorder: recorder.clone(), memory };
    Ok(Start::Made(Box::new((attempt, recorder))))
}

fn task_of(snapshot: &Snapshot<'_>, id: TaskId) -> Result<Arc<Task>, StoreError> {
    let task = rows::read_task(snapshot, id)?.map(Arc::new);
    task.ok_or_else(|| StoreError::damaged_row(Space::Task, id.as_bytes(), "the row is missing"))
}

impl Past {
    fn none(snapshot: &Snapshot<'_>, task: Arc<Task>, trace_blocks: u32) -> Result<Self, StoreError> {
        Ok(Self {
            has_component: has_component(snapshot, &task.component)?,
            task,
            records: Vec::new(),
            journal_bytes: 0,
            awake_nanos: 0,
            logical: 0,
            log_durable: 0,
            log_hash: None,
            ops: Ops::default(),
            checkpoint: None,
            trace: Tracer::new(trace_blocks),
        })
    }

    fn read(
        snapshot: &Snapshot<'_>,
        id: TaskId,
        cached: Option<Arc<Task>>,
        epoch: u32,
        trace_blocks: u32,
    ) -> Result<Self, StoreError> {
        let task = match cached {
            Some(task) => task,
            None => task_of(snapshot, id)?,
        };
        let mut past = Self::none(snapshot, task, trace_blocks)?;
        if let Some(row) = checkpoint::read(snapshot, id)? {
            let bytes = rows::read_payload(snapshot, &row.state)?;
            (past.awake_nanos, past.logical) = (row.awake_nanos, row.logical);
            past.checkpoint = Some((row, bytes));
        }
        let base = past.checkpoint.as_ref().map_or(0, |(row, _)| row.records);
        let journal = prefix::read_records(snapshot, id, epoch, base)?;
        if let Some((awake_nanos, logical)) = journal.end {
            (past.awake_nanos, past.logical) = (awake_nanos, logical);
        }
        past.ops = Ops::read(snapshot, id, epoch)?;
        past.trace = trace::read(snapshot, id, trace_blocks)?;
        past.journal_bytes = journal.records.len() as u64;
        past.records = journal.records;
        snapshot.scan_prefix(Space::Log, id.as_bytes(), true, |key, row| {
            if let (Some(offset), Some((hash, text))) = (rows::trailing_number(key), split_log_row(row)) {
                past.log_durable = offset + text.len() as u64;
                past.log_hash = Some(hash);
            }
            std::ops::ControlFlow::Break(())
        })?;
        Ok(past)
    }

    /// What it takes of memory.
    fn bytes(&self) -> u64 {
        let checkpoint = self.checkpoint.as_ref().map_or(0, |(_, state)| state.len());
        arguments_in_memory(self.task.arguments.len() as u64) + (self.records.len() + checkpoint) as u64
    }

    /// What the task has of what goes when it ends, as far as it was read: never more than there is.
    fn known(&self) -> [(Space, u64); 3] {
        let trace = self.trace.stored_bytes();
        [(Space::Journal, self.journal_bytes), (Space::Op, self.ops.bytes()), (Space::Trace, trace)]
    }

    fn into_live(
        self,
        probe: Option<Arc<Probe>>,
        begin_trace: impl FnOnce(Tracer, &Journal) -> LiveTrace,
    ) -> Live {
        let awake = Duration::from_nanos(self.awake_nanos);
        let (number, logical, log_start, reports, restored) = match self.checkpoint {
            Some((row, state)) => (row.records, row.logical, row.log_position, row.reports, Some(state)),
            None => (0, 0, 0, 0, None),
        };
        let journal = Journal::resume(self.records, number, logical);
        let trace = begin_trace(self.trace, &journal);
        Live {
            trace,
            journal,
            log: LogTail::new(log_start, self.log_durable, self.log_hash),
            reports,
            changes: Vec::new(),
            writes: Vec::new(),
            report_bytes: 0,
            ops: self.ops,
            journal_bytes: self.journal_bytes,
            awake,
            awake_before: awake,
            replay_spent: Duration::ZERO,
            handles_cancellation: false,
            is_waiting: false,
            restored,
            enqueued: 0,
            settled: 0,
            committed: Arc::new(AtomicU64::new(0)),
            probe,
        }
    }
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

fn of_outcome(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    outcome: &Outcome,
    tree: Option<&Tree>,
) -> Result<Ack, EngineError> {
    let failed = |reason, message: &str, detail| TaskError {
        reason,
        message: message.to_owned(),
        detail,
        op: None,
        protocol: None,
    };
    let was_asked_to_end = state.status.cancel.is_some();
    let error = match outcome {
        Outcome::Completed(_) | Outcome::Protocol(_) | Outcome::Cancelled if was_asked_to_end => {
            return ending::end(shared, entry, state, &Ending::Cancelled(None), By::Itself(None));
        }
        Outcome::Completed(result) => match too_large(result, state) {
            None => return ending::end(shared, entry, state, &Ending::Completed(result), By::Itself(tree)),
            Some(error) => error,
        },
        Outcome::Suspended(suspension) => return suspend(shared, entry, state, suspension),
        Outcome::NoRoom { needs } => {
            entry.needs_memory.store(*needs, Ordering::Relaxed);
            return commit_event(shared, entry, state, Event::Evicted, Commit::new());
        }
        Outcome::Protocol(protocol) => TaskError {
            reason: FailedReason::ProtocolError,
            message: protocol.message.clone(),
            detail: None,
            op: None,
            protocol: Some(protocol.clone()),
        },
        Outcome::Trap { message, backtrace } => {
            let policy = state.task.as_ref().map(|task| task.retry.clone()).unwrap_or_default();
            let detail = trap_detail(state.live.as_ref().map(|live| live.log.last()), backtrace.clone());
            let error = failed(FailedReason::Trap, message, detail);
            return retry_or_fail(shared, entry, state, &policy, error, tree);
        }
        Outcome::HostFault { message } => {
            let error = failed(FailedReason::HostFault, message, None);
            let only_replays = shared.probe_of(entry).is_some_and(|probe| probe.replays_alone());
            let policy = if only_replays { RetryPolicy::default() } else { HOST_FAULT_RETRY };
            return retry_or_fail(shared, entry, state, &policy, error, tree);
        }
        Outcome::Diverged(divergence) => failed(FailedReason::Diverged, &divergence.to_string(), None),
        Outcome::Limit { bound, message } => {
            failed(FailedReason::Limit, message, Some(format!("bound: {bound}")))
        }
        Outcome::Refused { message } => failed(FailedReason::Refused, message, None),
        Outcome::MissingComponent { message } => failed(FailedReason::MissingComponent, message, None),
        Outcome::UnknownOutcome { op, message } => {
            let asks =
                state.task.as_ref().is_some_and(|task| task.effects.unknown_outcome == UnknownOutcome::Ask);
            if asks {
                let event = Event::OutcomeUnknown { op: *op, message };
                return commit_event(shared, entry, state, event, Commit::new());
            }
            TaskError { op: Some(*op), ..failed(FailedReason::UnknownOutcome, message, None) }
        }
        Outcome::Cancelled => failed(FailedReason::HostFault, "the guest ended without an outcome", None),
    };
    ending::end(shared, entry, state, &Ending::Failed(error), By::Itself(tree))
}

/// The error of a result past its bound.
fn too_large(result: &ToolResult, state: &EntryState) -> Option<TaskError> {
    let bound = state.task.as_ref().map_or(limits::DEFAULT_RESULT_KIB, |task| task.limits.result_kib);
    let bytes = result.size_bytes() as u64;
    (bytes > bound << 10).then(|| TaskError {
        reason: FailedReason::Limit,
        message: format!("the result has {bytes} bytes, which is more than result_kib = {bound}"),
        detail: Some("bound: result_kib".to_owned()),
        op: None,
        protocol: None,
    })
}

fn suspend(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    suspension: &Suspension,
) -> Result<Ack, EngineError> {
    // Asked to end while it was live, it now waits for something else: it does not mean to hear of it.
    if state.status.cancel.is_some() && !suspension.on.contains(&WakeOn::Cancellation) {
        return ending::end(shared, entry, state, &Ending::Cancelled(None), By::Itself(None));
    }
    let Suspension { reason, until, on } = suspension;
    let event = Event::Suspended { reason: *reason, until: *until, on };
    commit_event(shared, entry, state, event, Commit::new())
}

/// A trap begins again with a fresh journal and seed; a host fault goes on from the journal.
fn retry_or_fail(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    policy: &RetryPolicy,
    error: TaskError,
    tree: Option<&Tree>,
) -> Result<Ack, EngineError> {
    let failures = state.status.failures + 1;
    let jitter = u32::from_le_bytes(random()?);
    let Some(delay) = policy.delay_after(failures, jitter) else {
        return ending::end(shared, entry, state, &Ending::Failed(error), By::Itself(tree));
    };
    let afresh = if error.reason == FailedReason::HostFault { None } else { Some(random()?) };
    let ack = retry_later(shared, entry, state, delay, afresh)?;
    tracing::warn!(task = %entry.id, failures, error = %error.message, "retrying");
    Ok(ack)
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

fn has_component(snapshot: &Snapshot<'_>, component: &ComponentId) -> Result<bool, StoreError> {
    // Closures are the runner's own; it says so itself if it does not know them.
    if !component.as_str().starts_with("blake3:") {
        return Ok(true);
    }
    Ok(snapshot.get(Space::Component, component.as_str().as_bytes())?.is_some())
}

fn component_source(shared: Arc<Shared>, component: ComponentId) -> ComponentSource {
    ComponentSource::new(move || {
        let digest = component.digest().ok_or_else(|| format!("{component} has no bytes"))?;
        shared
            .store
            .read_blocking(|snapshot| rows::read_blob(snapshot, &digest))
            .map_err(|error| error.to_string())
    })
}
