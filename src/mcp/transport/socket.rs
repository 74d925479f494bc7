//! The socket in a data folder: every connection to it is served as stdin and stdout would be. Only the user who
//! owns it can open it, which is asked of the kernel as well, so that its clients are `local`.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::reader::Reader;
use super::stdio::serve_pipes;
use crate::mcp::shared::McpServer;
use crate::mcp::socket_path::ShortPath;
use crate::{clock, limits, private};

#[derive(Debug, thiserror::Error)]
#[error("listening on {} failed: {source}", path.display())]
pub struct SocketError {
    path: PathBuf,
    source: io::Error,
}

/// A server that listens on a socket. Dropping it cuts everything off; [`SocketServer::shutdown`] does not.
pub struct SocketServer {
    path: PathBuf,
    server: McpServer,
    clients: watch::Receiver<usize>,
    closing: CancellationToken,
    serving: JoinHandle<()>,
}

impl SocketServer {
    /// The caller owns the folder: a socket that is there was left behind, and is replaced.
    pub async fn bind(server: McpServer, path: &Path) -> Result<Self, SocketError> {
        let listener =
            listen_on_socket(path).map_err(|source| SocketError { path: path.to_owned(), source })?;
        let (count, clients) = watch::channel(0);
        let closing = CancellationToken::new();
        let serving = tokio::spawn(accept(listener, server.clone(), count, closing.clone()));
        Ok(Self { path: path.to_owned(), server, clients, closing, serving })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends once there has been no client for `grace`, and no task is open. The first client gets some seconds
    /// at least.
    pub async fn idle(&self, grace: Duration) {
        let mut clients = self.clients.clone();
        let mut patience = grace.max(Duration::from_secs(limits::FIRST_CLIENT_SECONDS));
        loop {
            if clients.wait_for(|count| *count == 0).await.is_err() {
                return;
            }
            match clock::timeout(patience, clients.wait_for(|count| *count > 0)).await {
                Some(_) => patience = grace,
                None if self.server.engine().metrics().open == 0 => return,
                // Tasks end one by one, and nothing waits for this.
                None => patience = grace.max(Duration::from_millis(limits::IDLE_CHECK_MS)),
            }
        }
    }

    /// Answers what waits, then ends every connection. Tasks go on.
    pub async fn shutdown(mut self) {
        self.remove();
        self.closing.cancel();
        let grace = Duration::from_secs(limits::SHUTDOWN_GRACE_SECONDS);
        if tokio::time::timeout(grace, &mut self.serving).await.is_err() {
            tracing::warn!("some connections did not end in time and are cut off");
        }
    }

    fn remove(&self) {
        // Left behind it is stale, which those who connect find out.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for SocketServer {
    fn drop(&mut self) {
        if !self.serving.is_finished() {
            self.remove();
            self.serving.abort();
        }
    }
}

/// Listens where only this user can connect; a socket that is there is replaced.
pub fn listen_on_socket(path: &Path) -> io::Result<UnixListener> {
    private::only_socket(path)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let short = ShortPath::of(path)?;
    let socket = UnixSocket::new_stream()?;
    let private = 0o600;
    // On Linux the file gets what the socket has, so that it never is anybody else's, even in an open folder.
    let _ = rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(private));
    socket.bind(&short.path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(private))?;
    socket.listen(limits::SOCKET_BACKLOG)
}

/// Whether the other end belongs to this process's user, or to root, who may do all of it anyway.
pub fn is_owners(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn accept(
    listener: UnixListener,
    server: McpServer,
    count: watch::Sender<usize>,
    closing: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = closing.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(_) if connections.len() >= limits::MAX_SOCKET_CLIENTS => {
                    tracing::warn!("refused a connection: {} are open", connections.len());
                }
                Ok((stream, _)) if !is_owners(&stream) => {
                    tracing::warn!("refused a connection of another user: the folder of the socket is too open");
                }
                Ok((stream, _)) => {
                    let reader = Reader::of(&stream);
                    let serving = serve_pipes(server.clone(), stream.into_split(), reader, closing.clone());
                    connections.spawn(async move {
                        if let Err(error) = serving.await {
                            tracing::info!(%error, "a connection on the socket ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection on the socket failed");
                    tokio::time::sleep(Duration::from_millis(limits::CLIENT_RETRY_MS)).await;
                }
            }
        }
        count.send_replace(connections.len());
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
