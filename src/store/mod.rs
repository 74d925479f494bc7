//! Lives here: rows on disk: the one type `Store` over its kinds, batches and guards, the format.
//! May import: `task`, `authority`, `clock`, `limits`. Never here: what a row means; upper rooms convert.
//! Read first: `Store::enqueue`, `suite/` for what every kind does, then `file/format.md`.

mod ack;
mod batch;
pub mod codec;
mod counts;
mod error;
mod file;
mod frame;
#[cfg(test)]
mod memory;
mod options;
mod sink;
mod snapshot;
mod space;
#[cfg(test)]
mod suite;
mod visit;

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::executor::block_on;
use tokio::sync::watch;

pub use ack::Ack;
pub use batch::{Batch, Count, Effects, Guard, Need};
pub use counts::read_count;
pub use error::{NotPrivate, Refusal, StoreError, is_disk_full};
#[cfg(test)]
pub(crate) use file::{AfterLie, Dice, Drive, Fault, Lie, Past};
pub use file::{BackupError, BackupSummary, Presence};
#[cfg(any(test, debug_assertions))]
#[doc(hidden)]
pub use file::{Moment, No};
pub use options::{Checked, DiskBounds, DiskUsage, Durability, Lsn, StoreOptions, Usage};
pub use sink::{NoSink, Sink};
pub use snapshot::Snapshot;
pub use space::Space;
pub use visit::Change;

use crate::limits::{MAX_BATCH_DIRECT_BYTES, MAX_BATCH_LOG_BYTES, MAX_KEY_BYTES};
use crate::task::TaskId;
use file::File;
#[cfg(test)]
use memory::Memory;

/// An ordered key-value space on one file. A clone is the same store. Dropping the last one closes it as
/// `close_blocking` does, which waits for the disk.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    kind: Kind,
    /// Reads so far.
    reads: AtomicU64,
}

/// What a store is kept in.
enum Kind {
    File(File),
    #[cfg(test)]
    Memory(Memory),
}

impl Store {
    /// The format that is written, and the newest that is read.
    pub const FORMAT: u32 = file::FORMAT;

