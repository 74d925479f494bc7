use serde::{Deserialize, Serialize};

use super::effects::Effects;
use super::error::TaskError;
use super::id::{ComponentId, TaskId};
use super::log::LogLevel;
use super::question::Questions;
use super::retry::RetryPolicy;
use super::state::{QueuedReason, State, WaitingReason};
use super::trace::TraceContext;
use crate::authority::{Grant, StatePattern};
use crate::clock::UnixNanos;
use crate::limits;

/// What was submitted: written once, never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub id: TaskId,
    pub tool: String,
    pub component: ComponentId,
    /// How the runner finds the tool in the component; opaque to everybody else.
    pub binding: String,
    /// Who owns it.
    pub principal: String,
    /// Shared state that its owner may touch: what its component is granted counts within this alone.
    pub owner_state: Vec<StatePattern>,
    /// A JSON object as text.
    pub arguments: String,
    pub idempotency_key: Option<String>,
    pub created_at: UnixNanos,
    pub limits: TaskLimits,
    pub grant: Grant,
    pub retry: RetryPolicy,
    pub effects: Effects,
    pub parent: Option<TaskId>,
    /// The task at the top of the tree; itself, where it has no parent.
    pub root: TaskId,
    /// Where the call stood in its caller's trace.
    pub trace: Option<TraceContext>,
    /// Tools that its owner may call, as it was when the root was submitted; globs.
    pub scope: Vec<String>,
    /// Which of its parent's calls it came from, as long as that is anybody's concern.
    pub called: Option<Called>,
    /// The variables that it sees, as they were when it was made. They stand in a part of its row of their own, which tasks
    /// without any do not have.
    #[serde(skip)]
    pub environment: Vec<Variable>,
}

/// A variable of the environment: its name and its value.
pub type Variable = (String, String);

/// How a task came to be a child, and what is tried where it fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// Of the parent's journal.
    pub epoch: u32,
    /// The parent's operation.
    pub op: u64,
    /// Generations under the root; its children have 1.
    pub depth: u32,
    /// It lives on when its parent ends.
    pub detached: bool,
    pub timeout_seconds: Option<u64>,
    /// How often each tool is tried again.
    pub retries: u32,
    /// How often this tool has failed before.
    pub failures: u32,
    /// Tools that are tried after this one, in turn.
    pub alternatives: Vec<String>,
}

impl Task {
    /// Whether its owner may do this.
    pub fn may_state(&self, namespace: &str, key: &str, write: bool) -> bool {
        self.owner_state.iter().any(|pattern| pattern.matches(namespace, key, write))
    }
}

/// The bounds of one task, fixed when it is submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLimits {
    pub memory_mib: u64,
    pub run_seconds: u64,
    pub total_seconds: u64,
    pub journal_mib: u64,
    pub result_kib: u64,
    pub questions: u32,
    pub samples: u32,
    pub sample_tokens: u64,
    /// Hundredths of the unit that prices are in. It stands in a part of the task's row of its own.
    #[serde(skip, default = "default_cost")]
    pub model_cost_cents: u64,
}

fn default_cost() -> u64 {
    limits::DEFAULT_MODEL_COST_CENTS
}

impl Default for TaskLimits {
    fn default() -> Self {
        Self {
            memory_mib: limits::DEFAULT_MEMORY_MIB,
            run_seconds: limits::DEFAULT_RUN_SECONDS,
            total_seconds: limits::DEFAULT_TOTAL_SECONDS,
            journal_mib: limits::DEFAULT_JOURNAL_MIB,
            result_kib: limits::DEFAULT_RESULT_KIB,
            questions: limits::DEFAULT_QUESTIONS,
            samples: limits::DEFAULT_SAMPLES,
            sample_tokens: limits::DEFAULT_SAMPLE_TOKENS,
            model_cost_cents: limits::DEFAULT_MODEL_COST_CENTS,
        }
    }
}

impl TaskLimits {
    /// Each under its name in a manifest.
    pub fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("memory_mib", self.memory_mib),
            ("run_seconds", self.run_seconds),
            ("total_seconds", self.total_seconds),
            ("journal_mib", self.journal_mib),
            ("result_kib", self.result_kib),
            ("questions", self.questions.into()),
            ("samples", self.samples.into()),
            ("sample_tokens", self.sample_tokens),
            ("model_cost_cents", self.model_cost_cents),
        ]
    }
}

