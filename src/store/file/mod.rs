//! The store in one file: redb, the writer thread with group commit, consistent reads, the format. redb is named here
//! alone. Read first: `format.md`, then `File::enqueue`.

mod answers;
mod backlog;
mod backup;
mod base;
#[cfg(test)]
mod drive;
mod entries;
mod entry;
mod error;
mod fold;
mod folder;
mod gate;
mod judge;
mod key;
mod lane;
mod later;
mod layer;
mod layout;
mod log;
mod look;
mod names;
mod open;
#[cfg(test)]
mod past;
mod presence;
mod read;
#[cfg(any(test, debug_assertions))]
mod refusing;
mod request;
mod reserve;
mod ring;
mod room;
mod run;
mod shared;
mod snapshot;
mod volume;
mod whole;
mod writer;

#[cfg(test)]
pub(super) mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use parking_lot::{Mutex, RwLockReadGuard};

#[cfg(test)]
use futures::executor::block_on;
#[cfg(test)]
use redb::StorageBackend;
use redb::backends::{FileBackend, InMemoryBackend};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

pub use backup::{BackupError, BackupSummary};
pub(super) use backup::{restore, verify};
#[cfg(test)]
pub(crate) use drive::Drive;
pub(super) use layout::FORMAT;
pub(super) use look::disk_of;
#[cfg(test)]
pub(crate) use past::{AfterLie, Past};
pub use presence::Presence;
pub(super) use presence::presence;
pub(super) use read::check;
#[cfg(any(test, debug_assertions))]
pub use refusing::{Moment, No};
pub(super) use snapshot::Snapshot;
#[cfg(test)]
pub(crate) use tests::{
    Dice,
    disk::{Fault, Lie},
};

use super::ack::Ack;
use super::batch::Batch;
use super::error::StoreError;
use super::options::{DiskBounds, StoreOptions, Usage};
use super::sink::Sink;
use names::Names;
use open::Opened;
use request::Request;
use reserve::{Reserve, Reserved};
use room::{Owed, Room};
use shared::{Shared, State};
use volume::FolderVolume;
use writer::{Begun, Writer};

/// A store in one file, or in what stands for one.
pub(super) struct File {
    shared: Arc<Shared>,
    /// `None` for one that is only read.
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl File {
    pub async fn open(folder: &Path, options: StoreOptions, sink: Arc<dyn Sink>) -> Result<Self, StoreError> {
        Self::open_in(Names::default(), folder, options, sink).await
    }

    async fn open_in(
        names: Names,
        folder: &Path,
        options: StoreOptions,
        sink: Arc<dyn Sink>,
    ) -> Result<Self, StoreError> {
        let path = folder.join(open::FILE_NAME);
        let open = move |runtime| {
            let folder = path.parent().unwrap_or(Path::new("."));
            let file = folder::open_file(&names, folder, options.ring_bytes)?;
            let what = || format!("opening {}", path.display());
            let volume = FolderVolume::new(folder, &file);
            let reserve = Reserve::on(volume.map_err(|error| StoreError::io(what(), &error))?);
            let backend = FileBackend::new(file).map_err(|error| StoreError::of_redb(what(), error))?;
            let backend = Reserved::new(backend, reserve.clone());
            let opened = open::open(backend, &path, options, is_disk_full(&reserve, options.disk))?;
            if !opened.was_closed {
                folder::sync_name(&names, &path)?;
            }
            Ok(writer(opened, path, options, sink, runtime, reserve))
        };
        Self::on_a_thread(open).await
    }

    /// On no disk: what it holds goes with it.
    pub async fn open_in_memory(options: StoreOptions, sink: Arc<dyn Sink>) -> Result<Self, StoreError> {
        let path = PathBuf::from("(in memory)");
        Self::on_a_thread(move |runtime| {
            // Nothing is to be synced, and a ring would take its memory.
            let options = StoreOptions { ring_bytes: 0, ..options };
            let opened = open::open(InMemoryBackend::new(), &path, options, false)?;
            Ok(writer(opened, path, options, sink, runtime, Reserve::none()))
        })
        .await
    }

    #[cfg(test)]
    pub fn open_with_backend(
        backend: impl StorageBackend,
        path: &Path,
        options: StoreOptions,
        sink: Arc<dyn Sink>,
    ) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let options = tests::with_small_ring(options);
        block_on(Self::on_a_thread(move |runtime| {
            let opened = open::open(backend, &path, options, false)?;
            Ok(writer(opened, path, options, sink, runtime, Reserve::none()))
        }))
    }

