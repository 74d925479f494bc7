//! A guest that runs in a worker, as the server has it: what its calls come to.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::{GuestMemory, Recorder};
use crate::files::FolderServers;
use crate::limits;
use crate::sandbox::egress::Connector;
use crate::task::Task;

pub struct Guest {
    pub recorder: Recorder,
    pub memory: GuestMemory,
    pub task: Arc<Task>,
    pub connector: Connector,
    pub folders: FolderServers,
    exchanges: Arc<Semaphore>,
}

impl Guest {
    pub fn new(recorder: Recorder, memory: GuestMemory, task: Arc<Task>, connector: Connector) -> Self {
        let exchanges = Arc::new(Semaphore::new(limits::MAX_OPEN_EXCHANGES));
        Self { recorder, memory, task, connector, folders: FolderServers::default(), exchanges }
    }

    #[must_use]
    pub fn with_folders(self, folders: FolderServers) -> Self {
        Self { folders, ..self }
    }

    /// A place for an exchange; none where it has as many as it may.
    pub fn exchange(&self) -> Option<OwnedSemaphorePermit> {
        self.exchanges.clone().try_acquire_owned().ok()
    }
}
