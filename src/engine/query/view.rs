//! A task in types, as a program sees it: what is made of it for people and clients is made above the engine.

use std::time::Duration;

use serde_json::Value;

use crate::clock::UnixNanos;
use crate::engine::next::NextAction;
use crate::engine::questions::view::{AnsweredView, QuestionView};
use crate::task::{
    CancelRequest, ComponentId, OutputMeta, Progress, State, Status, Task, TaskError, TaskId, TraceContext,
    WakeOn,
};

/// A model reads it too: it names no command.
const STANDS_STILL: &str = "its component is blocked on this server: the task stands still, and goes on where it was once \
    its operator unblocks it";

/// A task as it is on disk. Its texts stand here as the tool gave them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskView {
    pub id: TaskId,
    /// Whose it is.
    pub principal: String,
    pub tool: String,
    pub component: ComponentId,
    /// With its reason. An open task that asks something waits for input, wherever its instance is.
    pub state: State,
    /// Whether its instance still does again what its journal holds. False where it has no instance.
    pub is_replaying: bool,
    /// The last message that it showed.
    pub message: Option<String>,
    pub progress: Option<Progress>,
    /// Counts interruptions and retries, from 1.
    pub attempt: u32,
    /// Records in its journal so far.
    pub steps: u64,
    pub created_at: UnixNanos,
    pub updated_at: UnixNanos,
    pub ended_at: Option<UnixNanos>,
    /// When it is due, where it is queued or waits.
    pub wake_at: Option<UnixNanos>,
    /// Where it waits for an instance and finds none: how many are given one before it at the latest, and 1.
    pub queue_place: Option<u64>,
    /// How long a client that asks for it again does well to wait; `None` where nothing more happens to it by itself.
    pub poll_after: Option<Duration>,
    /// The task that called it.
    pub parent: Option<TaskId>,
    /// The task at the top of the tree; itself, where no task called it.
    pub root: TaskId,
    /// The tasks that it called, oldest first; the first of them, where they are many. Left out in lists.
    pub children: Vec<TaskId>,
    pub idempotency_key: Option<String>,
    /// The request to end it, where there was one.
    pub cancel: Option<CancelRequest>,
    /// The operation of unknown outcome that waits for a person's word: what [`TaskEngine::resolve`] takes.
    ///
    /// [`TaskEngine::resolve`]: crate::engine::TaskEngine::resolve
    pub unknown_step: Option<u64>,
    /// The JSON object that it was called with. Left out in lists.
    pub arguments: Option<Value>,
    /// What it asks, and what the tasks below it ask.
    pub questions: Vec<QuestionView>,
    /// What it was answered, oldest first; the last of many. Left out in lists.
    pub answered: Vec<AnsweredView>,
    /// What models that have prices have cost it, billionths of their unit.
    pub model_cost: u64,
    pub outputs: Vec<OutputMeta>,
    /// Why it failed.
    pub error: Option<TaskError>,
    /// Where the call stood in its caller's trace. Left out in lists.
    pub trace: Option<TraceContext>,
}

impl TaskView {
    /// The task of these rows, without what it asks, its children, and what memory alone says of it.
    pub(in crate::engine) fn new(task: &Task, status: &Status, steps: u64) -> Self {
        let wake = status.wake.as_ref();
        Self {
            id: task.id,
            principal: task.principal.clone(),
            tool: task.tool.clone(),
            component: task.component.clone(),
            state: status.shown(),
            is_replaying: false,
            message: match status.state.blocked() {
                Some(_) => Some(STANDS_STILL.to_owned()),
                None => status.message.clone(),
            },
            progress: status.progress,
            attempt: status.attempt,
            steps,
            created_at: task.created_at,
            updated_at: status.updated_at,
            ended_at: status.ended_at,
            wake_at: wake.and_then(|wake| wake.due),
            queue_place: None,
            poll_after: None,
            parent: task.parent,
            root: task.root,
            children: Vec::new(),
            idempotency_key: task.idempotency_key.clone(),
            cancel: status.cancel.clone(),
            unknown_step: wake.and_then(|wake| {
                wake.on.iter().find_map(|on| match on {
                    WakeOn::Resolution(op) => Some(*op),
                    _ => None,
                })
            }),
            arguments: serde_json::from_str(&task.arguments).ok(),
            questions: Vec::new(),
            answered: Vec::new(),
            model_cost: status.questions.model_cost,
            outputs: status.outputs.clone(),
            error: status.error.clone(),
            trace: task.trace.clone(),
        }
    }

    /// What its owner can do about its end: `None` where it has not ended, or completed.
    pub fn next(&self) -> Option<NextAction> {
        match (self.state, self.error.as_ref().and_then(|error| error.op)) {
            (State::Failed(_) | State::Cancelled, Some(step)) => {
                Some(NextAction::ResolveStep { task: self.id, step })
            }
            (State::Failed(_) | State::Cancelled, None) => Some(NextAction::RetryTask(self.id)),
            _ => None,
        }
    }

    /// About what it takes in memory.
    pub(in crate::engine) fn bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let json = |json: &Option<Value>| json.as_ref().map_or(0, bytes_of);
        let asked = self.questions.iter().map(|asked| {
            let texts = asked.key.len() + asked.tool.len() + text(&asked.message) + text(&asked.url);
            size_of::<QuestionView>() + texts + json(&asked.schema) + json(&asked.request)
        });
        let answered = self
            .answered
            .iter()
            .map(|answered| size_of::<AnsweredView>() + answered.key.len() + text(&answered.model));
        let outputs = self
            .outputs
            .iter()
            .map(|output| size_of::<OutputMeta>() + output.name.len() + output.mime_type.len());
        let error = self.error.as_ref().map_or(0, |error| {
            let protocol = error.protocol.as_ref();
            let protocol = protocol.map_or(0, |error| error.message.len() + text(&error.data));
            error.message.len() + text(&error.detail) + protocol
        });
        let trace = self
            .trace
            .as_ref()
            .map_or(0, |trace| text(&trace.traceparent) + text(&trace.tracestate) + text(&trace.baggage));
        let texts =
            self.principal.len() + self.tool.len() + text(&self.message) + text(&self.idempotency_key);
        let reason = self.cancel.as_ref().map_or(0, |cancel| text(&cancel.reason));
        let children = self.children.len() * size_of::<TaskId>();
        let lists = asked.sum::<usize>() + answered.sum::<usize>() + outputs.sum::<usize>() + children;
        size_of::<Self>() + texts + reason + lists + error + trace + json(&self.arguments)
    }

    /// As lists have it: without what can be large.
    pub(in crate::engine) fn shortened(mut self) -> Self {
        (self.arguments, self.trace) = (None, None);
        self.answered.clear();
        for question in &mut self.questions {
            (question.schema, question.request) = (None, None);
        }
        self
    }
}

/// About what it takes in memory: the members of an object stand in nodes of a tree, which are half empty at worst.
fn bytes_of(json: &Value) -> usize {
    size_of::<Value>()
        + match json {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(bytes_of).sum(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| 2 * size_of::<String>() + name.len() + 2 * bytes_of(value))
                .sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}
