//! The HTTP server: MCP at `/mcp`, and `/healthz`, `/readyz`, `/metrics` beside it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header, uri::Authority};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use rmcp::ErrorData;
use rmcp::model::{ClientJsonRpcMessage, ErrorCode, RequestId};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::accept;
use super::caller::{self, Caller, Door};
use super::client_settings::ClientSettings;
use super::connections::{self, OfOwner, OwnerRule};
use super::cors::{self, Pages};
use super::early_head;
use super::error;
use super::head;
use super::listening;
use super::params::{self, AnyRequest};
use super::peer;
use super::reading::{Scan, Unreadable, envelope, without_mark};
use super::rpc_answer::rpc_response;
use super::server::McpServer;
use super::sessions::{self, SessionError, Sessions};
use super::task_ids::{self, TaskIds};
use crate::authority::Secret;
use crate::limits;

#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Names beside those of loopback by which clients may call this server: `host` or `host:port`.
    pub allowed_hosts: Vec<String>,
    /// Pages beside those of loopback that may call this server: `scheme://host`, `scheme://host:port`, or
    /// `scheme://host:*` for any port.
    pub allowed_origins: Vec<String>,
    /// The owner's key: who has it may do all, from wherever.
    pub key: Option<Secret>,
    /// Takes every loopback connection for the owner's, whichever user of this machine made it.
    pub open_loopback: bool,
}

impl HttpOptions {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            key: None,
            open_loopback: false,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
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
    #[error("the sessions of clients cannot be read: {0}")]
    Sessions(#[from] SessionError),
}

const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A server that listens. Dropping it cuts everything off; [`HttpServer::shutdown`] does not.
pub struct HttpServer {
    address: SocketAddr,
    server: McpServer,
    /// Begins the end: no new connections.
    closing: CancellationToken,
    /// Ends every stream that is left.
    cut: CancellationToken,
    serving: JoinHandle<()>,
    #[cfg(test)]
    sessions: Arc<Sessions>,
    _idle: DropGuard,
}

impl HttpServer {
    pub async fn bind(server: McpServer, options: HttpOptions) -> Result<Self, HttpError> {
        let owners = owner_rule(&options);
        let HttpOptions { address, allowed_hosts, allowed_origins, key, open_loopback: _ } = options;
        let pages = Arc::new(Pages::new(&allowed_origins).map_err(HttpError::BadOrigin)?);
        let beyond_loopback = !address.ip().to_canonical().is_loopback();
        if beyond_loopback && !server.engine().has_tokens() {
            return Err(HttpError::BeyondLoopback(address));
        }
        let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => HttpError::PortInUse(address),
            _ => HttpError::Listen { address, source },
        })?;
        let address = listener.local_addr().map_err(|source| HttpError::Listen { address, source })?;
        if owners == OwnerRule::SameUser
            && let Err(error) = peer::can_ask(address)
        {
            tracing::warn!("{error}: clients over HTTP need the owner's key or a token");
        }
        let names = LOOPBACK_HOSTS.iter().map(|host| (*host).to_owned()).chain(allowed_hosts).collect();
        let hosts = Hosts { names, any_address: beyond_loopback };

        let (closing, cut) = (CancellationToken::new(), CancellationToken::new());
        let sessions = Arc::new(Sessions::open(server.clone()).await?);
        let mut config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(true)
            // `known_host` and `known_page` ask before.
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_max_request_body_bytes(limits::MAX_REQUEST_BYTES)
            .with_cancellation_token(cut.clone())
            // Streams that can be resumed say so themselves, with ids that hold.
            .with_sse_retry(None);
        config.session_store = Some(sessions.clone());
        let factory = server.clone();
        let mcp = StreamableHttpService::new(
            move || {
                let caller = Caller::of_this_request().ok_or_else(|| std::io::Error::other("no caller"))?;
                Ok(factory.handler(caller, TaskIds::of_this_request()))
            },
            sessions.clone(),
            config,
        );
        let door = Arc::new(Door { engine: server.engine().clone(), key });
        let mcp = Router::new()
            .route_service("/mcp", mcp.clone())
            .route_service("/mcp/", mcp)
            .layer(middleware::from_fn(accept::check))
            .layer(middleware::from_fn(task_ids::read))
            .layer(middleware::from_fn(listening::serve))
            .layer(middleware::from_fn(early_head::send))
            .layer(middleware::from_fn_with_state(sessions.clone(), sessions::guard))
            .layer(middleware::from_fn(set_by_address))
            .layer(middleware::from_fn(well_formed))
            .layer(middleware::from_fn_with_state(door, caller::identify))
            .fallback(nothing_here)
            .layer(cors::layer(pages.clone()))
            .layer(middleware::from_fn_with_state(pages, cors::known_page));
        let app = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state((server.clone(), sessions.clone()))
            .merge(mcp)
            .layer(middleware::from_fn_with_state(Arc::new(hosts), known_host))
            .layer(middleware::from_fn(head::unambiguous));

