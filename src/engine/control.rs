//! What moves a task beside its own guest: its end, a timer, cancellation, a retry by its owner.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::audit::{self, Deed, Subject};
use super::commit::Commit;
use super::effect::Effect;
use super::entry::{Anchor, Entry, EntryState};
use super::feed::{ResourceKey, TaskChange};
use super::metrics::Counter;
use super::submit::random;
use super::view::TaskDocument;
use super::{EngineError, Shared, TaskEngine, rows};
use super::{children, prefix, sweep, wake};
use crate::authority::Principal;
use crate::store::{Ack, Batch, Guard, Snapshot, Space, StoreError};
use crate::task::{CancelRequest, FailedReason, Status, TaskError, TaskEvent, TaskId, ToolResult, WakeOn};

/// How a task leaves the open ones.
pub enum Ending {
    Completed(ToolResult),
    Failed(TaskError),
    Cancelled(Option<CancelRequest>),
}

/// Ends a task: one commit with everything that was not committed yet. Enqueued before the lock is let go;
/// whatever an instance does afterwards finds its lease void.
pub fn end(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    ending: Ending,
) -> Result<Ack, EngineError> {
    end_by(shared, entry, state, ending, None)
}

/// A cancellation that its guest does not hear of, with its row in the audit.
fn cancel_now(
    shared: &Arc<Shared>,
    by: &Principal,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    request: CancelRequest,
) -> Result<Ack, EngineError> {
    end_by(shared, entry, state, Ending::Cancelled(Some(request)), Some(by))
}

fn end_by(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    ending: Ending,
    by: Option<&Principal>,
) -> Result<Ack, EngineError> {
    let id = entry.id;
    let next = state.status.state.after(match &ending {
        Ending::Completed(_) => TaskEvent::Completed,
        Ending::Failed(error) => TaskEvent::Failed(error.reason),
        Ending::Cancelled(_) => TaskEvent::Cancelled,
    })?;
    if let (Ending::Completed(_), Some(live)) = (&ending, state.live.as_mut()) {
        // Nobody will replay it: its last records need not be written to be deleted in the same breath.
        live.journal.take_flush();
    }
    // What else may be tried in the place of a child stands in the commit of its end.
    let failed = match &ending {
        Ending::Completed(result) => result.is_error,
        Ending::Failed(_) => true,
        Ending::Cancelled(_) => false,
    };
    let parent = entry.link.and_then(|link| shared.entry(link.parent));
    let mut siblings = parent.as_ref().map(|parent| parent.children());
    let mut commit = leave_memory(entry, state)?;
    children::at_end(shared, entry, state, failed, siblings.as_deref_mut(), &mut commit)?;
    if let Some(by) = by {
        audit::admitted(shared, &mut commit, by, Subject::of_task(Deed::Cancel, id))?;
    }
    let now = shared.clock.wall();
    let status = &mut state.status;
    (status.state, status.updated_at, status.ended_at, status.wake) = (next, now, Some(now), None);
    // Nobody waits for an answer any more.
    let asked = !status.questions.open.is_empty();
    status.questions.open.clear();
    let counter = match ending {
        Ending::Completed(result) => {
            let payload = rows::put_payload(&mut commit, id, &rows::encode(&result)?);
            commit.add_put(Space::Result, id.as_bytes().as_slice(), rows::encode(&payload)?);
            commit.add_delete_prefix(Space::Journal, id.as_bytes().as_slice());
            commit.add_delete_prefix(Space::Op, id.as_bytes().as_slice());
            commit.add_delete(Space::Checkpoint, id.as_bytes().as_slice());
            Counter::Completed
        }
        Ending::Failed(error) => {
            status.error = Some(error);
            Counter::Failed
        }
        Ending::Cancelled(request) => {
            status.cancel = request.or(status.cancel.take());
            Counter::Cancelled
        }
    };
    commit.add_put(Space::Status, id.as_bytes().as_slice(), rows::encode(status)?);
    commit.add_delete(Space::Open, id.as_bytes().as_slice());
    commit.add_put(Space::Ended, sweep::ended_key(now, id), Vec::new());
    commit.add_effect(Effect::Counted(counter));
    commit.add_effect(Effect::Ended(id));
    commit.changed(ResourceKey::Task(id));
    commit.changed(ResourceKey::Result(id));
    commit.changed(ResourceKey::Tasks(entry.principal.clone()));
    // Whoever reads an output is told that it will not grow any more.
    for output in &status.outputs {
        commit.changed(ResourceKey::Output(id, output.name.clone()));
    }
    commit.happened(id, TaskChange::State(next));
    if asked {
        commit.asked_below(entry.link);
    }
    let ack = shared.commit(commit)?;
    drop(siblings);
    entry.stop.send_modify(|count| *count += 1);
    Ok(ack)
}

