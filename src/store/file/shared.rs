//! What the handles and the writer thread share.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use redb::Database;
use tokio::sync::watch;

use super::base::abandon;
use super::open::{Opened, Position};
use super::request::Request;
use super::reserve::{Measured, Reserve};
use super::ring::Ring;
use super::room::{Owed, Room};
use super::snapshot::{Overlay, Snapshot};
use crate::limits::{
    DISK_LOOK_MS, FULL_DISK_LOOK_MS, MAX_COPIED_FRAME_BYTES, MAX_GROUP_BYTES, MAX_QUEUED_BATCHES,
    MAX_QUEUED_BYTES,
};
use crate::store::batch::{Batch, Need};
use crate::store::error::StoreError;
use crate::store::options::{DiskUsage, StoreOptions};
use crate::store::sink::Sink;

pub(super) struct Shared {
    pub path: PathBuf,
    pub options: StoreOptions,
    pub boot: u64,
    pub sink: Arc<dyn Sink>,
    queue: Mutex<Queue>,
    /// Rung when something is queued while the writer waits.
    pub bell: Condvar,
    state: RwLock<State>,
    latch: watch::Sender<Option<Arc<str>>>,
    pub meters: Meters,
    pub reserve: Arc<Reserve>,
    /// Something was refused for want of room since there was some.
    is_refusing: AtomicBool,
    #[cfg(any(test, debug_assertions))]
    pub refusing: super::refusing::Refusing,
    /// What is written, and when it is answered, goes down there.
    #[cfg(test)]
    pub drive: std::sync::OnceLock<super::drive::Drive>,
}

#[derive(Default)]
pub(super) struct Queue {
    pub waiting: VecDeque<Request>,
    /// The short frames of those, one behind the other: so the memory of each stays with the thread that made it.
    pub frames: Vec<u8>,
    /// Batches that the writer has taken and not begun to commit.
    pub taken: usize,
    /// Bytes of both.
    pub bytes: usize,
    pub writer: Waits,
    /// How many of those that wait are in a hurry.
    pub hurried: usize,
    /// The owner of one of them blocks a thread.
    pub has_at_once: bool,
    pub is_closing: bool,
    /// Why nothing is queued any more.
    pub refusal: Option<StoreError>,
    /// What the disk has room for.
    pub room: Room,
    pub disk_looked_at: Option<Instant>,
}

/// Whether the writer waits, and for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Waits {
    #[default]
    No,
    /// It looks again soon, and then takes what is patient.
    Briefly,
    UntilRung,
    /// Until so many in a hurry are there, or there is no use in waiting for them.
    Gathering(usize),
}

pub(in crate::store) struct State {
    /// `None` once closed.
    pub(super) db: Option<Database>,
    pub(super) ring: Option<Arc<Ring>>,
    pub(super) ring_span: RingSpan,
    pub(super) overlay: Overlay,
}

/// Positions of the ring between which are the rows that are not folded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RingSpan {
    pub tail: u64,
    pub head: u64,
}

/// What the writer last reported.
#[derive(Default)]
pub(super) struct Meters {
    pub unfolded_bytes: AtomicU64,
    pub unfolded_rows: AtomicU64,
    pub base_bytes: AtomicU64,
    /// What the ring has of the disk.
    pub ring_bytes: AtomicU64,
    pub last_lsn: AtomicU64,
    /// Batches that the disk had no room for.
    pub without_room: AtomicU64,
}

impl Shared {
    pub fn new(
        path: PathBuf,
        options: StoreOptions,
        boot: u64,
        state: State,
        sink: Arc<dyn Sink>,
        reserve: Arc<Reserve>,
    ) -> Self {
        Self {
            path,
            options,
            boot,
            sink,
            queue: Mutex::default(),
            bell: Condvar::new(),
            state: RwLock::new(state),
            latch: watch::Sender::new(None),
            meters: Meters::default(),
            reserve,
            is_refusing: AtomicBool::new(false),
            #[cfg(any(test, debug_assertions))]
            refusing: super::refusing::Refusing::default(),
            #[cfg(test)]
            drive: std::sync::OnceLock::new(),
        }
    }

