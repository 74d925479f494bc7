//! The server as rmcp sees it: one cheap handler a session or, under 2026-07-28, a request.
#![expect(deprecated, reason = "legacy clients log and subscribe by methods that 2026-07-28 removed")]

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt as _;
use rmcp::model::*;
use rmcp::service::{NotificationContext, Peer, RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::session::SessionRestoreMarker;
use rmcp::{ErrorData, RoleServer, ServerHandler};

use super::call::on_stream::StreamHost;
use super::call::tools::expect_no_cursor;
use super::connection::Handler;
use super::era::is_modern;
use super::sessions::Session;
use super::wire::error;
use super::wire::hints::{Kept as _, in_era, server_info, stamp};
use super::wire::params;
use super::wire::report::{level_of, severity};
use crate::limits;

impl Handler {
    /// Takes over a session over HTTP; a restored one is notified again of what it had subscribed to.
    async fn serve_session(&self, session: &Arc<Session>, peer: Peer<RoleServer>, is_restored: bool) {
        session.set_principal(self.connection.principal.clone());
        session.set_host(Arc::new(StreamHost::new(self, peer)));
        if is_restored {
            self.connection.set_log_level(level_of(session.log_level()));
            for uri in session.subscriptions() {
                if let Ok(there) = self.may_watch(&uri).await {
                    session.outbox.watch(self.server.engine().feed(), there.key(), uri);
                }
            }
        }
        self.connection.serve(session.clone());
    }
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
            .with_instructions(self.server.instructions().to_owned())
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        self.connection.legacy.store(true, Ordering::Relaxed);
        context.peer.set_peer_info(request.clone());
        self.connection.set_client(&request.client_info);
        if let Some(session) = context.extensions.get::<Arc<Session>>() {
            let is_restored = context.extensions.get::<SessionRestoreMarker>().is_some();
            self.serve_session(session, context.peer.clone(), is_restored).await;
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
        self.connection.set_log_level(request.level);
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
        self.server.listable().await;
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
        let mut result = GetTaskResult::new(self.task(&request.task_id, &context).await?);
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
        Ok(in_era(self.newest_tasks().await?, &context))
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
        Ok(in_era(self.read(&request.uri, &context).await?, &context).into())
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
        let mut result = self.completion(&request).await?;
        if is_modern(&context) {
            stamp(&mut result.meta);
        }
        Ok(result)
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        // rmcp asks without waiting. What is kept in a file is read at once; what is not there at once is refused.
        self.arm(requested).now_or_never().flatten()
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
        if let Some(request) = notification.request_id {
            self.connection.give_up(request);
        }
    }
}
