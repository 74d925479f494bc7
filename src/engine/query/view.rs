//! What is shown of a task: its document, as `task://{id}` has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::show_hidden;
use crate::engine::journal::last_lines::{quoted, with_quote};
use crate::engine::questions::view::{AnsweredDocument, InputRequest};
use crate::engine::text::{output_uri, rfc3339};
use crate::task::{FailedReason, OutputMeta, State, Status, Task, TaskId, TraceContext, WakeOn};

/// The JSON document of a task. Fields that do not apply are left out; times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskDocument {
    pub id: String,
    pub uri: String,
    pub tool: String,
    pub component: String,
    /// `queued`, `running`, `waiting`, `completed`, `failed` or `cancelled`.
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressDocument>,
    pub attempt: u32,
    /// Records in the task's journal so far.
    pub steps: u64,
    pub created_at: String,
    pub updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// When a waiting or queued task is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wake_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Ids of the tasks that it called, oldest first; the first of them, where they are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_requested: Option<bool>,
    /// The operation of unknown outcome that waits for a person's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_step: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Value>,
    /// What it asks, by the key that an answer names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input_requests: BTreeMap<String, InputRequest>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions_answered: Vec<AnsweredDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_uri: Option<String>,
    pub log_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorDocument>,
    /// Where the call stood in its caller's trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceDocument>,
}

/// As the call's `_meta` had it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baggage: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgressDocument {
    pub done: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputDocument {
    pub name: String,
    pub uri: String,
    pub mime_type: String,
    pub bytes: u64,
    /// It will not grow any more.
    pub done: bool,
}

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
}

impl TaskDocument {
    /// Whether nothing more happens to it by itself.
    pub fn is_terminal(&self) -> bool {
        matches!(self.state.as_str(), "completed" | "failed" | "cancelled")
    }

    pub(in crate::engine) fn new(task: &Task, status: &Status, steps: u64, replaying: Option<bool>) -> Self {
        let shown_state = status.shown();
        let reason = match (shown_state, replaying) {
            (State::Running, Some(true)) => Some("replaying".to_owned()),
            (State::Running, _) => Some("live".to_owned()),
            (state, _) => state.reason().map(str::to_owned),
        };
        let ended_with_result = status.state == State::Completed;
        Self {
            id: task.id.to_string(),
            uri: task.id.uri(),
            tool: task.tool.clone(),
            component: task.component.to_string(),
            state: shown_state.name().to_owned(),
            reason,
            message: status.message.as_deref().map(shown),
            progress: status.progress.map(|p| ProgressDocument { done: p.done, total: p.total }),
            attempt: status.attempt,
            steps,
            created_at: rfc3339(task.created_at),
            updated_at: rfc3339(status.updated_at),
            ended_at: status.ended_at.map(rfc3339),
            wake_at: status.wake.as_ref().and_then(|wake| wake.due).map(rfc3339),
            parent: task.parent.map(|id| id.to_string()),
            children: Vec::new(),
            root: (task.root != task.id).then(|| task.root.to_string()),
            idempotency_key: task.idempotency_key.clone(),
            cancel_requested: status.cancel.is_some().then_some(true),
            unknown_step: status.wake.as_ref().and_then(|wake| {
                wake.on.iter().find_map(|on| match on {
                    WakeOn::Resolution(op) => Some(*op),
                    _ => None,
                })
            }),
            arguments: serde_json::from_str(&task.arguments).ok(),
            input_requests: BTreeMap::new(),
            questions_answered: Vec::new(),
            outputs: status.outputs.iter().map(|output| OutputDocument::new(task.id, output)).collect(),
            result_uri: ended_with_result.then(|| format!("{}/result", task.id.uri())),
            log_uri: format!("{}/log", task.id.uri()),
            error: error_document(task, status),
            trace: task.trace.as_ref().map(TraceDocument::new),
        }
    }

    /// As lists show it: without arguments and trace.
    pub fn shortened(mut self) -> Self {
        self.arguments = None;
        self.trace = None;
        self.questions_answered.clear();
        let requests = std::mem::take(&mut self.input_requests).into_iter();
        self.input_requests = requests.map(|(key, request)| (key, request.shortened())).collect();
        self
    }
}

impl TraceDocument {
    fn new(trace: &TraceContext) -> Self {
        let TraceContext { traceparent, tracestate, baggage } = trace.clone();
        Self { traceparent, tracestate, baggage }
    }
}

impl OutputDocument {
    fn new(task: TaskId, output: &OutputMeta) -> Self {
        Self {
            name: shown(&output.name),
            uri: output_uri(task, &output.name),
            mime_type: output.mime_type.clone(),
            bytes: output.bytes,
            done: output.done,
        }
    }
}

/// What a document says in words is for eyes; what is in the store stays as it was said.
fn shown(text: impl AsRef<str>) -> String {
    show_hidden(text.as_ref()).into_owned()
}

/// The command that settles an operation of unknown outcome; it takes a person.
pub fn resolve_command(id: impl std::fmt::Display, op: u64) -> String {
    format!("longhaul task resolve {id} --step {op} --done JSON | --failed | --resend")
}

fn error_document(task: &Task, status: &Status) -> Option<ErrorDocument> {
    let id = task.id;
    match (&status.error, status.state) {
        (Some(error), _) => Some(ErrorDocument {
            reason: error.reason.as_str().to_owned(),
            message: shown(&error.message),
            detail: error.detail.as_deref().map(shown),
            step: error.op,
            next: status.state.is_terminal().then(|| match error.op {
                Some(op) => resolve_command(id, op),
                None => format!("longhaul task retry {id}"),
            }),
        }),
        (None, State::Cancelled) => Some(ErrorDocument {
            reason: "cancelled".to_owned(),
            message: match status.cancel.as_ref().and_then(|cancel| cancel.reason.as_ref()) {
                Some(reason) => format!("cancelled: {}", show_hidden(reason)),
                None => "cancelled".to_owned(),
            },
            detail: None,
            step: None,
            next: Some(format!("longhaul task retry {id}")),
        }),
        _ => None,
    }
}
