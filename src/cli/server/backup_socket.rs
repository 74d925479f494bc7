//! The server's side: a socket in the data folder, where every connection gets one backup of the store. Only the
//! folder's owner can open it. It is there from the moment on that the server has the store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::engine::TaskEngine;
use crate::limits;
use crate::mcp::{is_owners, listen_on_socket};

/// In the data folder.
pub const NAME: &str = "backup.sock";

/// Dropping it ends the listening; a backup that is being made goes on until the store is closed.
pub struct BackupSocket {
    path: PathBuf,
    serving: JoinHandle<()>,
}

impl BackupSocket {
    /// The caller owns the folder: a socket that is there was left behind, and is replaced.
    pub fn bind(engine: TaskEngine, folder: &Path) -> io::Result<Self> {
        let path = folder.join(NAME);
        let listener = listen_on_socket(&path)?;
        let serving = tokio::spawn(accept(listener, engine));
        Ok(Self { path, serving })
    }
}

impl Drop for BackupSocket {
    fn drop(&mut self) {
        // Left behind it is stale, which those who connect find out.
        let _ = std::fs::remove_file(&self.path);
        self.serving.abort();
    }
}

async fn accept(listener: UnixListener, engine: TaskEngine) {
    let places = Arc::new(Semaphore::new(limits::MAX_BACKUPS));
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = clients.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if !is_owners(&stream) => {
                    tracing::warn!("refused a backup to another user: the data folder is too open");
                }
                Ok(_) if clients.len() >= limits::MAX_WAITING_BACKUPS => {
                    tracing::warn!("refused a backup: {} wait", clients.len());
                }
                Ok((stream, _)) => {
                    clients.spawn(serve(stream, engine.clone(), places.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection for a backup failed");
                    tokio::time::sleep(Duration::from_millis(limits::CLIENT_RETRY_MS)).await;
                }
            }
        }
    }
}

async fn serve(stream: UnixStream, engine: TaskEngine, places: Arc<Semaphore>) {
    let Ok(place) = places.acquire_owned().await else { return };
    let make = || -> io::Result<std::os::unix::net::UnixStream> {
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(Duration::from_secs(limits::BACKUP_STALL_SECONDS)))?;
        Ok(stream)
    };
    let stream = match make() {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "a backup could not begin"),
    };
    let made = tokio::task::spawn_blocking(move || {
        let made = engine.back_up(&stream);
        drop(place);
        made
    });
    match made.await {
        Ok(Ok(made)) => tracing::info!(rows = made.rows, bytes = made.bytes, "made a backup"),
        Ok(Err(error)) => tracing::warn!(%error, "a backup was not made"),
        Err(error) => tracing::warn!(%error, "a backup was cut off"),
    }
}
