//! The connections of the HTTP server. hyper serves each until it turns into a stream for a listener, which is written
//! by `event_stream.rs`.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::serve::Listener;
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::chain::SharedChain;
use super::event_stream::{Tail, Takeover, write_tail};
use super::message::Body;
use super::owner::{OfOwner, OwnerRule};
use crate::limits;

/// Whether the client closed a request's connection in good order. A connection that was reset, timed out or went
/// with its network was not; nor was one that this server ended. Every request carries it.
#[derive(Clone, Default)]
pub struct ClosedInOrder(Arc<AtomicBool>);

impl ClosedInOrder {
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Serves connections until `closing`, then takes no new ones and ends when those that are left have been answered.
/// Dropped, it cuts them off.
pub async fn serve(
    mut listener: TcpListener,
    app: SharedChain,
    owners: OwnerRule,
    closing: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Waits by itself where the system has no room for another one.
            (stream, peer) = Listener::accept(&mut listener) => {
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
    app: SharedChain,
    closing: CancellationToken,
) {
    // Answers are small and each is waited for.
    drop(stream.set_nodelay(true));
    // In a box: a listener does not need its room any more.
    let ended = match Box::pin(serve_requests(stream, of_owner, app, closing)).await {
        Ok(Some((stream, tail))) => write_tail(stream, tail).await,
        Ok(None) => return,
        Err(error) => Err(io::Error::other(error)),
    };
    if let Err(error) = ended {
        tracing::trace!(%error, %peer, "a connection broke");
    }
}

/// Answers requests until the connection ends, or the head of a listener's stream has been sent.
async fn serve_requests(
    stream: TcpStream,
    of_owner: OfOwner,
    app: SharedChain,
    closing: CancellationToken,
) -> hyper::Result<Option<(TcpStream, Tail)>> {
    let takeover = Arc::new(Takeover::default());
    let of_service = takeover.clone();
    let closed = ClosedInOrder::default();
    let of_requests = closed.clone();
    let answer = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(of_owner);
        request.extensions_mut().insert(of_requests.clone());
        let (version, takeover) = (request.version(), of_service.clone());
        let response = app.run(request.map(Body::new));
        response.map(move |response| Ok::<_, Infallible>(takeover.hold(response, version)))
    });
    let io = TokioIo::new(Watched { stream, takeover: takeover.clone(), closed });
    let mut connection = http1::Builder::new()
        // By itself hyper takes what fits into its buffer, which grows past this bound by doubling.
        .max_header_size(limits::MAX_REQUEST_HEAD_BYTES)
        .max_buf_size(limits::MAX_CONNECTION_BUFFER_BYTES)
        .serve_connection(io, answer);
    let mut is_closing = false;
    loop {
        let progress = poll_fn(|context| match Pin::new(&mut connection).poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended.map(|()| None)),
            Poll::Pending => takeover.take_over().map_or(Poll::Pending, |tail| Poll::Ready(Ok(Some(tail)))),
        });
        tokio::select! {
            ended = progress => {
                // What the client may have sent ahead is lost: it has read that this response is the last.
                return Ok(ended?.map(|tail| (connection.into_parts().io.into_inner().stream, tail)));
            }
            () = closing.cancelled(), if !is_closing => {
                is_closing = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
}

/// A connection as hyper sees it.
struct Watched {
    stream: TcpStream,
    takeover: Arc<Takeover>,
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
        self.takeover.written();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.takeover.written();
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.takeover.flushed();
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::response::Response;
    use axum::routing::get;
    use futures::stream;
    use parking_lot::Mutex;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    use super::*;
    use crate::http::EventStream;
    use crate::http::chain::Chain;

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
            let seen = get(move || {
                let parts = parts.lock().take().expect("one listener");
                let next = async |mut parts: mpsc::UnboundedReceiver<&'static str>| {
                    Some((Ok::<_, io::Error>(parts.recv().await?), parts))
                };
                let mut response = Response::new(Body::from_stream(stream::unfold(parts, next)));
                response.extensions_mut().insert(EventStream);
                std::future::ready(response)
            });
            let app =
                Router::new().route("/large", get(|| async { "x".repeat(LARGE_BYTES) })).route("/told", seen);
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let (address, closing) = (listener.local_addr().expect("an address"), CancellationToken::new());
            let serving = tokio::spawn(serve(
                listener,
                Chain::of_routes(app).shared(),
                OwnerRule::None,
                closing.clone(),
            ));
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
