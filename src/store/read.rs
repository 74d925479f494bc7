//! Reading a store that nobody has open, without writing a byte: on a read-only mount, in a backup, after a crash.
//! What redb would write, the repair of an unclean end included, stays in memory.

use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::shared::{Shared, State};
use super::snapshot::Overlay;
use super::{Inner, Store, StoreError, StoreOptions, file};
use crate::private::{self, Purpose};

impl Store {
    /// Open the store in `folder` to read it, with the log's unfolded end. Nothing can be enqueued. Readers share the
    /// file; a process that writes, or wants to, excludes them. For threads that may block.
    pub fn open_to_read(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let path = folder.join(file::FILE_NAME);
        let opened = file::open_to_read(backend(folder)?, &path, options.cache_bytes)?;
        let overlay = Overlay { active: opened.unfolded, ..Overlay::default() };
        let state = State { db: Some(opened.db), overlay };
        let shared = Shared::new(path.clone(), options, opened.boot, state);
        let why = "this process only reads it".into();
        shared.queue().refusal = Some(StoreError::ReadOnly { path, why });
        let bytes = opened.unfolded_bytes as u64;
        shared.meters.set(bytes, opened.unfolded_rows, opened.position, opened.last_lsn);
        Ok(Self { inner: Arc::new(Inner { shared: Arc::new(shared), writer: Mutex::new(None) }) })
    }
}

/// The file as it is, for reading alone.
pub(super) fn backend(folder: &Path) -> Result<impl StorageBackend, StoreError> {
    let path = folder.join(file::FILE_NAME);
    let what = || format!("opening {}", path.display());
    let opened = private::check_folder(folder, Purpose::Read).and_then(|_| private::open_to_read(&path));
    let opened = opened.map_err(|error| StoreError::io(what(), &error))?;
    FileBackend::new(opened).map(ReadOnly).map_err(|error| StoreError::of_redb(what(), error))
}

/// Takes the locks of a reader, since those of a writer want a file that can be written.
#[derive(Debug)]
struct ReadOnly<B>(B);

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl<B: StorageBackend> StorageBackend for ReadOnly<B> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn sync_data(&self) -> io::Result<()> {
        refused()
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        refused()
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
