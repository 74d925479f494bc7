use std::fmt;

use serde::{Deserialize, Serialize};

use crate::authority::{NameError, PatternError};
use crate::catalog::{ArgumentError, BindingError, CatalogError, SelectionError, Unapproved, show_hidden};
use crate::clock::{UnixNanos, rfc3339};
use crate::engine::next::NextAction;
use crate::limits;
use crate::shares;
use crate::store::StoreError;
use crate::task::{AnsweredBy, ComponentId, IllegalTransition, State, TaskId};

/// Whose turn it is after an error, for programs that decide by it; the error's words are for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was named is not there, or is another principal's.
    NotFound,
    /// The request itself is wrong: it is refused again, however often it is sent.
    Invalid,
    /// It is not allowed.
    Denied,
    /// The task, the key or the entry stands otherwise than the request supposes: read it again.
    Conflict,
    /// A bound is reached: less, or later.
    Limit,
    /// Nothing is wrong with the request: the same may be sent again after a moment, or after a restart.
    Unavailable,
    /// Another server, or what a task left behind, is at fault.
    Outside,
    /// A fault of the disk, of the machine or of Longhaul.
    Internal,
}

/// What can go wrong with a request to the engine; a task that fails says it in its own record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Also another principal's task: the two must look alike.
    #[error("there is no task {0}")]
    NoSuchTask(TaskId),
    #[error("the task {task} has no output named '{name}'{}", listed(.have))]
    NoSuchOutput { task: TaskId, name: String, have: Vec<String> },
    #[error("there is no tool '{name}'{}", nearest(.near))]
    NoSuchTool { name: String, near: Option<String> },
    #[error(transparent)]
    Arguments(#[from] ArgumentError),
    #[error("the arguments are {bytes} bytes of JSON; at most {limit} are taken: pass a reference instead")]
    ArgumentsTooLarge { bytes: usize, limit: usize },
    #[error(
        "the idempotency key '{key}' already stands for task {task}, which has other arguments: use a new key"
    )]
    IdempotencyConflict { key: String, task: TaskId },
    #[error("an idempotency key is 1 to {limit} bytes of text, this one is {bytes}")]
    BadIdempotencyKey { bytes: usize, limit: usize },
    #[error("the task {task} is {state}: {hint}")]
    WrongState { task: TaskId, state: String, hint: &'static str },
    #[error("step {step} is not in the journal of task {task}, which has steps 0 to {last}")]
    NoSuchStep { task: TaskId, step: u64, last: u64 },
    #[error("step {step} of task {task} is not in question: settle step {asked}")]
    NotInQuestion { task: TaskId, step: u64, asked: u64 },
    #[error("the task {task} asks nothing by the key '{key}'{}", asked(.open))]
    NoSuchQuestion { task: TaskId, key: String, open: Vec<String> },
    #[error("name the question of task {task} by its key{}", asked(.open))]
    WhichQuestion { task: TaskId, open: Vec<String> },
    #[error("the question '{key}' of task {task} was {how}")]
    QuestionOver { task: TaskId, key: String, how: QuestionEnd },
    #[error("the answer to '{key}' of task {task} does not fit: {why}")]
    BadAnswer { task: TaskId, key: String, why: String },
    // It names no command: a model reads this, and agents have shells.
    #[error(
        "'{key}' of task {task} is asked of a person, who answers it in a client of their own that is connected to this \
         server, such as Longhaul's command line with --url and a token; wait for that"
    )]
    PersonAsked { task: TaskId, key: String },
    #[error("the message is refused: {0}")]
    BadMessage(String),
    #[error(
        "no page of this list gave this cursor: leave it out for the first page, or give next_cursor of the page before, \
         with the same filters"
    )]
    BadCursor,
    /// A bound of the process, or the principal's share of it, is reached.
    #[error(transparent)]
    Share(#[from] shares::Refusal),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("that is no outcome: {0}")]
    BadOutcome(String),
    #[error("{0}")]
    Remote(String),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(
        "the component of '{tool}' is blocked on this server: its tasks stand still, and it takes no calls until its \
         operator unblocks it"
    )]
    Blocked { tool: String },
    #[error(
        "there is no tool '{tool}' yet: this server still compiles components, and it may be one of theirs; the same call \
         may be made again after a moment"
    )]
    NotLoaded { tool: String },
    #[error(
        "the tool '{tool}' is not served: its component '{component}' waits for a person's approval, since {why}. On the \
         server's machine: longhaul tool approve {component}"
    )]
    Unapproved { tool: String, component: String, why: &'static str },
    #[error("no component '{}' is served by an approval", .0.escape_debug())]
    NotApproved(String),
    #[error(
        "there is a component '{}' already: update it, or give the file another name", .0.escape_debug()
    )]
    ComponentThere(String),
    #[error(
        "no component '{}' was added; one that the server was started with is changed where its start names it",
        .0.escape_debug()
    )]
    NotAdded(String),
    #[error("the component cannot be added: {0}")]
    Unusable(String),
    #[error("no component '{}' waits for approval, or is served by one", .0.escape_debug())]
    NotWaiting(String),
    #[error(transparent)]
    Selection(#[from] SelectionError),
    #[error(transparent)]
    Binding(#[from] BindingError),
    #[error(
        "'{name}' is not what was shown: it is {digest} now. Look at it again, and approve what is shown then"
    )]
    AnotherStatement { name: String, digest: String },
    /// What is to be tried, or moved to, and why that cannot be.
    #[error("open tasks of '{}' are not tried with another version of it: {why}", .name.escape_debug())]
    NotTriable { name: String, why: String },
    #[error("open tasks of '{}' are not moved: {why}", .name.escape_debug())]
    NotMovable { name: String, why: String },
    #[error("there is no component '{}', and none has a tool of that name", .0.escape_debug())]
    NoComponentNamed(String),
    #[error("'{}' is not blocked", .0.escape_debug())]
    NotBlocked(String),
    #[error("the component {0} is not in the store")]
    NoSuchComponent(ComponentId),
    #[error("the engine is shutting down")]
    ShuttingDown,
    #[error("the machine gives no random numbers: {0}")]
    Random(String),
    #[error("the tools cannot be offered: {0}")]
    Catalog(#[from] CatalogError),
    #[error("the arguments cannot be written as JSON: {0}")]
    Unencodable(#[source] serde_json::Error),
    /// `why` is what it failed with, or the reason that was given for cancelling it.
    #[error("the task {task} {}", how_it_ended(*state, why.as_deref()))]
    NotCompleted { task: TaskId, state: State, why: Option<String> },
    #[error("the result of task {task} is not of the type that is asked for: {why}")]
    NoValue { task: TaskId, why: String },
    /// What is exported, or was, and why not.
    #[error("{0}")]
    Packed(String),
    #[error(transparent)]
    Transition(#[from] IllegalTransition),
    #[error("an error inside longhaul, please report it: {0}")]
    Internal(String),
}

impl EngineError {
    /// The refusal of a call whose tool a person is to approve first.
    pub(in crate::engine) fn unapproved(tool: &str, waiting: &Unapproved) -> Self {
        Self::Unapproved {
            tool: tool.to_owned(),
            component: waiting.component.name.clone(),
            why: waiting.reasons.summary(),
        }
    }

    /// What a program can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchTask(_)
            | Self::NoSuchOutput { .. }
            | Self::NoSuchTool { .. }
            | Self::NoSuchStep { .. }
            | Self::NoSuchQuestion { .. }
            | Self::NoSuchComponent(_)
            | Self::NoComponentNamed(_)
            | Self::NotBlocked(_)
            | Self::NotWaiting(_)
            | Self::NotApproved(_)
            | Self::NotAdded(_)
            | Self::Token(TokenError::Missing(_)) => ErrorKind::NotFound,
            Self::Arguments(_)
            | Self::Unencodable(_)
            | Self::Catalog(_)
            | Self::Unusable(_)
            | Self::NotTriable { .. }
            | Self::BadIdempotencyKey { .. }
            | Self::BadAnswer { .. }
            | Self::BadMessage(_)
            | Self::BadCursor
            | Self::BadOutcome(_)
            | Self::Packed(_)
            | Self::Selection(_)
            | Self::Binding(_)
            | Self::WhichQuestion { .. }
            | Self::State(StateError::Invalid(_))
            | Self::Token(TokenError::BadName(_) | TokenError::BadTools(_) | TokenError::BadState(_)) => {
                ErrorKind::Invalid
            }
            Self::Blocked { .. } | Self::Unapproved { .. } => ErrorKind::Denied,
            Self::PersonAsked { .. } | Self::State(StateError::NotGranted { .. } | StateError::Lost(_)) => {
                ErrorKind::Denied
            }
            Self::IdempotencyConflict { .. }
            | Self::AnotherStatement { .. }
            | Self::ComponentThere(_)
            | Self::NotMovable { .. }
            | Self::WrongState { .. }
            | Self::NotInQuestion { .. }
            | Self::QuestionOver { .. }
            | Self::State(StateError::Conflict { .. })
            | Self::Token(TokenError::Exists(_))
            | Self::Transition(_) => ErrorKind::Conflict,
            Self::ArgumentsTooLarge { .. }
            | Self::Share(_)
            | Self::State(StateError::Limit(_))
            | Self::Token(TokenError::TooMany(_)) => ErrorKind::Limit,
            Self::ShuttingDown | Self::NotLoaded { .. } => ErrorKind::Unavailable,
            Self::Store(error) => of_store(error),
            Self::Remote(_) | Self::NotCompleted { .. } | Self::NoValue { .. } => ErrorKind::Outside,
            Self::Random(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// What can be done about it, where that is something else than to send another request.
    pub fn next(&self) -> Option<NextAction> {
        Some(match self {
            Self::NoSuchTask(_) => NextAction::ListTasks,
            Self::NoSuchTool { near: None, .. } => NextAction::ListTools,
            Self::Token(TokenError::Exists(name)) => NextAction::RevokeToken(name.clone()),
            Self::Token(TokenError::Missing(_)) => NextAction::ListTokens,
            Self::State(StateError::NotGranted { namespace, write }) => {
                NextAction::GrantState { namespace: namespace.clone(), write: *write }
            }
            Self::ShuttingDown => NextAction::StartAgain,
            Self::NotCompleted { task, .. } => NextAction::RetryTask(*task),
            _ => return None,
        })
    }

    /// Whether the store takes the same after a moment, or once its disk has room.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Store(error) if error.passes())
    }

    /// When the same request may be sent again, where that is known. Seconds.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::Share(refusal) => Some(refusal.retry_after_seconds()),
            Self::NotLoaded { .. } => Some(limits::NOT_LOADED_RETRY_SECONDS),
            Self::Store(StoreError::NoSpace { .. } | StoreError::NoShare(_)) => {
                Some(limits::NO_SPACE_RETRY_SECONDS)
            }
            _ => None,
        }
    }

    /// Who can do something about it, where the same request may be sent again later.
    #[doc(hidden)]
    pub fn refusal_kind(&self) -> Option<shares::RefusalKind> {
        match self {
            Self::Share(refusal) => Some(refusal.kind()),
            Self::Store(StoreError::NoSpace { .. }) => Some(shares::RefusalKind::Process),
            _ => None,
        }
    }

    /// In a word, for the audit: what a caller sent is not to stand there.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Store(StoreError::NoSpace { .. }) => "no_space",
            Self::Store(StoreError::NoShare(_)) => "share_used_up",
            Self::Store(_) => "store",
            Self::NoSuchTask(_) => "no_such_task",
            Self::NoSuchOutput { .. } => "no_such_output",
            Self::NoSuchTool { .. } => "no_such_tool",
            Self::Arguments(_) => "bad_arguments",
            Self::ArgumentsTooLarge { .. } => "arguments_too_large",
            Self::IdempotencyConflict { .. } => "idempotency_conflict",
            Self::BadIdempotencyKey { .. } => "bad_idempotency_key",
            Self::Share(refusal) => refusal.word(),
            Self::WrongState { .. } => "wrong_state",
            Self::NoSuchStep { .. } => "no_such_step",
            Self::NotInQuestion { .. } => "not_in_question",
            Self::BadOutcome(_) => "bad_outcome",
            Self::Packed(_) => "bad_export",
            Self::BadMessage(_) => "bad_message",
            Self::BadCursor => "bad_cursor",
            Self::State(StateError::Invalid(_)) => "bad_state",
            Self::State(StateError::Limit(_)) => "state_limit",
            Self::State(StateError::NotGranted { .. } | StateError::Lost(_)) => "not_granted",
            Self::State(StateError::Conflict { .. }) => "conflict",
            Self::NoSuchQuestion { .. } => "no_such_question",
            Self::WhichQuestion { .. } => "which_question",
            Self::QuestionOver { .. } => "question_over",
            Self::BadAnswer { .. } => "bad_answer",
            Self::PersonAsked { .. } => "person_asked",
            Self::Token(TokenError::BadName(_)) => "bad_name",
            Self::Token(TokenError::BadTools(_) | TokenError::BadState(_)) => "bad_grant",
            Self::Token(TokenError::Exists(_)) => "token_exists",
            Self::Token(TokenError::Missing(_)) => "no_such_token",
            Self::Token(TokenError::TooMany(_)) => "too_many_tokens",
            Self::Remote(_) => "remote",
            Self::NoSuchComponent(_) | Self::NoComponentNamed(_) => "no_such_component",
            Self::Blocked { .. } => "blocked",
            Self::NotBlocked(_) => "no_such_block",
            Self::NotLoaded { .. } => "not_loaded",
            Self::Unapproved { .. } => "not_approved",
            Self::NotWaiting(_) => "not_waiting",
            Self::NotApproved(_) => "no_such_approval",
            Self::NotAdded(_) => "no_such_addition",
            Self::ComponentThere(_) => "component_exists",
            Self::Unusable(_) => "bad_component",
            Self::NotTriable { .. } => "not_triable",
            Self::NotMovable { .. } => "not_movable",
            Self::AnotherStatement { .. } => "another_statement",
            Self::Selection(_) => "bad_selection",
            Self::Binding(_) => "bad_binding",
            Self::ShuttingDown => "shutting_down",
            Self::Random(_) => "no_random_numbers",
            Self::Catalog(_) => "bad_catalog",
            Self::Unencodable(_) => "bad_arguments",
            Self::NotCompleted { .. } => "not_completed",
            Self::NoValue { .. } => "no_value",
            Self::Transition(_) => "illegal_transition",
            Self::Internal(_) => "internal",
        }
    }
}

