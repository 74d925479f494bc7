//! The HTTP client of the whole process: one connection an exchange, so that a checked address is what is
//! connected to; HTTP/1 alone; no proxy, no redirects, no cookies, no compression.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::connector::{Dialler, Head, Outgoing};
use super::failure::Failure;
use crate::engine::BoxFuture;
use crate::limits;

#[derive(Clone, Default)]
pub struct Client {
    /// By the time to connect, which reqwest knows for a client alone.
    clients: Arc<Mutex<HashMap<Duration, reqwest::Client>>>,
}

impl Client {
    fn with(&self, connect: Duration) -> Result<reqwest::Client, Failure> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&connect) {
            return Ok(client.clone());
        }
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            // A pooled connection would go where another exchange was allowed to go.
            .pool_max_idle_per_host(0)
            .connect_timeout(connect)
            .dns_resolver(Arc::new(Judged))
            .build()
            .map_err(|error| Failure::Other(format!("the HTTP client cannot be set up: {error}")))?;
        if clients.len() >= limits::MAX_HTTP_CLIENTS {
            clients.clear();
        }
        clients.insert(connect, client.clone());
        Ok(client)
    }
}

impl Dialler for Client {
    fn resolve(&self, host: &str) -> BoxFuture<Result<Vec<IpAddr>, Failure>> {
        // The port is not looked up, but the call wants one.
        let host = (host.to_owned(), 0);
        Box::pin(async move {
            let found =
                tokio::net::lookup_host(host).await.map_err(|error| Failure::Name(error.to_string()))?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }

    fn send(
        &self,
        request: Outgoing,
        addresses: Vec<SocketAddr>,
        connect: Duration,
    ) -> BoxFuture<Result<Head, Failure>> {
        let client = self.with(connect);
        Box::pin(async move {
            let mut sending = client?.request(request.method, request.target.url().clone());
            sending = sending.headers(request.headers);
            if let Some(body) = request.body {
                sending = sending.body(body);
            }
            let failed = |error| Failure::of_client(error, false);
            let response = JUDGED.scope(addresses, sending.send()).await.map_err(failed)?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.bytes_stream();
            let body = body.map(|piece| piece.map_err(|error| Failure::of_client(error, true))).boxed();
            Ok(Head { status, headers, body })
        })
    }
}

tokio::task_local! {
    /// The addresses that the exchange of this task may connect to.
    static JUDGED: Vec<SocketAddr>;
}

/// Looks nothing up: it knows the addresses that were judged. Outside of an exchange it knows none.
struct Judged;

impl Resolve for Judged {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses = JUDGED.try_with(Clone::clone);
        Box::pin(async move {
            match addresses {
                Ok(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
                Err(_) => Err(Failure::AddressProhibited.into()),
            }
        })
    }
}
