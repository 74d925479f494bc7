//! What it reports.

use std::time::Duration;

use super::port::{Recorded, TaskHost};
use crate::engine::{OutputError, OutputOp};
use crate::sandbox::wire::Request;
use crate::task::LogLevel;

impl TaskHost {
    pub fn log(&self, bytes: &[u8]) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.log(bytes),
            Self::There(remote) => remote.ask(Request::Log { bytes }),
        }
    }

    pub fn line(&self, level: LogLevel, text: &str) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.line(level, text),
            Self::There(remote) => remote.ask(Request::Line { level, text }),
        }
    }

    pub fn progress(&self, done: u64, total: Option<u64>, message: Option<String>) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.progress(done, total, message),
            Self::There(remote) => remote.ask(Request::Progress { done, total, message }),
        }
    }

    pub fn status(&self, message: String) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.status(message),
            Self::There(remote) => remote.ask(Request::Status { message }),
        }
    }

    pub async fn output(&self, op: OutputOp<'_>) -> Recorded<Result<(), OutputError>> {
        match self {
            Self::Here(recorder) => recorder.output(op).await,
            Self::There(remote) => remote.call(Request::Output { op: (&op).into() }).await,
        }
    }

    pub fn spent(&self, awake: Duration) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.spent(awake),
            Self::There(remote) => remote.ask(Request::Spent { awake }),
        }
    }

    pub fn was_refused(&self, line: &str) {
        match self {
            Self::Here(recorder) => recorder.was_refused(line),
            Self::There(remote) => remote.look(Request::WasRefused { line }),
        }
    }

    pub fn looks_for_folders(&self) {
        match self {
            Self::Here(recorder) => recorder.looks_for_folders(),
            Self::There(remote) => remote.look(Request::LooksForFolders),
        }
    }

    pub fn took_memory(&self, bytes: u64) {
        match self {
            Self::Here(recorder) => recorder.took_memory(bytes),
            Self::There(remote) => remote.look(Request::TookMemory { bytes }),
        }
    }
}