/// Where a task stands and what it has shown so far: rewritten whenever one of these changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub state: State,
    pub updated_at: UnixNanos,
    /// The total time counts from here: creation, or the last retry by the owner.
    pub since: UnixNanos,
    /// Counts interruptions and retries, from 1.
    pub attempt: u32,
    /// Failures since the task was submitted or retried by its owner: what the retry policy counts.
    pub failures: u32,
    /// Numbers the journal: a retry or a checkpoint begins a fresh one.
    pub epoch: u32,
    /// The seed of the guest's randomness, new with each retry.
    pub seed: [u8; 32],
    /// The retry of which this is the journal; part of every idempotency key.
    pub retry: u32,
    pub message: Option<String>,
    pub progress: Option<Progress>,
    /// Progress reports, status messages and log lines so far: on replay, as many are not reported again.
    pub reports: u64,
    /// Messages that were sent to it so far.
    pub messages: u64,
    pub questions: Questions,
    /// A client's stream gets every report, also after a restart, so that each is a row of its own: bytes
    /// of these so far. `None` keeps none.
    pub kept_reports: Option<u64>,
    pub outputs: Vec<OutputMeta>,
    /// While queued for a retry or waiting: when it is due.
    pub wake: Option<Wake>,
    pub cancel: Option<CancelRequest>,
    pub error: Option<TaskError>,
    /// Set with the last transition: steps, awake time and log of the whole task, once no journal tells them.
    pub steps: u64,
    pub awake_nanos: u64,
    pub log_bytes: u64,
    pub ended_at: Option<UnixNanos>,
}

impl Status {
    /// How every task begins; `seed` is that of its guest's randomness.
    pub fn new(created_at: UnixNanos, seed: [u8; 32]) -> Self {
        Self {
            state: State::Queued(QueuedReason::New),
            updated_at: created_at,
            since: created_at,
            attempt: 1,
            failures: 0,
            epoch: 0,
            seed,
            retry: 0,
            message: None,
            progress: None,
            reports: 0,
            messages: 0,
            questions: Questions::default(),
            kept_reports: None,
            outputs: Vec::new(),
            wake: None,
            cancel: None,
            error: None,
            steps: 0,
            awake_nanos: 0,
            log_bytes: 0,
            ended_at: None,
        }
    }

    /// The state as the world sees it: an open task whose own question is open waits for input from the question's
    /// commit on, whether its instance is in memory, replays, waits for something else or is about to begin, unless its component is blocked. The row
    /// keeps where the task itself stands, which is what it goes on from.
    pub fn shown(&self) -> State {
        let asks = self.questions.answerable().next().is_some();
        if !asks || self.state.is_terminal() || self.state.blocked().is_some() {
            return self.state;
        }
        State::Waiting(WaitingReason::Input)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub done: u64,
    pub total: Option<u64>,
}

/// One report of a guest to the task's followers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// Progress, a status message, or both.
    Progress { progress: Option<Progress>, message: Option<String> },
    /// A line of its log that it meant to be read.
    Line { level: LogLevel, text: String },
}

/// A named partial result; its bytes are rows of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputMeta {
    pub name: String,
    pub mime_type: String,
    pub bytes: u64,
    /// Closed: it will not grow any more.
    pub done: bool,
}

/// When, or by what, a sleeping task is woken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wake {
    pub due: Option<UnixNanos>,
    /// What was left of the wait when this was written. A wall clock that was set back meanwhile
    /// cannot make the wait longer than this.
    pub remaining_nanos: u64,
    /// Other things that end the wait.
    pub on: Vec<WakeOn>,
}

/// What ends a wait besides a timer. Whether it is there already is asked of the store, so that none is missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WakeOn {
    Cancellation,
    /// A person says what became of this operation.
    Resolution(u64),
    /// A message with one of these names; with any, if there are none.
    Message(Vec<String>),
    /// The answer to the question of this number.
    Answer(u64),
    /// The child that this operation of the task began, in this epoch of its journal, has ended.
    Child {
        epoch: u32,
        op: u64,
    },
    /// The entry of shared state has another version than this one; 0 is an entry that does not exist.
    State {
        namespace: String,
        key: String,
        version: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequest {
    pub at: UnixNanos,
    pub reason: Option<String>,
}

/// Whose hand answered a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredBy {
    pub principal: String,
    pub channel: String,
}
