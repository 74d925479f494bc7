//! The server: one listener, what is asked of every request on it, and the wings that answer.

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::handler::Handler;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::activity::Patience;
use super::backend::Backend;
use super::caller::{self, Door};
use super::chain::{Chain, SharedChain};
use super::connections;
use super::head;
use super::hosts::{self, Hosts};
use super::message::{self, Request};
use super::mount::{Measure, Mount};
use super::origins::{self, PageRules, Pages};
use super::owner::OwnerRule;
use super::pace::Pace;
use super::peer;
use super::places::Places;
use super::probes::{self, Probes};
use super::rates::Rates;
use crate::authority::Secret;
use crate::limits;
use crate::shares::{Account, Pool, Used};

/// How to listen, and whom to answer.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// More names than those of loopback by which clients may call this server: `host` or `host:port`.
    pub allowed_hosts: Vec<String>,
    /// More pages than those of loopback that may call this server: `scheme://host`, `scheme://host:port`, or
    /// `scheme://host:*` for any port.
    pub allowed_origins: Vec<String>,
    /// The owner's key: a caller that has it may do all, from wherever.
    pub key: Option<Secret>,
    /// Takes every loopback connection for the owner's, whichever user of this machine made it.
    pub open_loopback: bool,
}

impl Options {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            key: None,
            open_loopback: false,
        }
    }

    fn is_beyond_loopback(&self) -> bool {
        !self.address.ip().to_canonical().is_loopback()
    }

    /// Where other names, pages or machines are let in, a request over loopback may be another's, passed on.
    fn owner_rule(&self) -> OwnerRule {
        let for_others =
            !self.allowed_hosts.is_empty() || !self.allowed_origins.is_empty() || self.is_beyond_loopback();
        match (self.open_loopback, for_others) {
            (true, _) => OwnerRule::AnyLoopback,
            (false, true) => OwnerRule::None,
            (false, false) => OwnerRule::SameUser,
        }
    }
}

/// Why a server does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{0} is reachable from other machines, and there is no token to tell callers apart")]
    BeyondLoopback(SocketAddr),
    #[error("port {} is in use, perhaps by another `longhaul serve`: end that, or choose a port with --http {}:PORT", .0.port(), .0.ip())]
    PortInUse(SocketAddr),
    #[error(
        "allowed_origins has '{0}', which is no page's origin: an entry is scheme://host with the port where it is not the scheme's own, such as https://app.example or http://app.example:8080, or :* for any port"
    )]
    BadOrigin(String),
    #[error("listening on {address} failed: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
}

