//! Where the bytes of a backup come from: the server that has the store, or the store itself where none runs.

use std::fmt;
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::{CliError, Result};
use crate::cli::server::backup_socket::NAME;
use crate::cli::server::server_file::ServerInfo;
use crate::clock::{Clock, SystemClock};
use crate::engine::EngineError;
use crate::limits;
use crate::mcp::connect_socket;
use crate::private;
use crate::store::{BackupSummary, NoSink, Presence, Store, StoreOptions};

/// Whether the store was served while it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Running,
    Stopped,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
        })
    }
}

/// A backup as it is made. Only what is read to its end and verified is one.
pub struct Source {
    pub stream: UnixStream,
    pub origin: Origin,
}

impl Source {
    pub async fn open(context: &Context) -> Result<Self> {
        let folder = context.data();
        match Store::presence(folder).map_err(EngineError::from)? {
            Presence::Missing => {
                let text = format!("there is no store in {}", folder.display());
                Err(CliError::not_found(text).next("name the folder of the store with --data"))
            }
            Presence::InUse { .. } => Self::of_server(folder).await,
            Presence::Free { .. } => Self::of_store(folder).await,
        }
    }

    /// Of the server that has the folder: it makes the backup itself, since nothing else can read what it writes.
    pub async fn of_server(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let failed = |error: std::io::Error| {
            let pid = ServerInfo::read(folder).map(|info| format!(", pid {},", info.pid)).unwrap_or_default();
            let text = format!(
                "the process{pid} that has {} makes no backup at {}: {error}",
                folder.display(),
                path.display()
            );
            CliError::failed(text)
                .next("stop it, and do this again: a store that no process has open is read directly")
        };
        private::no_link(&path).map_err(failed)?;
        let stream =
            connect_socket(&path).await.and_then(tokio::net::UnixStream::into_std).map_err(failed)?;
        stream.set_nonblocking(false).map_err(failed)?;
        // One that stands still must not keep those who ask it.
        let patience = Duration::from_secs(limits::BACKUP_STALL_SECONDS);
        stream.set_read_timeout(Some(patience)).map_err(failed)?;
        Ok(Self { stream, origin: Origin::Running })
    }

    async fn of_store(folder: &Path) -> Result<Self> {
        let folder = folder.to_owned();
        let open = move || Store::open_to_read(&folder, StoreOptions::default(), Arc::new(NoSink));
        let opened = tokio::task::spawn_blocking(open).await.map_err(CliError::failed)?;
        let store = opened.map_err(EngineError::from)?;
        let (stream, output) = UnixStream::pair().map_err(CliError::failed)?;
        let make = move || {
            // The reader sees that there is no end, and why.
            let _ = store.back_up(SystemClock::default().wall(), &output);
        };
        let thread = std::thread::Builder::new().name("backup".into()).spawn(make);
        thread.map_err(CliError::failed)?;
        Ok(Self { stream, origin: Origin::Stopped })
    }
}

/// Reads all of a store that a server has, through it, and verifies the checksums of all rows.
pub async fn check_running(folder: &Path) -> Result<BackupSummary> {
    let source = Source::of_server(folder).await?;
    let verify = move || Store::verify_backup(BufReader::new(source.stream));
    Ok(tokio::task::spawn_blocking(verify).await.map_err(CliError::failed)??)
}