    pub fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    pub fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    pub fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write()
    }

    pub fn enqueue(&self, mut request: Request) -> Result<(), StoreError> {
        // Freed after the lock.
        let mut frame = Vec::new();
        let bytes = request.bytes();
        let mut queue = self.queue();
        if let Some(refusal) = queue.refuses(bytes) {
            drop(queue);
            return Err(self.not_taken(request.batch, refusal));
        }
        if queue.writer != Waits::No && queue.is_look_due() {
            // While nothing was written, others may have filled the disk.
            self.look_at_disk(&mut queue);
        }
        if !queue.has_room(&request) && !self.finds_room(&mut queue, &request) {
            drop(queue);
            return Err(self.not_taken(request.batch, self.no_space()));
        }
        queue.bytes += bytes;
        if request.batch.frame.len() <= MAX_COPIED_FRAME_BYTES {
            frame = std::mem::take(&mut request.batch.frame);
            queue.frames.extend_from_slice(&frame);
        }
        let is_hurried = !request.batch.is_patient;
        queue.hurried += usize::from(is_hurried);
        queue.has_at_once |= request.at_once;
        queue.waiting.push_back(request);
        let is_rung = match queue.writer {
            Waits::No => false,
            Waits::Briefly => is_hurried,
            Waits::UntilRung => true,
            Waits::Gathering(wanted) => queue.has_gathered(wanted),
        };
        if is_rung {
            queue.writer = Waits::No;
        }
        drop(queue);
        if is_rung {
            self.bell.notify_one();
        }
        drop(frame);
        Ok(())
    }

    /// Looks at the disk, and says what it has room for, with all that is queued.
    pub fn look_at_disk(&self, queue: &mut Queue) -> Option<Measured> {
        queue.disk_looked_at = Some(Instant::now());
        let disk = self.reserve.measure()?;
        let owed = Owed {
            base: self.meters.base_bytes.load(Ordering::Relaxed),
            unfolded: self.meters.unfolded_bytes.load(Ordering::Relaxed),
            ring: self.meters.ring_bytes.load(Ordering::Relaxed),
            queued: queue.bytes as u64,
        };
        queue.room = Room::of(disk, owed, self.options.disk);
        if queue.room.allows(Need::Growth, 0) && self.is_refusing.swap(false, Ordering::Relaxed) {
            tracing::info!(free_bytes = disk.free, "the disk of the store has room again: new work is taken");
        }
        Some(disk)
    }

    pub fn disk_usage(&self) -> Option<DiskUsage> {
        let mut queue = self.queue();
        let disk = self.look_at_disk(&mut queue)?;
        let (reserve, watermark) = self.options.disk.on(disk.total);
        Some(DiskUsage {
            free_bytes: disk.free,
            total_bytes: disk.total,
            reserve_bytes: disk.held,
            wanted_reserve_bytes: reserve,
            watermark_bytes: watermark,
            is_full: !queue.room.allows(Need::Growth, 0),
            refused: self.meters.without_room.load(Ordering::Relaxed),
        })
    }

    /// Whether there is room by now for what there was none a moment ago.
    fn finds_room(&self, queue: &mut Queue, request: &Request) -> bool {
        let pause = Duration::from_millis(FULL_DISK_LOOK_MS);
        let was_just_looked_at = queue.disk_looked_at.is_some_and(|at| at.elapsed() < pause);
        if !was_just_looked_at {
            self.look_at_disk(queue);
        }
        !was_just_looked_at && queue.has_room(request)
    }

    /// Whether something was refused for want of room since there was some.
    pub fn is_refusing(&self) -> bool {
        self.is_refusing.load(Ordering::Relaxed)
    }

    fn no_space(&self) -> StoreError {
        self.meters.without_room.fetch_add(1, Ordering::Relaxed);
        let free = self.reserve.measure().map_or(0, |disk| disk.free);
        if !self.is_refusing.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                file = %self.path.display(),
                free_bytes = free,
                "the disk of the store has no room: new work is refused; reads, cancels, deletes and ends go on"
            );
        }
        StoreError::NoSpace { free }
    }

    /// Withdraws a batch that is not queued; gives why.
    pub fn not_taken(&self, batch: Batch, why: StoreError) -> StoreError {
        if let Some(effects) = batch.effects {
            self.sink.withdrawn(effects, &why);
        }
        why
    }

    /// Takes no more batches; the writer ends when it has committed those that are queued.
    pub fn begin_close(&self) {
        let mut queue = self.queue();
        queue.is_closing = true;
        queue.refusal.get_or_insert(StoreError::Closed);
        drop(queue);
        self.bell.notify_one();
    }

    /// Refuse everything from now on, and answer whatever is queued.
    pub fn latch(&self, cause: &str) -> StoreError {
        let words: Arc<str> = format!(
            "the store {} has stopped writing: {cause}. Restart longhaul: what was acknowledged is safe",
            self.path.display()
        )
        .into();
        let refusal = StoreError::Latched(words.clone());
        let waiting = {
            let mut queue = self.queue();
            queue.refusal = Some(refusal.clone());
            queue.frames = Vec::new();
            (queue.hurried, queue.has_at_once) = (0, false);
            std::mem::take(&mut queue.waiting)
        };
        self.latch.send_replace(Some(words));
        for request in waiting {
            self.give_up(request, &refusal);
        }
        refusal
    }

    /// Withdraws a request of a store that has failed, and answers it.
    pub fn give_up(&self, mut request: Request, refusal: &StoreError) {
        if let Some(effects) = request.batch.effects.take() {
            // The store has failed already; the requests behind this one are answered whatever the sink does.
            let withdrawn = catch_unwind(AssertUnwindSafe(|| self.sink.withdrawn(effects, refusal)));
            if withdrawn.is_err() {
                tracing::error!("what a lost batch had promised could not be withdrawn");
            }
        }
        request.answer(Err(refusal.clone()));
    }

    pub fn watch_latch(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.latch.subscribe()
    }

    pub fn latched(&self) -> Option<Arc<str>> {
        self.latch.borrow().clone()
    }
}

