//! The connections of the HTTP server. hyper serves each, without axum's listener in between: that one looks for
//! HTTP/2 first, which costs every connection a second read buffer for as long as it lives.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::limits;

type App = TowerToHyperService<Router>;

/// Serves connections until `closing`, then takes no new ones and ends when those that are left have been answered.
/// Dropped, it cuts them off.
pub async fn serve(mut listener: TcpListener, app: Router, closing: CancellationToken) {
    let app = TowerToHyperService::new(app);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Waits by itself where the system has no room for another one.
            (stream, peer) = Listener::accept(&mut listener) => {
                connections.spawn(connection(stream, peer, app.clone(), closing.clone()));
            }
            Some(_) = connections.join_next() => {}
            () = closing.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, peer: SocketAddr, app: App, closing: CancellationToken) {
    // Answers are small and each is waited for.
    drop(stream.set_nodelay(true));
    let answer = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        app.call(request)
    });
    let connection = http1::Builder::new()
        .max_buf_size(limits::MAX_CONNECTION_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, %peer, "a connection broke");
    }
}
