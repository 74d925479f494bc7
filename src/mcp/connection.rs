//! One connection: whose it is, what its client has said so far, and the handler that serves it.
#![expect(deprecated, reason = "legacy clients log by a method that 2026-07-28 removed")]

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rmcp::RoleServer;
use rmcp::model::{Implementation, LoggingLevel, RequestId};
use rmcp::service::RequestContext;
use tokio_util::sync::CancellationToken;

use super::questions::respondent::Respondent;
use super::sessions::Session;
use super::shared::McpServer;
use super::watch::armed::Armed;
use super::watch::handoff::Handoff;
use super::watch::session::SessionSubscriptions;
use super::watch::task_ids::TaskIds;
use super::wire::client_settings::{ClientSettings, Links, lower};
use super::wire::form::Form;
use super::wire::meta::PERSON_META;
use super::wire::report::DEFAULT_LOG_LEVEL;
use crate::api::TaskDocument;
use crate::authority::Principal;
use crate::catalog::find_hidden;
use crate::engine::EngineError;
use crate::http::Caller;
use crate::limits;
use crate::task::TaskId;

/// How a connection over pipes comes to its end.
#[derive(Clone, Default)]
pub struct Ends {
    /// The client says nothing more. It may still read.
    pub silent: CancellationToken,
    /// There is no reader any more.
    pub gone: CancellationToken,
    /// The server reads nothing more.
    pub closing: CancellationToken,
}

/// Serves one connection: a legacy session, one 2026-07-28 request over HTTP, or a pair of pipes.
#[derive(Clone)]
pub struct Handler {
    pub(in crate::mcp) server: McpServer,
    pub(in crate::mcp) connection: Arc<Connection>,
}

/// What belongs to one connection and ends with it.
pub struct Connection {
    pub principal: Principal,
    pub caller: Caller,
    /// The principal with the name of its client, once that is known.
    actor: OnceLock<Principal>,
    /// Whom questions are put to, over pipes.
    pub respondent: OnceLock<Arc<Respondent>>,
    /// The session over HTTP that it serves.
    session: OnceLock<Arc<Session>>,
    /// It began with a handshake, which 2026-07-28 has not.
    pub legacy: AtomicBool,
    /// What a `subscriptions/listen` wants to hear of.
    pub task_ids: Option<Arc<TaskIds>>,
    /// Its tasks are named by resources of their own, see `pipe_task_ids.rs`.
    pub over_pipes: AtomicBool,
    /// Its ends, of which only pipes tell: over HTTP each response has its own.
    pub ends: OnceLock<Ends>,
    /// What a legacy client asked for with `logging/setLevel`.
    log_level: Mutex<LoggingLevel>,
    /// Calls that an explicit `notifications/cancelled` ends.
    calls: Mutex<HashMap<RequestId, CancellationToken>>,
    /// Where the stream of its `subscriptions/listen` is served from, if not by rmcp.
    pub handoff: Option<Handoff>,
    /// Watchers that were set before their subscription was acknowledged.
    pub armed: Mutex<Vec<Armed>>,
    pub subscriptions: SessionSubscriptions,
}

impl Connection {
    fn new(caller: Caller, task_ids: Option<Arc<TaskIds>>) -> Self {
        Self {
            principal: caller.principal.clone(),
            caller,
            actor: OnceLock::new(),
            respondent: OnceLock::new(),
            session: OnceLock::new(),
            legacy: AtomicBool::new(false),
            task_ids,
            over_pipes: AtomicBool::new(false),
            ends: OnceLock::new(),
            log_level: Mutex::new(DEFAULT_LOG_LEVEL),
            calls: Mutex::default(),
            handoff: Handoff::of_this_request(),
            armed: Mutex::default(),
            subscriptions: SessionSubscriptions::default(),
        }
    }

    /// Who does what this request asks for, as the audit is to have it.
    pub fn actor(&self, context: &RequestContext<RoleServer>) -> &Principal {
        self.actor.get_or_init(|| {
            let client = context.client_info().map(|client| client_name(&client));
            self.principal.clone().through(client)
        })
    }

    /// The same for what comes without a request, once a request or the handshake has given it.
    pub fn known_actor(&self) -> &Principal {
        self.actor.get().unwrap_or(&self.principal)
    }

    pub fn session(&self) -> Option<&Arc<Session>> {
        self.session.get()
    }

    /// Serves this session from now on.
    pub fn serve(&self, session: Arc<Session>) {
        // A connection has one handshake.
        let _ = self.session.set(session);
    }

    /// Names the client, as its handshake does.
    pub fn set_client(&self, client: &Implementation) {
        self.actor.get_or_init(|| self.principal.clone().through(Some(client_name(client))));
    }