        let idle = CancellationToken::new();
        tokio::spawn(sessions::sweep(sessions.clone(), idle.clone()));
        let serving = tokio::spawn(connections::serve(listener, app, owners, closing.clone()));
        Ok(Self {
            address,
            server,
            closing,
            cut,
            serving,
            #[cfg(test)]
            sessions,
            _idle: idle.drop_guard(),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[cfg(test)]
    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Where clients find MCP.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Answers what waits, ends what listens, then cuts off what is left. Tasks go on.
    pub async fn shutdown(mut self) {
        self.server.stop();
        self.closing.cancel();
        let answering = Duration::from_millis(limits::ANSWER_GRACE_MS);
        if tokio::time::timeout(answering, &mut self.serving).await.is_ok() {
            return;
        }
        self.cut.cancel();
        let grace = Duration::from_secs(limits::SHUTDOWN_GRACE_SECONDS);
        if tokio::time::timeout(grace, &mut self.serving).await.is_err() {
            tracing::warn!("some connections did not end in time and are cut off");
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        // Whoever waits is not cancelled by this: see `given_up` in `follow.rs`.
        self.server.stop();
        self.cut.cancel();
        self.serving.abort();
    }
}

/// Where other names, pages or machines are let in, a request over loopback may be anybody's, passed on.
fn owner_rule(options: &HttpOptions) -> OwnerRule {
    let for_others = !options.allowed_hosts.is_empty()
        || !options.allowed_origins.is_empty()
        || !options.address.ip().to_canonical().is_loopback();
    match (options.open_loopback, for_others) {
        (true, _) => OwnerRule::AnyLoopback,
        (false, true) => OwnerRule::Nobody,
        (false, false) => OwnerRule::SameUser,
    }
}

/// Whether a server that listens so knows its owner's programs by their connections.
pub fn knows_owner_by_connection(options: &HttpOptions) -> bool {
    match owner_rule(options) {
        OwnerRule::SameUser => peer::can_ask(options.address).is_ok(),
        OwnerRule::AnyLoopback => true,
        OwnerRule::Nobody => false,
    }
}

/// How this server may be called.
struct Hosts {
    names: Vec<String>,
    /// Also by any address that is none of loopback's: only a name can be made to mean another machine.
    any_address: bool,
}

impl Hosts {
    fn know(&self, called: &Authority) -> bool {
        let bare = called.host().trim_start_matches('[').trim_end_matches(']');
        let is_address = || bare.parse::<std::net::IpAddr>().is_ok();
        self.names.iter().any(|allowed| same_host(allowed, called)) || (self.any_address && is_address())
    }
}

/// A page that had its own name resolved to this machine is told apart by the name it calls.
async fn known_host(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    match called_host(request.headers(), request.uri()) {
        Some(host) if hosts.know(&host) => next.run(request).await,
        host => {
            tracing::warn!(?host, "refused a request with a foreign Host");
            (StatusCode::FORBIDDEN, "this server is not called by that Host; see allowed_hosts\n")
                .into_response()
        }
    }
}

fn called_host(headers: &HeaderMap, uri: &Uri) -> Option<Authority> {
    match headers.get(header::HOST) {
        Some(host) => host.to_str().ok()?.parse().ok(),
        None => uri.authority().cloned(),
    }
}

/// An entry without a port stands for all ports.
fn same_host(allowed: &str, called: &Authority) -> bool {
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let called_host = bare(called.host());
    match allowed.parse::<Authority>() {
        Ok(entry) if entry.port_u16().is_some() => {
            bare(entry.host()) == called_host && entry.port_u16() == called.port_u16()
        }
        // An IPv6 address without brackets is no authority; it has no port then.
        _ => bare(allowed) == called_host,
    }
}

/// Takes what the client sets by its address; what makes no sense there is refused, in the name of the request.
async fn set_by_address(mut request: Request, next: Next) -> Response {
    let error = match ClientSettings::of_query(request.uri().query().unwrap_or_default()) {
        Ok(settings) => {
            request.extensions_mut().insert(settings);
            return next.run(request).await;
        }
        Err(why) => error::bad_params(why),
    };
    let body = to_bytes(request.into_body(), limits::MAX_REQUEST_BYTES).await.unwrap_or_default();
    let id = AnyRequest::read(&body).map_or(Value::Null, |request| request.id.into_json_value());
    rpc_response(StatusCode::BAD_REQUEST, &error::rpc_body(&id, &error))
}

/// What is no JSON-RPC message is refused in JSON-RPC's own words; rmcp answers with an odd status.
async fn well_formed(request: Request, next: Next) -> Response {
    let is_json = request.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
        let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    });
    if request.method() == Method::DELETE {
        let mut response = next.run(request).await;
        // Stock clients take 200 and 204 for the end of a session; rmcp says that it was accepted.
        if response.status() == StatusCode::ACCEPTED {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        return response;
    }
    if request.method() != Method::POST || !is_json {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, limits::MAX_REQUEST_BYTES).await else {
        return unreadable(StatusCode::PAYLOAD_TOO_LARGE, &Unreadable::too_long(&Scan::default()));
    };
    let bytes = bytes.slice_ref(without_mark(&bytes));
    if let Err(why) = envelope(&bytes) {
        return unreadable(StatusCode::BAD_REQUEST, &why);
    }
    let bytes = params::with_text_cursor(&bytes).map_or(bytes, Into::into);
    let is_modern = sessions::is_modern(&parts.headers);
    let response = next.run(Request::from_parts(parts, Body::from(bytes.clone()))).await;
    match response.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => not_read(&bytes, is_modern).unwrap_or(response),
        StatusCode::BAD_REQUEST => bad_handshake(&bytes).unwrap_or(response),
        _ => response,
    }
}

/// Of what rmcp cannot read: a request with params of the wrong kind, or none.
fn not_read(body: &[u8], is_modern: bool) -> Option<Response> {
    if let Some(request) = AnyRequest::read(body) {
        let error = request.fault(is_modern);
        let status = match (is_modern, error.code) {
            (false, _) => StatusCode::OK,
            (true, ErrorCode::METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
            (true, _) => StatusCode::BAD_REQUEST,
        };
        return Some(rpc_error(status, &request.id, &error));
    }
    let error = serde_json::from_slice::<ClientJsonRpcMessage>(body).err()?;
    Some(unreadable(StatusCode::BAD_REQUEST, &Unreadable::unknown(body, &error)))
}

/// rmcp misses the session of a handshake that it cannot read.
fn bad_handshake(body: &[u8]) -> Option<Response> {
    let request = AnyRequest::read(body).filter(AnyRequest::is_bad_handshake)?;
    Some(rpc_error(StatusCode::BAD_REQUEST, &request.id, &request.fault(false)))
}

fn rpc_error(status: StatusCode, id: &RequestId, error: &ErrorData) -> Response {
    rpc_response(status, &error::rpc_body(&id.clone().into_json_value(), error))
}

async fn nothing_here() -> Response {
    let told = "there is nothing here: MCP is at /mcp, and /healthz, /readyz and /metrics are beside it\n";
    (StatusCode::NOT_FOUND, told).into_response()
}

fn unreadable(status: StatusCode, why: &Unreadable) -> Response {
    rpc_response(status, &why.http_body())
}

type Beside = (McpServer, Arc<Sessions>);

async fn ready(State((server, _)): State<Beside>, Extension(of_owner): Extension<OfOwner>) -> Response {
    if let Some(why) = server.engine().latched() {
        // Words about the disk and its folders are for the owner alone.
        let why = if of_owner.0 { format!(": {why}") } else { String::new() };
        let told = format!("the store takes nothing any more{why}\n");
        return (StatusCode::SERVICE_UNAVAILABLE, told).into_response();
    }
    if server.stopping().is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    "ready\n".into_response()
}

async fn metrics(State((server, sessions)): State<Beside>) -> Response {
    let m = server.engine().metrics();
    let mut text = String::new();
    let mut add = |kind: &str, name: &str, help: &str, values: &[(&str, u64)]| {
        text.push_str(&format!("# HELP longhaul_{name} {help}\n# TYPE longhaul_{name} {kind}\n"));
        for (labels, value) in values {
            text.push_str(&format!("longhaul_{name}{labels} {value}\n"));
        }
    };
    add("counter", "tasks_submitted_total", "Tasks made since the start.", &[("", m.submitted)]);
    add(
        "counter",
        "tasks_ended_total",
        "Tasks ended since the start, by state.",
        &[
            ("{state=\"completed\"}", m.completed),
            ("{state=\"failed\"}", m.failed),
            ("{state=\"cancelled\"}", m.cancelled),
        ],
    );
    add("counter", "attempts_total", "Instances given to tasks since the start.", &[("", m.attempts)]);
    add(
        "gauge",
        "tasks_open",
        "Tasks that have not ended, by state.",
        &[
            ("{state=\"queued\"}", m.queued),
            ("{state=\"running\"}", m.running),
            ("{state=\"waiting\"}", m.waiting),
        ],
    );
    add("gauge", "live_instances", "Instances in memory.", &[("", m.live_instances)]);
    add("gauge", "timers", "Waits that are due at a time.", &[("", m.timers)]);
    add("gauge", "subscribers", "Subscribers of changes.", &[("", m.subscribers)]);
    add("gauge", "mcp_sessions", "Sessions of clients before 2026-07-28.", &[("", sessions.count() as u64)]);
    let latched = u64::from(server.engine().latched().is_some());
    add("gauge", "store_latched", "1 once the store takes nothing any more.", &[("", latched)]);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_by_its_name_and_its_port_where_one_is_given() {
        let called = |host: &str| host.parse::<Authority>().expect("an authority");
        for (allowed, host, same) in [
            ("localhost", "LOCALHOST:1919", true),
            ("::1", "[::1]:1919", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("example.com:8080", "example.com:8080", true),
            ("example.com:8080", "example.com:8081", false),
            ("localhost", "localhost.evil.example", false),
            ("localhost", "evil.example:80", false),
        ] {
            assert_eq!(same_host(allowed, &called(host)), same, "{allowed} {host}");
        }
    }
}
