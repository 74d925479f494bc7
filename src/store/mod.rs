//! Lives here: rows on disk: redb, the writer thread with group commit, consistent reads, the format.
//! May import: `task`, `authority`, `clock`, `limits`. Never here: what a row means; upper rooms convert.
//! Read first: `format.md`, then `Store::enqueue`.

mod answers;
mod backlog;
mod base;
mod batch;
pub mod codec;
mod entries;
mod error;
mod file;
mod fold;
mod frame;
mod gate;
mod judge;
mod key;
mod layer;
mod presence;
mod read;
mod run;
mod shared;
mod snapshot;
mod space;
mod writer;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use redb::StorageBackend;
use redb::backends::{FileBackend, InMemoryBackend};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

pub use batch::{Batch, Guard};
pub use error::{NotPrivate, Refusal, StoreError};
pub use presence::Presence;
pub use snapshot::Snapshot;
pub use space::Space;

use crate::limits::{
    FOLD_SLICE_ROWS, IDLE_QUICK_REPAIR_MS, MAX_BATCH_DIRECT_BYTES, MAX_BATCH_LOG_BYTES, MAX_KEY_BYTES,
    MAX_UNFOLDED_BYTES, STORE_CACHE_BYTES,
};
use answers::Answer;
use backlog::Request;
use shared::{Shared, State};
use snapshot::Overlay;
use writer::Writer;

/// Number of an applied batch; they count up in the order of commits, across restarts.
pub type Lsn = u64;

/// An ordered key-value space on one file. A clone is the same store. Dropping the last one closes it as
/// `close_blocking` does, which waits for the disk.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StoreOptions {
    pub durability: Durability,
    /// redb's page cache, bytes.
    pub cache_bytes: usize,
    /// Bytes of the log that start-up may have to read.
    pub(crate) max_unfolded_bytes: usize,
    /// Rows that a commit folds along the way.
    pub(crate) fold_slice_rows: usize,
    /// How long without a commit counts as idle.
    pub(crate) idle: Duration,
}

/// What an acknowledgement promises beyond a crash of the process: both survive the loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// One sync a commit. A torn commit is told from a whole one by a checksum.
    #[default]
    Standard,
    /// Two syncs a commit: a torn commit is not even pointed to.
    Strict,
}

/// The promise of an answer: resolves when the batch is durable and told, or refused, or lost.
/// Dropping it changes nothing about the batch.
#[derive(Debug)]
#[must_use = "a batch is not durable before its acknowledgement"]
pub struct Ack {
    answer: oneshot::Receiver<Answer>,
}

/// Sizes, for `doctor` and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// What the file takes of its disk.
    pub file_bytes: u64,
    /// Keys and values in the base tables and in the log's unfolded end.
    pub live_bytes: u64,
    /// What the file has beyond that: free pages, and pages that are partly filled.
    pub free_bytes: u64,
    pub unfolded_bytes: u64,
    pub unfolded_rows: u64,
    pub queued_batches: usize,
    pub last_lsn: Lsn,
}

/// What a check has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    pub rows: u64,
    /// Commits in the log that are not folded yet.
    pub log_rows: u64,
}

