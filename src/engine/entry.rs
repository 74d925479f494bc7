//! An open task in memory: its status, and, while an instance lives, its journal. One lock per task:
//! whatever is taken from here to be committed is enqueued before the lock is let go, so that the order
//! of commits is the order of what happened.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, TryLockResult};
use std::time::Duration;

use tokio::sync::watch;

use super::children::{Children, Link};
use super::commit::Commit;
use super::effect::Effect;
use super::feed::{ResourceKey, TaskChange};
use super::flush::Flush;
use super::journal::{self, Journal, Segment};
use super::last_lines::LastBytes;
use super::lifecycle::Left;
use super::ops::{Op, Ops};
use super::ports::Divergence;
use super::questions::{Held, Models};
use super::rows;
use crate::clock::{Clock, UnixNanos};
use crate::limits;
use crate::store::{Space, StoreError};
use crate::task::{Status, Task, TaskId};

pub struct Entry {
    pub id: TaskId,
    pub principal: String,
    pub created_at: UnixNanos,
    /// Seconds from creation to the end of its total time.
    pub total_seconds: u64,
    state: Mutex<EntryState>,
    pub flush: Flush,
    /// Cancellation was requested and the guest is to be told.
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
    /// Samples that somebody works on.
    pub held: Held,
    /// A second call found this task, by `dedupe_seconds` or a key: what one of them gives up is the other's.
    pub joined: AtomicBool,
    /// It waits for its turn to be given an instance, once.
    pub is_queued: AtomicBool,
}

pub struct EntryState {
    pub status: Status,
    /// The status differs from its row.
    pub status_dirty: bool,
    pub anchor: Option<Anchor>,
    pub live: Option<Live>,
    /// An attempt is prepared, lives, or is on its way out: until that is on disk no other one may read what is.
    pub is_driven: bool,
    pub lease: u64,
    /// What was submitted, as long as it need not be read again.
    pub task: Option<Arc<Task>>,
    /// No instance ever ran: there is no journal to read.
    pub fresh: bool,
}

/// Where logical time stood at a moment of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub elapsed: Duration,
    /// Nanoseconds since the task was created.
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
    /// Told after the next commit.
    pub changes: Vec<TaskChange>,
    /// Writes that belong to the next commit.
    pub writes: Vec<(Space, Vec<u8>, Vec<u8>)>,
    /// Bytes of kept reports among them.
    pub report_bytes: usize,
    pub ops: Ops,
    pub journal_bytes: u64,
    pub awake: Duration,
    pub awake_before: Duration,
    pub replay_spent: Duration,
    pub heeds_cancellation: bool,
    pub restored: Option<Arc<[u8]>>,
    /// Batches on their way or on disk, those known to be on disk because somebody waited for it, and those that
    /// the writer has marked.
    pub enqueued: u64,
    pub settled: u64,
    pub committed: Arc<AtomicU64>,
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
        let cancelling = status.cancel.is_some() && !status.state.is_terminal();
        Arc::new(Self {
            id,
            principal,
            created_at,
            total_seconds,
            state: Mutex::new(EntryState {
                status,
                status_dirty: false,
                anchor: None,
                live: None,
                is_driven: false,
                lease: 0,
                task: None,
                fresh: false,
            }),
            flush: Flush::default(),
            cancel: watch::Sender::new(cancelling),
            stop: watch::Sender::new(0),
            link,
            children: Mutex::default(),
            news: watch::Sender::new(0),
            models: watch::Sender::default(),
            held: Held::default(),
            joined: AtomicBool::new(false),
            is_queued: AtomicBool::new(false),
        })
    }

    pub fn of(task: &Task, status: Status) -> Arc<Self> {
        let before = status.since.saturating_sub(task.created_at) / 1_000_000_000;
        let total_seconds = task.limits.total_seconds.saturating_add(before);
        let link = Link::of(task);
        Self::new(task.id, task.principal.clone(), task.created_at, total_seconds, status, link)
    }

    /// Logical time at which the task's total time is over, nanoseconds.
    pub fn total_nanos(&self) -> u64 {
        self.total_seconds.saturating_mul(1_000_000_000)
    }

    /// Its open children that are wanted. May be locked under any task's own lock. Of two tasks, the
    /// parent's are locked first.
    pub fn children(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never within a read of the store: whoever holds it may be waiting for one, behind a commit that waits for the
    /// first to end.
    pub fn lock(&self) -> MutexGuard<'_, EntryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The two locks where they are free; `None` where that would have to be waited for.
    pub fn try_children(&self) -> Option<MutexGuard<'_, Children>> {
        unless_held(self.children.try_lock())
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, EntryState>> {
        unless_held(self.state.try_lock())
    }
}

