//! From the pipes of a host to the server that owns its data folder, whichever process that is just now.

mod conversation;
mod lines;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::error::{self, HttpFault};
use super::server::lock;
use crate::limits;
use conversation::{Carried, Conversation, line_of};
use lines::{Line, Lines};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum BridgeError<E> {
    #[error(transparent)]
    NoServer(E),
    #[error("the server on the data folder ended {0} times within a minute")]
    EndsAgain(usize),
}

/// Carries lines both ways until the host closes its end. `connect` finds or starts a server; when that one is
/// gone, it is asked for another, which is brought to where the first one stood.
pub async fn bridge<R, W, E, F>(host: (R, W), connect: impl Fn() -> F) -> Result<(), BridgeError<E>>
where
    F: Future<Output = Result<UnixStream, E>>,
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Unpin,
    E: std::fmt::Display,
{
    let (read, mut to_host) = host;
    let (tell, mut from_host) = mpsc::channel(limits::MAX_BRIDGED_LINES);
    tokio::spawn(read_host(read, tell));
    let conversation = Mutex::new(Conversation::default());
    let mut losses = VecDeque::new();
    loop {
        let server = if losses.len() > limits::MAX_BRIDGE_RESTARTS {
            Err(BridgeError::EndsAgain(losses.len()))
        } else {
            connect().await.map_err(BridgeError::NoServer)
        };
        let server = match server {
            Ok(server) => server,
            Err(error) => {
                let lines = lock(&conversation).abandoned(&error.to_string());
                for line in lines {
                    // A host that is gone as well has no use for it.
                    let _ = to_host.write_all(&line).await;
                }
                let _ = to_host.flush().await;
                return Err(error);
            }
        };
        if let End::Host = carry(&conversation, &mut from_host, &mut to_host, server).await {
            return Ok(());
        }
        tracing::warn!("the server on the data folder is gone");
        let now = Instant::now();
        losses.retain(|loss| now.duration_since(*loss) < MINUTE);
        losses.push_back(now);
    }
}

/// Who ended it.
enum End {
    Host,
    Server,
}

/// With one server, until either side is gone.
async fn carry(
    conversation: &Mutex<Conversation>,
    from_host: &mut mpsc::Receiver<Line>,
    to_host: &mut (impl AsyncWrite + Unpin),
    server: UnixStream,
) -> End {
    let (from_server, mut to_server) = server.into_split();
    let Carried { to_host: first_to_host, to_server: first_to_server } = lock(conversation).replaced();
    // What the host is told of its own lines.
    let (reply, replies) = mpsc::channel(1);
    let up = async {
        for line in first_to_server {
            to_server.write_all(&line).await?;
        }
        while let Some(line) = from_host.recv().await {
            let carried = match line {
                Line::Whole(line) => lock(conversation).host_said(line),
                Line::TooLong => too_long(),
            };
            for line in carried.to_server {
                to_server.write_all(&line).await?;
            }
            for line in carried.to_host {
                // Its receiver lives as long as this does.
                let _ = reply.send(line).await;
            }
        }
        to_server.shutdown().await
    };
    let down = tell_host(conversation, to_host, from_server, first_to_host, replies);
    tokio::pin!(down);
    tokio::select! {
        end = &mut down => return end,
        Ok(()) = up => {}
        // Where `up` cannot write any more, what the server said last is still to be read.
    }
    lock(conversation).closing();
    if lock(conversation).is_over() {
        return End::Host;
    }
    let _ = tokio::time::timeout(Duration::from_secs(limits::SHUTDOWN_GRACE_SECONDS), down).await;
    End::Host
}

async fn tell_host(
    conversation: &Mutex<Conversation>,
    to_host: &mut (impl AsyncWrite + Unpin),
    from_server: impl AsyncRead + Unpin,
    mut lines: Vec<Vec<u8>>,
    mut replies: mpsc::Receiver<Vec<u8>>,
) -> End {
    let mut from_server = Lines::new(from_server, limits::MAX_CLIENT_EVENT_BYTES);
    loop {
        for line in std::mem::take(&mut lines) {
            if to_host.write_all(&line).await.is_err() {
                return End::Host;
            }
        }
        if to_host.flush().await.is_err() || lock(conversation).is_over() {
            return End::Host;
        }
        tokio::select! {
            line = from_server.next() => match line {
                Ok(Some(Line::Whole(line))) => lines = lock(conversation).server_said(line).to_host,
                Ok(Some(Line::TooLong)) => tracing::error!("the server sent a line that is too long"),
                Ok(None) | Err(_) => return End::Server,
            },
            Some(line) = replies.recv() => lines.push(line),
        }
    }
}

async fn read_host(read: impl AsyncRead + Unpin, tell: mpsc::Sender<Line>) -> io::Result<()> {
    let mut lines = Lines::new(read, limits::MAX_REQUEST_BYTES);
    while let Some(line) = lines.next().await? {
        if tell.send(line).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Nobody has read its id.
fn too_long() -> Carried {
    let bound = limits::MAX_REQUEST_BYTES;
    let message = format!("the request is larger than {bound} bytes: pass large data by reference");
    let body: Value = error::http_body(HttpFault::TooLarge, &message);
    Carried { to_host: vec![line_of(&body)], ..Carried::default() }
}
