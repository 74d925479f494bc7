//! An open task in memory: its status, and, while an instance lives, its journal. One lock per task:
//! whatever is taken from here to be committed is enqueued before the lock is let go, so that the order
//! of commits is the order of what happened.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use super::gates::Gate;
use super::open_task::OpenTask;
use super::samplers::{Extensions, Models};
use crate::clock::{Clock, UnixNanos};
use crate::engine::charge::Charge;
use crate::engine::effect::Effect;
use crate::engine::feed::TaskChange;
use crate::engine::journal::log_tail::LogTail;
use crate::engine::journal::ops::{Op, Ops};
use crate::engine::journal::records;
use crate::engine::journal::records::Journal;
use crate::engine::link::{Children, Link};
use crate::engine::probe::Probe;
use crate::engine::rows::open::{Listed, asks};
use crate::engine::trace::{self, LiveTrace};
use crate::limits;
use crate::shares::{Account, Held, Pool};
use crate::store::Space;
use crate::task::{QueuedReason, State, Status, Task, TaskId};

pub struct Entry {
    pub id: TaskId,
    pub principal: String,
    pub created_at: UnixNanos,
    /// Its total time, without what passed before the last retry by its owner.
    limit_seconds: u64,
    /// Seconds from creation to the end of its total time.
    total_seconds: AtomicU64,
    state: Mutex<EntryState>,
    pub flush: Flush,
    /// Cancellation was requested and the guest is to hear of it.
    pub cancel: watch::Sender<bool>,
    /// Counts decisions that end the present attempt whatever the guest says.
    pub stop: watch::Sender<u64>,
    /// Which call of which task it came from.
    pub link: Option<Link>,
    children: Mutex<Children>,
    /// Counts what was committed from outside that may end a wait of the guest; see `wake.rs`.
    pub news: watch::Sender<u64>,
    /// Counts clients at hand whose model can sample for this task.
    pub models: watch::Sender<Models>,
    /// Samples that a client works on.
    pub extensions: Extensions,
    /// A second call found this task, by `dedupe_seconds` or a key: what one of them gives up is the other's.
    pub joined: AtomicBool,
    /// It waits for its turn to be given an instance, once.
    pub is_queued: AtomicBool,
    /// Its number among those that wait.
    pub queued: AtomicU64,
    /// The bounds of its tool, where it has some of its own.
    pub gate: OnceLock<Arc<Gate>>,
    /// It counts as open on its principal's account until it has ended.
    pub open: Mutex<Option<OpenTask>>,
    /// What it asks, on its principal's account: questions, and samples.
    asked: Mutex<[Option<Held>; 2]>,
    /// Counts changes of what is open of it.
    pub asking: watch::Sender<u64>,
    /// Its next attempt is the first of a try: it counts for the rate of its tool.
    pub begins: AtomicBool,
    /// Bytes that it needs to get on: an instance found no room for them, and made room for others.
    pub needs_memory: AtomicU64,
    /// Bytes of memory that its next attempt takes before it begins, as far as that is known: for its arguments, and for
    /// what it replays.
    pub past_bytes: AtomicU64,
    /// Counts those who found it.
    found: AtomicU64,
}

pub struct EntryState {
    pub status: Status,
    /// The status differs from its row.
    pub status_dirty: bool,
    pub anchor: Option<Anchor>,
    pub live: Option<Box<Live>>,
    /// An attempt is prepared, lives, or is on its way out: until that is on disk no other one may read what is.
    pub is_driven: bool,
    /// Its instance has left memory, and it is not known yet whether that is on disk: what is changed on top of it is
    /// changed only if it is.
    pub is_leaving: bool,
    pub lease: u64,
    /// What was submitted, as long as it need not be read again.
    pub task: Option<Arc<Task>>,
    /// No instance ever ran: there is no journal to read.
    pub fresh: bool,
    /// Counts changes from outside of what an attempt reads before it begins, and those that were on disk when the last
    /// one read it.
    pub rewritten: u64,
    pub read: u64,
    /// What it is counted with on its principal's account, once that is known.
    pub charge: Option<Charge>,
    /// Messages on their way to the disk: the row of the sender's key, and the message's number.
    pub sending: Vec<(Vec<u8>, u64)>,
}

/// Where logical time, or the date, stood at a moment of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub elapsed: Duration,
    /// Nanoseconds since the task was created, or since 1970.
    pub logical: u64,
}

