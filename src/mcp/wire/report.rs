//! What a call's stream gets while its task runs.
#![expect(deprecated, reason = "legacy clients without a progress token have nothing but log messages")]

use rmcp::model::*;
use serde_json::Value;

use super::convert;
use crate::catalog::show_text;
use crate::task::{LogLevel, Progress, Report, TaskId};

/// What a client hears of that never said what it wants.
pub const DEFAULT_LOG_LEVEL: LoggingLevel = LoggingLevel::Info;

/// Puts a task's reports into words for one call: progress by the client's token or, without one, as log messages;
/// log lines as log messages; those only from the level on that the client takes.
pub struct Teller {
    pub token: Option<ProgressToken>,
    /// From this severity on; `None` takes no log messages.
    pub log_level: Option<u8>,
    pub tool: String,
    pub task: TaskId,
    /// The last progress on the wire.
    pub last: Option<f64>,
    /// Only what the stream sends first names the task.
    pub named: bool,
}

impl Teller {
    /// `None` where the client does not want to hear of it.
    pub fn tell(&mut self, report: &Report) -> Option<ServerNotification> {
        let notification = match report {
            Report::Progress { progress, message } => match self.token.clone() {
                Some(token) => self.progress(token, *progress, message.clone()),
                None => self.log(LogLevel::Info, text(*progress, message.clone()))?,
            },
            Report::Line { level, text } => self.log(*level, text.clone())?,
        };
        self.named = true;
        Some(notification)
    }

    fn progress(
        &mut self,
        token: ProgressToken,
        progress: Option<Progress>,
        message: Option<String>,
    ) -> ServerNotification {
        let step = self.step(progress);
        self.last = Some(step);
        let mut report = ProgressNotificationParam::new(token, step);
        report.total = progress.and_then(|progress| progress.total).map(|total| total as f64);
        report.message = message.map(|message| show_text(&message).into_owned());
        report.meta = self.meta();
        ServerNotification::ProgressNotification(ProgressNotification::new(report))
    }

    fn log(&self, level: LogLevel, text: String) -> Option<ServerNotification> {
        let level = logging_level(level);
        self.log_level.filter(|least| severity(level) >= *least)?;
        let mut entry =
            LoggingMessageNotificationParam::new(level, Value::String(show_text(&text).into_owned()));
        entry.logger = Some(self.tool.clone());
        entry.meta = self.meta();
        Some(ServerNotification::LoggingMessageNotification(LoggingMessageNotification::new(entry)))
    }

    fn meta(&self) -> Option<NotificationMetaObject> {
        (!self.named).then(|| convert::notification_meta(self.task))
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

/// Levels in their order, the least severe first.
pub fn severity(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        LoggingLevel::Emergency => 7,
    }
}

/// The level of that severity.
pub fn level_of(level: u8) -> LoggingLevel {
    match level {
        0 => LoggingLevel::Debug,
        1 => LoggingLevel::Info,
        2 => LoggingLevel::Notice,
        3 => LoggingLevel::Warning,
        4 => LoggingLevel::Error,
        5 => LoggingLevel::Critical,
        6 => LoggingLevel::Alert,
        _ => LoggingLevel::Emergency,
    }
}

fn logging_level(level: LogLevel) -> LoggingLevel {
    match level {
        LogLevel::Debug => LoggingLevel::Debug,
        LogLevel::Info => LoggingLevel::Info,
        LogLevel::Notice => LoggingLevel::Notice,
        LogLevel::Warning => LoggingLevel::Warning,
        LogLevel::Error => LoggingLevel::Error,
    }
}

/// Both in one line, for those who get words alone.
pub fn text(progress: Option<Progress>, message: Option<String>) -> String {
    let counted = progress.map(|progress| match progress.total {
        Some(total) => format!("{}/{total}", progress.done),
        None => progress.done.to_string(),
    });
    [counted, message].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn teller(token: bool, log_level: Option<LoggingLevel>) -> Teller {
        Teller {
            token: token.then_some(ProgressToken(NumberOrString::Number(1))),
            log_level: log_level.map(severity),
            tool: "t".to_owned(),
            task: TaskId::from_bytes([1; 16]),
            last: None,
            named: false,
        }
    }

    fn progress(done: u64) -> Report {
        Report::Progress { progress: Some(Progress { done, total: Some(9) }), message: None }
    }

    #[test]
    fn progress_grows_on_the_wire_whatever_the_tool_says() {
        let mut teller = teller(true, None);
        let mut last = -1.0;
        for done in [0, 3, 3, 1, 4] {
            let seen = serde_json::to_value(teller.tell(&progress(done))).expect("JSON");
            let step = seen["params"]["progress"].as_f64().expect("a number");
            assert!(step > last && step - (done as f64) < 3.0, "{step} after {last}");
            last = step;
        }
    }

    #[test]
    fn log_messages_come_from_the_level_on_that_the_client_takes() {
        let line = |level| Report::Line { level, text: "words".to_owned() };
        let mut some = teller(false, Some(LoggingLevel::Warning));
        assert!(some.tell(&progress(1)).is_none() && some.tell(&line(LogLevel::Notice)).is_none());
        let seen = serde_json::to_value(some.tell(&line(LogLevel::Error))).expect("JSON");
        assert_eq!((&seen["params"]["level"], &seen["params"]["data"]), (&"error".into(), &"words".into()));
        assert!(seen["params"]["_meta"].is_object(), "the first that is told names the task");
        assert!(teller(true, None).tell(&line(LogLevel::Error)).is_none());
    }
}