/// Takes the instance out of an entry: a commit with what it had not committed yet, and the end of its lease.
/// The counters that its journal held stand in the status from here on.
pub fn leave_memory(entry: &Entry, state: &mut EntryState) -> Result<Commit, StoreError> {
    let mut commit = state.take_pending(entry)?.unwrap_or_default();
    if let Some(live) = state.live.take() {
        state.status.steps = live.journal.next_number();
        state.status.awake_nanos = u64::try_from(live.awake.as_nanos()).unwrap_or(u64::MAX);
        state.status.log_bytes = live.log.position().max(live.log.durable());
        commit = commit.end_lease(entry.id);
    }
    state.lease = 0;
    Ok(commit)
}

/// A timer of this task has fired.
pub fn due(shared: &Arc<Shared>, id: TaskId) {
    let Some(entry) = shared.entry(id) else { return };
    let mut state = entry.lock();
    if state.live.is_some() || state.status.state.is_terminal() {
        return;
    }
    let now = state.anchor.map_or(0, |anchor| anchor.now(&*shared.clock));
    if now >= entry.total_nanos() {
        let error = total_time_over(&entry);
        if let Err(error) = end(shared, &entry, &mut state, Ending::Failed(error)) {
            tracing::error!(task = %id, %error, "cannot end a task whose total time is over");
        }
        return;
    }
    let wake_at = state.status.wake.as_ref().and_then(|wake| wake.due);
    if wake_at.is_some_and(|at| at.saturating_sub(entry.created_at) <= now) {
        drop(state);
        shared.memory.ready.push(entry);
        return;
    }
    // Before the store is asked: a nudge that comes after the question sets the timer anew.
    shared.memory.timers.set(id, moment(&entry, &state));
    let on = state.status.wake.as_ref().map_or_else(Vec::new, |wake| wake.on.clone());
    drop(state);
    if on.is_empty() {
        return;
    }
    shared.memory.state.watchers.set(id, &on);
    let wall = shared.clock.wall();
    match shared.store.read(|snapshot| wake::any_met(snapshot, id, &on, wall)) {
        Ok(false) => {}
        Ok(true) => shared.memory.ready.push(entry),
        Err(error) => tracing::error!(task = %id, %error, "cannot tell whether a task's wait is over"),
    }
}

/// When this process has to look at a task that is not live: its wake, or the end of its total time.
pub fn moment(entry: &Entry, state: &EntryState) -> Duration {
    let total = entry.total_nanos();
    let wake = state.status.wake.as_ref().and_then(|wake| wake.due);
    let logical = wake.map_or(total, |at| at.saturating_sub(entry.created_at).min(total));
    state.anchor.unwrap_or(Anchor { elapsed: Duration::ZERO, logical: 0 }).moment(logical)
}

pub fn total_time_over(entry: &Entry) -> TaskError {
    TaskError {
        reason: FailedReason::Timeout,
        message: format!("the total time of {} s (total_seconds) is over", entry.total_seconds),
        detail: None,
        op: None,
        protocol: None,
    }
}

impl TaskEngine {
    /// Asks a task to end, or ends it at once where its guest does not heed cancellation. A task that has
    /// ended already stays as it is.
    pub async fn cancel(
        &self,
        principal: &Principal,
        id: TaskId,
        reason: Option<String>,
    ) -> Result<TaskDocument, EngineError> {
        let done = self.cancel_task(principal, id, reason).await;
        self.audited(principal, Subject::of_task(Deed::Cancel, id), done)
    }

