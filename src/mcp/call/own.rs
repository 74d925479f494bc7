//! Longhaul's operations as tools: for hosts that know neither tasks nor resources, and for the command line.

use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::RequestContext;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::follow::{Asking, Followed};
use crate::api::{Answer, ApiError, Audience, Caller, Ended, Operation as _, TaskDocument, TaskWait};
use crate::engine::TaskEnd;
use crate::mcp::connection::Handler;
use crate::mcp::own::tools::OwnTool;
use crate::mcp::wire::client_settings::lower;
use crate::mcp::wire::convert;
use crate::mcp::wire::error::{Refusal, not_done, refusal};
use crate::mcp::wire::form::{structured, with_document};
use crate::mcp::wire::next;
use crate::task::TaskId;

/// How an answer to a question came, as its task shows it.
const BY_MODEL: &str = "task_answer";
const BY_COMMAND_LINE: &str = "cli";

impl Handler {
    /// The tool of this name, if there is one for whoever sent this request.
    pub(super) fn own_tool(&self, name: &str, context: &RequestContext<RoleServer>) -> Option<&OwnTool> {
        let for_caller =
            |own: &&OwnTool| own.operation.audience != Audience::Owner || self.is_by_person(context);
        self.server.own_tools().find(name).filter(for_caller)
    }

    pub(super) async fn call_own(
        &self,
        own: &OwnTool,
        arguments: Value,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Refusal> {
        let arguments = own.accept(arguments).map_err(not_done)?;
        if own.operation.name == TaskWait::NAME {
            return self.task_wait(read(arguments)?, context).await;
        }
        let is_person = self.is_by_person(context);
        let channel = if is_person { BY_COMMAND_LINE } else { BY_MODEL };
        let caller = Caller { principal: self.connection.actor(context), channel, is_person };
        let done = own.operation.run(arguments, self.server.engine(), &caller).await;
        match done.map_err(not_done)? {
            Answer::Task(task) => Ok(structured(self.form(context).document(&task))),
            Answer::End(ended) => self.task_result(*ended, context).await,
            // What an owner gets is for a program, and may be a secret.
            Answer::Value(value) if own.operation.audience == Audience::Owner => {
                let mut answer = CallToolResult::success(Vec::new());
                answer.structured_content = Some(value);
                Ok(answer)
            }
            Answer::Value(value) => Ok(structured(value)),
        }
    }

    async fn task_wait(
        &self,
        request: TaskWait,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Refusal> {
        let id = request.task_id;
        let (engine, principal) = (self.server.engine(), &self.connection.principal);
        let (task, form) = (engine.task(principal, id).await.map_err(refusal)?, self.form(context));
        // Whoever gives the wait up gives up nothing else: the task goes on.
        if let Some(follower) = engine.feed().follow(id) {
            let followed = Followed { follower: &follower, id, tool: &task.tool, fresh: false };
            let at_most = lower(Some(request.at_most()), self.wait_bound(context));
            self.follow(followed, at_most, Asking::Ends, context).await?;
        }
        // In this order: what has ended stays so, and may end between the two.
        let end = engine.result(principal, id).await.map_err(refusal)?;
        let task = engine.task(principal, id).await.map_err(refusal)?;
        match end {
            TaskEnd::NotYet(_) => Ok(form.going_on(form.document(&task.into()))),
            // Also where the tool answered its call with a JSON-RPC error: this call did not fail.
            TaskEnd::Failed(task, _) | TaskEnd::Cancelled(task) => {
                let task = TaskDocument::from(task);
                Ok(named(form.failed(&task, form.document(&task)), id))
            }
            TaskEnd::Completed(result) => {
                let catalog = engine.catalog();
                let entry = catalog.tool(&task.tool).map(Arc::as_ref);
                Ok(named(with_document(form.completed(entry, result), form.document(&task.into())), id))
            }
        }
    }

    /// The tool's own answer.
    async fn task_result(
        &self,
        Ended { task_id: id, end }: Ended,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Refusal> {
        let form = self.form(context);
        let (engine, principal) = (self.server.engine(), &self.connection.principal);
        if let TaskEnd::NotYet(task) = end {
            let task = TaskDocument::from(task);
            let state = match &task.reason {
                Some(reason) => format!("{} ({reason})", task.state),
                None => task.state.clone(),
            };
            let wait = next::call(form.names, TaskWait::NAME, &json!({ "task_id": id }));
            return Err(Refusal::told(format!(
                "The task {id} is {state}: there is no result yet. Call {wait}."
            )));
        }
        let task = engine.task(principal, id).await.map_err(refusal)?;
        let catalog = engine.catalog();
        let entry = catalog.tool(&task.tool).map(Arc::as_ref);
        match form.ended(end, entry, id) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(_)) | None => Ok(form.not_completed(&task.into())),
        }
    }
}

fn named(mut answer: CallToolResult, id: TaskId) -> CallToolResult {
    answer.meta = Some(convert::task_meta(id));
    answer
}

fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, Refusal> {
    serde_json::from_value(arguments).map_err(|error| not_done(ApiError::Request(error.to_string())))
}