/// A server that listens. Dropping it cuts everything off; [`Server::shutdown`] does not.
pub struct Server {
    address: SocketAddr,
    /// Begins the end: no new connections.
    closing: CancellationToken,
    /// Of each wing.
    stopping: Vec<CancellationToken>,
    /// Of each wing.
    cut: Vec<CancellationToken>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Listens, and serves all `mounts` on one listener.
    pub async fn bind(
        options: Options,
        backend: Arc<dyn Backend>,
        mounts: Vec<Mount>,
    ) -> Result<Self, ServerError> {
        let owners = options.owner_rule();
        let pages = Pages::new(&options.allowed_origins).map_err(ServerError::BadOrigin)?;
        if options.is_beyond_loopback() && !backend.has_tokens() {
            return Err(ServerError::BeyondLoopback(options.address));
        }
        let listener = listen(options.address).await?;
        let address = listener
            .local_addr()
            .map_err(|source| ServerError::Listen { address: options.address, source })?;
        if owners == OwnerRule::SameUser
            && let Err(error) = peer::can_ask(address)
        {
            tracing::warn!("{error}: clients over HTTP need the owner's key or a token");
        }
        let stopping = mounts.iter().map(|mount| mount.stopping.clone()).collect();
        let cut = mounts.iter().map(|mount| mount.cut.clone()).collect();
        let places = Places::new(backend.shares().clone());
        let app = app(options, pages, backend, mounts, places.clone());
        let closing = CancellationToken::new();
        let serving = tokio::spawn(connections::serve(
            listener,
            app,
            owners,
            places,
            Patience::default(),
            closing.clone(),
        ));
        Ok(Self { address, closing, stopping, cut, serving })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what waits, ends what listens, then cuts off what is left. Tasks go on.
    pub async fn shutdown(mut self) {
        cancel(&self.stopping);
        self.closing.cancel();
        let answering = Duration::from_millis(limits::ANSWER_GRACE_MS);
        if tokio::time::timeout(answering, &mut self.serving).await.is_ok() {
            return;
        }
        cancel(&self.cut);
        let grace = Duration::from_secs(limits::SHUTDOWN_GRACE_SECONDS);
        if tokio::time::timeout(grace, &mut self.serving).await.is_err() {
            tracing::warn!("some connections did not end in time and are cut off");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        cancel(&self.stopping);
        cancel(&self.cut);
        self.serving.abort();
    }
}

fn cancel(tokens: &[CancellationToken]) {
    tokens.iter().for_each(CancellationToken::cancel);
}

/// Whether a server that listens so knows its owner's programs by their connections.
pub fn knows_owner_by_connection(options: &Options) -> bool {
    match options.owner_rule() {
        OwnerRule::SameUser => peer::can_ask(options.address).is_ok(),
        OwnerRule::AnyLoopback => true,
        OwnerRule::None => false,
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => ServerError::PortInUse(address),
        _ => ServerError::Listen { address, source },
    })
}

/// From the outside in: the head, the host, the page, the caller, the wing.
fn app(
    options: Options,
    pages: Pages,
    backend: Arc<dyn Backend>,
    mounts: Vec<Mount>,
    places: Arc<Places>,
) -> SharedChain {
    let hosts =
        Arc::new(Hosts::new(options.allowed_hosts, !options.address.ip().to_canonical().is_loopback()));
    let account = backend.shares().clone();
    let rates = Arc::new(Rates::new(account.clone()));
    let measure_of_listener = measure(places, rates.clone(), account.clone());
    let door =
        Arc::new(Door { backend: backend.clone(), key: options.key, rates, account, pace: Pace::default() });
    let nothing_here = nothing_here(&mounts);
    let (mut wings, mut single, mut exposed) = (Vec::new(), Vec::new(), Vec::new());
    let mut probes = Probes { backend, measures: vec![measure_of_listener], stopping: Vec::new() };
    for mount in mounts {
        wings.push((mount.path, mount.chain));
        single.extend(mount.single);
        exposed.extend(mount.exposed);
        probes.measures.extend(mount.measure);
        probes.stopping.push(mount.stopping);
    }
    let pages = Arc::new(PageRules::new(pages, exposed));
    let of_pages = |chain: Chain| {
        let pages = pages.clone();
        let chain = chain.filter(move |request, next| origins::known_page(pages.clone(), request, next));
        let chain = chain.shared();
        (move |request: Request| async move { chain.run(request).await }).with_state(())
    };
    let mut routes = probes::routes(probes);
    for (path, chain) in wings {
        let door = door.clone();
        let chain = chain.filter(move |request, next| caller::identify(door.clone(), request, next));
        let service = of_pages(chain);
        routes = routes.route_service(&path, service.clone()).route_service(&format!("{path}/"), service);
    }
    let words = Chain::new(move |_| ready(message::text(StatusCode::NOT_FOUND, nothing_here.clone())));
    let routes = routes.fallback_service(of_pages(words));
    let single = Arc::new(single);
    Chain::of_routes(routes)
        .filter(move |request, next| hosts::known_host(hosts.clone(), request, next))
        .filter(move |request, next| head::unambiguous(single.clone(), request, next))
        .shared()
}

/// What the listener counts itself, and what is held of each thing.
fn measure(places: Arc<Places>, rates: Arc<Rates>, account: Arc<Account>) -> Measure {
    Box::new(move |metrics| {
        metrics.counter(
            "http_connections_closed_idle_total",
            "Connections over HTTP that were closed while they were idle, to make room for others.",
            &[("", places.closed())],
        );
        let pools: Vec<_> = Pool::ALL.into_iter().filter(|pool| !pool.is_rate()).collect();
        let of_each = |value: fn(&Used) -> u64| -> Vec<(String, u64)> {
            let label = |pool: Pool| format!("{{pool=\"{}\"}}", pool.name());
            pools.iter().map(|pool| (label(*pool), value(&account.usage(*pool)))).collect()
        };
        let used = of_each(|usage| usage.used);
        metrics.gauge("share_used", "What is held of each thing, by all.", &borrowed(&used));
        let bound = of_each(|usage| usage.bound.process);
        metrics.gauge("share_bound", "What there is of each thing, for all together.", &borrowed(&bound));
        let principals = of_each(|usage| usage.principals as u64);
        metrics.gauge("share_principals", "Principals that hold some of it.", &borrowed(&principals));
        let mut by_share = of_each(|usage| usage.refused_share);
        let of_rates = [(Pool::Rate, rates.refused()), (Pool::NewConnections, places.arrivals().refused())];
        for (pool, refused) in of_rates {
            by_share.push((format!("{{pool=\"{}\"}}", pool.name()), refused));
        }
        metrics.counter(
            "share_refused_total",
            "Refused because a principal holds all of its share.",
            &borrowed(&by_share),
        );
        let by_process = of_each(|usage| usage.refused_process);
        metrics.counter(
            "process_bound_refused_total",
            "Refused because all together hold what there is.",
            &borrowed(&by_process),
        );
    })
}

fn borrowed(values: &[(String, u64)]) -> Vec<(&str, u64)> {
    values.iter().map(|(labels, value)| (&**labels, *value)).collect()
}

/// Says where the wings are to a request that none of them takes.
fn nothing_here(mounts: &[Mount]) -> String {
    let wings: Vec<&str> = mounts.iter().map(|mount| &*mount.signpost).collect();
    format!("there is nothing here: {}, and /healthz, /readyz and /metrics are beside it\n", wings.join(", "))
}