    /// Cancels a task whose call its client gave up, unless another call has found it since: that one goes on.
    pub async fn give_up(
        &self,
        principal: &Principal,
        id: TaskId,
        reason: &str,
    ) -> Result<TaskDocument, EngineError> {
        let is_joined = |entry: Arc<Entry>| entry.joined.load(Ordering::Relaxed);
        if self.shared.entry(id).is_some_and(is_joined) {
            return self.task(principal, id);
        }
        self.cancel(principal, id, Some(reason.to_owned())).await
    }

    async fn cancel_task(
        &self,
        principal: &Principal,
        id: TaskId,
        reason: Option<String>,
    ) -> Result<TaskDocument, EngineError> {
        let document = self.task(principal, id)?;
        let subject = Subject::of_task(Deed::Cancel, id);
        if document.is_terminal() {
            audit::repeated(&self.shared, principal, subject, "ended");
            return Ok(document);
        }
        if let Some(entry) = self.shared.entry(id) {
            let request = CancelRequest { at: self.shared.clock.wall(), reason };
            match cancel(&self.shared, principal, &entry, request)? {
                Some(ack) => drop(ack.await?),
                None => audit::repeated(&self.shared, principal, subject, "cancelled_already"),
            }
        } else if !self.shared.is_running() {
            self.cancel_on_disk(principal, id, reason).await?;
        }
        self.task(principal, id)
    }

    /// Without a running engine there is no entry: the row alone changes.
    async fn cancel_on_disk(
        &self,
        principal: &Principal,
        id: TaskId,
        reason: Option<String>,
    ) -> Result<(), EngineError> {
        let task = self.shared.store.read(|snapshot| rows::read_task(snapshot, id))?;
        let status = self.shared.store.read(|snapshot| rows::read_status(snapshot, id))?;
        let (Some(task), Some(status)) = (task, status) else { return Err(EngineError::NoSuchTask(id)) };
        let entry = Entry::of(&task, status);
        let request = CancelRequest { at: self.shared.clock.wall(), reason };
        let ack = cancel_now(&self.shared, principal, &entry, &mut entry.lock(), request)?;
        ack.await?;
        Ok(())
    }

    /// Tries a failed or cancelled task again, under its id: from the start, or keeping its journal's records
    /// before `from_step`.
    pub async fn retry(
        &self,
        principal: &Principal,
        id: TaskId,
        from_step: Option<u64>,
    ) -> Result<TaskDocument, EngineError> {
        let done = self.retry_task(principal, id, from_step).await;
        self.audited(principal, Subject::of_task(Deed::Retry, id), done)
    }

