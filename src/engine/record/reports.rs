//! Records what a guest reports while it runs: its log, its progress, its status line.

use super::error::RecorderError;
use super::recorder::Recorder;
use crate::engine::feed::TaskChange;
use crate::engine::memory::entry::Live;
use crate::engine::rows;
use crate::limits;
use crate::store::Space;
use crate::task::{LogLevel, Progress, Report, Status, TaskId, log_lines};

impl Recorder {
    /// Bytes for the task's log: stdout, stderr, log lines. What replay brings again is compared, not repeated.
    pub fn log(&self, bytes: &[u8]) -> Result<(), RecorderError> {
        self.with(|_, live| {
            note(live, bytes);
            Ok(live.log.write(bytes, live.journal.next_number())?)
        })?;
        self.mark_dirty();
        Ok(())
    }

    /// Lines of the host's own for the log, at a place that follows from what the guest did. Whether it is new, and
    /// not brought again by replay.
    pub(in crate::engine) fn host_line(&self, line: &[u8]) -> Result<bool, RecorderError> {
        let is_new = self.with(|_, live| {
            note(live, line);
            Ok(live.log.write_host(line, live.journal.next_number())?)
        })?;
        self.mark_dirty();
        Ok(is_new)
    }

    /// Whether what the guest does now is new, as far as its journal and its log show: where neither has anything
    /// behind it, an attempt that was killed may have done it.
    pub(in crate::engine) fn is_new(&self) -> Result<bool, RecorderError> {
        self.with(|_, live| Ok(!live.journal.is_replaying() && live.log.position() >= live.log.durable()))
    }

    /// A line for the log that also goes to the task's followers, numbered with its reports.
    pub fn line(&self, level: LogLevel, text: &str) -> Result<(), RecorderError> {
        let lines = log_lines(level, text);
        self.with(|_, live| {
            note(live, lines.as_bytes());
            Ok(live.log.write(lines.as_bytes(), live.journal.next_number())?)
        })?;
        self.report(Report::Line { level, text: text.trim_end_matches('\n').to_owned() })
    }

    pub fn progress(
        &self,
        done: u64,
        total: Option<u64>,
        message: Option<String>,
    ) -> Result<(), RecorderError> {
        self.report(Report::Progress { progress: Some(Progress { done, total }), message })
    }

    /// Changes the status line alone.
    pub fn status(&self, message: String) -> Result<(), RecorderError> {
        self.report(Report::Progress { progress: None, message: Some(message) })
    }

    /// What replay brings again was reported before.
    fn report(&self, report: Report) -> Result<(), RecorderError> {
        let wall = self.shared().clock.wall();
        self.with(|state, live| {
            live.reports += 1;
            let number = live.reports;
            if number <= state.status().reports {
                return Ok(());
            }
            let status = state.status_mut();
            (status.reports, status.updated_at) = (number, wall);
            let report = apply_report(status, report);
            keep(self.task_id(), status, &report, live)?;
            if live.changes.len() >= limits::MAX_PENDING_PROGRESS {
                live.changes.remove(0);
            }
            live.changes.push(match report {
                Report::Progress { progress, message } => TaskChange::Progress { number, progress, message },
                Report::Line { level, text } => TaskChange::Line { number, level, text },
            });
            Ok(())
        })?;
        self.mark_dirty();
        Ok(())
    }
}

fn note(live: &Live, bytes: &[u8]) {
    if let Some(probe) = &live.probe {
        probe.note_log(bytes);
    }
}

/// Applies a report to the status, and gives what subscribers see of it.
fn apply_report(status: &mut Status, report: Report) -> Report {
    match report {
        Report::Progress { progress, message } => {
            let message = message.map(|text| truncate_text(text, limits::MAX_MESSAGE_BYTES));
            status.progress = progress.or(status.progress);
            if message.is_some() {
                status.message.clone_from(&message);
            }
            Report::Progress { progress: status.progress, message }
        }
        Report::Line { level, text } => {
            Report::Line { level, text: truncate_text(text, limits::MAX_MESSAGE_BYTES) }
        }
    }
}

/// Adds the report's row to the next commit, if it is to be kept. A guest that reports faster than the disk takes
/// it leaves gaps.
fn keep(id: TaskId, status: &mut Status, report: &Report, live: &mut Live) -> Result<(), RecorderError> {
    let has_room = |kept: &&mut u64| **kept < limits::MAX_KEPT_REPORT_BYTES;
    let Some(kept) = status.kept_reports.as_mut().filter(has_room) else { return Ok(()) };
    if live.report_bytes > limits::MAX_PENDING_JOURNAL_BYTES {
        return Ok(());
    }
    let row = rows::encode(report).map_err(|error| RecorderError::Fault(error.to_string()))?;
    live.report_bytes += row.len();
    *kept += row.len() as u64;
    live.writes.push((Space::Report, rows::report_key(id, status.retry, status.reports), row));
    Ok(())
}

/// At most `bytes` of it, cut between characters.
fn truncate_text(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let end = (0..=bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        // What is kept of a megabyte must not keep the megabyte.
        text.shrink_to_fit();
    }
    text
}
