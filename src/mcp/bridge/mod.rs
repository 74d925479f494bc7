//! Lives here: the bridge from the pipes of a host to the server that owns its data folder, whichever process that is.
//! May import: `wire`, `questions`, `transport` and below.
//! Never here: an engine; a bridge knows lines.
//! Read first: `conversation.rs`.

mod conversation;
mod options;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::limits;
use crate::mcp::transport::reader::Reader;
use crate::mcp::wire::reading::{Line, Lines};
use conversation::{Carried, Conversation};

pub use options::BridgeOptions;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum BridgeError<E> {
    #[error(transparent)]
    NoServer(E),
    #[error("the server on the data folder ended {0} times within a minute")]
    EndsAgain(usize),
}

/// Carries lines both ways until the host has closed its end and has its answers. `connect` finds or starts a
/// server; when that one is gone, it is asked for another, which is brought to where the first one stood.
pub async fn bridge<R, W, E, F>(
    host: (R, W),
    reader: Reader,
    options: BridgeOptions,
    connect: impl Fn() -> F,
) -> Result<(), BridgeError<E>>
where
    F: Future<Output = Result<UnixStream, E>>,
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Unpin,
    E: std::fmt::Display,
{
    let (read, mut to_host) = host;
    let (tell, mut from_host) = mpsc::channel(limits::MAX_BRIDGED_LINES);
    tokio::spawn(read_host(read, tell));
    let conversation = Mutex::new(Conversation::new(options));
    let (reply, received) = mpsc::channel(1);
    let mut replies = Replies { reply, replies: received };
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
                let received = replies.replies.try_recv().unwrap_or_default();
                let lines = conversation.lock().abandoned(&error.to_string());
                for line in received.into_iter().chain(lines) {
                    // A host that is gone as well has no use for it.
                    let _ = to_host.write_all(&line).await;
                }
                let _ = to_host.flush().await;
                return Err(error);
            }
        };
        let host = (&mut to_host, &reader);
        if let End::Host = carry(&conversation, &mut from_host, &mut replies, host, server).await {
            return Ok(());
        }
        tracing::warn!("the server on the data folder is gone");
        let now = Instant::now();
        losses.retain(|loss| now.duration_since(*loss) < MINUTE);
        losses.push_back(now);
    }
}

/// What the host hears of its own lines, whichever server there is.
struct Replies {
    reply: mpsc::Sender<Vec<Vec<u8>>>,
    replies: mpsc::Receiver<Vec<Vec<u8>>>,
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
    replies: &mut Replies,
    (to_host, reader): (&mut (impl AsyncWrite + Unpin), &Reader),
    server: UnixStream,
) -> End {
    let (from_server, mut to_server) = server.into_split();
    let Carried { to_host: first_to_host, to_server: first_to_server } = conversation.lock().replaced();
    let reply = replies.reply.clone();
    let up = async {
        for line in first_to_server {
            to_server.write_all(&line).await?;
        }
        loop {
            // With this in hand nothing is lost between what the host says and what it hears of that.
            let Ok(reply) = reply.reserve().await else { return Ok(()) };
            let Some(line) = from_host.recv().await else {
                conversation.lock().closing();
                reply.send(Vec::new());
                break;
            };
            let Carried { to_host, to_server: lines } = conversation.lock().host_said(line);
            if !to_host.is_empty() {
                reply.send(to_host);
            }
            for line in lines {
                to_server.write_all(&line).await?;
            }
        }
        to_server.shutdown().await?;
        reader.gone().await;
        io::Result::Ok(())
    };
    let down = tell_host(conversation, to_host, from_server, first_to_host, &mut replies.replies);
    tokio::select! {
        end = down => end,
        // The host has closed its end, and reads no answer either. Where `up` cannot write any more, what the server
        // said last is still to be read.
        Ok(()) = up => End::Host,
    }
}

async fn tell_host(
    conversation: &Mutex<Conversation>,
    to_host: &mut (impl AsyncWrite + Unpin),
    from_server: impl AsyncRead + Unpin,
    mut lines: Vec<Vec<u8>>,
    replies: &mut mpsc::Receiver<Vec<Vec<u8>>>,
) -> End {
    let mut from_server = Lines::new(from_server, limits::MAX_CLIENT_EVENT_BYTES);
    loop {
        for line in std::mem::take(&mut lines) {
            if to_host.write_all(&line).await.is_err() {
                return End::Host;
            }
        }
        if to_host.flush().await.is_err() || conversation.lock().is_over() {
            return End::Host;
        }
        tokio::select! {
            line = from_server.next() => match line {
                Ok(Some(line)) => lines = conversation.lock().server_said(line).to_host,
                Ok(None) | Err(_) if conversation.lock().is_over() => return End::Host,
                Ok(None) | Err(_) => return End::Server,
            },
            Some(received) = replies.recv() => lines = received,
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
