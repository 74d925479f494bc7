//! A reserve on the disk of the store, which is given up in pieces where a write finds the disk full: what is on its way
//! goes on, and what ends work or makes room has something to write on.

use std::fmt;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redb::{BackendError, StorageBackend};

use crate::limits::{MIN_RESERVE_SLICE_BYTES, RESERVE_SLICE_BYTES};
use crate::store::error::is_disk_full;

/// The disk that a store lies on, with the file of the reserve.
pub(super) trait Volume: fmt::Debug + Send + Sync + 'static {
    fn measure(&self) -> io::Result<Measured>;

    /// Makes the reserve hold so many bytes of the disk. An error leaves it as it was, or smaller.
    fn hold(&self, bytes: u64) -> io::Result<()>;

    /// What the reserve holds.
    fn held(&self) -> u64;
}

/// How a disk stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measured {
    /// What this process may still write.
    pub free: u64,
    pub total: u64,
    /// What the store's file takes of it.
    pub file: u64,
    /// What the reserve holds of it.
    pub held: u64,
}

/// The reserve of one store. Its lock is held for a system call or two.
#[derive(Debug)]
pub(super) struct Reserve {
    volume: Option<Mutex<Box<dyn Volume>>>,
    was_tapped: AtomicBool,
}

impl Reserve {
    pub fn on(volume: impl Volume) -> Arc<Self> {
        Arc::new(Self { volume: Some(Mutex::new(Box::new(volume))), was_tapped: AtomicBool::new(false) })
    }

    /// For a store whose disk is not looked at.
    pub fn none() -> Arc<Self> {
        Arc::new(Self { volume: None, was_tapped: AtomicBool::new(false) })
    }

    /// How the disk stands; `None` where it does not say.
    pub fn measure(&self) -> Option<Measured> {
        self.volume.as_ref()?.lock().measure().ok()
    }

    /// Whether a write has found the disk full since this was last asked.
    pub fn was_tapped(&self) -> bool {
        self.was_tapped.load(Ordering::Relaxed) && self.was_tapped.swap(false, Ordering::Relaxed)
    }

    /// Makes the reserve as large as it should be, as far as the disk has room.
    pub fn fit(&self, bytes: u64) {
        let Some(volume) = &self.volume else { return };
        let volume = volume.lock();
        if volume.held() != bytes
            && let Err(error) = volume.hold(bytes)
        {
            tracing::debug!(%error, bytes, "the reserve of the store could not be made that large");
        }
    }

    /// Gives up just so much of it, or what is left, for another file on that disk.
    pub fn give(&self, bytes: u64) {
        let Some(volume) = &self.volume else { return };
        let volume = volume.lock();
        if let Err(error) = volume.hold(volume.held().saturating_sub(bytes)) {
            tracing::debug!(%error, bytes, "nothing of the store's reserve could be given up");
        }
    }

    /// Gives up so much of it, in whole slices; false where nothing was left.
    fn give_up(&self, bytes: u64) -> bool {
        let Some(volume) = &self.volume else { return false };
        let volume = volume.lock();
        let held = volume.held();
        self.was_tapped.store(true, Ordering::Relaxed);
        if held == 0 {
            return false;
        }
        let slice = RESERVE_SLICE_BYTES.min(held / 4).max(MIN_RESERVE_SLICE_BYTES);
        let rest = held.saturating_sub(bytes.max(slice));
        let given = volume.hold(rest);
        tracing::warn!(
            rest_bytes = rest,
            "the disk of the store is full: a part of its reserve was given up"
        );
        given.is_ok()
    }
}

/// A file whose writes may have the reserve where the disk is full.
#[derive(Debug)]
pub(super) struct Reserved<B> {
    file: B,
    reserve: Arc<Reserve>,
}

impl<B> Reserved<B> {
    pub fn new(file: B, reserve: Arc<Reserve>) -> Self {
        Self { file, reserve }
    }

    /// The same bytes at the same place: what a write that failed has left there does no harm.
    fn with_room(&self, bytes: usize, act: impl Fn() -> io::Result<()>) -> io::Result<()> {
        loop {
            match act() {
                Err(error) if is_disk_full(&error) && self.reserve.give_up(bytes as u64) => {}
                done => return done,
            }
        }
    }
}

impl<B: StorageBackend> StorageBackend for Reserved<B> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.with_room(0, || self.file.set_len(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with_room(data.len(), || self.file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
