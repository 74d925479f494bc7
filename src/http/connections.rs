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
use std::time::Duration;

use axum::serve::Listener;
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Patience};
use super::body::{Paced, noting_its_end};
use super::chain::SharedChain;
use super::event_stream::{Tail, Takeover, write_tail};
use super::message::Body;
use super::owner::{OfOwner, OwnerRule, Peer};
use super::places::{OnConnection, Place, Places};
use crate::limits;
use crate::shares::Refusal;

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
    places: Arc<Places>,
    patience: Patience,
    closing: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Waits by itself where the system has no room for another one.
            (stream, peer) = Listener::accept(&mut listener) => {
                let peer = match known(&stream, peer, owners, &places) {
                    Ok(peer) => peer,
                    Err(refusal) => {
                        turn_away(&stream, &refusal);
                        continue;
                    }
                };
                let activity = Arc::new(Activity::new(places.account().clone(), peer, patience, Instant::now()));
                match places.admit(peer, activity.clone()) {
                    Ok(place) => {
                        let seated = Seated { stream, activity, place: Arc::new(place) };
                        connections.spawn(connection(seated, app.clone(), closing.clone()));
                    }
                    Err(refusal) => turn_away(&stream, &refusal),
                }
            }
            Some(_) = connections.join_next() => {}
            () = closing.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Whose a connection is, unless its machine begins too many. The owner's is let in in any case.
fn known(stream: &TcpStream, peer: SocketAddr, owners: OwnerRule, places: &Places) -> Result<Peer, Refusal> {
    let of_other = Peer::new(peer.ip(), false);
    let counted = places.arrivals().count(of_other.network);
    match Peer::new(peer.ip(), owners.admits(stream, peer)) {
        owner @ Peer { is_owner: true, .. } => Ok(owner),
        other => counted.map(|()| other),
    }
}

/// A connection that has a place.
struct Seated {
    stream: TcpStream,
    activity: Arc<Activity>,
    place: Arc<Place>,
}

/// Says that there is no room, as far as that can be said without waiting.
fn turn_away(stream: &TcpStream, refusal: &Refusal) {
    drop(stream.try_write(no_room(refusal).as_bytes()));
}

/// No request was read: it is the server that has no room, whatever the caller has.
fn no_room(refusal: &Refusal) -> String {
    let (words, after) = (format!("{refusal}\n"), refusal.retry_after_seconds());
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: {after}\r\n\
         content-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\r\n{words}",
        words.len()
    )
}

async fn connection(seated: Seated, app: SharedChain, closing: CancellationToken) {
    // Answers are small and each is waited for.
    drop(seated.stream.set_nodelay(true));
    let Seated { stream, activity, place } = seated;
    // In a box: a listener does not need its room any more.
    let ended = match Box::pin(serve_requests(stream, activity.clone(), &place, app, closing)).await {
        Ok(Some((stream, tail))) => {
            activity.begin_stream(Instant::now());
            tokio::select! {
                written = write_tail(stream, tail) => written,
                // It was taken for idle while it changed hands.
                () = place.wanted() => return,
            }
        }
        Ok(None) => return,
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::trace!(%error, peer = %activity.peer.network, "a connection broke");
    }
}

/// Answers requests until the connection ends, or the head of a listener's stream has been sent.
async fn serve_requests(
    stream: TcpStream,
    activity: Arc<Activity>,
    place: &Arc<Place>,
    app: SharedChain,
    closing: CancellationToken,
) -> io::Result<Option<(TcpStream, Tail)>> {
    let takeover = Arc::new(Takeover::default());
    let of_service = takeover.clone();
    let closed = ClosedInOrder::default();
    let of_requests = closed.clone();
    let is_unread = Arc::new(AtomicBool::new(false));
    let of_bodies = is_unread.clone();
    let of_connection = OnConnection { activity: activity.clone(), place: place.clone() };
    let answer = service_fn(move |mut request: hyper::Request<Incoming>| {
        let activity = of_connection.activity.clone();
        activity.begin_answer(Instant::now());
        request.extensions_mut().insert(OfOwner(activity.peer.is_owner));
        request.extensions_mut().insert(of_connection.clone());
        request.extensions_mut().insert(of_requests.clone());
        let (version, takeover) = (request.version(), of_service.clone());
        let response = app.run(request.map(|body| Body::new(Paced::new(body, of_bodies.clone()))));
        response.map(move |response| {
            Ok::<_, Infallible>(noting_its_end(takeover.hold(response, version), activity))
        })
    });
    let io = TokioIo::new(Watched { stream, takeover: takeover.clone(), closed, activity: activity.clone() });
    let mut connection = http1::Builder::new()
        // By itself hyper takes what fits into its buffer, which grows past this bound by doubling.
        .max_header_size(limits::MAX_REQUEST_HEAD_BYTES)
        .max_buf_size(limits::MAX_CONNECTION_BUFFER_BYTES)
        .serve_connection(io, answer);
    let mut is_closing = false;
    let mut late = std::pin::pin!(activity.late());
    let mut wanted = std::pin::pin!(place.wanted());
    let mut is_wanted = false;
    loop {
        let progress = poll_fn(|context| match Pin::new(&mut connection).poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended.map(|()| None)),
            Poll::Pending => takeover.take_over().map_or(Poll::Pending, |tail| Poll::Ready(Ok(Some(tail)))),
        });
        tokio::select! {
            ended = progress => {
                // What the client may have sent ahead is lost: it has read that this response is the last.
                let ended = ended.map_err(io::Error::other)?;
                let stream = connection.into_parts().io.into_inner().stream;
                if ended.is_none() && is_unread.load(Ordering::Relaxed) {
                    Box::pin(drop_the_rest(stream)).await;
                    return Ok(None);
                }
                return Ok(ended.map(|tail| (stream, tail)));
            }
            late = &mut late => return Err(io::Error::new(io::ErrorKind::TimedOut, late)),
            () = &mut wanted, if !is_wanted => {
                // A request that has arrived since is answered; then it is the last.
                if activity.idle_since().is_some() {
                    return Ok(None);
                }
                is_wanted = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            () = closing.cancelled(), if !is_closing => {
                is_closing = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
}

/// Reads what a client is still writing behind the last answer, to the end or a bound. What the kernel has unread when a
/// connection is closed it answers with a reset, at which clients drop the answer that they have not read yet.
async fn drop_the_rest(mut stream: TcpStream) {
    let all = async {
        let (mut part, mut dropped) = (vec![0; limits::MAX_CONNECTION_BUFFER_BYTES], 0);
        while dropped < limits::MAX_DROPPED_BYTES
            && let Ok(bytes @ 1..) = stream.read(&mut part).await
        {
            dropped += bytes;
        }
    };
    // Whether it came to its end or not, the connection is closed.
    drop(tokio::time::timeout(Duration::from_millis(limits::LINGER_MS), all).await);
}

/// A connection as hyper sees it.
struct Watched {
    stream: TcpStream,
    takeover: Arc<Takeover>,
    closed: ClosedInOrder,
    activity: Arc<Activity>,
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
        if into.filled().len() > before {
            self.activity.read(Instant::now());
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
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.activity.write(&done, Instant::now());
        done
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.takeover.written();
        let done = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.activity.write(&done, Instant::now());
        done
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.takeover.flushed();
        self.activity.flush();
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
