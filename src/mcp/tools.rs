//! `tools/list` and `tools/call`.

use rmcp::model::*;
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::Value;

use super::convert;
use super::error::{self, Refusal};
use super::reply::{self, Choice};
use super::server::{Handler, stamp};
use crate::engine::Submission;
use crate::limits;

impl Handler {
    /// Sorted by name, Longhaul's own among them; the cursor is the last name of the page before.
    pub(super) fn tools_page(&self, cursor: Option<String>) -> Result<ListToolsResult, ErrorData> {
        let catalog = self.server.engine().catalog();
        let mut tools: Vec<Tool> = catalog
            .tools()
            .map(|entry| &entry.tool.definition)
            .filter(|definition| self.connection.principal.may_call(&definition.name))
            .map(convert::tool)
            .collect();
        tools.extend(self.server.listed_task_tools());
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(cursor) = cursor {
            tools.retain(|tool| *tool.name > *cursor);
        }
        let more = tools.len() > limits::MAX_TOOLS_PAGE;
        tools.truncate(limits::MAX_TOOLS_PAGE);
        let mut page = ListToolsResult::with_all_items(tools);
        page.next_cursor = more.then(|| page.tools.last().map(|tool| tool.name.to_string())).flatten();
        page.ttl_ms = Some(limits::TOOLS_TTL_MS);
        page.cache_scope = Some(CacheScope::Private);
        stamp(&mut page.meta);
        Ok(page)
    }

    pub(super) fn wire_tool(&self, name: &str) -> Option<Tool> {
        if let Some(own) = self.server.task_tools().wire(name) {
            return Some(own);
        }
        let catalog = self.server.engine().catalog();
        let entry = catalog.tool(name).filter(|_| self.connection.principal.may_call(name))?;
        Some(convert::tool(&entry.tool.definition))
    }

    pub(super) async fn call(
        &self,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Refusal> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        if let Some(own) = self.server.task_tools().find(&request.name) {
            own.check(&arguments)?;
            return self.call_task_tool(own.name, arguments, context).await;
        }
        let engine = self.server.engine();
        let catalog = engine.catalog();
        let principal = &self.connection.principal;
        let entry = catalog.tool(&request.name).filter(|_| principal.may_call(&request.name)).cloned();
        let choice = match &entry {
            Some(entry) => reply::choose(&entry.tool.definition, &context.meta)?,
            // The engine says so, and which name is near.
            None => Choice::default(),
        };
        let submission = Submission {
            tool: request.name.into_owned(),
            arguments,
            principal: principal.clone(),
            idempotency_key: choice.idempotency_key.clone(),
        };
        let (Some(entry), Some(inline)) = (entry, choice.inline) else {
            let submitted = engine.submit(submission).await.map_err(error::refusal)?;
            return Ok(reply::link(&submitted.task, submitted.id));
        };
        let (submitted, follower) = engine.submit_followed(submission).await.map_err(error::refusal)?;
        let how = (inline, choice.idempotency_key.as_deref());
        self.inline(&entry, submitted, follower, how, context).await
    }
}