fn unless_held<'a, T>(tried: TryLockResult<MutexGuard<'a, T>>) -> Option<MutexGuard<'a, T>> {
    match tried {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl EntryState {
    /// Whether `draft` has something to draft.
    pub fn has_pending(&self) -> bool {
        self.live.as_ref().is_some_and(|live| {
            let is_empty = live.log.pending_bytes() == 0 && live.writes.is_empty() && !self.status_dirty;
            live.journal.has_pending() || !is_empty
        })
    }

    /// What is not committed yet, as one commit; `None` if there is nothing. Nothing changes by it but the count of
    /// steps in the status: what was drafted is pending until [`Self::queued`], under the same lock.
    pub fn draft(&mut self, entry: &Entry, parts: Parts) -> Result<Option<Draft>, StoreError> {
        let id = entry.id;
        let Some(live) = self.live.as_mut() else { return Ok(None) };
        let flush = if parts.has_records { live.journal.flush() } else { None };
        let log = live.log.row();
        let has_status = parts.has_status && self.status_dirty;
        let has_rows = flush.is_some() || log.is_some() || !live.writes.is_empty() || has_status;
        // What changed in the status alone is news also where the status itself is another's to write.
        if !has_rows && live.changes.is_empty() {
            return Ok(None);
        }
        let mut commit = Commit::under_lease(id, self.lease);
        let mut journal_bytes = 0;
        if let Some(flush) = flush {
            let awake = u64::try_from(live.awake.as_nanos()).unwrap_or(u64::MAX);
            let head = Segment::head(flush.count, awake, flush.logical);
            journal_bytes = (head.len() + flush.records.len()) as u64;
            let key = rows::journal_key(id, self.status.epoch, flush.first);
            commit.add_put_in_parts(Space::Journal, key, &[&head, flush.records]);
        }
        let mut changes = live.changes.clone();
        if let Some((offset, row)) = log {
            commit.add_put(Space::Log, rows::log_key(id, offset), row);
            commit.changed(ResourceKey::Log(id));
            changes.push(TaskChange::Log);
        }
        for (space, key, value) in &live.writes {
            commit.add_put(*space, key, value);
        }
        if has_status {
            self.status.steps = live.journal.next_number();
            commit.add_put(Space::Status, id.as_bytes().as_slice(), rows::encode(&self.status)?);
            commit.changed(ResourceKey::Task(id));
        }
        if parts.is_marked {
            commit.add_mark(live.committed.clone(), live.enqueued + 1);
        }
        // Most commits of a guest change nothing that is readable.
        for change in &changes {
            if let TaskChange::Output { name } = change {
                commit.changed(ResourceKey::Output(id, name.clone()));
            }
        }
        let has_asked = changes.contains(&TaskChange::Questions);
        if !changes.is_empty() {
            commit.add_effect(Effect::Happened(id, changes));
        }
        if has_asked {
            commit.asked_below(entry.link);
        }
        Ok(Some(Draft { commit, queued: Queued { journal_bytes, parts } }))
    }

    /// What was drafted is on its way to the disk.
    pub fn queued(&mut self, queued: &Queued) {
        let Some(live) = self.live.as_mut() else { return };
        if queued.parts.has_records {
            live.journal.flushed();
        }
        live.journal_bytes += queued.journal_bytes;
        live.log.flushed();
        live.writes.clear();
        live.changes.clear();
        live.report_bytes = 0;
        live.enqueued += 1;
        if queued.parts.has_status {
            self.status_dirty = false;
        }
    }

    /// What its instance leaves in the status when it goes.
    pub fn left(&mut self) -> Option<Left> {
        let live = self.live.as_mut()?;
        live.journal.mark_reads();
        Some(Left {
            steps: live.journal.next_number(),
            awake_nanos: u64::try_from(live.awake.as_nanos()).unwrap_or(u64::MAX),
            log_bytes: live.log.position().max(live.log.durable()),
        })
    }
}

/// Which of what is pending a commit takes.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    pub has_records: bool,
    /// The status, where it differs from its row.
    pub has_status: bool,
    /// The writer marks when it is on disk: for those who do not wait for it themselves, which is cheaper.
    pub is_marked: bool,
}

