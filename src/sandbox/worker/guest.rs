//! A guest that runs in a worker, as the server has it: what its calls come to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::{GuestMemory, Recorder};
use crate::files::FolderServers;
use crate::limits;
use crate::sandbox::egress::Connector;
use crate::sandbox::worker::uploads::Uploads;
use crate::sandbox::world::http::FlowHere;
use crate::task::Task;

pub struct Guest {
    pub recorder: Recorder,
    pub memory: GuestMemory,
    pub task: Arc<Task>,
    pub connector: Connector,
    pub folders: FolderServers,
    exchanges: Arc<Semaphore>,
    streams: Streams,
    pub uploads: Uploads,
}

/// Bodies on their way to it.
#[derive(Default)]
struct Streams {
    last: AtomicU64,
    open: Mutex<HashMap<u64, OpenStream>>,
}

/// Answered one piece at a time.
pub type OpenStream = Arc<tokio::sync::Mutex<FlowHere>>;

impl Guest {
    pub fn new(recorder: Recorder, memory: GuestMemory, task: Arc<Task>, connector: Connector) -> Self {
        let exchanges = Arc::new(Semaphore::new(limits::MAX_OPEN_EXCHANGES));
        let (folders, streams) = (FolderServers::default(), Streams::default());
        let uploads = Uploads::default();
        Self { recorder, memory, task, connector, folders, exchanges, streams, uploads }
    }

    #[must_use]
    pub fn with_folders(self, folders: FolderServers) -> Self {
        Self { folders, ..self }
    }

    /// A place for an exchange; none where it has as many as it may.
    pub fn exchange(&self) -> Option<OwnedSemaphorePermit> {
        self.exchanges.clone().try_acquire_owned().ok()
    }

    /// Keeps one, under the number that is returned; none where it has as many as it may.
    pub fn keep_stream(&self, flow: FlowHere) -> Option<u64> {
        // What is under way may begin to stream when the worker's own bound is reached.
        const MOST: usize = limits::MAX_OPEN_STREAMS + limits::MAX_OPEN_EXCHANGES;
        let mut open = self.streams.open.lock();
        if open.len() >= MOST {
            return None;
        }
        let number = self.streams.last.fetch_add(1, Ordering::Relaxed) + 1;
        open.insert(number, Arc::new(tokio::sync::Mutex::new(flow)));
        Some(number)
    }

    pub fn stream(&self, number: u64) -> Option<OpenStream> {
        self.streams.open.lock().get(&number).cloned()
    }

    pub fn drop_stream(&self, number: u64) {
        let dropped = self.streams.open.lock().remove(&number);
        drop(dropped);
    }
}