    /// As [`Self::open_with_backend`], on a disk that can be full.
    #[cfg(test)]
    pub fn open_on_volume(
        disk: &tests::disk::Disk,
        path: &Path,
        options: StoreOptions,
        sink: Arc<dyn Sink>,
    ) -> Result<Self, StoreError> {
        let (path, disk) = (path.to_owned(), disk.clone());
        let options = tests::with_small_ring(options);
        block_on(Self::on_a_thread(move |runtime| {
            let reserve = Reserve::on(disk.clone());
            let opened = open::open(Reserved::new(disk, reserve.clone()), &path, options, false)?;
            Ok(writer(opened, path, options, sink, runtime, reserve))
        }))
    }

    pub fn open_to_read(
        folder: &Path,
        options: StoreOptions,
        sink: Arc<dyn Sink>,
    ) -> Result<Self, StoreError> {
        let shared = read::open_to_read(folder, options, sink)?;
        Ok(Self { shared: Arc::new(shared), writer: Mutex::new(None) })
    }

    async fn on_a_thread(
        open: impl FnOnce(Option<Handle>) -> Result<Writer, StoreError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (tell, opened) = oneshot::channel();
        let runtime = answers::runtime();
        let serve = move || match open(runtime) {
            Ok(writer) => {
                // It may be wanted no more.
                if tell.send(Ok(writer.shared.clone())).is_ok() {
                    writer.run();
                }
            }
            Err(error) => drop(tell.send(Err(error))),
        };
        let thread = thread::Builder::new().name("store-writer".into()).spawn(serve);
        let thread = thread.map_err(|error| StoreError::io("starting the writer thread", &error))?;
        let shared = opened.await.unwrap_or(Err(StoreError::Closed))?;
        Ok(Self { shared, writer: Mutex::new(Some(thread)) })
    }

    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    pub fn boot(&self) -> u64 {
        self.shared.boot
    }

    /// Queue a batch. It is answered by the writer itself if its owner waits for it `at_once`.
    pub fn enqueue(&self, batch: Batch, at_once: bool) -> Result<Ack, StoreError> {
        #[cfg(any(test, debug_assertions))]
        let batch = self.shared.refusing.pass(&self.shared, batch)?;
        let (ack, answer) = oneshot::channel();
        self.shared.enqueue(Request::new(batch, ack, at_once))?;
        Ok(Ack::new(answer))
    }

    /// Withdraws a batch that is not queued; gives why.
    pub fn not_taken(&self, batch: Batch, why: StoreError) -> StoreError {
        self.shared.not_taken(batch, why)
    }

    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.shared.read_state()
    }

    pub fn back_up(&self, made_at: u64, out: impl Write) -> Result<BackupSummary, BackupError> {
        backup::make(&self.shared, made_at, out)
    }

    pub fn latched(&self) -> Option<Arc<str>> {
        self.shared.latched()
    }

    pub fn on_latch(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.shared.watch_latch()
    }

    pub fn give_room(&self, bytes: u64) {
        self.shared.reserve.give(bytes);
    }

    pub fn usage(&self) -> Usage {
        let meters = &self.shared.meters;
        let file_bytes = std::fs::metadata(&self.shared.path).map_or(0, |there| open::occupied(&there));
        let unfolded_bytes = meters.unfolded_bytes.load(Ordering::Relaxed);
        let base_bytes = meters.base_bytes.load(Ordering::Relaxed);
        let live_bytes = base_bytes + unfolded_bytes;
        // Where the log has a ring, its rows are there.
        let log_bytes = meters.ring_bytes.load(Ordering::Relaxed).max(unfolded_bytes);
        let disk = self.shared.disk_usage();
        let queue = self.shared.queue();
        Usage {
            file_bytes,
            live_bytes,
            free_bytes: file_bytes.saturating_sub(base_bytes + log_bytes),
            unfolded_bytes,
            unfolded_rows: meters.unfolded_rows.load(Ordering::Relaxed),
            queued_batches: queue.waiting.len() + queue.taken,
            last_lsn: meters.last_lsn.load(Ordering::Relaxed),
            disk,
        }
    }

    /// Waits for the writer, which commits what is queued first.
    pub fn close(&self) {
        self.shared.begin_close();
        let writer = self.writer.lock().take();
        // The last handle may be dropped by the sink, on the writer thread, which cannot wait for itself.
        if let Some(writer) = writer.filter(|writer| writer.thread().id() != thread::current().id()) {
            let _ = writer.join();
        }
    }
}

/// Whether new work would be refused if nothing were free within the file.
fn is_disk_full(reserve: &Reserve, bounds: DiskBounds) -> bool {
    reserve.measure().is_some_and(|disk| !Room::of(disk, Owed::default(), bounds).has_free_room())
}

fn writer(
    opened: Opened,
    path: PathBuf,
    options: StoreOptions,
    sink: Arc<dyn Sink>,
    runtime: Option<Handle>,
    reserve: Arc<Reserve>,
) -> Writer {
    let begun = Begun::of(&opened, options.durability);
    let boot = opened.boot;
    let shared = Arc::new(Shared::new(path, options, boot, State::new(opened), sink, reserve));
    Writer::new(shared, runtime, begun)
}