fn of_store(error: &StoreError) -> ErrorKind {
    match error {
        StoreError::Busy { .. }
        | StoreError::NoSpace { .. }
        | StoreError::NoShare(_)
        | StoreError::Closed
        | StoreError::Locked { .. } => ErrorKind::Unavailable,
        StoreError::Refused(_) => ErrorKind::Conflict,
        StoreError::TooLarge { .. } => ErrorKind::Limit,
        StoreError::ReadOnly { .. } | StoreError::NotPrivate(_) => ErrorKind::Denied,
        StoreError::Latched(_)
        | StoreError::NewerFormat { .. }
        | StoreError::Damaged { .. }
        | StoreError::Io { .. }
        | StoreError::Encode(_) => ErrorKind::Internal,
    }
}

fn nearest(near: &Option<String>) -> String {
    match near {
        Some(near) => format!("; did you mean '{near}'?"),
        None => String::new(),
    }
}

fn asked(open: &[String]) -> String {
    if open.is_empty() {
        "; it asks nothing at present".to_owned()
    } else {
        format!("; it asks: {}", open.join(", "))
    }
}

fn listed(have: &[String]) -> String {
    if have.is_empty() { "; it has none yet".to_owned() } else { format!("; it has: {}", have.join(", ")) }
}

fn how_it_ended(state: State, why: Option<&str>) -> String {
    let why = why.map(show_hidden);
    match (state, why) {
        (State::Failed(_), Some(message)) => format!("has failed: {message}"),
        (State::Cancelled, Some(reason)) => format!("was cancelled: {reason}"),
        (State::Cancelled, None) => "was cancelled".to_owned(),
        (state, _) => format!("is {state}"),
    }
}

