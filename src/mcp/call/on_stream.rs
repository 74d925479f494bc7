//! Calls of sessions over HTTP. What their streams get follows from the store; here is what else a call does
//! while it waits: it asks the client what its task asks, and it ends its wait.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::{Peer, RequestContext};

use super::follow::{Asking, Followed, Stopped};
use super::reply::Choice;
use crate::authority::Principal;
use crate::engine::{Follower, Submission, TaskEnd};
use crate::mcp::connection::{Connection, Handler};
use crate::mcp::sessions::{CallReply, CallRow, CallStream, Host, Settles};
use crate::mcp::shared::McpServer;
use crate::mcp::wire::error::{self, Refusal};

/// The connection that serves a session, which holds it no longer than rmcp does.
pub struct StreamHost {
    server: McpServer,
    connection: Weak<Connection>,
    peer: Peer<RoleServer>,
}

impl StreamHost {
    pub fn new(handler: &Handler, peer: Peer<RoleServer>) -> Self {
        Self { server: handler.server.clone(), connection: Arc::downgrade(&handler.connection), peer }
    }
}

impl Host for StreamHost {
    fn actor(&self) -> Option<Principal> {
        self.connection.upgrade().map(|connection| connection.known_actor().clone())
    }

    fn wait_on(&self, stream: CallStream, call: CallRow, settles: Settles) {
        let Some(connection) = self.connection.upgrade() else { return };
        let (handler, peer) = (Handler { server: self.server.clone(), connection }, self.peer.clone());
        tokio::spawn(async move {
            let _settles = settles;
            let mut context = RequestContext::new(call.request(), peer);
            context.extensions.insert(stream.clone());
            let follower = handler.server.engine().feed().follow_call(call.task);
            handler.wait_on_stream(&stream, &call, follower, false, &context).await;
        });
    }
}

impl Handler {
    /// The task, and the row that the call's stream follows from, are one commit. What is returned here goes
    /// nowhere.
    pub(in crate::mcp) async fn call_on_stream(
        &self,
        submission: Submission,
        stream: &CallStream,
        choice: &Choice,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, Refusal> {
        let engine = self.server.engine();
        let call = |task, from, existing| CallRow {
            request: (&stream.slot.request).into(),
            owner: self.connection.principal.name().to_owned(),
            task,
            from,
            tool: submission.tool.clone(),
            progress_token: context.meta.get_progress_token().map(|token| (&token.0).into()),
            log_level: stream.session.log_level(),
            reply: choice.reply(),
            links: self.links(context),
            // What was there already is another call's too.
            keyed: existing || submission.idempotency_key.is_some(),
            created_at: engine.now(),
        };
        let (submitted, from, follower) = engine
            .submit_for_stream(&submission, |task, from, existing| stream.row(&call(task, from, existing)))
            .await
            .map_err(error::refusal)?;
        let call = call(submitted.id, from, submitted.existing);
        if !stream.slot.bind(call.clone())
            && let Err(error) = stream.session.end_call(stream.slot.stream, &call).await
        {
            tracing::warn!(task = %call.task, %error, "a call that was given up could not be ended");
        }
        self.wait_on_stream(stream, &call, follower, !submitted.existing, context).await;
        Ok(CallToolResult::success(Vec::new()).into())
    }

    /// Until the call's answer is to be given, whatever that is by then.
    pub(in crate::mcp) async fn wait_on_stream(
        &self,
        stream: &CallStream,
        call: &CallRow,
        follower: Option<Follower>,
        fresh: bool,
        context: &RequestContext<RoleServer>,
    ) {
        // However this ends, the stream must not wait for ever.
        let _settles = stream.slot.settles();
        let CallReply::Waits { at_most_seconds, until_answered } = call.reply else {
            return stream.slot.end_questions();
        };
        // Without a place in the feed there is nothing to wait with.
        let Some(follower) = follower else { return };
        // A clock that was set back makes no wait longer.
        let waited = Duration::from_nanos(self.server.engine().now().saturating_sub(call.created_at));
        let left = at_most_seconds.map(|seconds| Duration::from_secs(seconds).saturating_sub(waited));
        let followed = Followed { follower: &follower, id: call.task, tool: &call.tool, fresh };
        let asking = Asking::Client { until_answered, responses: InputResponses::new() };
        // The stream finds out by itself why a task cannot be read.
        let stopped = self.follow(followed, left, asking, context).await;
        // A client that has heard a question when the server stops may answer it to the next.
        if !matches!(stopped, Ok(Stopped::Stopping)) {
            stream.slot.end_questions();
        }
        // What has completed is answered with its result.
        if matches!(stopped, Ok(Stopped::Ended | Stopped::Asks | Stopped::TimeOver)) {
            self.note_waited(stream, call).await;
        }
    }

    /// Stores that the call waits no longer, before the link that says so to the client: once that is there, neither
    /// this server nor the next takes a late cancellation of the call for one of its task.
    async fn note_waited(&self, stream: &CallStream, call: &CallRow) {
        let engine = self.server.engine();
        if !call.waits()
            || !matches!(engine.result(stream.session.principal(), call.task).await, Ok(TaskEnd::NotYet(_)))
        {
            return;
        }
        if let Err(error) = engine.put_wing_rows(stream.row(&call.waited())).await {
            tracing::warn!(task = %call.task, %error, "that a call waits no longer could not be stored");
        }
    }
}