impl Anchor {
    pub fn now(&self, clock: &dyn Clock) -> u64 {
        let passed = clock.elapsed().saturating_sub(self.elapsed);
        self.logical.saturating_add(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The moment of this process at which logical time reaches `logical`.
    pub fn moment(&self, logical: u64) -> Duration {
        self.elapsed + Duration::from_nanos(logical.saturating_sub(self.logical))
    }
}

/// What exists only while an instance lives.
pub struct Live {
    pub journal: Journal,
    pub log: LogTail,
    /// Progress reports and status messages of the guest so far, replayed ones included.
    pub reports: u64,
    /// Published after the next commit.
    pub changes: Vec<TaskChange>,
    /// Follow from the next commit too.
    pub effects: Vec<Effect>,
    /// Writes that belong to the next commit.
    pub writes: Vec<(Space, Vec<u8>, Vec<u8>)>,
    /// Bytes of kept reports among them.
    pub report_bytes: usize,
    pub ops: Ops,
    pub journal_bytes: u64,
    pub awake: Duration,
    pub awake_before: Duration,
    pub replay_spent: Duration,
    pub handles_cancellation: bool,
    /// The guest has come to a wait since its last operation began.
    pub is_waiting: bool,
    /// It waits, in memory, for what is on disk alone: it could leave.
    pub idles: bool,
    pub restored: Option<Arc<[u8]>>,
    /// Batches on their way or on disk, those known to be on disk because it was waited for, and those that
    /// the writer has marked.
    pub enqueued: u64,
    pub settled: u64,
    pub committed: Arc<AtomicU64>,
    pub trace: LiveTrace,
    pub probe: Option<Arc<Probe>>,
}

impl Entry {
    pub fn new(
        id: TaskId,
        principal: String,
        created_at: UnixNanos,
        total_seconds: u64,
        status: Status,
        link: Option<Link>,
    ) -> Arc<Self> {
        let begins = begins(&status);
        let limit_seconds = total_seconds.saturating_sub(seconds_between(created_at, status.since));
        let cancelling = status.cancel.is_some() && !status.state.is_terminal();
        Arc::new(Self {
            id,
            principal,
            created_at,
            limit_seconds,
            total_seconds: AtomicU64::new(total_seconds),
            state: Mutex::new(EntryState {
                status,
                status_dirty: false,
                anchor: None,
                live: None,
                is_driven: false,
                is_leaving: false,
                lease: 0,
                task: None,
                fresh: false,
                rewritten: 0,
                read: 0,
                charge: None,
                sending: Vec::new(),
            }),
            flush: Flush::default(),
            cancel: watch::Sender::new(cancelling),
            stop: watch::Sender::new(0),
            link,
            children: Mutex::default(),
            news: watch::Sender::new(0),
            models: watch::Sender::default(),
            extensions: Extensions::default(),
            joined: AtomicBool::new(false),
            is_queued: AtomicBool::new(false),
            queued: AtomicU64::new(0),
            gate: OnceLock::new(),
            open: Mutex::default(),
            asked: Mutex::default(),
            asking: watch::Sender::new(0),
            begins: AtomicBool::new(begins),
            needs_memory: AtomicU64::new(0),
            past_bytes: AtomicU64::new(0),
            found: AtomicU64::new(0),
        })
    }

    pub fn of(task: &Task, status: Status) -> Arc<Self> {
        let before = seconds_between(task.created_at, status.since);
        let total_seconds = task.limits.total_seconds.saturating_add(before);
        let link = Link::of(task);
        Self::new(task.id, task.principal.clone(), task.created_at, total_seconds, status, link)
    }

    /// Its tool, where that has bounds of its own.
    pub fn tool_with_bounds(&self) -> Option<&Arc<str>> {
        self.gate.get().map(|gate| &gate.tool)
    }

    /// Counts what the task asks by this status. Whether there is room was asked before.
    pub fn count_questions(&self, shares: &Arc<Account>, status: &Status) {
        let [questions, samples] = asks(status);
        let counts = [(Pool::Questions, questions), (Pool::Samples, samples)];
        for (held, (pool, count)) in self.asked.lock().iter_mut().zip(counts) {
            if held.as_ref().map_or(0, Held::amount) != count {
                *held = (count > 0).then(|| shares.hold(pool, &self.principal, count));
            }
        }
        self.asking.send_modify(|changes| *changes += 1);
    }

    /// Logical time at which the task's total time is over, nanoseconds.
    pub fn total_nanos(&self) -> u64 {
        self.total_seconds().saturating_mul(1_000_000_000)
    }

    pub fn total_seconds(&self) -> u64 {
        self.total_seconds.load(Ordering::Relaxed)
    }

    /// The total time counts from another moment than before.
    pub fn count_total_from(&self, before: UnixNanos, now: UnixNanos) {
        let passed = |to| seconds_between(self.created_at, to);
        let added = passed(now).saturating_sub(passed(before));
        let total = self.total_seconds().saturating_add(added);
        self.total_seconds.store(total, Ordering::Relaxed);
    }

    /// What the list of open tasks says of it besides where it stands.
    pub fn listed(&self) -> Listed<'_> {
        Listed {
            principal: &self.principal,
            created_at: self.created_at,
            link: self.link,
            total_seconds: self.limit_seconds,
            past_bytes: self.past_bytes.load(Ordering::Relaxed),
        }
    }

    /// It was found, and is had by one more from here on.
    pub fn note_found(&self) {
        self.found.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was found so far.
    pub fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }

    /// Whether anything waits for news of it.
    pub fn has_listeners(&self) -> bool {
        let counts = [
            self.cancel.receiver_count(),
            self.stop.receiver_count(),
            self.news.receiver_count(),
            self.models.receiver_count(),
            self.asking.receiver_count(),
        ];
        counts.iter().any(|count| *count > 0)
    }

    /// What it holds of its principal's account, which it holds no more.
    pub fn take_held(&self) -> Option<(OpenTask, Option<Held>)> {
        let open = self.open.lock().take()?;
        let [questions, _] = std::mem::take(&mut *self.asked.lock());
        Some((open, questions))
    }

    /// It holds this of its principal's account: its place, and its open questions to people.
    pub fn put_held(&self, open: OpenTask, questions: Option<Held>) {
        *self.open.lock() = Some(open);
        self.asked.lock()[0] = questions;
    }

    /// Its open children that are wanted. May be locked under any task's own lock. Of two tasks, the
    /// parent's are locked first.
    pub fn children(&self) -> MutexGuard<'_, Children> {
        self.children.lock()
    }