impl Parts {
    pub const ALL: Self = Self { has_records: true, has_status: true, is_marked: false };
}

/// A commit of what was pending.
pub struct Draft {
    pub commit: Commit,
    pub queued: Queued,
}

/// What to note once a draft is queued.
pub struct Queued {
    journal_bytes: u64,
    parts: Parts,
}

/// A moment of a live instance, to come back to if what is written next cannot be committed.
pub struct Place {
    journal: journal::Place,
    writes: usize,
    changes: usize,
    ops: Vec<(u64, Option<Op>)>,
}

impl Live {
    /// Where it stands, before these operations change.
    pub fn place(&self, ops: &[u64]) -> Place {
        Place {
            journal: self.journal.place(),
            writes: self.writes.len(),
            changes: self.changes.len(),
            ops: ops.iter().map(|number| (*number, self.ops.get(*number).cloned())).collect(),
        }
    }

    /// Forgets what was recorded and written since.
    pub fn return_to(&mut self, place: Place) {
        self.journal.return_to(&place.journal);
        self.writes.truncate(place.writes);
        self.changes.truncate(place.changes);
        for (number, op) in place.ops {
            self.ops.restore(number, op);
        }
    }

    /// Whether all that was enqueued is on disk.
    pub fn is_settled(&self) -> bool {
        self.settled == self.enqueued || self.committed.load(Ordering::Acquire) == self.enqueued
    }
}

/// The task's log as this attempt writes it. What is durable already is regenerated by replay, compared,
/// and not written again. A row is eight bytes of BLAKE3 over the epoch's log up to its end, then the text.
pub struct LogTail {
    /// Bytes so far, replayed ones included.
    position: u64,
    durable: u64,
    hasher: blake3::Hasher,
    expected: Option<[u8; 8]>,
    pending: Vec<u8>,
    full: bool,
    last: LastBytes,
    /// While what is durable is replayed and held a line of the host's: the log without such lines, which is what a
    /// version that wrote none has published.
    plain: Option<(u64, blake3::Hasher)>,
    is_plain: bool,
}

const LOG_FULL: &[u8] = b"\n[the log is full: what follows is dropped]\n";

impl LogTail {
    /// `start` is where the epoch's log begins, `durable` how far it is on disk, `expected` the hash there.
    pub fn new(start: u64, durable: u64, expected: Option<[u8; 8]>) -> Self {
        let hasher = blake3::Hasher::new();
        let expected = expected.filter(|_| durable > start);
        let (pending, last) = (Vec::new(), LastBytes::default());
        Self {
            position: start,
            durable,
            hasher,
            expected,
            pending,
            full: false,
            last,
            plain: None,
            is_plain: false,
        }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    /// How far it is on disk, or on its way there.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// The end of what this attempt wrote.
    pub fn last(&self) -> &LastBytes {
        &self.last
    }

    pub fn write(&mut self, bytes: &[u8], record: u64) -> Result<(), Divergence> {
        self.last.write(bytes);
        let text = self.bounded(bytes);
        self.append(&text, record)
    }

    /// As much as the log takes.
    fn bounded<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.full {
            return Cow::Borrowed(&[]);
        }
        let room = usize::try_from(limits::MAX_LOG_BYTES.saturating_sub(self.position)).unwrap_or(usize::MAX);
        if bytes.len() <= room {
            return Cow::Borrowed(bytes);
        }
        self.full = true;
        Cow::Owned([&bytes[..room], LOG_FULL].concat())
    }