    /// Opens the store in `folder`, or makes one. Repairs what a crash left behind. For threads that may block.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        block_on(Self::open_async(folder, options, Arc::new(NoSink)))
    }

    /// As `open`, without blocking the thread: the writer thread opens what it will write to. `sink` gets the effects
    /// of all batches.
    pub async fn open_async(
        folder: &Path,
        options: StoreOptions,
        sink: Arc<dyn Sink>,
    ) -> Result<Self, StoreError> {
        File::open(folder, options, sink).await.map(Self::of_file)
    }

    /// A store that is gone when it is closed, and is on no disk: to try something in. Its bytes are the caller's to bound.
    pub async fn open_in_memory(options: StoreOptions, sink: Arc<dyn Sink>) -> Result<Self, StoreError> {
        File::open_in_memory(options, sink).await.map(Self::of_file)
    }

    /// Opens the store in `folder` to read it, with the log's unfolded end. Nothing can be enqueued. Readers share the
    /// file; a process that writes, or wants to, excludes them. For threads that may block.
    pub fn open_to_read(
        folder: &Path,
        options: StoreOptions,
        sink: Arc<dyn Sink>,
    ) -> Result<Self, StoreError> {
        File::open_to_read(folder, options, sink).map(Self::of_file)
    }

    /// Reads all of the store in `folder`, which is not open, and verifies every checksum, as no start does.
    /// The file is left as it is. An error says what is damaged and where.
    pub fn check(folder: &Path) -> Result<Checked, StoreError> {
        file::check(folder)
    }

    /// Whether there is a store in `folder`, and whether a process has it.
    pub fn presence(folder: &Path) -> Result<Presence, StoreError> {
        file::presence(folder)
    }

    /// How the disk of `folder` stands; the store need not be open, nor there. Whether new work is refused is said as
    /// if the store's file had no free pages.
    pub fn disk(folder: &Path, bounds: DiskBounds) -> std::io::Result<DiskUsage> {
        file::disk_of(folder, bounds)
    }

    /// Writes all that is acknowledged by now into `out`, as one stream that says of itself whether it is whole; commits
    /// go on meanwhile, and do not wait. `made_at` is now, in nanoseconds since 1970. For threads that may block.
    pub fn back_up(&self, made_at: u64, out: impl Write) -> Result<BackupSummary, BackupError> {
        match &self.inner.kind {
            Kind::File(file) => file.back_up(made_at, out),
            #[cfg(test)]
            Kind::Memory(_) => Err(BackupError::Unfinished("a store in memory has none".to_owned())),
        }
    }

    /// Reads all of a backup and checks all that can be checked of it.
    pub fn verify_backup(input: impl Read) -> Result<BackupSummary, BackupError> {
        file::verify(input)
    }

    /// Makes a store of a backup in `folder`, where there must be none yet. An error leaves the folder without one.
    /// `draw` is a random number.
    pub fn restore(input: impl Read, folder: &Path, draw: u64) -> Result<BackupSummary, BackupError> {
        file::restore(input, folder, draw)
    }

    #[cfg(test)]
    fn of_memory(memory: Memory) -> Self {
        Self::of(Kind::Memory(memory))
    }

    fn of_file(file: File) -> Self {
        Self::of(Kind::File(file))
    }

    fn of(kind: Kind) -> Self {
        Self { inner: Arc::new(Inner { kind, reads: AtomicU64::new(0) }) }
    }

    /// How often it was read since it was opened.
    pub fn reads(&self) -> u64 {
        self.inner.reads.load(Ordering::Relaxed)
    }

    /// Counts the openings of this store. Whatever names an older one is from before a restart.
    pub fn boot(&self) -> u64 {
        match &self.inner.kind {
            Kind::File(file) => file.boot(),
            #[cfg(test)]
            Kind::Memory(memory) => memory.boot(),
        }
    }

    /// Hands over a batch. Never waits; the order of calls is the order of commits. An error means that
    /// nothing was queued, and what the batch was to bring about is withdrawn.
    pub fn enqueue(&self, batch: Batch) -> Result<Ack, StoreError> {
        self.hand_over(batch, false)
    }

    /// The same, and wait for the answer, on a thread that may block. It comes from the writer itself: no thread of
    /// a runtime need be free for it.
    pub fn commit_blocking(&self, batch: Batch) -> Result<Lsn, StoreError> {
        self.hand_over(batch, true)?.wait_blocking()
    }

    fn hand_over(&self, batch: Batch, at_once: bool) -> Result<Ack, StoreError> {
        let bounds = [
            ("a key", batch.longest_key, MAX_KEY_BYTES),
            ("a batch", batch.frame.len(), MAX_BATCH_LOG_BYTES),
            ("a batch of large values", batch.direct_bytes, MAX_BATCH_DIRECT_BYTES),
        ];
        let too_large = bounds.into_iter().find(|(_, found, limit)| found > limit);
        if let Some((what, found, limit)) = too_large {
            let why = StoreError::TooLarge { what, found, limit };
            return Err(match &self.inner.kind {
                Kind::File(file) => file.not_taken(batch, why),
                #[cfg(test)]
                Kind::Memory(memory) => memory.not_taken(batch, why),
            });
        }
        match &self.inner.kind {
            Kind::File(file) => file.enqueue(batch, at_once),
            #[cfg(test)]
            Kind::Memory(memory) => memory.enqueue(batch),
        }
    }

    /// Reads one consistent snapshot, of everything acknowledged so far at least. Commits wait for the closure: keep it
    /// short, do not block in it, and do not read the store within it. On a file it runs at once, on this thread.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.with_snapshot(|snapshot| read(&snapshot))
    }

    /// As `read`, for what may take long: on a file it runs on a thread that may block.
    pub async fn read_long<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || store.read_blocking(read)).await;
        done.unwrap_or_else(|error| {
            Err(StoreError::Io { what: "reading".into(), why: error.to_string().into() })
        })
    }

    /// Reads rows of a task that this process holds, whose lock the caller may have: its status, operations, messages,
    /// questions and checkpoint, each under a key that begins with its id. Never waits for another machine.
    pub fn read_held<T>(
        &self,
        task: TaskId,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with_snapshot(|snapshot| read(&snapshot.held(task)))
    }

    /// As `read`, for threads that may block.
    pub fn read_blocking<T>(
        &self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with_snapshot(|snapshot| read(&snapshot))
    }

    /// Reads what is decided under a lock, in one turn with the commit that follows: shared state. Only where one
    /// process has the store; several nodes would decide by guards alone.
    pub fn read_at_once<T>(
        &self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with_snapshot(|snapshot| read(&snapshot))
    }

    fn with_snapshot<T>(
        &self,
        read: impl FnOnce(Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.inner.reads.fetch_add(1, Ordering::Relaxed);
        match &self.inner.kind {
            Kind::File(file) => read(Snapshot::of_file(file.state().snapshot()?)),
            #[cfg(test)]
            Kind::Memory(memory) => read(Snapshot::of_memory(memory.snapshot(&memory.kept())?)),
        }
    }

    /// Why the store refuses to write, if it does.
    pub fn latched(&self) -> Option<Arc<str>> {
        match &self.inner.kind {
            Kind::File(file) => file.latched(),
            #[cfg(test)]
            Kind::Memory(memory) => memory.latched(),
        }
    }

    /// Changes, once, when the store stops writing: the process should end with an error then.
    pub fn on_latch(&self) -> watch::Receiver<Option<Arc<str>>> {
        match &self.inner.kind {
            Kind::File(file) => file.on_latch(),
            #[cfg(test)]
            Kind::Memory(memory) => memory.on_latch(),
        }
    }

    /// Gives up so many bytes of the disk that are kept in reserve, for a small file that lies next to the store's.
    pub fn give_room(&self, bytes: u64) {
        match &self.inner.kind {
            Kind::File(file) => file.give_room(bytes),
            #[cfg(test)]
            Kind::Memory(_) => {}
        }
    }

    pub fn usage(&self) -> Result<Usage, StoreError> {
        match &self.inner.kind {
            Kind::File(file) => Ok(file.usage()),
            #[cfg(test)]
            Kind::Memory(memory) => Ok(memory.usage()),
        }
    }

    /// Commits what is queued, and leaves a file that opens without repair. Other handles are closed too.
    pub async fn close(self) -> Result<(), StoreError> {
        let closed = tokio::task::spawn_blocking(move || self.close_blocking()).await;
        closed.unwrap_or(Err(StoreError::Closed))
    }

    /// As `close`, for threads that may block.
    pub fn close_blocking(self) -> Result<(), StoreError> {
        self.inner.close();
        self.latched().map_or(Ok(()), |words| Err(StoreError::Latched(words)))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("kind", &self.inner.kind).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::File(file) => f.debug_tuple("File").field(&file.path()).finish(),
            #[cfg(test)]
            Kind::Memory(_) => f.write_str("Memory"),
        }
    }
}

impl Inner {
    fn close(&self) {
        match &self.kind {
            Kind::File(file) => file.close(),
            #[cfg(test)]
            Kind::Memory(memory) => memory.close(),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