    async fn retry_task(
        &self,
        principal: &Principal,
        id: TaskId,
        from_step: Option<u64>,
    ) -> Result<TaskDocument, EngineError> {
        let document = self.task(principal, id)?;
        let shared = &self.shared;
        let (mut task, mut status, was) = shared
            .store
            .read(|snapshot| {
                let row = snapshot.get(Space::Status, id.as_bytes())?;
                Ok((rows::read_task(snapshot, id)?, rows::read_status(snapshot, id)?, row))
            })
            .map(|(task, status, was)| (task, status, was.unwrap_or_default()))
            .and_then(|(task, status, was)| match (task, status) {
                (Some(task), Some(status)) => Ok((task, status, was)),
                _ => Err(StoreError::damaged_row(Space::Task, id.as_bytes(), "the row is missing")),
            })?;
        status.state = status.state.after(TaskEvent::Retried).map_err(|_| EngineError::WrongState {
            task: id,
            state: document.state.clone(),
            hint: "only a failed or cancelled task can be retried",
        })?;
        let now = shared.clock.wall();
        let guard = Guard::Is { space: Space::Status, key: id.as_bytes().to_vec(), value: was };
        let mut commit = Commit::new().guard(guard);
        status.questions.renew();
        match from_step {
            None => start_over(id, &mut status, random()?, &mut commit),
            Some(step) => {
                shared.store.read(|snapshot| prefix::keep(snapshot, id, &mut status, step, &mut commit))??
            }
        }
        status.attempt += 1;
        if let Some(at) = status.ended_at {
            commit.add_delete(Space::Ended, sweep::ended_key(at, id));
        }
        (status.failures, status.updated_at, status.ended_at) = (0, now, None);
        status.since = now.max(task.created_at);
        (status.error, status.cancel, status.wake) = (None, None, None);
        commit.add_put(Space::Status, id.as_bytes().as_slice(), rows::encode(&status)?);
        commit.add_put(Space::Open, id.as_bytes().as_slice(), Vec::new());
        let subject = Subject::of_task(Deed::Retry, id).tool(&task.tool, &task.component);
        audit::admitted(shared, &mut commit, principal, subject)?;
        commit.changed(ResourceKey::Task(id));
        commit.changed(ResourceKey::Tasks(task.principal.clone()));
        commit.changed(ResourceKey::Log(id));
        commit.happened(id, TaskChange::State(status.shown()));
        let logical = now.saturating_sub(task.created_at);
        let again = |snapshot: &Snapshot<'_>| {
            children::take_up_again(shared, snapshot, &mut task, &mut commit)?;
            let entry = Entry::of(&task, status);
            children::find_again(shared, snapshot, &entry)?;
            Ok(entry)
        };
        let entry = shared.store.read(again)?;
        if let Some(step) = from_step {
            children::call_again(shared, &entry, step, &mut commit)?;
        }
        entry.lock().anchor = Some(Anchor { elapsed: shared.clock.elapsed(), logical });
        commit.opens(entry, Duration::ZERO);
        shared.commit(commit)?.await.map_err(|error| match error {
            StoreError::Refused(_) => EngineError::WrongState {
                task: id,
                state: "being changed by somebody else".to_owned(),
                hint: "look at it again",
            },
            other => other.into(),
        })?;
        self.task(principal, id)
    }
}

/// `None` where somebody was faster.
pub fn cancel(
    shared: &Arc<Shared>,
    by: &Principal,
    entry: &Arc<Entry>,
    request: CancelRequest,
) -> Result<Option<Ack>, EngineError> {
    let mut state = entry.lock();
    if state.status.state.is_terminal() {
        return Ok(None);
    }
    let heeds = match &state.live {
        Some(live) => live.heeds_cancellation,
        None => state.status.wake.as_ref().is_some_and(|wake| wake.on.contains(&WakeOn::Cancellation)),
    };
    if !heeds {
        return cancel_now(shared, by, entry, &mut state, request).map(Some);
    }
    if state.status.cancel.is_some() {
        return Ok(None);
    }
    let id = entry.id;
    state.status.cancel = Some(request);
    state.status.updated_at = shared.clock.wall();
    let mut commit = Commit::new();
    commit.add_put(Space::Status, id.as_bytes().as_slice(), rows::encode(&state.status)?);
    audit::admitted(shared, &mut commit, by, Subject::of_task(Deed::Cancel, id))?;
    commit.changed(ResourceKey::Task(id));
    commit.add_effect(Effect::CancelRequested(id));
    Ok(Some(shared.commit(commit)?))
}

/// A retry from the start: a fresh journal and seed; what the failed try had shown goes.
pub fn start_over(id: TaskId, status: &mut Status, seed: [u8; 32], batch: &mut Batch) {
    batch.add_delete_prefix(Space::Op, id.as_bytes().as_slice());
    batch.add_delete_prefix(Space::Journal, id.as_bytes().as_slice());
    batch.add_delete_prefix(Space::Log, id.as_bytes().as_slice());
    batch.add_delete_prefix(Space::Output, id.as_bytes().as_slice());
    batch.add_delete(Space::Checkpoint, id.as_bytes().as_slice());
    children::forget_pointers(id, batch);
    status.epoch += 1;
    status.retry += 1;
    status.seed = seed;
    (status.reports, status.steps, status.awake_nanos, status.log_bytes) = (0, 0, 0, 0);
    (status.progress, status.message) = (None, None);
    status.outputs.clear();
    status.questions.open.clear();
}