    /// A line of the host's own. Whether it is new.
    pub fn write_host(&mut self, line: &[u8], record: u64) -> Result<bool, Divergence> {
        let is_new = self.position >= self.durable;
        if self.is_plain && !is_new {
            return Ok(false);
        }
        let mut text = if self.last.is_at_line_start() { Vec::new() } else { b"\n".to_vec() };
        text.extend_from_slice(line);
        self.last.write(&text);
        let text = self.bounded(&text);
        let before = (self.position, self.hasher.clone());
        let (plain, expected) = (self.plain.take().unwrap_or(before), self.expected);
        match self.append_to_log(&text, record) {
            Ok(()) if self.position < self.durable => self.plain = Some(plain),
            Ok(()) => {}
            Err(_) => self.go_on_plain(plain, expected),
        }
        Ok(is_new)
    }

    fn go_on_plain(&mut self, (position, hasher): (u64, blake3::Hasher), expected: Option<[u8; 8]>) {
        (self.position, self.hasher, self.expected) = (position, hasher, expected);
        (self.plain, self.is_plain) = (None, true);
    }

    /// The guest's own bytes.
    fn append(&mut self, bytes: &[u8], record: u64) -> Result<(), Divergence> {
        let (expected, plain) = (self.expected, self.plain.clone());
        if let Some((position, hasher)) = &mut self.plain {
            *position += bytes.len() as u64;
            hasher.update(bytes);
        }
        let appended = self.append_to_log(bytes, record);
        match (appended, plain) {
            (Err(_), Some(plain)) => {
                self.go_on_plain(plain, expected);
                self.append_to_log(bytes, record)
            }
            (appended, _) => {
                if self.position >= self.durable {
                    self.plain = None;
                }
                appended
            }
        }
    }

