//! The connections of the HTTP server. hyper serves each until it turns into a stream for one who only listens: such
//! a stream is written here, since hyper would keep 16 KiB of buffers for it as long as it lives.

use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Version, header};
use axum::response::Response;
use axum::serve::Listener;
use futures::{StreamExt, stream};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::peer;
use super::server::lock;
use crate::limits;

/// Marks a response that tells a listener something now and then, and is the last of its connection.
#[derive(Clone, Copy)]
pub struct OnlyTells;

/// Which connections are the owner's without a key or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerRule {
    /// Those of sockets that belong to this process's own user, as the kernel says.
    SameUser,
    /// All that come over loopback, whoever made them: `--open-loopback`.
    AnyLoopback,
    /// None.
    Nobody,
}

/// Whether a request's connection is the owner's, found out once when it was accepted.
#[derive(Clone, Copy, Debug)]
pub struct OfOwner(pub bool);

impl OwnerRule {
    fn admits(self, stream: &TcpStream, peer: SocketAddr) -> bool {
        if self == Self::Nobody || !peer.ip().to_canonical().is_loopback() {
            return false;
        }
        if self == Self::AnyLoopback {
            return true;
        }
        let asked = stream.local_addr().map_err(peer::PeerError::Unavailable);
        asked.and_then(|ours| peer::is_own_user(peer, ours)).unwrap_or_else(|error| {
            tracing::debug!(%error, %peer, "a connection is taken for a stranger's");
            false
        })
    }
}

/// Whether the client closed a request's connection in good order. A connection that was reset, timed out or went
/// with its network was not; nor was one that this server ended. Every request carries it.
#[derive(Clone, Default)]
pub struct ClosedInOrder(Arc<AtomicBool>);

