//! What a call's stream is told while its task runs: its progress and its log lines.
#![expect(deprecated, reason = "log messages are part of all protocols up to 2026-07-28")]

use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::{Peer, RequestContext};
use serde_json::Value;

use super::convert;
use super::server::{Handler, is_modern};
use super::sessions::CallStream;
use crate::authority::Principal;
use crate::engine::{TaskDocument, TaskEngine};
use crate::limits;
use crate::task::{LogLevel, Progress, TaskId, parse_log_line};

/// Tells one call of its task: the progress by the client's token or, without one, by log messages; log lines
/// by log messages; these as far as the client takes them.
pub struct Reports<'a> {
    peer: &'a Peer<RoleServer>,
    engine: &'a TaskEngine,
    principal: &'a Principal,
    progress: Option<ProgressToken>,
    /// What matters less is not told; `None` is nothing at all.
    least: Option<LogLevel>,
    /// The call's own stream, where log messages have to be put on it.
    stream: Option<CallStream>,
    tool: &'a str,
    task: TaskId,
    last: Option<f64>,
    /// How much of the log has been told, bytes.
    log_told: u64,
    /// Only what the stream sends first names the task.
    named: bool,
}

impl<'a> Reports<'a> {
    pub fn new(
        handler: &'a Handler,
        tool: &'a str,
        task: TaskId,
        context: &'a RequestContext<RoleServer>,
    ) -> Self {
        let connection = &handler.connection;
        let level = if is_modern(context) { context.meta.log_level() } else { Some(connection.log_level()) };
        Self {
            peer: &context.peer,
            engine: handler.server.engine(),
            principal: &connection.principal,
            progress: context.meta.get_progress_token(),
            least: level.and_then(known),
            stream: context.extensions.get::<CallStream>().cloned(),
            tool,
            task,
            last: None,
            log_told: 0,
            named: false,
        }
    }

    /// Leaves out the log so far.
    pub fn skip_log(&mut self) {
        let log = self.engine.log(self.principal, self.task, 0, 0);
        self.log_told = log.map_or(0, |log| log.total);
    }

    /// Tells what the log has got since the last time, line by line.
    pub async fn log(&mut self) {
        let Some(least) = self.least else { return };
        loop {
            let piece = self.engine.log(self.principal, self.task, self.log_told, limits::MAX_LOG_READ_BYTES);
            // A task that is gone has nothing more to tell.
            let Ok(piece) = piece else { return };
            let whole = match piece.bytes.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => &piece.bytes[..=end],
                // No line of a guest's log interface is so long.
                None if piece.bytes.len() == limits::MAX_LOG_READ_BYTES => &piece.bytes,
                None => return,
            };
            self.log_told += whole.len() as u64;
            for line in String::from_utf8_lossy(whole).lines() {
                if let Some((level, text)) = parse_log_line(line).filter(|(level, _)| *level >= least) {
                    self.message(wire(level), text.to_owned()).await;
                }
            }
        }
    }

    /// What a task's document says at present.
    pub async fn present(&mut self, task: &TaskDocument) {
        let progress = task.progress.as_ref().map(|p| Progress { done: p.done, total: p.total });
        if progress.is_some() || task.message.is_some() {
            self.tell(progress, task.message.clone()).await;
        }
    }

    pub async fn tell(&mut self, progress: Option<Progress>, message: Option<String>) {
        let Some(token) = self.progress.clone() else {
            if self.least.is_some_and(|least| least <= LogLevel::Info) {
                self.message(LoggingLevel::Info, text(progress, message)).await;
            }
            return;
        };
        let step = self.step(progress);
        self.last = Some(step);
        let mut report = ProgressNotificationParam::new(token, step);
        report.total = progress.and_then(|progress| progress.total).map(|total| total as f64);
        report.message = message;
        report.meta = self.name();
        let told = ServerNotification::ProgressNotification(ProgressNotification::new(report));
        // A client that is gone is noticed elsewhere.
        drop(self.peer.send_notification(told).await);
    }

    async fn message(&mut self, level: LoggingLevel, text: String) {
        let mut entry = LoggingMessageNotificationParam::new(level, Value::String(text));
        entry.logger = Some(self.tool.to_owned());
        entry.meta = self.name();
        let told = ServerNotification::LoggingMessageNotification(LoggingMessageNotification::new(entry));
        match &self.stream {
            Some(stream) => stream.send(told).await,
            None => drop(self.peer.send_notification(told).await),
        }
    }

    fn name(&mut self) -> Option<NotificationMetaObject> {
        (!std::mem::replace(&mut self.named, true)).then(|| convert::notification_meta(self.task))
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

/// The least level of a guest that a client's covers; `None` where it is above all of them.
fn known(level: LoggingLevel) -> Option<LogLevel> {
    match level {
        LoggingLevel::Debug => Some(LogLevel::Debug),
        LoggingLevel::Info => Some(LogLevel::Info),
        LoggingLevel::Notice => Some(LogLevel::Notice),
        LoggingLevel::Warning => Some(LogLevel::Warning),
        LoggingLevel::Error => Some(LogLevel::Error),
        LoggingLevel::Critical | LoggingLevel::Alert | LoggingLevel::Emergency => None,
    }
}

fn wire(level: LogLevel) -> LoggingLevel {
    match level {
        LogLevel::Debug => LoggingLevel::Debug,
        LogLevel::Info => LoggingLevel::Info,
        LogLevel::Notice => LoggingLevel::Notice,
        LogLevel::Warning => LoggingLevel::Warning,
        LogLevel::Error => LoggingLevel::Error,
    }
}
