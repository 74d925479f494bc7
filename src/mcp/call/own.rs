//! Longhaul's operations as tools: for hosts that know neither tasks nor resources, and for the command line.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::RequestContext;
use serde_json::{Value, json};

use super::follow::{Asking, Followed};
use crate::api::{Answer, Audience, Caller, Ended, Operation as _, TaskStatus, TaskWait, Waiting};
use crate::engine::{EngineError, TaskEnd};
use crate::mcp::connection::Handler;
use crate::mcp::own::tools::OwnTool;
use crate::mcp::wire::client_settings::lower;
use crate::mcp::wire::convert;
use crate::mcp::wire::error::{Refusal, not_done};
use crate::mcp::wire::form::{structured, with_document};
use crate::mcp::wire::next;
use crate::task::TaskId;

/// How an answer to a question came, as its task shows it.
const BY_MODEL: &str = "task_answer";
const BY_COMMAND_LINE: &str = "cli";

impl Handler {
    /// The tool of this name, if there is one for the sender of this request.
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
        let is_person = self.is_by_person(context);
        let channel = if is_person { BY_COMMAND_LINE } else { BY_MODEL };
        let following = Following { handler: self, context };
        let principal = self.connection.actor(context);
        let caller = Caller { principal, channel, is_person, waiting: Some(&following) };
        let done = own.operation.run(arguments, self.server.engine(), &caller).await;
        match done.map_err(not_done)? {
            Answer::Task(task) => {
                if own.operation.name == TaskStatus::NAME
                    && let Ok(id) = task.id.parse()
                {
                    self.polled(id, task.poll_interval_ms);
                }
                Ok(structured(self.form(context).document(&task)))
            }
            Answer::End(ended) => self.task_result(*ended, context),
            Answer::Waited(ended) => Ok(self.waited(*ended, context)),
            // What an owner gets is for a program, and may be a secret.
            Answer::Value(value) if own.operation.audience == Audience::Owner => {
                let mut answer = CallToolResult::success(Vec::new());
                answer.structured_content = Some(value);
                Ok(answer)
            }
            Answer::Value(value) => Ok(structured(value)),
        }
    }

    /// A task after a wait, with its result where it has one.
    fn waited(
        &self,
        Ended { task_id, task, end }: Ended,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResult {
        let form = self.form(context);
        let document = form.document(&task);
        match end {
            TaskEnd::NotYet(_) => form.going_on(document),
            // Also where the tool answered its call with a JSON-RPC error: this call did not fail.
            TaskEnd::Failed(..) | TaskEnd::Cancelled(_) => named(form.failed(&task, document), task_id),
            TaskEnd::Completed(result) => {
                let catalog = self.server.engine().catalog();
                let entry = catalog.tool(&task.tool).map(Arc::as_ref);
                named(with_document(form.completed(entry, result), document), task_id)
            }
        }
    }

    /// The tool's own answer.
    fn task_result(
        &self,
        ended: Ended,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Refusal> {
        let form = self.form(context);
        if let Some(why) = ended.no_result_yet() {
            let wait = next::call(form.names, TaskWait::NAME, &json!({ "task_id": ended.task_id }));
            return Err(Refusal::text(format!("{why} Call {wait}.")));
        }
        let Ended { task_id, task, end } = ended;
        let catalog = self.server.engine().catalog();
        let entry = catalog.tool(&task.tool).map(Arc::as_ref);
        match form.ended(end, entry, task_id) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(_)) | None => Ok(form.not_completed(&task)),
        }
    }
}

/// A wait during which the client gets reports of what happens. A client that gives it up gives up nothing else: the task
/// goes on.
struct Following<'a> {
    handler: &'a Handler,
    context: &'a RequestContext<RoleServer>,
}

impl Waiting for Following<'_> {
    fn wait<'a>(
        &'a self,
        tool: &'a str,
        id: TaskId,
        at_most: Duration,
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        let Self { handler, context } = self;
        let waiting = async move {
            let Some(follower) = handler.server.engine().feed().follow_call(id) else { return Ok(()) };
            let followed = Followed { follower: &follower, id, tool, fresh: false };
            let at_most = lower(Some(at_most), handler.wait_bound(context));
            handler.follow(followed, at_most, Asking::Ends, context).await.map(drop)
        };
        waiting.boxed()
    }
}

fn named(mut answer: CallToolResult, id: TaskId) -> CallToolResult {
    answer.meta = Some(convert::task_meta(id));
    answer
}