    /// Never within a read of the store: its holder may be waiting for one, behind a commit that waits for the
    /// first to end.
    pub fn lock(&self) -> MutexGuard<'_, EntryState> {
        self.state.lock()
    }

    /// The two locks where they are free; `None` where that would have to be waited for.
    pub fn try_children(&self) -> Option<MutexGuard<'_, Children>> {
        self.children.try_lock()
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, EntryState>> {
        self.state.try_lock()
    }
}

fn seconds_between(from: UnixNanos, to: UnixNanos) -> u64 {
    to.saturating_sub(from) / 1_000_000_000
}

/// Bytes of memory for so many bytes of arguments while an instance is called with them.
pub fn arguments_in_memory(bytes: u64) -> u64 {
    bytes.saturating_mul(limits::ARGUMENTS_COPIES)
}

/// Whether its next attempt is the first of a try.
pub fn begins(status: &Status) -> bool {
    matches!(status.state, State::Queued(QueuedReason::New | QueuedReason::Retry))
}

impl EntryState {
    /// What another attempt would take before it begins.
    pub fn past_bytes(&self) -> u64 {
        let arguments = self.task.as_ref().map_or(0, |task| task.arguments.len());
        arguments_in_memory(arguments as u64) + self.live.as_ref().map_or(0, |live| live.journal_bytes)
    }

    /// Whether `draft` has something to draft.
    pub fn has_pending(&self) -> bool {
        self.live.as_ref().is_some_and(|live| {
            let is_empty = live.log.pending_bytes() == 0 && live.writes.is_empty() && !self.status_dirty;
            live.journal.has_pending() || !is_empty
        })
    }
}

/// A moment of a live instance, to come back to if what is written next cannot be committed.
pub struct Place {
    journal: records::Place,
    writes: usize,
    changes: usize,
    effects: usize,
    ops: Vec<(u64, Option<Op>)>,
    trace: trace::Place,
}

impl Live {
    /// Where it stands, before these operations change.
    pub fn place(&self, ops: &[u64]) -> Place {
        Place {
            journal: self.journal.place(),
            writes: self.writes.len(),
            changes: self.changes.len(),
            effects: self.effects.len(),
            ops: ops.iter().map(|number| (*number, self.ops.get(*number).cloned())).collect(),
            trace: self.trace.place(),
        }
    }

    /// Forgets what was recorded and written since.
    pub fn return_to(&mut self, place: Place) {
        self.journal.return_to(&place.journal);
        self.writes.truncate(place.writes);
        self.changes.truncate(place.changes);
        self.effects.truncate(place.effects);
        self.trace.return_to(place.trace);
        for (number, op) in place.ops {
            self.ops.restore(number, op);
        }
    }

    /// Whether all that was enqueued is on disk.
    pub fn is_settled(&self) -> bool {
        self.settled == self.enqueued || self.committed.load(Ordering::Acquire) == self.enqueued
    }
}

/// A task's part in it.
#[derive(Default)]
pub struct Flush {
    pub is_listed: AtomicBool,
    /// It is time to commit what is there.
    pub due: Notify,
}
