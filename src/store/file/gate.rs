//! A file that can be looked at, and repaired in memory, before the first byte of it is changed.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use redb::{BackendError, StorageBackend};

use super::ring::SECTOR_BYTES;

pub(super) const PAGE_BYTES: u64 = 4096;

/// Holds all changes back until `open`. Dropped unopened, it leaves the file as it was. A clone is the same
/// file.
#[derive(Debug)]
pub(super) struct Gated<B>(Arc<Inner<B>>);

#[derive(Debug)]
struct Inner<B> {
    file: B,
    is_open: AtomicBool,
    /// The header was written without a sync of its own.
    owes_sync: AtomicBool,
    held: Mutex<Held>,
    /// Of the file itself, which does not change before `open`.
    length: OnceLock<u64>,
}

#[derive(Debug, Default)]
struct Held {
    /// In order, to be done on the file.
    changes: Vec<Change>,
    /// The file as it would be by now: its length, if that changed, and the pages written.
    length: Option<u64>,
    pages: BTreeMap<u64, Vec<u8>>,
}

#[derive(Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
    Sync,
}

impl<B> Clone for Gated<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B: StorageBackend> Gated<B> {
    pub fn new(file: B) -> Self {
        Self(Arc::new(Inner {
            file,
            is_open: AtomicBool::new(false),
            owes_sync: AtomicBool::new(false),
            held: Mutex::default(),
            length: OnceLock::new(),
        }))
    }

    /// Does what was held back; from now on changes go straight to the file.
    ///
    /// The last of it is redb's mark that the file is in use, and a sync. That sync is left to the one that
    /// follows, mostly the first commit's, since who opens a store waits for it: without the mark the file opens
    /// as it was closed, and until then nothing is written over what it holds. It would matter if the file had
    /// another length by then, which is why that comes behind the sync.
    pub fn open(&self) -> io::Result<()> {
        let mut held = self.held();
        let mut changes = std::mem::take(&mut *held).changes;
        if let [.., Change::Write(0, header), Change::Sync] = &changes[..]
            && header.len() <= SECTOR_BYTES
        {
            changes.pop();
            self.0.owes_sync.store(true, Ordering::Release);
        }
        for change in changes {
            match change {
                Change::Write(at, data) => self.0.file.write(at, &data)?,
                Change::Length(length) => self.0.file.set_len(length)?,
                Change::Sync => self.0.file.sync_data()?,
            }
        }
        self.0.is_open.store(true, Ordering::Release);
        Ok(())
    }

    /// The file as it lies there: before `open`, as it was found.
    pub fn file(&self) -> &B {
        &self.0.file
    }

    fn is_open(&self) -> bool {
        self.0.is_open.load(Ordering::Acquire)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock()
    }

    fn length(&self, held: &Held) -> io::Result<u64> {
        held.length.map_or_else(|| self.file_length(), Ok)
    }

    fn file_length(&self) -> io::Result<u64> {
        if let Some(length) = self.0.length.get() {
            return Ok(*length);
        }
        let length = self.0.file.len()?;
        Ok(*self.0.length.get_or_init(|| length))
    }

    /// The page as the file has it; zeros behind its end.
    fn file_page(&self, number: u64) -> io::Result<Vec<u8>> {
        let mut page = vec![0; PAGE_BYTES as usize];
        let at = number * PAGE_BYTES;
        let there = self.file_length()?.saturating_sub(at).min(PAGE_BYTES) as usize;
        if there > 0 {
            self.0.file.read(at, &mut page[..there])?;
        }
        Ok(page)
    }
}

impl<B: StorageBackend> StorageBackend for Gated<B> {
    fn len(&self) -> io::Result<u64> {
        if self.is_open() { self.0.file.len() } else { self.length(&self.held()) }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.is_open() {
            return self.0.file.read(offset, out);
        }
        let held = self.held();
        if held.changes.is_empty() {
            return self.0.file.read(offset, out);
        }
        let end = offset + out.len() as u64;
        if end > self.length(&held)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A repair changes a few pages and reads all of a large file: in one go what it reads of that.
        let there = self.file_length()?.saturating_sub(offset).min(out.len() as u64) as usize;
        let (in_file, behind) = out.split_at_mut(there);
        if there > 0 {
            self.0.file.read(offset, in_file)?;
        }
        behind.fill(0);
        for (number, page) in held.pages.range(offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES)) {
            let at = number * PAGE_BYTES;
            let (from, to) = (at.max(offset), (at + PAGE_BYTES).min(end));
            let target = &mut out[(from - offset) as usize..(to - offset) as usize];
            target.copy_from_slice(&page[(from - at) as usize..(to - at) as usize]);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        if self.is_open() {
            if self.0.owes_sync.load(Ordering::Acquire) {
                self.sync_data()?;
            }
            return self.0.file.set_len(length);
        }
        let mut held = self.held();
        // What is cut off reads as zeros if the file grows again.
        let old = self.length(&held)?;
        for number in length.div_ceil(PAGE_BYTES)..old.div_ceil(PAGE_BYTES) {
            held.pages.insert(number, vec![0; PAGE_BYTES as usize]);
        }
        let kept = (length % PAGE_BYTES) as usize;
        if length < old && kept > 0 {
            let number = length / PAGE_BYTES;
            let mut page = match held.pages.remove(&number) {
                Some(page) => page,
                None => self.file_page(number)?,
            };
            page[kept..].fill(0);
            held.pages.insert(number, page);
        }
        held.length = Some(length);
        held.changes.push(Change::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.is_open() {
            self.0.file.sync_data()?;
            self.0.owes_sync.store(false, Ordering::Release);
            return Ok(());
        }
        self.held().changes.push(Change::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.is_open() {
            return self.0.file.write(offset, data);
        }
        let mut held = self.held();
        for (number, within, part) in pages(offset, data.len()) {
            let mut page = match held.pages.remove(&number) {
                Some(page) => page,
                None => self.file_page(number)?,
            };
            let data = &data[part];
            page[within..within + data.len()].copy_from_slice(data);
            held.pages.insert(number, page);
        }
        let end = offset + data.len() as u64;
        if end > self.length(&held)? {
            held.length = Some(end);
        }
        held.changes.push(Change::Write(offset, data.to_vec()));
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.0.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.query_lock_range(start, end)
    }
}

/// The pages that a stretch of bytes touches: number, offset within the page, part of the stretch.
fn pages(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % PAGE_BYTES) as usize;
        let bytes = (length - done).min(PAGE_BYTES as usize - within);
        let part = done..done + bytes;
        done += bytes;
        (bytes > 0).then_some((at / PAGE_BYTES, within, part))
    })
}
