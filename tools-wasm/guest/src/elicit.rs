//! Questions to a person or, where it says so, to anyone: asked once, answered once, across restarts.

use std::time::Duration;

use crate::bindings::longhaul::tool::elicitation as host;
use crate::{Failure, HostError, Ticket, Value, json};

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It fits the form; of a page it is empty.
    Accept(Value),
    /// No.
    Decline,
    /// Neither yes nor no: the question was put away.
    Cancel,
    /// Nobody answered in time.
    Timeout,
}

/// A question that is not asked yet.
#[derive(Clone, Debug)]
pub struct Question {
    key: String,
    message: String,
    form: host::Form,
    by: host::By,
    timeout: Option<Duration>,
}

/// Asks for what fits a JSON Schema: an object whose properties are texts, numbers, booleans or choices. `key` names
/// the question within its task.
pub fn form(key: &str, message: impl Into<String>, schema: Value) -> Question {
    Question::new(key, message.into(), host::Form::Schema(schema.to_string()))
}

/// Asks for yes or no alone.
pub fn confirm(key: &str, message: impl Into<String>) -> Question {
    let yes = json!({ "type": "boolean" });
    form(key, message, json!({ "type": "object", "properties": { "confirm": yes }, "required": ["confirm"] }))
}

/// Sends the person to a page where they do what is asked.
pub fn url(key: &str, message: impl Into<String>, url: impl Into<String>) -> Question {
    Question::new(key, message.into(), host::Form::Url(url.into()))
}

/// Takes what a ticket stands for; waits where it is not ready.
pub fn take(ticket: Ticket) -> Result<Answer, Failure> {
    Ok(match host::take(ticket)? {
        host::Answer::Accept(content) => Answer::Accept(serde_json::from_str(&content)?),
        host::Answer::Decline => Answer::Decline,
        host::Answer::Cancel => Answer::Cancel,
        host::Answer::Timeout => Answer::Timeout,
    })
}

impl Question {
    fn new(key: &str, message: String, form: host::Form) -> Self {
        Self { key: key.to_owned(), message, form, by: host::By::Person, timeout: None }
    }

    /// A model may answer too.
    pub fn of_anyone(mut self) -> Self {
        self.by = host::By::Any;
        self
    }

    /// How long it stays open, in whole seconds; a day unless said.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Asks, without waiting: several questions may be open at once.
    pub fn ask(self) -> Result<Ticket, HostError> {
        let Self { key, message, form, by, timeout } = self;
        let timeout_seconds = timeout.map(|time| time.as_millis().div_ceil(1_000) as u64);
        host::ask(&host::Question { key, message, form, by, timeout_seconds })
    }

    /// Asks and waits, for days if need be.
    pub fn wait(self) -> Result<Answer, Failure> {
        take(self.ask()?)
    }
}
