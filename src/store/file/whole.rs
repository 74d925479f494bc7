//! All of the store's file, which redb and the ring of the log have a part of each.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;

#[derive(Debug)]
pub(super) struct Whole {
    file: Box<dyn StorageBackend>,
    /// A write of the ring failed: nothing is written any more, also by redb, which does not know of it.
    has_failed: AtomicBool,
}

impl Whole {
    pub fn new(file: impl StorageBackend) -> Arc<Self> {
        Arc::new(Self { file: Box::new(file), has_failed: AtomicBool::new(false) })
    }

    pub fn file(&self) -> &dyn StorageBackend {
        &*self.file
    }

    pub fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(at, out)
    }

    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(|file| file.write(at, bytes)).inspect_err(|_| self.fail())
    }

    pub fn sync(&self) -> io::Result<()> {
        self.change(|file| file.sync_data()).inspect_err(|_| self.fail())
    }

    fn fail(&self) {
        self.has_failed.store(true, Ordering::Release);
    }

    /// A change of redb's, unless a write of the ring failed.
    pub fn change(&self, change: impl FnOnce(&dyn StorageBackend) -> io::Result<()>) -> io::Result<()> {
        if self.has_failed.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier write of the log failed"));
        }
        change(&*self.file)
    }
}
