//! Calls to other tools, each a task of its own: durable, and begun once, whatever crashes.
//!
//! The component needs `tools = ["NAME", …]` in its grant.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::longhaul::tool::calls as host;
pub use crate::bindings::longhaul::tool::tools::Definition;
use crate::bindings::longhaul::tool::tools::{self, Failure};
use crate::bindings::longhaul::tool::types::Content;
use crate::result::words;
use crate::{HostError, Ticket, waits};

/// A call that can be made: `Call::new("save_ticket", json!({"ticket_id": "7"})).retries(2)`.
#[derive(Clone, Debug)]
pub struct Call {
    request: host::Request,
}

impl Call {
    /// `arguments` must become a JSON object that fits the tool's input schema.
    pub fn new(tool: &str, arguments: impl Serialize) -> Self {
        // What is no JSON is refused by the host, with the reason.
        let arguments = serde_json::to_string(&arguments).unwrap_or_else(|error| error.to_string());
        Self {
            request: host::Request {
                tool: tool.to_owned(),
                arguments,
                alternatives: Vec::new(),
                retries: 0,
                timeout_seconds: None,
                detached: false,
            },
        }
    }

    /// A tool that is tried, with the same arguments, where all before it failed or could not be reached.
    pub fn or(mut self, tool: &str) -> Self {
        self.request.alternatives.push(tool.to_owned());
        self
    }

    /// How often each tool is tried again before the next.
    pub fn retries(mut self, retries: u32) -> Self {
        self.request.retries = retries;
        self
    }

    /// Bounds each try; whole seconds, at least one.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.request.timeout_seconds = Some(time.as_millis().div_ceil(1000).max(1) as u64);
        self
    }

    /// The child lives on when this task ends.
    pub fn detached(mut self) -> Self {
        self.request.detached = true;
        self
    }
}

/// A call under way. Dropping it does nothing: a child that nobody joins is cancelled when this task ends, unless it
/// is detached.
#[derive(Debug, PartialEq, Eq)]
pub struct Child {
    pub ticket: Ticket,
    /// Of the first try.
    pub task_id: String,
}

/// What another tool handed back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub content: Vec<Content>,
    pub structured: Option<Value>,
}

/// Why a call brought nothing.
#[derive(Clone, Debug)]
pub enum CallError {
    /// The tool reports an error of its own.
    Tool(Answer),
    /// The tool refuses the call.
    Protocol {
        code: i32,
        message: String,
    },
    /// The host did not make the call.
    Refused(HostError),
    Failed(String),
    TimedOut(String),
    Cancelled(String),
}

/// What a call came to.
pub type End = Result<Answer, CallError>;

/// Calls one tool and waits for it.
pub fn call(call: Call) -> End {
    spawn(call)?.join()
}

/// Starts a call and goes on.
pub fn spawn(call: Call) -> Result<Child, CallError> {
    let mut children = spawn_all([call])?;
    children.pop().ok_or_else(|| CallError::Failed("the host started nothing".to_owned()))
}

/// Starts several in one commit: all of them, or none where one is refused.
pub fn spawn_all(calls: impl IntoIterator<Item = Call>) -> Result<Vec<Child>, CallError> {
    let requests: Vec<_> = calls.into_iter().map(|call| call.request).collect();
    let children = host::start(&requests).map_err(CallError::Refused)?;
    Ok(children.into_iter().map(|child| Child { ticket: child.ticket, task_id: child.task_id }).collect())
}

/// Waits for all of them; what each came to, in the order given.
pub fn join_all(children: impl IntoIterator<Item = Child>) -> Vec<End> {
    children.into_iter().map(Child::join).collect()
}

/// Waits for the first of them and takes it out; `None` when the time was over, or where there are none.
pub fn join_any(
    children: &mut Vec<Child>,
    timeout: impl Into<Option<Duration>>,
) -> Result<Option<(Child, End)>, HostError> {
    if children.is_empty() {
        return Ok(None);
    }
    let tickets: Vec<Ticket> = children.iter().map(|child| child.ticket).collect();
    let ready = waits::any(&tickets, timeout)?;
    let Some(at) = children.iter().position(|child| ready.first() == Some(&child.ticket)) else {
        return Ok(None);
    };
    let child = children.remove(at);
    let answer = take(child.ticket);
    Ok(Some((child, answer)))
}

/// The tools that this component may call for its caller, as they are now.
pub fn granted() -> Result<Vec<Definition>, HostError> {
    host::granted()
}

impl Child {
    /// Waits for what it came to, after all its tries.
    pub fn join(self) -> End {
        take(self.ticket)
    }

    /// Gives it up: it is cancelled, unless it is detached.
    pub fn cancel(self) {
        waits::abandon(self.ticket);
    }
}

impl Answer {
    /// All its text.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|content| match content {
            Content::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Its structured result as a value of the caller's own type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(self.structured.clone().unwrap_or_default())
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(answer) => f.write_str(&answer.text()),
            Self::Protocol { code, message } => write!(f, "{message} ({code})"),
            Self::Refused(error) => f.write_str(words(error)),
            Self::Failed(text) | Self::TimedOut(text) | Self::Cancelled(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for CallError {}

fn take(ticket: Ticket) -> End {
    match host::take(ticket) {
        Ok(output) => Ok(answer(output)),
        Err(host::CallError::Failure(Failure::Tool(output))) => Err(CallError::Tool(answer(output))),
        Err(host::CallError::Failure(Failure::Protocol(error))) => {
            Err(CallError::Protocol { code: error.code, message: error.message })
        }
        Err(host::CallError::Refused(error)) => Err(CallError::Refused(error)),
        Err(host::CallError::Failed(text)) => Err(CallError::Failed(text)),
        Err(host::CallError::TimedOut(text)) => Err(CallError::TimedOut(text)),
        Err(host::CallError::Cancelled(text)) => Err(CallError::Cancelled(text)),
    }
}

fn answer(output: tools::Output) -> Answer {
    let structured = output.structured.and_then(|json| serde_json::from_str(&json).ok());
    Answer { content: output.content, structured }
}
