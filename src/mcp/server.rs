//! The server as rmcp sees it: one cheap handler a session or, under 2026-07-28, a request.
#![expect(deprecated, reason = "legacy clients log and subscribe by methods that 2026-07-28 removed")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rmcp::model::*;
use rmcp::service::{NotificationContext, Peer, RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::session::SessionRestoreMarker;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio_util::sync::CancellationToken;

use crate::authority::Principal;
use crate::catalog::{Catalog, find_hidden};
use crate::engine::{EngineError, TaskEngine};
use crate::http::Caller;
use crate::limits;
use crate::mcp::call::reply::PERSON_META;
use crate::mcp::call::tools::expect_no_cursor;
use crate::mcp::locks::lock;
use crate::mcp::own::fixtures::Fixtures;
use crate::mcp::own::tools::TaskTools;
use crate::mcp::questions::respondent::Respondent;
use crate::mcp::resources::listening::Handoff;
use crate::mcp::resources::subscriptions::{Armed, SessionSubscriptions};
use crate::mcp::sessions::Session;
use crate::mcp::transport::pipe::Ends;
use crate::mcp::transport::task_ids::TaskIds;
use crate::mcp::wire::client_settings::Links;
use crate::mcp::wire::convert;
use crate::mcp::wire::error;
use crate::mcp::wire::form::Form;
use crate::mcp::wire::hints::{Kept as _, in_era, server_info, stamp};
use crate::mcp::wire::own_names::OwnNames;
use crate::mcp::wire::params;
use crate::mcp::wire::report::{DEFAULT_LOG_LEVEL, level_of, severity};
use crate::mcp::wire::seal::Seal;

/// What the operator may choose.
#[derive(Clone, Debug)]
pub struct McpOptions {
    /// Offer `task_list`, `task_wait` and their like, for hosts that know neither tasks nor resources.
    pub task_tools: bool,
    /// Offer `state_get` and its like, for agents outside that share state with the tools.
    pub state_tools: bool,
    /// No answer of a call is waited for any longer; `None` is no bound.
    pub wait: Option<Duration>,
    /// How links to tasks are shown to clients that say nothing about it.
    pub links: Links,
    /// What clients call Longhaul's own tools.
    pub names: OwnNames,
}

impl Default for McpOptions {
    fn default() -> Self {
        Self {
            task_tools: true,
            state_tools: false,
            wait: None,
            links: Links::default(),
            names: OwnNames::default(),
        }
    }
}

/// MCP over a task engine. Cheap to clone; transports are given one.
#[derive(Clone)]
pub struct McpServer {
    inner: Arc<Inner>,
}

struct Inner {
    engine: TaskEngine,
    options: McpOptions,
    task_tools: TaskTools,
    instructions: String,
    /// As `tools/list` shows them, for the catalog they were made from.
    listed: Mutex<Option<Listed>>,
    /// Calls that wait answer with a link, subscriptions end.
    stopping: CancellationToken,
    /// For the conformance suite alone.
    fixtures: Option<Fixtures>,
    /// Seals what clients carry between the rounds of a call; its key is in the store.
    request_state: tokio::sync::OnceCell<RequestStateCodec>,
    /// Seals event ids and the ids of questions; its key is in the store.
    seal: tokio::sync::OnceCell<Arc<Seal>>,
}

struct Listed {
    of: Arc<Catalog>,
    tools: Arc<Vec<Tool>>,
}

impl McpServer {
    pub fn new(engine: TaskEngine, options: McpOptions) -> Self {
        let inner = Inner {
            engine,
            task_tools: TaskTools::new(&options.names),
            instructions: instructions(&options.names),
            options,
            listed: Mutex::default(),
            stopping: CancellationToken::new(),
            fixtures: Fixtures::of_environment(),
            request_state: tokio::sync::OnceCell::new(),
            seal: tokio::sync::OnceCell::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub fn engine(&self) -> &TaskEngine {
        &self.inner.engine
    }

    /// Answer what waits and end what listens; tasks go on. A transport calls this when it shuts down.
    pub fn stop(&self) {
        self.inner.stopping.cancel();
    }

    pub(in crate::mcp) fn options(&self) -> &McpOptions {
        &self.inner.options
    }

    pub(in crate::mcp) fn names(&self) -> &OwnNames {
        &self.inner.options.names
    }

    /// How answers are made for a client that takes links so.
    pub(in crate::mcp) fn form(&self, links: Links) -> Form<'_> {
        Form { names: self.names(), links }
    }

    /// They answer also where they are not listed: the command line calls them.
    pub(in crate::mcp) fn task_tools(&self) -> &TaskTools {
        &self.inner.task_tools
    }

    /// All tools as clients see them, sorted by name; made anew only when the catalog is another.
    pub(in crate::mcp) fn listed(&self) -> Arc<Vec<Tool>> {
        let catalog = self.inner.engine.catalog();
        let mut listed = lock(&self.inner.listed);
        if let Some(listed) = listed.as_ref().filter(|listed| Arc::ptr_eq(&listed.of, &catalog)) {
            return listed.tools.clone();
        }
        let mut tools: Vec<Tool> =
            catalog.tools().map(|entry| convert::tool(&entry.tool.definition)).collect();
        if self.inner.options.task_tools {
            tools.extend(self.inner.task_tools.listed(false));
        }
        if self.inner.options.state_tools {
            tools.extend(self.inner.task_tools.listed(true));
        }
        tools.extend(self.fixtures().into_iter().flat_map(Fixtures::tools));
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        let tools = Arc::new(tools);
        *listed = Some(Listed { of: catalog, tools: tools.clone() });
        tools
    }

    pub(in crate::mcp) fn request_state(&self) -> &tokio::sync::OnceCell<RequestStateCodec> {
        &self.inner.request_state
    }

    pub(in crate::mcp) async fn seal(&self) -> Result<Arc<Seal>, EngineError> {
        let seal = self.inner.seal.get_or_try_init(async || Seal::of(self.engine()).await.map(Arc::new));
        seal.await.cloned()
    }

    pub(in crate::mcp) fn fixtures(&self) -> Option<&Fixtures> {
        self.inner.fixtures.as_ref()
    }

    pub(in crate::mcp) fn stopping(&self) -> &CancellationToken {
        &self.inner.stopping
    }

    /// A handler for one connection of this caller, and what rmcp does not tell it of its one request.
    pub(in crate::mcp) fn handler(&self, caller: Caller, task_ids: Option<Arc<TaskIds>>) -> Handler {
        Handler { server: self.clone(), connection: Arc::new(Connection::new(caller, task_ids)) }
    }
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
    /// What a `subscriptions/listen` wants to be told of.
    pub task_ids: Option<Arc<TaskIds>>,
    /// Its tasks are named by resources of their own, see `pipe_task_ids.rs`.
    pub over_pipes: AtomicBool,
    /// Its ends, of which only pipes tell: over HTTP each response has its own.
    pub ends: Ends,
    /// What a legacy client asked for with `logging/setLevel`.
    log_level: Mutex<LoggingLevel>,
    /// Calls that an explicit `notifications/cancelled` ends.
    calls: Mutex<HashMap<RequestId, CancellationToken>>,
    /// Where the stream of its `subscriptions/listen` is told from, if not by rmcp.
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
            ends: Ends::default(),
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

    /// The same for what comes without a request, once a request or the handshake has told it.
    pub fn known_actor(&self) -> &Principal {
        self.actor.get().unwrap_or(&self.principal)
    }

    pub fn session(&self) -> Option<&Arc<Session>> {
        self.session.get()
    }

    pub fn log_level(&self) -> LoggingLevel {
        *lock(&self.log_level)
    }

    /// Cancelled once the client says that it gives the request up; a lost connection says nothing.
    pub fn given_up(&self, request: &RequestId) -> GivenUp<'_> {
        let token = lock(&self.calls).entry(request.clone()).or_default().clone();
        GivenUp { connection: self, request: request.clone(), token }
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
        lock(&self.connection.calls).remove(&self.request);
    }
}

/// Whether a request is of the protocol that has no sessions.
pub fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

impl Handler {
    /// Whether a request is a person's own doing by the command line: it says so, which no model can, and comes by what
    /// only the owner of the data folder has.
    pub(in crate::mcp) fn is_by_person(&self, context: &RequestContext<RoleServer>) -> bool {
        context.meta.get(PERSON_META) == Some(&serde_json::Value::Bool(true))
            && self.connection.caller.holds_folder()
    }

    /// Takes over a session over HTTP; a restored one is told again of what it had subscribed to.
    fn serve_session(&self, session: &Arc<Session>, peer: Peer<RoleServer>, is_restored: bool) {
        session.set_principal(self.connection.principal.clone());
        session.set_host(&self.connection, peer);
        if is_restored {
            *lock(&self.connection.log_level) = level_of(session.log_level());
            for uri in session.subscriptions() {
                if let Ok(there) = self.may_watch(&uri) {
                    session.outbox.watch(self.server.engine().feed(), there.key(), uri);
                }
            }
        }
        // A connection has one handshake.
        let _ = self.connection.session.set(session.clone());
    }
}

fn instructions(names: &OwnNames) -> String {
    format!(
        "Tools run as durable tasks. A call may answer at once with a link to task://ID: call {} {{\"task_id\":\"ID\"}} \
         for its result, {} for its progress, {} for what it has published so far, or read or subscribe to task://ID. A \
         task goes on when the connection is lost, and across restarts of the server. Where a gateway has renamed these \
         tools, use the names in your list.",
        names.of("task_wait"),
        names.of("task_status"),
        names.of("task_output"),
    )
}

/// All that rmcp knows but 2025-03-26, whose batches it does not read. Clients of that version also speak
/// 2024-11-05, which had none, and are answered with it; a newer one they would refuse.
static VERSIONS: [ProtocolVersion; 4] = [
    ProtocolVersion::V_2024_11_05,
    ProtocolVersion::V_2025_06_18,
    ProtocolVersion::V_2025_11_25,
    ProtocolVersion::V_2026_07_28,
];

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let mut capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_completions()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_tasks()
            .build();
        if self.server.fixtures().is_some() {
            let prompts = ServerCapabilities::builder().enable_prompts().enable_prompts_list_changed();
            capabilities.prompts = prompts.build().prompts;
        }
        if self.connection.legacy.load(Ordering::Relaxed) {
            // No extension, the one of tasks included, is for the protocols with sessions.
            capabilities.extensions = None;
        }
        ServerConfig::new(capabilities)
            .with_server_info(server_info())
            .with_instructions(self.server.inner.instructions.clone())
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        self.connection.legacy.store(true, Ordering::Relaxed);
        context.peer.set_peer_info(request.clone());
        let client = client_name(&request.client_info);
        self.connection.actor.get_or_init(|| self.connection.principal.clone().through(Some(client)));
        if let Some(session) = context.extensions.get::<Arc<Session>>() {
            let is_restored = context.extensions.get::<SessionRestoreMarker>().is_some();
            self.serve_session(session, context.peer.clone(), is_restored);
        }
        let mut result = self.negotiate_initialize(&request)?;
        if request.protocol_version == ProtocolVersion::V_2025_03_26 {
            result.protocol_version = ProtocolVersion::V_2024_11_05;
        }
        Ok(result)
    }

    async fn discover(&self, _context: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        Ok(DiscoverResult::from_server_info(versions, self.get_info())
            .with_ttl_ms(limits::DISCOVER_TTL_MS)
            .with_cache_scope(CacheScope::Public))
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&VERSIONS)
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        *lock(&self.connection.log_level) = request.level;
        match self.connection.session() {
            Some(session) => {
                session.set_log_level(severity(request.level)).await.map_err(|error| error::rpc(&error))
            }
            None => Ok(()),
        }
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(in_era(self.tools_page(request)?, &context))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.wire_tool(name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let mut answer = match self.call(request, &context).await {
            Ok(answer) => answer,
            Err(error::Refusal::Result(result)) => (*result).into(),
            Err(error::Refusal::Error(error)) => return Err(error),
        };
        if is_modern(&context) {
            match &mut answer {
                CallToolResponse::Complete(result) => stamp(&mut result.meta),
                CallToolResponse::InputRequired(result) => stamp(&mut result.meta),
                CallToolResponse::Task(result) => stamp(&mut result.meta),
                _ => {}
            }
        }
        Ok(answer)
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let mut result = GetTaskResult::new(self.task(&request.task_id, &context)?);
        stamp(&mut result.meta);
        Ok(result)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.answer_task(&request.task_id, &request.input_responses, &context).await
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.cancel_task_of(&request.task_id, &context).await
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        expect_no_cursor(request)?;
        Ok(in_era(self.newest_tasks()?, &context))
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        expect_no_cursor(request)?;
        Ok(in_era(self.resource_templates(), &context))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        Ok(in_era(self.read(&request.uri)?, &context).into())
    }

    /// There are none, and no capability says otherwise.
    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let fixtures = self.server.fixtures().ok_or_else(error::no_prompts)?;
        expect_no_cursor(request)?;
        let mut list = ListPromptsResult::with_all_items(fixtures.prompts());
        list.set_hints(0, CacheScope::Private);
        Ok(in_era(list, &context))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let fixtures = self.server.fixtures();
        fixtures.ok_or_else(ErrorData::method_not_found::<GetPromptRequestMethod>)?.prompt(&request)
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        Err(params::not_understood(&request, is_modern(&context)))
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let mut result = self.completion(&request)?;
        if is_modern(&context) {
            stamp(&mut result.meta);
        }
        Ok(result)
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        self.arm(requested)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        self.tell_changes(context).await
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.subscribe_session(request.uri, &context).await
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.unsubscribe_session(request.uri).await
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        // A session's own stream tells it by itself.
        if self.connection.session().is_none() {
            self.watch_lists(context.peer);
        }
    }

    async fn on_cancelled(
        &self,
        notification: CancelledNotificationParam,
        _context: NotificationContext<RoleServer>,
    ) {
        let Some(request) = notification.request_id else { return };
        let mut calls = lock(&self.connection.calls);
        match calls.get(&request) {
            Some(call) => call.cancel(),
            // Its call has not begun to wait. Sessions have their own way.
            None if self.connection.session().is_none() && calls.len() < limits::MAX_PIPED_REQUESTS => {
                calls.entry(request).or_default().cancel();
            }
            None => {}
        }
    }
}
