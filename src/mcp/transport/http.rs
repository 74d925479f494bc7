//! MCP over HTTP: what is mounted at `/mcp`, and a server that has nothing but it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderName;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::CancellationToken;

use super::accept;
use super::direct::{self, Direct};
use super::early_head;
use super::listening;
use super::task_ids;
use super::well_formed::{set_by_address, well_formed};
use crate::engine::{ModelUsage, TaskEngine};
use crate::http::{self as server, Backend, Bearer, Body, Caller, Metrics, Mount, Options, Request};
use crate::limits;
use crate::mcp::sessions::{self, SessionError, Sessions};
use crate::mcp::shared::McpServer;
use crate::mcp::watch::task_ids::TaskIds;
use crate::shares::Account;
use crate::store::DiskUsage;

const PATH: &str = "/mcp";

/// What pages have to read of an answer besides its body.
const EXPOSED: [HeaderName; 2] =
    [HeaderName::from_static("mcp-session-id"), HeaderName::from_static("mcp-protocol-version")];

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error(transparent)]
    Server(#[from] server::ServerError),
    #[error("the sessions of clients cannot be read: {0}")]
    Sessions(#[from] SessionError),
}

/// A server of MCP over HTTP alone. Dropping it cuts everything off; [`HttpServer::shutdown`] does not.
pub struct HttpServer {
    server: server::Server,
    #[cfg(test)]
    sessions: Arc<Sessions>,
}

impl HttpServer {
    pub async fn bind(server: McpServer, options: Options) -> Result<Self, HttpError> {
        let sessions = Arc::new(Sessions::open(server.clone()).await?);
        let backend = Arc::new(Engine(server.engine().clone()));
        let mount = mount(&server, sessions.clone());
        let server = server::Server::bind(options, backend, vec![mount]).await?;
        Ok(Self {
            server,
            #[cfg(test)]
            sessions,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    #[cfg(test)]
    pub(in crate::mcp) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Where clients find MCP.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.server.address())
    }

    /// Answers what waits, ends what listens, then cuts off what is left. Tasks go on.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }
}

impl McpServer {
    /// MCP for an HTTP server that has more than it.
    pub async fn mount(&self) -> Result<Mount, SessionError> {
        Ok(mount(self, Arc::new(Sessions::open(self.clone()).await?)))
    }
}

/// The sessions are swept until the server is gone.
fn mount(server: &McpServer, sessions: Arc<Sessions>) -> Mount {
    let cut = CancellationToken::new();
    let mut config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(true)
        // The server asks before.
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_max_request_body_bytes(limits::MAX_REQUEST_BYTES)
        .with_cancellation_token(cut.clone())
        // Streams that can be resumed say so themselves, with ids that hold.
        .with_sse_retry(None);
    config.session_store = Some(sessions.clone());
    let factory = server.clone();
    let mcp = Arc::new(StreamableHttpService::new(
        move || {
            let caller = Caller::of_this_request().ok_or_else(|| std::io::Error::other("no caller"))?;
            Ok(factory.handler(caller, TaskIds::of_this_request()))
        },
        sessions.clone(),
        config,
    ));
    tokio::spawn(sessions::sweep(sessions.clone(), cut.clone()));
    let (guarded, counted) = (sessions.clone(), sessions);
    let account = server.engine().shares().clone();
    let direct = Arc::new(Direct::new(server.clone(), cut.clone()));
    Mount::new("MCP", PATH, move |request: Request| {
        let mcp = mcp.clone();
        async move { mcp.handle(request).await.map(Body::new) }
    })
    .filter(accept::check)
    .filter(task_ids::read)
    .filter(move |request, next| listening::serve(account.clone(), request, next))
    .filter(move |request, next| direct::answer(direct.clone(), request, next))
    .filter(early_head::send)
    .filter(move |request, next| sessions::guard(guarded.clone(), request, next))
    .filter(set_by_address)
    .filter(well_formed)
    .single_headers("mcp-")
    .exposed(EXPOSED)
    .measured(move |metrics| {
        let open = counted.count() as u64;
        metrics.gauge("mcp_sessions", "Sessions of clients before 2026-07-28.", &[("", open)]);
    })
    .stopped_by(server.stopping().clone(), cut)
}

/// What the listener asks of the engine. No word of it is MCP's: where another wing is mounted, it is the same.
struct Engine(TaskEngine);

impl Backend for Engine {
    fn bearer(&self, token: &str) -> Option<Bearer> {
        let bearer = self.0.bearer(token)?;
        let (principal, fingerprint) = (bearer.principal.clone(), bearer.fingerprint);
        Some(Bearer::new(principal, fingerprint, move || {
            let mut bearer = bearer.clone();
            async move { bearer.revoked().await }
        }))
    }

    fn has_tokens(&self) -> bool {
        self.0.has_tokens()
    }

    fn shares(&self) -> &Arc<Account> {
        self.0.shares()
    }

    fn audit_unauthenticated(&self, why: &'static str) {
        self.0.audit_unauthenticated(why);
    }

    fn failure(&self) -> Option<Arc<str>> {
        self.0.latched()
    }

    fn is_loading(&self) -> bool {
        self.0.catalog().is_loading()
    }

    fn measure(&self, metrics: &mut Metrics) {
        let m = self.0.metrics();
        metrics.counter("tasks_submitted_total", "Tasks made since the start.", &[("", m.submitted)]);
        metrics.counter(
            "tasks_ended_total",
            "Tasks ended since the start, by state.",
            &[
                ("{state=\"completed\"}", m.completed),
                ("{state=\"failed\"}", m.failed),
                ("{state=\"cancelled\"}", m.cancelled),
            ],
        );
        metrics.counter("attempts_total", "Instances given to tasks since the start.", &[("", m.attempts)]);
        metrics.gauge(
            "tasks_open",
            "Tasks that have not ended, by state.",
            &[
                ("{state=\"queued\"}", m.queued),
                ("{state=\"running\"}", m.running),
                ("{state=\"waiting\"}", m.waiting),
            ],
        );
        metrics.gauge("live_instances", "Instances in memory.", &[("", m.live_instances)]);
        metrics.gauge(
            "tasks_resting",
            "Open tasks of which memory has only what they wait for.",
            &[("", m.resting)],
        );
        metrics.gauge("timers", "Waits that are due at a time.", &[("", m.timers)]);
        metrics.gauge("subscribers", "Subscribers of changes.", &[("", m.subscribers)]);
        let reads = m.store_reads;
        metrics.counter("store_reads_total", "Reads of the store since the start.", &[("", reads)]);
        measure_models(&self.0.model_usage(), metrics);
        if let Some(disk) = self.0.usage().ok().and_then(|usage| usage.disk) {
            measure_disk(&disk, metrics);
        }
        let latched = u64::from(self.0.latched().is_some());
        metrics.gauge("store_latched", "1 once the store takes nothing any more.", &[("", latched)]);
    }
}

/// By the names of the operator, which are safe in a label.
fn measure_models(usage: &BTreeMap<String, ModelUsage>, metrics: &mut Metrics) {
    if usage.is_empty() {
        return;
    }
    let labels: Vec<String> = usage.keys().map(|model| format!("{{model=\"{model}\"}}")).collect();
    let of = |what: fn(&ModelUsage) -> u64| {
        labels.iter().map(String::as_str).zip(usage.values().map(what)).collect::<Vec<_>>()
    };
    metrics.counter("model_calls_total", "Requests to models since the start.", &of(|usage| usage.calls));
    metrics.counter(
        "model_tokens_total",
        "Tokens that models answered with, or may have, since the start.",
        &of(|usage| usage.spent.tokens),
    );
    metrics.counter(
        "model_cost_nanos_total",
        "What that cost, billionths of the unit of prices.",
        &of(|usage| usage.spent.cost),
    );
}

fn measure_disk(disk: &DiskUsage, metrics: &mut Metrics) {
    metrics.gauge("store_disk_free_bytes", "Free on the disk of the store.", &[("", disk.free_bytes)]);
    metrics.gauge(
        "store_reserve_bytes",
        "Kept on that disk for ends, cancels and deletes.",
        &[("", disk.reserve_bytes)],
    );
    metrics.gauge(
        "store_disk_full",
        "1 while new work is refused since that disk has no room.",
        &[("", u64::from(disk.is_full))],
    );
    metrics.counter(
        "store_no_space_total",
        "What was to be written and had no room, since the start.",
        &[("", disk.refused)],
    );
}
