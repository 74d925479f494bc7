//! The parts of the store's file: a page that says what it is, the ring of the log, redb's database. A file that begins
//! with redb's own mark is an earlier store, which has no ring: all of it is redb's.

use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use redb::{BackendError, Builder, StorageBackend};

use super::ring::{Ring, SECTOR_BYTES};
use super::whole::Whole;
use crate::limits::{MAX_RING_BYTES, STORE_CACHE_BYTES};
use crate::store::error::StoreError;
use crate::store::frame::{CHECK_BYTES, check};

/// The store format that this code writes, and the newest that it reads.
pub(in crate::store) const FORMAT: u32 = 4;
/// That of a store without a ring, and of a backup.
pub(in crate::store) const RINGLESS_FORMAT: u32 = 3;

const MAGIC: &[u8; 16] = b"longhaul store\r\n";
/// The page of the header; what stands in it is behind the magic: version u32, zero u32, bytes of the ring u64, secret
/// u64, check.
pub(super) const HEADER_BYTES: u64 = 4096;
const HEADER_END: usize = MAGIC.len() + 4 + 4 + 8 + 8 + CHECK_BYTES;

/// A file that was looked at.
pub(super) struct Layout {
    pub redb: Part,
    pub ring: Option<Arc<Ring>>,
}

impl Layout {
    /// Of a file that has its parts, or of one that is empty and gets them: a ring of so many bytes, or none.
    pub fn of(file: impl StorageBackend, path: &Path, ring_bytes: u64) -> Result<Self, StoreError> {
        let failed = |error: io::Error| StoreError::io(format!("opening {}", path.display()), &error);
        let length = file.len().map_err(failed)?;
        let header = match length {
            0 if ring_bytes > 0 => Some(begin(&file, path, ring_bytes)?),
            _ => {
                let mut start = [0; HEADER_END];
                let there = length.min(HEADER_END as u64) as usize;
                file.read(0, &mut start[..there]).map_err(failed)?;
                Header::read(&start, path)?
            }
        };
        let whole = Whole::new(file);
        let Some(header) = header else {
            return Ok(Self { redb: Part { whole, from: 0 }, ring: None });
        };
        let from = HEADER_BYTES + header.ring_bytes;
        if length > 0 && length <= from {
            return Err(StoreError::damaged(path.display(), "the file ends before what it says to be there"));
        }
        let ring = Arc::new(Ring::new(whole.clone(), HEADER_BYTES, header.ring_bytes, header.secret));
        Ok(Self { redb: Part { whole, from }, ring: Some(ring) })
    }
}

/// Makes an empty file a store without a row.
pub(super) fn make(file: impl StorageBackend, path: &Path, ring_bytes: u64) -> Result<(), StoreError> {
    let layout = Layout::of(file, path, ring_bytes)?;
    let made = Builder::new().set_cache_size(STORE_CACHE_BYTES).create_with_backend(layout.redb);
    made.map(drop).map_err(|error| StoreError::of_redb(format!("making {}", path.display()), error))
}

struct Header {
    ring_bytes: u64,
    secret: u64,
}

/// Writes the header of a new file, and makes it as long as header and ring.
fn begin(file: &impl StorageBackend, path: &Path, ring_bytes: u64) -> Result<Header, StoreError> {
    let failed = |error: &io::Error| StoreError::io(format!("making {}", path.display()), error);
    let mut secret = [0; 8];
    getrandom::fill(&mut secret).map_err(|error| failed(&io::Error::other(error.to_string())))?;
    let header = Header { ring_bytes: sectors(ring_bytes), secret: u64::from_le_bytes(secret) };
    let mut page = header.bytes();
    page.resize(HEADER_BYTES as usize, 0);
    file.write(0, &page).map_err(|error| failed(&error))?;
    file.set_len(HEADER_BYTES + header.ring_bytes).map_err(|error| failed(&error))?;
    Ok(header)
}

fn sectors(bytes: u64) -> u64 {
    bytes.clamp(HEADER_BYTES, MAX_RING_BYTES) / HEADER_BYTES * HEADER_BYTES
}

impl Header {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.ring_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.secret.to_le_bytes());
        let check = check(0, &bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    /// `None` for a file that begins otherwise: redb says what it makes of that.
    fn read(start: &[u8; HEADER_END], path: &Path) -> Result<Option<Self>, StoreError> {
        let Some(rest) = start.strip_prefix(MAGIC) else { return Ok(None) };
        let damaged = |why: &str| StoreError::damaged(path.display(), format!("its header {why}"));
        let number = |at: usize| rest[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (body, stated) = start.split_at(HEADER_END - CHECK_BYTES);
        if check(0, body) != stated {
            return Err(damaged("does not match its check"));
        }
        let found = number(0) as u32;
        if found > FORMAT {
            return Err(StoreError::NewerFormat { path: path.to_path_buf(), found, supported: FORMAT });
        }
        let header = Self { ring_bytes: number(8), secret: number(16) };
        let is_possible = (HEADER_BYTES..=MAX_RING_BYTES).contains(&header.ring_bytes)
            && header.ring_bytes.is_multiple_of(SECTOR_BYTES as u64);
        is_possible.then_some(Some(header)).ok_or_else(|| damaged("says that the log has an impossible size"))
    }
}

/// Redb's part of the file. Its locks are those of the whole file, as in a file that is all redb's: an earlier longhaul
/// and this one keep each other out.
#[derive(Debug, Clone)]
pub(super) struct Part {
    whole: Arc<Whole>,
    from: u64,
}

impl StorageBackend for Part {
    fn len(&self) -> io::Result<u64> {
        Ok(self.whole.file().len()?.saturating_sub(self.from))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.whole.read(self.from + offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.whole.change(|file| file.set_len(self.from + length))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.whole.change(StorageBackend::sync_data)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.whole.change(|file| file.write(self.from + offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.whole.file().close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.whole.file().try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.whole.file().try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.whole.file().lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.whole.file().lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.whole.file().unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.whole.file().query_lock_range(start, end)
    }
}
