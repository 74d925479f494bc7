//! The HTTP client of the whole process: one connection an exchange, so that a checked address is what is
//! connected to; HTTP/1 alone; no proxy, no redirects, no cookies, no compression.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use parking_lot::Mutex;
use reqwest::Certificate;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::util::MapFutureLayer;

use super::answer::Head;
use super::connector::{Dialler, Outgoing, Route};
use super::failure::Failure;
use super::machine;
use super::upload::Sending;
use crate::engine::BoxFuture;
use crate::limits;

#[derive(Clone, Default)]
pub struct Client {
    /// Of authorities that are trusted besides those of the machine.
    certificates: Vec<Certificate>,
    clients: Arc<Mutex<Clients>>,
}

/// Made when the first exchange wants them: a machine without any authority can still do without TLS.
#[derive(Default)]
struct Clients {
    plain: Option<reqwest::Client>,
    tls: Option<reqwest::Client>,
}

impl Client {
    pub fn new(certificates: Vec<Certificate>) -> Self {
        Self { certificates, clients: Arc::default() }
    }

    fn for_scheme(&self, scheme: &str) -> Result<reqwest::Client, Failure> {
        let mut clients = self.clients.lock();
        let is_plain = scheme == "http";
        let kept = if is_plain { &mut clients.plain } else { &mut clients.tls };
        if let Some(client) = kept {
            return Ok(client.clone());
        }
        let builder = reqwest::Client::builder();
        let builder = match is_plain {
            true => builder.tls_certs_only([]),
            false => builder.tls_certs_merge(self.certificates.clone()),
        };
        // By itself it ends a connection whose server takes nothing for 30 s: how long one waits is the exchange's to say.
        #[cfg(target_os = "linux")]
        let builder = builder.tcp_user_timeout(None::<Duration>);
        let client = builder
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            // A pooled connection would go where another exchange was allowed to go.
            .pool_max_idle_per_host(0)
            // Shared out among the addresses of a name; what the guest wants less, the exchange sees to.
            .connect_timeout(Duration::from_millis(limits::HTTP_CONNECT_MS))
            .connector_layer(MapFutureLayer::new(telling))
            .dns_resolver(Arc::new(Judged))
            .build()
            .map_err(|error| {
                let why =
                    std::error::Error::source(&error).map_or_else(String::new, |why| format!(": {why}"));
                Failure::Other(format!("the HTTP client cannot be set up: {error}{why}"))
            })?;
        Ok(kept.insert(client).clone())
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

    fn is_own(&self, address: IpAddr) -> std::io::Result<bool> {
        machine::is_own(address)
    }

    fn send(&self, request: Outgoing, route: Route) -> BoxFuture<Result<Head, Failure>> {
        let client = self.for_scheme(request.target.url().scheme());
        Box::pin(async move {
            let mut sending = client?.request(request.method, request.target.url().clone());
            sending = sending.headers(request.headers);
            let mut cut = None;
            sending = match request.body {
                None => sending,
                Some(Sending::Whole(body)) => sending.body(body),
                Some(Sending::Streams(upload)) => {
                    let (pieces, cuts) = upload.pieces_until_cut();
                    cut = Some(cuts);
                    sending.body(reqwest::Body::wrap_stream(pieces))
                }
            };
            let failed = |error| Failure::of_client(error, false);
            let response = ROUTE.scope(route, sending.send()).await.map_err(failed)?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.bytes_stream();
            // A body goes on behind the answer's head, for as long as the answer is taken.
            let body = body.map(move |piece| {
                let _until_then = &cut;
                piece.map_err(|error| Failure::of_client(error, true))
            });
            Ok(Head { status, headers, body: body.boxed() })
        })
    }
}

tokio::task_local! {
    /// Of the exchange of this task.
    static ROUTE: Route;
}

/// Makes a connection, TLS included, and tells the exchange that it is there.
async fn telling<Connection, Error>(
    connecting: impl Future<Output = Result<Connection, Error>>,
) -> Result<Connection, Error> {
    let connection = connecting.await?;
    let _outside_of_an_exchange = ROUTE.try_with(|route| route.connected.notify_one());
    Ok(connection)
}

/// Looks nothing up: it knows the addresses that were judged. Outside of an exchange it knows none.
struct Judged;

impl Resolve for Judged {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses = ROUTE.try_with(|route| route.addresses.clone());
        Box::pin(async move {
            match addresses {
                Ok(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
                Err(_) => Err(Failure::AddressProhibited.into()),
            }
        })
    }
}
