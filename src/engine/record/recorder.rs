//! What a runner holds of an attempt: replay or execute, logical time, and what the guest tells the
//! world. Cheap to clone, used from the guest's threads.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::error::RecorderError;
use super::output::{OutputError, OutputOp};
use super::status_handle::StatusHandle;
use super::{checkpoint, output};
use crate::authority::Powers;
use crate::engine::change::commit::commit_pending;
use crate::engine::change::draft::Parts;
use crate::engine::change::lease;
use crate::engine::commit::Commit;
use crate::engine::feed::TaskChange;
use crate::engine::journal::records::{FIRST_ENGINE_KIND, KIND_OUTPUT, KIND_TIME, Next};
use crate::engine::memory::entry::{Anchor, Entry, EntryState, Live};
use crate::engine::ports::Suspension;
use crate::engine::probe::Idle;
use crate::engine::rows;
use crate::engine::rows::Payload;
use crate::engine::shared::Shared;
use crate::engine::trace::StepKind;
use crate::limits;
use crate::store::{Ack, Lsn, Space, StoreError};
use crate::task::{TaskLimits, WakeOn};

#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    lease: u64,
    of_attempt: Arc<OfAttempt>,
}

/// What all clones of one attempt's recorder share.
struct OfAttempt {
    bounds: TaskLimits,
    /// What the task may do, and how many changes of that had been counted when it was asked.
    powers: Mutex<Option<(u64, Arc<Powers>)>>,
}

impl Recorder {
    pub(in crate::engine) fn new(
        shared: Arc<Shared>,
        entry: Arc<Entry>,
        lease: u64,
        bounds: TaskLimits,
    ) -> Self {
        let of_attempt = Arc::new(OfAttempt { bounds, powers: Mutex::default() });
        Self { shared, entry, lease, of_attempt }
    }

    /// Replay or execute, the one branch. Kinds 1 to 199 are the runner's; `hash` stands for the call with
    /// its arguments and must be what the journal has at this place; `what` names the call for people.
    pub fn next(&self, kind: u8, hash: u64, what: &str) -> Result<Next, RecorderError> {
        debug_assert!(kind != KIND_TIME && kind < FIRST_ENGINE_KIND);
        self.next_step(Some((StepKind::Step, what)), (kind, hash), what)
    }

    /// The same for a record, of any kind, that is another step to the task's trace, or none. The step's label is for
    /// people, and must have nothing of the arguments.
    pub fn next_step(
        &self,
        step: Option<(StepKind, &str)>,
        call: (u8, u64),
        what: &str,
    ) -> Result<Next, RecorderError> {
        self.with(|_, live| live.next(step, call, what))
    }

    /// Whether this attempt is there to replay and does nothing new.
    pub fn replays_alone(&self) -> bool {
        self.shared.probe_of(&self.entry).is_some_and(|probe| probe.replays_alone())
    }

    /// Append what happened, after [`Next::Live`]. Durable with the next barrier or flush.
    pub fn record(&self, kind: u8, hash: u64, payload: &[u8]) -> Result<(), RecorderError> {
        self.with(|_, live| self.append(live, kind, hash, payload))?;
        self.shared.dirty.add(&self.entry);
        Ok(())
    }

    /// Whether records are left to replay.
    pub fn is_replaying(&self) -> bool {
        self.with(|_, live| Ok(live.journal.is_replaying())).unwrap_or(false)
    }

    /// To be called when the guest has ended, in whatever way: nothing may be left to replay. Its error
    /// wins over the guest's own end.
    pub fn finish(&self) -> Result<(), RecorderError> {
        self.with(|_, live| {
            live.journal.finish()?;
            live.note_unmet();
            Ok(live.log.finish(live.journal.next_number())?)
        })
    }

