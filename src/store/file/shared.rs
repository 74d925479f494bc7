//! What the handles and the writer thread share.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use redb::Database;
use tokio::sync::watch;

use super::open::Position;
use super::request::Request;
use super::snapshot::{Overlay, Snapshot};
use crate::limits::{MAX_COPIED_FRAME_BYTES, MAX_QUEUED_BATCHES, MAX_QUEUED_BYTES};
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::store::options::StoreOptions;
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
    #[cfg(test)]
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
    pub is_writer_parked: bool,
    pub is_closing: bool,
    /// Why nothing is queued any more.
    pub refusal: Option<StoreError>,
}

pub(in crate::store) struct State {
    /// `None` once closed.
    pub(super) db: Option<Database>,
    pub(super) overlay: Overlay,
}

/// What the writer last reported.
#[derive(Default)]
pub(super) struct Meters {
    pub unfolded_bytes: AtomicU64,
    pub unfolded_rows: AtomicU64,
    pub base_bytes: AtomicU64,
    pub last_lsn: AtomicU64,
}

impl Shared {
    pub fn new(path: PathBuf, options: StoreOptions, boot: u64, state: State, sink: Arc<dyn Sink>) -> Self {
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
            #[cfg(test)]
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
        queue.bytes += bytes;
        if request.batch.frame.len() <= MAX_COPIED_FRAME_BYTES {
            frame = std::mem::take(&mut request.batch.frame);
            queue.frames.extend_from_slice(&frame);
        }
        queue.waiting.push_back(request);
        if std::mem::take(&mut queue.is_writer_parked) {
            drop(queue);
            self.bell.notify_one();
        } else {
            drop(queue);
        }
        drop(frame);
        Ok(())
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
    /// A writer that panicked has left redb in a state in which it panics again when it is dropped.
    fn drop(&mut self) {
        let db = self.db.take();
        let _ = catch_unwind(AssertUnwindSafe(move || drop(db)));
    }
}

impl State {
    pub fn db(&self) -> Result<&Database, StoreError> {
        self.db.as_ref().ok_or(StoreError::Closed)
    }

    pub fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        Ok(Snapshot::new(&self.overlay, self.db()?))
    }
}

impl Meters {
    pub fn set(&self, unfolded_bytes: u64, unfolded_rows: u64, position: Position, last_lsn: u64) {
        self.unfolded_bytes.store(unfolded_bytes, Ordering::Relaxed);
        self.unfolded_rows.store(unfolded_rows, Ordering::Relaxed);
        self.base_bytes.store(position.base_bytes, Ordering::Relaxed);
        self.last_lsn.store(last_lsn, Ordering::Relaxed);
    }
}
