//! Why a task has no result, and the command that goes on from there.

use serde::{Deserialize, Serialize};

use super::text::shown;
use crate::api::advice::command;
use crate::engine::{TaskView, quoted, with_quote};
use crate::task::{FailedReason, State};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorDocument {
    pub reason: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The operation whose outcome is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// The command that goes on from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl ErrorDocument {
    /// The last lines of the log of a task that trapped.
    pub fn log_lines(&self) -> impl Iterator<Item = &str> {
        quoted(self.detail.as_deref().unwrap_or_default())
    }

    /// Its message, and behind it the lines of the log where it trapped.
    pub fn with_log_lines(&self) -> String {
        with_quote(&self.message, self.detail.as_deref())
    }

    /// The guest trapped: if anything says why, its log does.
    pub fn is_trap(&self) -> bool {
        self.reason == FailedReason::Trap.as_str()
    }

    pub(super) fn of(task: &TaskView) -> Option<Self> {
        let next = task.next().as_ref().and_then(command);
        match (&task.error, task.state) {
            (Some(error), _) => Some(Self {
                reason: error.reason.as_str().to_owned(),
                message: shown(&error.message),
                detail: error.detail.as_deref().map(shown),
                step: error.op,
                next,
            }),
            (None, State::Cancelled) => {
                let reason = task.cancel.as_ref().and_then(|cancel| cancel.reason.as_ref());
                Some(Self {
                    reason: "cancelled".to_owned(),
                    message: reason.map_or_else(
                        || "cancelled".to_owned(),
                        |reason| format!("cancelled: {}", shown(reason)),
                    ),
                    detail: None,
                    step: None,
                    next,
                })
            }
            _ => None,
        }
    }
}