    /// The guest's clock: nanoseconds since the task was created, in whole milliseconds.
    pub fn now(&self) -> Result<u64, RecorderError> {
        let clock = self.shared.clock.clone();
        let now = self.with(|state, live| {
            let anchor = state.anchor;
            let is_live = !live.journal.is_replaying();
            let now = live.journal.read_clock(|| anchor.map_or(0, |anchor| anchor.now(&*clock)));
            self.check_journal(live)?;
            live.check_probe(is_live)?;
            Ok(now)
        })?;
        self.shared.dirty.add(&self.entry);
        Ok(now)
    }

    /// When the task was created: nanoseconds since the Unix epoch. With [`Recorder::now`], the wall clock.
    pub fn created_at(&self) -> u64 {
        // The first 48 bits of a UUIDv7 are its milliseconds.
        let bytes = self.entry.id.as_bytes();
        let millis = bytes[..6].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        millis.saturating_mul(1_000_000)
    }

    /// Logical time as it is, for timers; what the guest sees is [`Recorder::now`].
    pub fn raw_now(&self) -> u64 {
        self.anchor().now(&*self.shared.clock)
    }

    /// Ends when logical time has reached `deadline`.
    pub fn sleep_until(&self, deadline: u64) -> impl Future<Output = ()> + Send + 'static {
        let at = self.anchor().moment(deadline);
        self.shared.clock.sleep_until(at)
    }

    /// All that was recorded and reported so far is on disk when this returns.
    pub async fn barrier(&self) -> Result<(), RecorderError> {
        let queued = self.enqueue(&mut *self.lock_live()?);
        self.wait_for(queued).await
    }

    /// Hands over what is pending, under the lock of this attempt: what is to be waited for, and which batch that is.
    /// `None` where all is on disk.
    fn enqueue(&self, state: &mut EntryState) -> Result<Option<(Ack, u64)>, StoreError> {
        if !state.has_pending() && state.live.as_deref().is_none_or(Live::is_settled) {
            return Ok(None);
        }
        // Where nothing is pending: what is on its way is committed before this.
        let ack = commit_pending(&self.shared, &self.entry, state, Parts::ALL, Commit::new())?;
        Ok(Some((ack, state.live.as_ref().map_or(0, |live| live.enqueued))))
    }

    /// What was handed over is on disk when this returns. What the store did not take is handed over once it does.
    async fn wait_for(
        &self,
        mut queued: Result<Option<(Ack, u64)>, StoreError>,
    ) -> Result<(), RecorderError> {
        let (ack, number) = loop {
            match queued {
                Ok(None) => return Ok(()),
                Ok(Some(queued)) => break queued,
                // It stays pending, and the guest waits.
                Err(why) if why.passes() => self.shared.pause(&why).await,
                Err(error) => return Err(fault(error)),
            }
            queued = self.enqueue(&mut *self.lock_live()?);
        };
        self.settled(ack.await).await?;
        let mut state = self.entry.lock();
        // Another attempt counts from the beginning.
        if self.check_lease(&state).is_ok()
            && let Some(live) = state.live.as_mut()
        {
            live.settled = live.settled.max(number);
        }
        Ok(())
    }

    /// The same without waiting for it.
    pub fn flush(&self) -> Result<(), RecorderError> {
        let mut state = self.entry.lock();
        self.check_lease(&state)?;
        if state.has_pending() {
            let parts = Parts { is_marked: true, ..Parts::ALL };
            match commit_pending(&self.shared, &self.entry, &mut state, parts, Commit::new()) {
                Ok(_) => {}
                // It stays pending, and is tried again after a moment.
                Err(why) if why.passes() => self.mark_dirty(),
                Err(error) => return Err(fault(error)),
            }
        }
        Ok(())
    }

    /// The guest waits: what it said so far goes on its way to the disk. What it asked is all for now, which those who
    /// follow the task hear where they have heard of its questions before.
    pub fn begin_wait(&self) -> Result<(), RecorderError> {
        let was_heard = self.with(|state, live| {
            let began = !std::mem::replace(&mut live.is_waiting, true);
            let is_pending = live.changes.iter().any(|change| matches!(change, TaskChange::Questions));
            Ok(began && !is_pending && !state.status().questions.open.is_empty())
        })?;
        self.flush()?;
        if was_heard {
            self.shared.memory.feed.happened(self.entry.id, &[TaskChange::Questions]);
        }
        Ok(())
    }

    /// Commits what is pending with what `record` adds to the instance, and the rows and effects of `more`. An error,
    /// also the inner one, which is the store's, leaves the instance as it was; `ops` are those that `record` changes.
    pub(in crate::engine) fn commit_recorded(
        &self,
        state: &mut EntryState,
        ops: &[u64],
        parts: Parts,
        record: impl FnOnce(&mut Live) -> Result<(), RecorderError>,
        more: Commit,
    ) -> Result<Result<Ack, StoreError>, RecorderError> {
        let Some(live) = state.live.as_mut() else { return Err(lease_lost()) };
        let place = live.place(ops);
        let committed = record(live).map(|()| commit_pending(&self.shared, &self.entry, state, parts, more));
        if !matches!(committed, Ok(Ok(_)))
            && let Some(live) = state.live.as_mut()
        {
            live.return_to(place);
        }
        committed
    }

    /// The store's answer to a commit of this attempt. One that it refuses was written under a lease that is void: the
    /// attempt is over, and the task goes on from what is on disk.
    pub(in crate::engine) async fn settled(
        &self,
        answer: Result<Lsn, StoreError>,
    ) -> Result<(), RecorderError> {
        if let Err(StoreError::Refused(_)) = &answer {
            lease::lose_lease(&self.shared, &self.entry, self.lease).await;
        }
        answer.map(drop).map_err(fault)
    }

    /// Waits for the disk if too much waits for it; for loops of cheap records.
    pub async fn flush_if_full(&self) -> Result<(), RecorderError> {
        let pending = self.with(|_, live| {
            Ok(live.journal.pending_bytes() + live.log.pending_bytes() + live.report_bytes)
        })?;
        if pending > limits::MAX_PENDING_JOURNAL_BYTES { self.barrier().await } else { Ok(()) }
    }

    /// One step: an output is opened, grows, or is closed. Durable when this returns; the inner error is the
    /// guest's.
    pub async fn output(&self, op: OutputOp<'_>) -> Result<Result<(), OutputError>, RecorderError> {
        let what = op.describe();
        let hash = op.hash(&what);
        let (answer, queued) = {
            let mut state = self.lock_live()?;
            let state = &mut *state;
            let Some(live) = state.live.as_mut() else { return Err(lease_lost()) };
            match live.next(Some((StepKind::Output, &what)), (KIND_OUTPUT, hash), &what)? {
                Next::Replayed(payload) => {
                    return output::decode_replayed(&payload).ok_or_else(|| {
                        RecorderError::Fault(format!("the journal's record of '{what}' is unreadable"))
                    });
                }
                Next::Live => {}
            }
            let answer = output::apply(self.entry.id, &mut state.status, live, &op);
            self.append(live, KIND_OUTPUT, hash, &output::record(&op, &state.status, &answer))?;
            if answer.is_ok() {
                state.status_dirty = true;
                state.status.updated_at = self.shared.clock.wall();
                live.changes.push(TaskChange::Output { name: op.name().into() });
            }
            (answer, self.enqueue(state))
        };
        self.wait_for(queued).await?;
        Ok(answer)
    }

    /// Saves `state`, drops the journal so far and begins the next epoch: one commit.
    pub async fn checkpoint(&self, state: Vec<u8>) -> Result<(), RecorderError> {
        let ack = loop {
            let saved = {
                let mut entry = self.entry.lock();
                self.check_lease(&entry)?;
                if let Some(live) = &entry.live {
                    live.check_probe(true)?;
                    if let Some(probe) = &live.probe {
                        probe.note_saved(live.awake);
                    }
                }
                checkpoint::save(&self.shared, &self.entry, &mut entry, &state)?
            };
            match saved {
                Ok(ack) => break ack,
                Err(why) if why.passes() => self.shared.pause(&why).await,
                Err(error) => return Err(fault(error)),
            }
        };
        self.settled(ack.await).await
    }

    /// What the last checkpoint saved, if the task has one.
    pub fn restored(&self) -> Option<Arc<[u8]>> {
        self.with(|_, live| Ok(live.restored.clone())).ok().flatten()
    }

    /// Whether the guest was asked to end. Not journaled: the runner records what the guest sees of it.
    pub fn cancel_requested(&self) -> bool {
        *self.entry.cancel.borrow()
    }

    /// Ends once the guest is asked to end.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut requests = self.entry.cancel.subscribe();
        async move {
            if requests.wait_for(|requested| *requested).await.is_err() {
                // The entry is gone, and no request can come.
                std::future::pending::<()>().await;
            }
        }
    }

    /// This guest wants to hear of a cancellation, and to have CANCEL_GRACE_MS to clean up.
    pub fn handles_cancellation(&self) {
        // Without a live instance there is nothing that could handle it.
        let _ = self.with(|_, live| {
            live.handles_cancellation = true;
            Ok(())
        });
    }

    /// 32 bytes of randomness, the same at every replay of this epoch.
    pub fn seed(&self) -> [u8; 32] {
        self.entry.lock().status.seed
    }

    /// An instance of it grew to so many bytes of memory.
    pub fn took_memory(&self, bytes: u64) {
        if let Some(probe) = self.shared.probe_of(&self.entry) {
            probe.note_memory(bytes);
        }
    }

    /// The guest asked for what it is not granted; this line would grant it.
    pub fn was_refused(&self, line: &str) {
        if let Some(probe) = self.shared.probe_of(&self.entry) {
            probe.note_refused(line);
        }
    }

    /// The guest waits for this in memory, or for nothing of the kind any more.
    pub fn idles(&self, suspension: Option<&Suspension>) {
        // An attempt that is over waits for nothing.
        let _ = self.with(|_, live| {
            live.idles = suspension.is_some();
            Ok(())
        });
        if let Some(probe) = self.shared.probe_of(&self.entry) {
            probe.note_idle(suspension.map(|wait| Idle {
                reason: wait.reason,
                until: wait.until,
                messages: wait.on.iter().find_map(|on| match on {
                    WakeOn::Message(names) => Some(names.clone()),
                    _ => None,
                }),
            }));
        }
    }

    /// The guest was awake for so long since the last call. The error is a bound that is used up.
    pub fn spent(&self, awake: Duration) -> Result<(), RecorderError> {
        let run = Duration::from_secs(self.of_attempt.bounds.run_seconds);
        self.with(|_, live| {
            if live.journal.is_replaying() {
                live.replay_spent += awake;
                let floor = Duration::from_secs(limits::REPLAY_BUDGET_FLOOR_SECONDS);
                let factor = u32::try_from(limits::REPLAY_BUDGET_FACTOR).unwrap_or(u32::MAX);
                let budget = live.awake_before.saturating_mul(factor).max(floor);
                if live.replay_spent > budget {
                    let message = format!("replay took more than {} s of computing", budget.as_secs());
                    return Err(RecorderError::Limit { bound: "REPLAY_BUDGET_FACTOR", message });
                }
            } else {
                live.awake += awake;
                if let Some(probe) = &live.probe {
                    probe.note_awake(live.awake);
                }
                if live.awake > run {
                    let message = format!("the task computed for more than run_seconds = {}", run.as_secs());
                    return Err(RecorderError::Limit { bound: "run_seconds", message });
                }
            }
            Ok(())
        })
    }

    pub(in crate::engine) fn task_id(&self) -> crate::task::TaskId {
        self.entry.id
    }

    pub(in crate::engine) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(in crate::engine) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    pub(in crate::engine) fn bounds(&self) -> &TaskLimits {
        &self.of_attempt.bounds
    }

    pub(super) fn known_powers(&self) -> MutexGuard<'_, Option<(u64, Arc<Powers>)>> {
        self.of_attempt.powers.lock()
    }

    /// The entry, as long as this attempt is its.
    pub(in crate::engine) fn lock_live(&self) -> Result<MutexGuard<'_, EntryState>, RecorderError> {
        let state = self.entry.lock();
        self.check_lease(&state)?;
        Ok(state)
    }

    pub(in crate::engine) fn mark_dirty(&self) {
        self.shared.dirty.add(&self.entry);
    }

    /// A payload for a row: inside it, or, where it is large, a blob of the next commit.
    pub(in crate::engine) fn large_payload(&self, bytes: &[u8]) -> Result<Payload, RecorderError> {
        if bytes.len() <= limits::MAX_INLINE_PAYLOAD_BYTES {
            return Ok(Payload::Inline(bytes.to_vec()));
        }
        let digest = *blake3::hash(bytes).as_bytes();
        let reference = rows::blob_reference(digest, self.entry.id.as_bytes());
        self.with(|_, live| {
            live.writes.push((Space::Blob, digest.to_vec(), bytes.to_vec()));
            live.writes.push((Space::BlobRef, reference, Vec::new()));
            Ok(Payload::Blob(digest))
        })
    }

    pub(in crate::engine) fn append(
        &self,
        live: &mut Live,
        kind: u8,
        hash: u64,
        payload: &[u8],
    ) -> Result<(), RecorderError> {
        live.append(kind, hash, payload);
        self.check_journal(live)?;
        live.check_probe(true)
    }

    pub(in crate::engine) fn check_journal(&self, live: &Live) -> Result<(), RecorderError> {
        let bytes = live.journal_bytes + live.journal.pending_bytes() as u64 + live.ops.bytes();
        if let Some(probe) = &live.probe {
            probe.note_journal(bytes);
        }
        if bytes > self.of_attempt.bounds.journal_mib << 20 {
            let message =
                format!("the journal has grown past journal_mib = {}", self.of_attempt.bounds.journal_mib);
            return Err(RecorderError::Limit { bound: "journal_mib", message });
        }
        Ok(())
    }

    fn anchor(&self) -> Anchor {
        let here = Anchor { elapsed: self.shared.clock.elapsed(), logical: 0 };
        self.entry.lock().anchor.unwrap_or(here)
    }

    pub(in crate::engine) fn check_lease(&self, state: &EntryState) -> Result<(), RecorderError> {
        let Some(live) = state.live.as_ref().filter(|_| state.lease == self.lease) else {
            return Err(lease_lost());
        };
        match live.probe.as_ref().and_then(|probe| probe.struck()) {
            None => Ok(()),
            Some(_) => Err(lease_lost()),
        }
    }

    pub(in crate::engine) fn with<T>(
        &self,
        act: impl FnOnce(&mut StatusHandle<'_>, &mut Live) -> Result<T, RecorderError>,
    ) -> Result<T, RecorderError> {
        let mut state = self.entry.lock();
        self.check_lease(&state)?;
        let EntryState { status, status_dirty, anchor, live, .. } = &mut *state;
        let Some(live) = live.as_mut() else { return Err(lease_lost()) };
        let mut handle = StatusHandle { status, status_dirty: false, anchor: *anchor };
        let answer = act(&mut handle, live);
        *status_dirty |= handle.status_dirty;
        answer
    }
}

fn fault(error: crate::store::StoreError) -> RecorderError {
    RecorderError::Fault(error.to_string())
}

fn lease_lost() -> RecorderError {
    RecorderError::Fault("the attempt has ended: its lease is void".to_owned())
}
