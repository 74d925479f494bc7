//! Reading a store that is not open, without writing a byte: on a read-only mount, in a backup, after a crash.
//! What redb would write, the repair of an unclean end included, stays in memory.

use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::open;
use super::reserve::Reserve;
use super::shared::{Shared, State};
use crate::limits::STORE_CACHE_BYTES;
use crate::private::{self, Purpose};
use crate::store::error::StoreError;
use crate::store::options::{Checked, StoreOptions};
use crate::store::sink::Sink;

/// What a reader shares with itself alone: a state that nothing changes, and a queue that takes nothing.
pub(super) fn open_to_read(
    folder: &Path,
    options: StoreOptions,
    sink: Arc<dyn Sink>,
) -> Result<Shared, StoreError> {
    let path = folder.join(open::FILE_NAME);
    let opened = open::open_to_read(backend(folder)?, &path, options.cache_bytes)?;
    let (boot, position) = (opened.boot, opened.position);
    let (bytes, rows, last_lsn) = (opened.log.bytes as u64, opened.log.rows, opened.log.last_lsn);
    let ring = opened.ring.as_ref().map_or(0, |ring| position.ring_filled.min(ring.bytes()));
    let shared = Shared::new(path.clone(), options, boot, State::new(opened), sink, Reserve::none());
    let why = "this process only reads it".into();
    shared.queue().refusal = Some(StoreError::ReadOnly { path, why });
    shared.meters.set(bytes, rows, ring, position, last_lsn);
    Ok(shared)
}

/// Reads all of the store in `folder` and verify every checksum.
pub(in crate::store) fn check(folder: &Path) -> Result<Checked, StoreError> {
    let path = folder.join(open::FILE_NAME);
    let (rows, log_rows) = open::check(backend(folder)?, &path, STORE_CACHE_BYTES)?;
    Ok(Checked { rows, log_rows })
}

/// The file as it is, for reading alone.
fn backend(folder: &Path) -> Result<impl StorageBackend, StoreError> {
    let path = folder.join(open::FILE_NAME);
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