impl ClosedInOrder {
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

type App = TowerToHyperService<Router>;

/// Serves connections until `closing`, then takes no new ones and ends when those that are left have been answered.
/// Dropped, it cuts them off.
pub async fn serve(mut listener: TcpListener, app: Router, owners: OwnerRule, closing: CancellationToken) {
    let app = TowerToHyperService::new(app);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Waits by itself where the system has no room for another one.
            (stream, peer) = Listener::accept(&mut listener) => {
                // Asked at once: later the peer may have closed, and its address may be another's.
                let of_owner = OfOwner(owners.admits(&stream, peer));
                connections.spawn(connection(stream, peer, of_owner, app.clone(), closing.clone()));
            }
            Some(_) = connections.join_next() => {}
            () = closing.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    of_owner: OfOwner,
    app: App,
    closing: CancellationToken,
) {
    // Answers are small and each is waited for.
    drop(stream.set_nodelay(true));
    // In a box: its room is not needed any more by who listens.
    let ended = match Box::pin(until_told(stream, of_owner, app, closing)).await {
        Ok(Some((stream, telling))) => tell(stream, telling).await,
        Ok(None) => return,
        Err(error) => Err(io::Error::other(error)),
    };
    if let Err(error) = ended {
        tracing::trace!(%error, %peer, "a connection broke");
    }
}

/// Answers requests until the connection ends, or the head of a response was sent whose body is to be told.
async fn until_told(
    stream: TcpStream,
    of_owner: OfOwner,
    app: App,
    closing: CancellationToken,
) -> hyper::Result<Option<(TcpStream, Telling)>> {
    let exit = Arc::new(Exit::default());
    let of_service = exit.clone();
    let closed = ClosedInOrder::default();
    let of_requests = closed.clone();
    let answer = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(of_owner);
        request.extensions_mut().insert(of_requests.clone());
        let (version, exit) = (request.version(), of_service.clone());
        let response = app.call(request);
        async move { response.await.map(|response| exit.keep(response, version)) }
    });
    let io = TokioIo::new(Watched { stream, exit: exit.clone(), closed });
    let mut connection = http1::Builder::new()
        // By itself hyper takes what fits into its buffer, which grows past this bound by doubling.
        .max_header_size(limits::MAX_REQUEST_HEAD_BYTES)
        .max_buf_size(limits::MAX_CONNECTION_BUFFER_BYTES)
        .serve_connection(io, answer);
    let mut is_closing = false;
    loop {
        let progress = poll_fn(|context| match Pin::new(&mut connection).poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended.map(|()| None)),
            Poll::Pending => exit.open().map_or(Poll::Pending, |telling| Poll::Ready(Ok(Some(telling)))),
        });
        tokio::select! {
            ended = progress => {
                // What the client may have sent ahead is lost: it was told that this response is the last.
                return Ok(ended?.map(|telling| (connection.into_parts().io.into_inner().stream, telling)));
            }
            () = closing.cancelled(), if !is_closing => {
                is_closing = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
}

/// A body behind a head that hyper has sent.
struct Telling {
    body: Body,
    /// How its parts are told from one another; HTTP/1.0 knows no way.
    is_chunked: bool,
}

/// Where a body waits until hyper has written all that comes before it.
#[derive(Default)]
struct Exit {
    telling: Mutex<Option<Telling>>,
    /// hyper asks for a body once it has its head in its buffer.
    is_asked_for: AtomicBool,
    /// hyper writes out its buffer, then flushes; this is what lies between.
    is_unflushed: AtomicBool,
}

impl Exit {
    fn keep(self: Arc<Self>, response: Response, version: Version) -> Response {
        if response.extensions().get::<OnlyTells>().is_none() {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        *lock(&self.telling) = Some(Telling { body, is_chunked: version >= Version::HTTP_11 });
        let asked = stream::once(async move {
            self.is_asked_for.store(true, Ordering::Relaxed);
            pending::<io::Result<Bytes>>().await
        });
        Response::from_parts(parts, Body::from_stream(asked))
    }

    /// After each turn of hyper's, which ends with writing what it has to write.
    fn open(&self) -> Option<Telling> {
        let is_written =
            self.is_asked_for.load(Ordering::Relaxed) && !self.is_unflushed.load(Ordering::Relaxed);
        if is_written { lock(&self.telling).take() } else { None }
    }
}

/// Tells the body until it ends or the client goes.
async fn tell(mut stream: TcpStream, telling: Telling) -> io::Result<()> {
    let Telling { body, is_chunked } = telling;
    let mut body = body.into_data_stream();
    let (mut reader, mut writer) = stream.split();
    let gone = async {
        let mut ignored = [0; 64];
        while reader.read(&mut ignored).await? > 0 {}
        Ok(())
    };
    let told = async {
        while let Some(part) = body.next().await {
            // Broken off without an end, it is not taken for a whole one.
            let part = part.map_err(io::Error::other)?;
            if is_chunked && !part.is_empty() {
                let size = format!("{:x}\r\n", part.len());
                writer.write_all(&[size.as_bytes(), &part, b"\r\n"].concat()).await?;
            } else {
                writer.write_all(&part).await?;
            }
        }
        if is_chunked {
            writer.write_all(b"0\r\n\r\n").await?;
        }
        writer.shutdown().await
    };
    tokio::select! {
        gone = gone => gone,
        told = told => told,
    }
}

/// A connection as hyper sees it.
struct Watched {
    stream: TcpStream,
    exit: Arc<Exit>,
    closed: ClosedInOrder,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, has_room) = (into.filled().len(), into.remaining() > 0);
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        // The kernel tells of a FIN, also where a reset came behind it, by a read of nothing; of a reset alone,
        // or of a peer that is not heard of any more, by an error.
        if matches!(read, Poll::Ready(Ok(()))) && has_room && into.filled().len() == before {
            self.closed.0.store(true, Ordering::Release);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.exit.is_unflushed.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.exit.is_unflushed.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.exit.is_unflushed.store(false, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::sync::mpsc;

    use super::*;

    /// More than the system keeps for a client that does not read.
    const LARGE_BYTES: usize = 16 * 1024 * 1024;

    struct World {
        address: SocketAddr,
        tell: mpsc::UnboundedSender<&'static str>,
        closing: CancellationToken,
        serving: tokio::task::JoinHandle<()>,
    }

    impl World {
        /// A large page, and one that tells what it is given.
        async fn new() -> Self {
            let (tell, parts) = mpsc::unbounded_channel();
            let parts = Arc::new(Mutex::new(Some(parts)));
            let told = get(move || {
                let parts = lock(&parts).take().expect("one listener");
                let next = async |mut parts: mpsc::UnboundedReceiver<&'static str>| {
                    Some((Ok::<_, io::Error>(parts.recv().await?), parts))
                };
                let mut response = Response::new(Body::from_stream(stream::unfold(parts, next)));
                response.extensions_mut().insert(OnlyTells);
                std::future::ready(response)
            });
            let app =
                Router::new().route("/large", get(|| async { "x".repeat(LARGE_BYTES) })).route("/told", told);
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let (address, closing) = (listener.local_addr().expect("an address"), CancellationToken::new());
            let serving = tokio::spawn(serve(listener, app, OwnerRule::Nobody, closing.clone()));
            Self { address, tell, closing, serving }
        }

        async fn ask(&self, requests: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.expect("a connection");
            stream.write_all(requests.as_bytes()).await.expect("sent");
            stream
        }
    }

    async fn until(stream: &mut TcpStream, end: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            read.push(stream.read_u8().await.expect("more"));
        }
        String::from_utf8(read).expect("text")
    }

    #[tokio::test]
    async fn what_is_told_stands_whole_behind_earlier_answers_and_ends_with_its_body() {
        let world = World::new().await;
        let mut stream =
            world.ask("GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /told HTTP/1.1\r\nHost: a\r\n\r\n").await;
        until(&mut stream, "\r\n\r\n").await;
        let mut large = vec![0; LARGE_BYTES];
        stream.read_exact(&mut large).await.expect("the whole page");
        assert!(large.iter().all(|byte| *byte == b'x'));
        let head = until(&mut stream, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("connection: close\r\n"), "{head}");
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
        world.tell.send("one").expect("told");
        assert_eq!(until(&mut stream, "one\r\n").await, "3\r\none\r\n");
        world.closing.cancel();
        world.tell.send("").expect("told");
        world.tell.send("and ten more").expect("told");
        assert!(!world.serving.is_finished(), "there is a listener");
        drop(world.tell);
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.expect("the end");
        assert_eq!(rest, "c\r\nand ten more\r\n0\r\n\r\n");
        world.serving.await.expect("ended");
    }

    #[tokio::test]
    async fn http_1_0_is_told_without_frames() {
        let world = World::new().await;
        let mut stream = world.ask("GET /told HTTP/1.0\r\n\r\n").await;
        let head = until(&mut stream, "\r\n\r\n").await;
        assert!(!head.contains("chunked"), "{head}");
        world.tell.send("one").expect("told");
        drop(world.tell);
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.expect("the end");
        assert_eq!(rest, "one");
    }

    #[tokio::test]
    async fn nothing_is_kept_for_a_listener_who_has_gone() {
        let world = World::new().await;
        let mut stream = world.ask("GET /told HTTP/1.1\r\nHost: a\r\n\r\n").await;
        until(&mut stream, "\r\n\r\n").await;
        drop(stream);
        world.tell.closed().await;
    }
}
