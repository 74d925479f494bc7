//! `tools/list` and `tools/call`.

use std::time::Duration;

use rmcp::model::*;
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::Value;

use super::reply::Choice;
use crate::engine::{Submission, open_cursor, seal_cursor};
use crate::limits;
use crate::mcp::connection::Handler;
use crate::mcp::sessions::CallStream;
use crate::mcp::wire::client_settings::ClientSettings;
use crate::mcp::wire::error::{self, Refusal};
use crate::mcp::wire::hints::Kept as _;
use crate::task::TraceContext;

impl Handler {
    /// Sorted by name, Longhaul's own among them; the cursor holds the last name of the page before.
    pub(in crate::mcp) fn tools_page(
        &self,
        request: Option<PaginatedRequestParams>,
    ) -> Result<ListToolsResult, ErrorData> {
        let list = ["tools/list", self.connection.principal.name()];
        let cursor = cursor_of(request).map(|cursor| open_cursor(&list, &cursor)).transpose();
        let last = cursor.map_err(|_| error::bad_cursor())?;
        let listed = self.server.listed();
        let after = |tool: &&Tool| last.as_ref().is_none_or(|last| *tool.name > **last);
        let mut tools = listed.iter().filter(|tool| self.may_see(&tool.name)).filter(after);
        let page: Vec<Tool> = tools.by_ref().take(limits::MAX_TOOLS_PAGE).cloned().collect();
        let more = tools.next().is_some();
        let mut page = ListToolsResult::with_all_items(page);
        page.next_cursor =
            more.then(|| page.tools.last().map(|tool| seal_cursor(&list, &tool.name))).flatten();
        page.set_hints(limits::TOOLS_TTL_MS, CacheScope::Private);
        Ok(page)
    }

    /// A tool as it is listed; what is not listed needs no check of its headers.
    pub(in crate::mcp) fn wire_tool(&self, name: &str) -> Option<Tool> {
        let listed = self.server.listed();
        let at = listed.binary_search_by(|tool| (*tool.name).cmp(name)).ok()?;
        self.may_see(name).then(|| listed[at].clone())
    }

    /// Longhaul's own tools are everybody's: each shows its caller's tasks alone.
    fn may_see(&self, name: &str) -> bool {
        self.server.own_tools().find(name).is_some()
            || self.server.fixtures().is_some_and(|fixtures| fixtures.has_tool(name))
            || self.connection.principal.may_call(name)
    }

    pub(in crate::mcp) async fn call(
        &self,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, Refusal> {
        ClientSettings::of_meta(&context.meta)?;
        let own = self.own_tool(&request.name, context);
        if let (None, Some(state)) = (own, request.request_state.clone()) {
            return self.next_round(request, &state, context).await;
        }
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        if let Some(own) = own {
            return self.call_own(own, arguments, context).await.map(CallToolResponse::Complete);
        }
        let engine = self.server.engine();
        if let Some(answer) = self.server.fixtures().and_then(|own| own.call(&request.name, engine.feed())) {
            return Ok(answer.into());
        }
        let principal = self.connection.actor(context);
        if principal.may_call(&request.name) && engine.catalog().awaits(&request.name) {
            let usual = Duration::from_secs(limits::DEFAULT_INLINE_WAIT_SECONDS);
            let at_most = self.wait_bound(context).map_or(usual, |bound| bound.min(usual));
            self.server.tool_known(&request.name, at_most).await;
        }
        let catalog = engine.catalog();
        let entry = catalog.tool(&request.name).filter(|_| principal.may_call(&request.name)).cloned();
        let choice = match &entry {
            Some(entry) => self.choice(entry, context)?,
            // The engine says so, and which name is near.
            None => Choice::default(),
        };
        let call = self.bound_to(&request.name, &arguments);
        let submission = Submission {
            tool: request.name.into_owned(),
            arguments,
            principal: principal.clone(),
            idempotency_key: choice.idempotency_key.clone(),
            trace: trace(&context.meta),
        };
        if let Some(stream) = context.extensions.get::<CallStream>() {
            return self.call_on_stream(submission, stream, &choice, context).await;
        }
        let Some(entry) = entry.filter(|_| choice.is_waiting()) else {
            let submitted = engine.submit(submission).await.map_err(error::refusal)?;
            return Ok(self.started(submitted.task, submitted.id, context));
        };
        let (submitted, follower) = engine.submit_followed(submission).await.map_err(error::refusal)?;
        let waits = choice.waits(call, request.input_responses.unwrap_or_default());
        self.inline(Some(&entry), submitted, follower, waits, context).await
    }
}

/// Clients write an empty text for the first page, as models do.
fn cursor_of(request: Option<PaginatedRequestParams>) -> Option<String> {
    request.and_then(|page| page.cursor).filter(|cursor| !cursor.is_empty())
}

/// A list of one page gives no cursor.
pub fn expect_no_cursor(request: Option<PaginatedRequestParams>) -> Result<(), ErrorData> {
    cursor_of(request).map_or(Ok(()), |_| Err(error::bad_cursor()))
}

fn trace(meta: &MetaObject) -> Option<TraceContext> {
    TraceContext::of(meta.get_traceparent(), meta.get_tracestate(), meta.get_baggage())
}
