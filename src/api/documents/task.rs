//! A task's document, as `task://{id}` has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ErrorDocument;
use super::question::{AnsweredDocument, InputRequest};
use super::text::{output_uri, shown};
use crate::clock::rfc3339;
use crate::engine::TaskView;
use crate::task::{OutputMeta, Progress, State, TaskId, TraceContext, units};

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
    /// Where it waits for an instance and finds none: how many are given one before it at the latest, and 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_place: Option<u64>,
    /// How long a client that asks for it again does well to wait; left out where it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_interval_ms: Option<u64>,
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
    /// What models that have prices have cost it so far, in their unit: a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_cost: Option<String>,
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

impl TaskDocument {
    /// Whether nothing more happens to it by itself.
    pub fn is_terminal(&self) -> bool {
        matches!(self.state.as_str(), "completed" | "failed" | "cancelled")
    }

    /// Its state, with the reason where it has one.
    pub fn stands(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{} ({reason})", self.state),
            None => self.state.clone(),
        }
    }
}

impl From<TaskView> for TaskDocument {
    fn from(task: TaskView) -> Self {
        let id = task.id;
        let error = ErrorDocument::of(&task);
        let questions = task.questions.into_iter();
        Self {
            id: id.to_string(),
            uri: id.uri(),
            tool: task.tool,
            component: task.component.to_string(),
            state: task.state.name().to_owned(),
            reason: reason(task.state, task.is_replaying).map(str::to_owned),
            message: task.message.map(shown),
            progress: task.progress.map(ProgressDocument::from),
            attempt: task.attempt,
            steps: task.steps,
            created_at: rfc3339(task.created_at),
            updated_at: rfc3339(task.updated_at),
            ended_at: task.ended_at.map(rfc3339),
            wake_at: task.wake_at.map(rfc3339),
            queue_place: task.queue_place,
            poll_interval_ms: task
                .poll_after
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            parent: task.parent.map(|parent| parent.to_string()),
            root: (task.root != id).then(|| task.root.to_string()),
            children: task.children.iter().map(ToString::to_string).collect(),
            idempotency_key: task.idempotency_key,
            cancel_requested: task.cancel.is_some().then_some(true),
            unknown_step: task.unknown_step,
            arguments: task.arguments,
            input_requests: questions.map(|question| InputRequest::entry(question, id)).collect(),
            questions_answered: task.answered.into_iter().map(AnsweredDocument::from).collect(),
            model_cost: (task.model_cost > 0).then(|| units(task.model_cost)),
            outputs: task.outputs.into_iter().map(|output| OutputDocument::of(id, output)).collect(),
            result_uri: (task.state == State::Completed).then(|| format!("{}/result", id.uri())),
            log_uri: format!("{}/log", id.uri()),
            error,
            trace: task.trace.map(TraceDocument::from),
        }
    }
}

fn reason(state: State, is_replaying: bool) -> Option<&'static str> {
    match state {
        State::Running if is_replaying => Some("replaying"),
        State::Running => Some("live"),
        state => state.reason(),
    }
}

impl From<Progress> for ProgressDocument {
    fn from(Progress { done, total }: Progress) -> Self {
        Self { done, total }
    }
}

impl From<TraceContext> for TraceDocument {
    fn from(TraceContext { traceparent, tracestate, baggage }: TraceContext) -> Self {
        Self { traceparent, tracestate, baggage }
    }
}

impl OutputDocument {
    fn of(task: TaskId, output: OutputMeta) -> Self {
        let OutputMeta { name, mime_type, bytes, done } = output;
        Self { uri: output_uri(task, &name), name: shown(name), mime_type, bytes, done }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::task::{CancelRequest, ComponentId, FailedReason, TaskError};

    const NOON: u64 = 1_700_000_000_120_000_000;

    fn task(state: State) -> TaskView {
        let id = TaskId::from_bytes([1; 16]);
        TaskView {
            id,
            principal: "local".to_owned(),
            tool: "travel".to_owned(),
            component: ComponentId::of_closures("travel", "1"),
            state,
            is_replaying: false,
            message: None,
            progress: None,
            attempt: 1,
            steps: 2,
            created_at: NOON,
            updated_at: NOON,
            ended_at: None,
            wake_at: None,
            queue_place: None,
            poll_after: Some(Duration::from_secs(1)),
            parent: None,
            root: id,
            children: Vec::new(),
            idempotency_key: None,
            cancel: None,
            unknown_step: None,
            arguments: None,
            questions: Vec::new(),
            answered: Vec::new(),
            model_cost: 0,
            outputs: Vec::new(),
            error: None,
            trace: None,
        }
    }

    fn document(task: TaskView) -> Value {
        serde_json::to_value(TaskDocument::from(task)).expect("JSON")
    }

    #[test]
    fn what_does_not_apply_is_left_out() {
        let (id, noon) = (TaskId::from_bytes([1; 16]), "2023-11-14T22:13:20.120000Z");
        let uri = format!("task://{id}");
        let running = json!({
            "id": id.to_string(), "uri": uri, "tool": "travel", "component": "travel@1", "state": "running",
            "reason": "live", "attempt": 1, "steps": 2, "created_at": noon, "updated_at": noon,
            "log_uri": format!("{uri}/log"), "poll_interval_ms": 1_000,
        });
        assert_eq!(document(task(State::Running)), running);
        let replaying = document(TaskView { is_replaying: true, ..task(State::Running) });
        assert_eq!(replaying["reason"], "replaying");
        let completed = document(task(State::Completed));
        assert_eq!(
            (&completed["result_uri"], &completed["reason"]),
            (&json!(format!("{uri}/result")), &Value::Null)
        );
    }

    #[test]
    fn texts_of_a_tool_hide_nothing_and_an_output_is_read_by_its_own_name() {
        let name = "a\u{202e}b".to_owned();
        let output =
            OutputMeta { name: name.clone(), mime_type: "text/plain".to_owned(), bytes: 1, done: true };
        let shown =
            document(TaskView { message: Some(name.clone()), outputs: vec![output], ..task(State::Running) });
        assert_eq!(shown["message"], shown["outputs"][0]["name"]);
        assert!(!shown["message"].as_str().expect("text").contains('\u{202e}'), "{shown}");
        let uri = output_uri(TaskId::from_bytes([1; 16]), &name);
        assert_eq!(shown["outputs"][0]["uri"], uri);
    }

    #[test]
    fn an_error_of_what_has_ended_says_how_to_go_on() {
        let id = TaskId::from_bytes([1; 16]);
        let failed = State::Failed(FailedReason::UnknownOutcome);
        let error = |op| {
            let reason = FailedReason::UnknownOutcome;
            Some(TaskError { reason, message: "m".to_owned(), detail: None, op, protocol: None })
        };
        let next =
            |state, op| document(TaskView { error: error(op), ..task(state) })["error"]["next"].clone();
        assert_eq!(next(failed, None), format!("longhaul task retry {id}"));
        assert!(
            next(failed, Some(3))
                .as_str()
                .expect("text")
                .starts_with(&format!("longhaul task resolve {id} --step 3 "))
        );
        let cancelled = |reason: Option<&str>| {
            let cancel = CancelRequest { at: NOON, reason: reason.map(str::to_owned) };
            let error =
                document(TaskView { cancel: Some(cancel), ..task(State::Cancelled) })["error"].clone();
            (error["message"].clone(), error["next"].clone())
        };
        let retry = json!(format!("longhaul task retry {id}"));
        assert_eq!(cancelled(Some("enough")), (json!("cancelled: enough"), retry.clone()));
        assert_eq!(cancelled(None), (json!("cancelled"), retry));
    }
}