/// How a question came to take no answer any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuestionEnd {
    Answered {
        by: AnsweredBy,
        at: UnixNanos,
    },
    /// Withdrawn by the end of its task, or its time is over.
    Gone,
}

impl fmt::Display for QuestionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { by: AnsweredBy { principal, channel }, at } => {
                write!(f, "answered by {principal} ({channel}) at {}", rfc3339(*at))
            }
            Self::Gone => f.write_str("withdrawn, or its time is over"),
        }
    }
}

/// Why shared state was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Limit(String),
    #[error("this caller may not {} there", if *write { "write" } else { "read" })]
    NotGranted { namespace: String, write: bool },
    /// Another writer was faster; the present version, 0 where there is no entry.
    #[error("'{}' has version {version} by now: read it again, then decide anew", key.escape_debug())]
    Conflict { key: String, version: u64 },
    /// The task that asks was given the power for it, and has lost it since.
    #[error("{0}")]
    Lost(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    #[error(transparent)]
    BadName(#[from] NameError),
    #[error("these are no names of tools: {0}")]
    BadTools(String),
    #[error(transparent)]
    BadState(#[from] PatternError),
    #[error("'{0}' has a token already")]
    Exists(String),
    #[error("there is no token of '{}'", .0.escape_debug())]
    Missing(String),
    #[error("there are {0} tokens, which is the bound: revoke some first")]
    TooMany(usize),
}
