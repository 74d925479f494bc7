//! What a call's stream is told while its task runs.
#![expect(deprecated, reason = "legacy clients without a progress token have nothing but log messages")]

use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::{Peer, RequestContext};
use serde_json::Value;

use super::convert;
use super::server::{Connection, is_modern};
use super::sessions::CallStream;
use crate::engine::TaskDocument;
use crate::task::{Progress, TaskId};

/// Tells one call of its task's progress: by the client's token or, without one, by log messages, if the
/// client takes them.
pub struct Reports<'a> {
    peer: &'a Peer<RoleServer>,
    channel: Channel,
    tool: &'a str,
    task: TaskId,
    last: Option<f64>,
    /// Only what the stream sends first names the task.
    named: bool,
}

enum Channel {
    Progress(ProgressToken),
    /// Log messages; on the call's own stream, where there is one.
    Log(Option<CallStream>),
    None,
}

impl<'a> Reports<'a> {
    pub fn new(
        connection: &Connection,
        tool: &'a str,
        task: TaskId,
        context: &'a RequestContext<RoleServer>,
    ) -> Self {
        let level = if is_modern(context) { context.meta.log_level() } else { Some(connection.log_level()) };
        let channel = match (context.meta.get_progress_token(), level) {
            (Some(token), _) => Channel::Progress(token),
            (None, Some(LoggingLevel::Debug | LoggingLevel::Info)) => {
                Channel::Log(context.extensions.get::<CallStream>().cloned())
            }
            _ => Channel::None,
        };
        Self { peer: &context.peer, channel, tool, task, last: None, named: false }
    }

    /// What a task's document says at present.
    pub async fn present(&mut self, task: &TaskDocument) {
        let progress = task.progress.as_ref().map(|p| Progress { done: p.done, total: p.total });
        if progress.is_some() || task.message.is_some() {
            self.tell(progress, task.message.clone()).await;
        }
    }

    pub async fn tell(&mut self, progress: Option<Progress>, message: Option<String>) {
        let meta = (!self.named).then(|| convert::notification_meta(self.task));
        let notification = match &self.channel {
            Channel::None => return,
            Channel::Progress(token) => {
                let mut report = ProgressNotificationParam::new(token.clone(), self.step(progress));
                report.total = progress.and_then(|progress| progress.total).map(|total| total as f64);
                report.message = message;
                report.meta = meta;
                ServerNotification::ProgressNotification(ProgressNotification::new(report))
            }
            Channel::Log(_) => log_notification(self.tool, text(progress, message), meta),
        };
        if let Channel::Progress(_) = &self.channel {
            self.last = Some(self.step(progress));
        }
        self.named = true;
        // A client that is gone is noticed elsewhere.
        match &self.channel {
            Channel::Log(Some(stream)) => stream.send(notification).await,
            _ => drop(self.peer.send_notification(notification).await),
        }
    }

    /// The protocol wants progress to grow with every notification. A tool that says something new at the
    /// same point, or starts over, moves it by next to nothing.
    fn step(&self, progress: Option<Progress>) -> f64 {
        let done = progress.map(|progress| progress.done as f64);
        match (self.last, done) {
            (None, done) => done.unwrap_or(0.0),
            (Some(last), Some(done)) if done > last => done,
            (Some(last), _) => last.next_up().max(last + 1e-6),
        }
    }
}

/// Both in one line, for those who are told in words alone.
pub fn text(progress: Option<Progress>, message: Option<String>) -> String {
    let counted = progress.map(|progress| match progress.total {
        Some(total) => format!("{}/{total}", progress.done),
        None => progress.done.to_string(),
    });
    [counted, message].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn log_notification(tool: &str, text: String, meta: Option<NotificationMetaObject>) -> ServerNotification {
    let mut entry = LoggingMessageNotificationParam::new(LoggingLevel::Info, Value::String(text));
    entry.logger = Some(tool.to_owned());
    entry.meta = meta;
    ServerNotification::LoggingMessageNotification(LoggingMessageNotification::new(entry))
}