struct Inner {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Open the store in `folder`, or make one. Repairs what a crash left behind. For threads that may block.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        block_on(Self::open_async(folder, options))
    }

    /// As `open`, without blocking the thread: the writer thread opens what it will write to.
    pub async fn open_async(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let folder = folder.to_owned();
        let open = move |runtime| {
            let file = file::open_file(&folder)?;
            let path = folder.join(file::FILE_NAME);
            let backend = FileBackend::new(file)
                .map_err(|error| StoreError::of_redb(format!("opening {}", path.display()), error))?;
            open_writer(backend, path, options, runtime)
        };
        Self::on_a_thread(open).await
    }

    /// Read all of the store in `folder`, which nobody has open, and verify every checksum, as no start does.
    /// The file is left as it is. An error says what is damaged and where.
    pub fn check(folder: &Path) -> Result<Checked, StoreError> {
        let path = folder.join(file::FILE_NAME);
        let (rows, log_rows) = file::check(read::backend(folder)?, &path, STORE_CACHE_BYTES)?;
        Ok(Checked { rows, log_rows })
    }

    /// A store that is gone with the process.
    pub fn open_in_memory(options: StoreOptions) -> Result<Self, StoreError> {
        Self::open_with_backend(InMemoryBackend::new(), Path::new("(memory)"), options)
    }

    fn open_with_backend(
        backend: impl StorageBackend,
        path: &Path,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let path = path.to_owned();
        block_on(Self::on_a_thread(move |runtime| open_writer(backend, path, options, runtime)))
    }

    async fn on_a_thread(
        open: impl FnOnce(Option<Handle>) -> Result<Writer, StoreError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (tell, opened) = oneshot::channel();
        let runtime = answers::runtime();
        let serve = move || match open(runtime) {
            Ok(writer) => {
                // Nobody may want it any more.
                if tell.send(Ok(writer.shared.clone())).is_ok() {
                    writer.run();
                }
            }
            Err(error) => drop(tell.send(Err(error))),
        };
        let thread = thread::Builder::new().name("store-writer".into()).spawn(serve);
        let thread = thread.map_err(|error| StoreError::io("starting the writer thread", &error))?;
        let shared = opened.await.unwrap_or(Err(StoreError::Closed))?;
        Ok(Self { inner: Arc::new(Inner { shared, writer: Mutex::new(Some(thread)) }) })
    }

    /// Counts the openings of this store. Whatever names an older one is from before a restart.
    pub fn boot(&self) -> u64 {
        self.inner.shared.boot
    }

    /// Hand over a batch. Never waits; the order of calls is the order of commits. An error means that
    /// nothing was queued.
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
        for (what, found, limit) in bounds {
            if found > limit {
                return Err(StoreError::TooLarge { what, found, limit });
            }
        }
        let (ack, answer) = oneshot::channel();
        self.inner.shared.enqueue(Request::new(batch, ack, at_once))?;
        Ok(Ack { answer })
    }

    /// Read one consistent snapshot, of everything acknowledged so far at least. Commits wait for the
    /// closure: keep it short, do not block in it, and do not read the store within it.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        read(&self.inner.shared.read_state().snapshot()?)
    }

    /// Why the store refuses to write, if it does.
    pub fn latched(&self) -> Option<Arc<str>> {
        self.inner.shared.latched()
    }

    /// Changes, once, when the store stops writing: the process should end with an error then.
    pub fn on_latch(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.inner.shared.watch_latch()
    }

    pub fn usage(&self) -> Result<Usage, StoreError> {
        let shared = &self.inner.shared;
        let meters = &shared.meters;
        let file_bytes = std::fs::metadata(&shared.path).map_or(0, |there| file::occupied(&there));
        let unfolded_bytes = meters.unfolded_bytes.load(Ordering::Relaxed);
        let live_bytes = meters.base_bytes.load(Ordering::Relaxed) + unfolded_bytes;
        let queue = shared.queue();
        Ok(Usage {
            file_bytes,
            live_bytes,
            free_bytes: file_bytes.saturating_sub(live_bytes),
            unfolded_bytes,
            unfolded_rows: meters.unfolded_rows.load(Ordering::Relaxed),
            queued_batches: queue.waiting.len() + queue.taken,
            last_lsn: meters.last_lsn.load(Ordering::Relaxed),
        })
    }

    /// Commit what is queued, and leave a file that opens without repair. Other handles are closed too.
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

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Standard,
            cache_bytes: STORE_CACHE_BYTES,
            max_unfolded_bytes: MAX_UNFOLDED_BYTES,
            fold_slice_rows: FOLD_SLICE_ROWS,
            idle: Duration::from_millis(IDLE_QUICK_REPAIR_MS),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.shared.path).finish_non_exhaustive()
    }
}

impl Inner {
    fn close(&self) {
        self.shared.begin_close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle may be dropped by a `then`, on the writer thread, which cannot wait for itself.
        if let Some(writer) = writer.filter(|writer| writer.thread().id() != thread::current().id()) {
            let _ = writer.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Ack {
    /// Only for an answer that the writer itself gives.
    fn wait_blocking(self) -> Result<Lsn, StoreError> {
        block_on(self)
    }
}

impl Future for Ack {
    type Output = Result<Lsn, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map(|answer| match answer {
            Ok(answer) => answer,
            // The writer is gone with the batch in hand: it panicked.
            Err(_) => Err(StoreError::Closed),
        })
    }
}

fn open_writer(
    backend: impl StorageBackend,
    path: PathBuf,
    options: StoreOptions,
    runtime: Option<Handle>,
) -> Result<Writer, StoreError> {
    let opened = file::open(backend, &path, options.cache_bytes)?;
    let overlay = Overlay { active: opened.unfolded, ..Overlay::default() };
    let state = State { db: Some(opened.db), overlay };
    let shared = Arc::new(Shared::new(path, options, opened.boot, state));
    let (bytes, rows) = (opened.unfolded_bytes, opened.unfolded_rows);
    Ok(Writer::new(shared, runtime, opened.position, opened.last_lsn, bytes, rows))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