    fn append_to_log(&mut self, bytes: &[u8], record: u64) -> Result<(), Divergence> {
        let known = usize::try_from(self.durable.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let (replayed, new) = bytes.split_at(known.min(bytes.len()));
        self.hasher.update(replayed);
        self.position += replayed.len() as u64;
        if self.position == self.durable
            && let Some(expected) = self.expected.take()
            && expected != self.hash()
        {
            return Err(Divergence {
                record,
                expected: format!("the log's first {} bytes as they were published", self.durable),
                actual: "other bytes of the same length".to_owned(),
            });
        }
        self.hasher.update(new);
        self.position += new.len() as u64;
        self.pending.extend_from_slice(new);
        Ok(())
    }

    /// The guest has ended: all that was published must have come again.
    pub fn finish(&self, record: u64) -> Result<(), Divergence> {
        if self.position >= self.durable {
            return Ok(());
        }
        Err(Divergence {
            record,
            expected: format!("a log of at least {} bytes, which were published", self.durable),
            actual: format!("a log of {} bytes", self.position),
        })
    }

    fn hash(&self) -> [u8; 8] {
        let mut hash = [0; 8];
        self.hasher.finalize_xof().fill(&mut hash);
        hash
    }

    /// The offset and the row of what is new; it stays pending until [`Self::flushed`].
    fn row(&self) -> Option<(u64, Vec<u8>)> {
        if self.pending.is_empty() {
            return None;
        }
        let offset = self.position - self.pending.len() as u64;
        let mut row = self.hash().to_vec();
        row.extend_from_slice(&self.pending);
        Some((offset, row))
    }

    /// What was pending is on its way to the disk.
    fn flushed(&mut self) {
        if !self.pending.is_empty() {
            self.durable = self.position;
            // The memory of a large text is not kept for the next line.
            self.pending = Vec::new();
        }
    }

    #[cfg(test)]
    fn take(&mut self) -> Option<(u64, Vec<u8>)> {
        let row = self.row();
        self.flushed();
        row
    }
}

/// Splits a log row into its hash and its text.
pub fn split_log_row(row: &[u8]) -> Option<([u8; 8], &[u8])> {
    row.split_first_chunk::<8>().map(|(hash, text)| (*hash, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replayed_log_is_compared_and_not_written_again() {
        let mut first = LogTail::new(0, 0, None);
        first.write(b"one\ntwo\n", 0).expect("new");
        let (offset, row) = first.take().expect("pending");
        let (hash, text) = split_log_row(&row).expect("a row");
        assert_eq!((offset, text), (0, &b"one\ntwo\n"[..]));

        let mut again = LogTail::new(0, 8, Some(hash));
        again.write(b"one\ntw", 1).expect("the same");
        assert!(again.finish(1).is_err(), "published bytes are missing");
        again.write(b"o\nthree\n", 1).expect("the same, then new");
        assert_eq!(again.finish(1), Ok(()));
        let (offset, row) = again.take().expect("pending");
        assert_eq!((offset, &row[8..]), (8, &b"three\n"[..]));

        let mut other = LogTail::new(0, 8, Some(hash));
        assert!(other.write(b"one\ntwO\n", 1).is_err());
    }

    #[test]
    fn lines_of_the_host_are_replayed_like_the_guests_own() {
        let mut first = LogTail::new(0, 0, None);
        first.write(b"one", 0).expect("new");
        assert_eq!(first.write_host(b"[refused]\n", 0), Ok(true));
        first.write(b"two\n", 0).expect("new");
        let (_, row) = first.take().expect("pending");
        let (hash, text) = split_log_row(&row).expect("a row");
        assert_eq!(text, b"one\n[refused]\ntwo\n");
        for durable in [text.len() as u64, 6] {
            let hash = if durable == 6 { hash_of(&text[..6]) } else { hash };
            let mut again = LogTail::new(0, durable, Some(hash));
            again.write(b"one", 0).expect("the same");
            assert_eq!(again.write_host(b"[refused]\n", 0), Ok(false), "{durable}");
            again.write(b"two\n", 0).expect("the same");
            assert_eq!(again.write_host(b"[other]\n", 0), Ok(true));
            assert_eq!(again.position(), text.len() as u64 + 8, "{durable}");
            assert_eq!(again.finish(0), Ok(()));
        }
        let mut other = LogTail::new(0, text.len() as u64, Some(hash));
        other.write(b"one", 0).expect("the same");
        assert_eq!(other.write_host(b"[refused]\n", 0), Ok(false));
        let ended = other.write(b"twO\n", 0).and_then(|()| other.finish(0));
        assert!(ended.is_err(), "neither this log nor one without the line");
    }

    #[test]
    fn a_log_of_a_version_without_lines_of_the_host_is_replayed_as_it_is() {
        let published = b"one\ntwo\nthree\n";
        for durable in 1..=published.len() {
            let mut log = LogTail::new(0, durable as u64, Some(hash_of(&published[..durable])));
            log.write(b"one\n", 0).expect("the same");
            log.write_host(b"[a line that is longer than all the guest wrote]\n", 0).expect("not compared");
            log.write(b"two\n", 0).expect("the same");
            log.write_host(b"[b]\n", 0).expect("not compared");
            log.write(b"three\n", 0).expect("the same");
            assert_eq!(log.finish(0), Ok(()), "{durable}");
            let mut other = LogTail::new(0, durable as u64, Some(hash_of(&published[..durable])));
            let written = other.write(b"onE\n", 0).and_then(|()| {
                other.write_host(b"[a line that is longer than all the guest wrote]\n", 0)?;
                other.write(b"two\nthree\n", 0)
            });
            assert_eq!(written.is_err(), durable > 2, "{durable}");
        }
    }

    fn hash_of(text: &[u8]) -> [u8; 8] {
        let mut hash = [0; 8];
        blake3::Hasher::new().update(text).finalize_xof().fill(&mut hash);
        hash
    }

    #[test]
    fn a_full_log_says_so_once() {
        let mut log = LogTail::new(0, 0, None);
        let kilobyte = [b'x'; 1024];
        for _ in 0..limits::MAX_LOG_BYTES / 1024 + 10 {
            log.write(&kilobyte, 0).expect("within or dropped");
        }
        assert_eq!(log.position(), limits::MAX_LOG_BYTES + LOG_FULL.len() as u64);
    }
}
