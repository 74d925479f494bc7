//! Sends a task's reports to the stream of the call that waits for it.

use rmcp::RoleServer;
use rmcp::service::{Peer, RequestContext};

use crate::api::TaskDocument;
use crate::mcp::connection::Connection;
use crate::mcp::era::is_modern;
use crate::mcp::sessions::CallStream;
use crate::mcp::wire::report::{Teller, severity};
use crate::task::{Progress, Report, TaskId};

/// Tells one request of a task's reports as they happen.
pub struct Reports<'a> {
    peer: &'a Peer<RoleServer>,
    /// The request's own stream, where rmcp would send messages elsewhere. A stream that follows from the task
    /// itself needs no telling.
    stream: Option<CallStream>,
    teller: Teller,
}

impl<'a> Reports<'a> {
    pub fn new(
        connection: &Connection,
        tool: &str,
        task: TaskId,
        context: &'a RequestContext<RoleServer>,
    ) -> Self {
        let log_level =
            if is_modern(context) { context.meta.log_level() } else { Some(connection.log_level()) };
        let teller = Teller {
            token: context.meta.get_progress_token(),
            log_level: log_level.map(severity),
            tool: tool.to_owned(),
            task,
            last: None,
            named: false,
        };
        Self { peer: &context.peer, stream: context.extensions.get::<CallStream>().cloned(), teller }
    }

    /// What a task's document says at present.
    pub async fn present(&mut self, task: &TaskDocument) {
        let progress = task.progress.as_ref().map(|p| Progress { done: p.done, total: p.total });
        if progress.is_some() || task.message.is_some() {
            self.tell(&Report::Progress { progress, message: task.message.clone() }).await;
        }
    }

    pub async fn tell(&mut self, report: &Report) {
        let Some(notification) = self.teller.tell(report) else { return };
        // A client that is gone is noticed elsewhere.
        match &self.stream {
            Some(stream) if stream.slot.is_stored() => {}
            Some(stream) => stream.send(notification),
            None => drop(self.peer.send_notification(notification).await),
        }
    }
}