impl Queue {
    /// Whether the disk was looked at so long ago that it may stand otherwise.
    pub fn is_look_due(&self) -> bool {
        let due = Duration::from_millis(DISK_LOOK_MS);
        self.disk_looked_at.is_none_or(|at| at.elapsed() >= due)
    }

    /// Whether so many in a hurry are there, or enough to commit without them, or one that others must not keep waiting.
    pub fn has_gathered(&self, wanted: usize) -> bool {
        self.hurried >= wanted || self.bytes >= MAX_GROUP_BYTES || self.has_at_once || self.is_closing
    }

    /// Whether the disk has room for the request, which has it from then on. One that writes nothing needs none.
    fn has_room(&mut self, request: &Request) -> bool {
        request.batch.is_empty() || self.room.take(&request.batch, request.frame_bytes())
    }

    /// Why a batch of so many bytes is not queued, if so.
    fn refuses(&self, bytes: usize) -> Option<StoreError> {
        if let Some(refusal) = &self.refusal {
            return Some(refusal.clone());
        }
        let queued = self.waiting.len() + self.taken;
        let is_full = queued >= MAX_QUEUED_BATCHES || self.bytes + bytes > MAX_QUEUED_BYTES;
        is_full.then_some(StoreError::Busy { queued, bytes: self.bytes })
    }
}

impl Drop for State {
    /// What is still there was not closed: it was only read, or its writer failed.
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            abandon(db);
        }
    }
}

impl State {
    pub(super) fn new(opened: Opened) -> Self {
        let overlay = Overlay { active: opened.log.layer, ..Overlay::default() };
        let ring_span = RingSpan { tail: opened.position.ring, head: opened.log.head };
        Self { db: Some(opened.db), ring: opened.ring, ring_span, overlay }
    }

    pub fn db(&self) -> Result<&Database, StoreError> {
        self.db.as_ref().ok_or(StoreError::Closed)
    }

    pub fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        Ok(Snapshot::new(&self.overlay, self.db()?))
    }
}

impl Meters {
    pub fn set(
        &self,
        unfolded_bytes: u64,
        unfolded_rows: u64,
        ring_bytes: u64,
        position: Position,
        last_lsn: u64,
    ) {
        self.ring_bytes.store(ring_bytes, Ordering::Relaxed);
        self.unfolded_bytes.store(unfolded_bytes, Ordering::Relaxed);
        self.unfolded_rows.store(unfolded_rows, Ordering::Relaxed);
        self.base_bytes.store(position.base_bytes, Ordering::Relaxed);
        self.last_lsn.store(last_lsn, Ordering::Relaxed);
    }
}