    /// Ends once there is no reader any more, where that is noticed.
    pub async fn gone(&self) {
        cancelled(self.ends.get().map(|ends| &ends.gone)).await;
    }

    /// Ends once the client says nothing more, where that is noticed.
    pub async fn silent(&self) {
        cancelled(self.ends.get().map(|ends| &ends.silent)).await;
    }

    pub fn log_level(&self) -> LoggingLevel {
        *self.log_level.lock()
    }

    pub fn set_log_level(&self, level: LoggingLevel) {
        *self.log_level.lock() = level;
    }

    /// The client gives a call up.
    pub fn give_up(&self, request: RequestId) {
        let mut calls = self.calls.lock();
        match calls.get(&request) {
            Some(call) => call.cancel(),
            // Its call has not begun to wait. Sessions have their own way.
            None if self.session().is_none() && calls.len() < limits::MAX_PIPED_REQUESTS => {
                calls.entry(request).or_default().cancel();
            }
            None => {}
        }
    }

    /// Cancelled once the client says that it gives the request up; a lost connection says nothing.
    pub fn given_up(&self, request: &RequestId) -> GivenUp<'_> {
        let token = self.calls.lock().entry(request.clone()).or_default().clone();
        GivenUp { connection: self, request: request.clone(), token }
    }
}

async fn cancelled(token: Option<&CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

/// `NAME/VERSION`, of which nothing is to be believed.
fn client_name(client: &Implementation) -> Arc<str> {
    let text = format!("{}/{}", client.name, client.version);
    let mut name: String = text
        .chars()
        .filter(|c| !c.is_control() && find_hidden(c.encode_utf8(&mut [0; 4])).is_none())
        .collect();
    let mut end = name.len().min(limits::MAX_CLIENT_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name.into()
}

pub struct GivenUp<'a> {
    connection: &'a Connection,
    request: RequestId,
    pub token: CancellationToken,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.connection.calls.lock().remove(&self.request);
    }
}

impl McpServer {
    /// A handler for one connection of this caller, and what rmcp does not tell it of its one request.
    pub(in crate::mcp) fn handler(&self, caller: Caller, task_ids: Option<Arc<TaskIds>>) -> Handler {
        Handler { server: self.clone(), connection: Arc::new(Connection::new(caller, task_ids)) }
    }
}

impl Handler {
    /// The document of a task of this connection's principal.
    pub(in crate::mcp) async fn document_of(&self, id: TaskId) -> Result<TaskDocument, EngineError> {
        self.server.engine().task(&self.connection.principal, id).await.map(TaskDocument::from)
    }

    /// This request was a poll of a task, which says when it is due again. One that was due does not count for its caller's
    /// rate.
    pub(in crate::mcp) fn polled(&self, id: TaskId, interval_ms: Option<u64>) {
        let caller = &self.connection.caller;
        if let Some(interval) = interval_ms.map(Duration::from_millis).filter(|_| caller.is_counted())
            && self.server.engine().is_due_poll(id, interval)
        {
            caller.give_back();
        }
    }

    /// Whether a request is a person's own doing by the command line: it says so, which no model can, and comes by what
    /// only the owner of the data folder has.
    pub(in crate::mcp) fn is_by_person(&self, context: &RequestContext<RoleServer>) -> bool {
        context.meta.get(PERSON_META) == Some(&serde_json::Value::Bool(true))
            && self.connection.caller.holds_folder()
    }

    /// What the client of this request set for itself. Each request of a session bears the address too.
    fn set_by_client(&self, context: &RequestContext<RoleServer>) -> ClientSettings {
        let of_address = context.extensions.get::<http::request::Parts>();
        let of_address = of_address.and_then(|parts| parts.extensions.get::<ClientSettings>());
        let of_address = of_address.copied().unwrap_or_default();
        // A call with a bad one was refused before.
        let of_request = ClientSettings::of_meta(&context.meta).unwrap_or_default();
        ClientSettings {
            wait: lower(of_address.wait, of_request.wait),
            links: of_request.links.or(of_address.links),
        }
    }

    /// How long an answer is waited for at most.
    pub(in crate::mcp) fn wait_bound(&self, context: &RequestContext<RoleServer>) -> Option<Duration> {
        lower(self.server.options().wait, self.set_by_client(context).wait)
    }

    pub(in crate::mcp) fn links(&self, context: &RequestContext<RoleServer>) -> Links {
        self.set_by_client(context).links.unwrap_or(self.server.options().links)
    }

    pub(in crate::mcp) fn form(&self, context: &RequestContext<RoleServer>) -> Form<'_> {
        self.server.form(self.links(context))
    }
}
