//! Help from a model: the client's, or the one that the server's operator has configured.

use crate::bindings::longhaul::tool::sampling as host;
use crate::bindings::longhaul::tool::types::Content;
use crate::{Failure, HostError, Ticket, Value};

pub use host::{Role, ToolResult};

/// What a model is asked.
#[derive(Clone, Debug)]
pub struct Request {
    inner: host::Request,
}

/// What it said.
#[derive(Clone, Debug)]
pub struct Response {
    pub model: String,
    pub content: Vec<Content>,
    /// The tools that it wants to have called before it goes on; see [`Request::went_on`].
    pub tool_uses: Vec<ToolUse>,
    pub stop_reason: Option<String>,
    /// The whole message as MCP has it.
    pub raw: Value,
    parts: Vec<host::Part>,
}

/// A tool that the model wants to have called.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolUse {
    pub id: String,
    pub name: String,
    pub input: Value,
}

/// A request with one message of the user's.
pub fn prompt(text: impl Into<String>, max_tokens: u32) -> Request {
    let request = host::Request {
        messages: Vec::new(),
        system_prompt: None,
        max_tokens,
        temperature: None,
        stop_sequences: Vec::new(),
        model_preferences: None,
        tools: None,
        tool_choice: None,
    };
    Request { inner: request }.message(Role::User, text)
}

/// Takes what a ticket stands for; waits where it is not ready. `HostError::Unavailable` says that nobody could do it.
pub fn take(ticket: Ticket) -> Result<Response, HostError> {
    Ok(Response::from_host(host::take(ticket)?))
}

impl Request {
    pub fn message(mut self, role: Role, text: impl Into<String>) -> Self {
        let content = vec![host::Part::Content(Content::Text(text.into()))];
        self.inner.messages.push(host::Message { role, content });
        self
    }

    /// What the model said, and what each of the tools that it wanted came to: asked again, it goes on from there.
    pub fn went_on(mut self, said: &Response, results: Vec<ToolResult>) -> Self {
        let content = results.into_iter().map(host::Part::ToolResult).collect();
        self.inner.messages.push(host::Message { role: Role::Assistant, content: said.parts.clone() });
        self.inner.messages.push(host::Message { role: Role::User, content });
        self
    }

    pub fn system(mut self, prompt: impl Into<String>) -> Self {
        self.inner.system_prompt = Some(prompt.into());
        self
    }

    pub fn temperature(mut self, temperature: f64) -> Self {
        self.inner.temperature = Some(temperature);
        self
    }

    /// MCP's `tools` and, if need be, `toolChoice`, as they are.
    pub fn tools(mut self, tools: &Value, choice: Option<&Value>) -> Self {
        self.inner.tools = Some(tools.to_string());
        self.inner.tool_choice = choice.map(Value::to_string);
        self
    }

    /// MCP's `modelPreferences`, as they are.
    pub fn prefer(mut self, preferences: &Value) -> Self {
        self.inner.model_preferences = Some(preferences.to_string());
        self
    }

    pub(crate) fn raw(&self) -> &host::Request {
        &self.inner
    }

    /// Asks, without waiting.
    pub fn ask(&self) -> Result<Ticket, HostError> {
        host::ask(&self.inner)
    }

    /// Asks and waits; without anybody who could do it, a minute.
    pub fn wait(&self) -> Result<Response, HostError> {
        take(self.ask()?)
    }

    /// The same, where the tool can do without: `None` where nobody could do it.
    pub fn try_wait(&self) -> Result<Option<Response>, Failure> {
        match self.wait() {
            Ok(response) => Ok(Some(response)),
            Err(HostError::Unavailable(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl ToolUse {
    /// What it came to, in words.
    pub fn result(&self, text: impl Into<String>) -> ToolResult {
        let content = vec![Content::Text(text.into())];
        ToolResult { tool_use_id: self.id.clone(), content, structured: None, is_error: false }
    }

    /// It failed; the model is told why.
    pub fn failed(&self, why: impl Into<String>) -> ToolResult {
        ToolResult { is_error: true, ..self.result(why) }
    }
}

impl Response {
    pub(crate) fn from_host(response: host::Response) -> Self {
        let host::Response { model, content: parts, stop_reason, raw, .. } = response;
        let (mut content, mut tool_uses) = (Vec::new(), Vec::new());
        for part in &parts {
            match part {
                host::Part::Content(block) => content.push(block.clone()),
                host::Part::ToolUse(used) => tool_uses.push(ToolUse {
                    id: used.id.clone(),
                    name: used.name.clone(),
                    input: serde_json::from_str(&used.input).unwrap_or_default(),
                }),
                host::Part::ToolResult(_) => {}
            }
        }
        let raw = serde_json::from_str(&raw).unwrap_or_default();
        Self { model, content, tool_uses, stop_reason, raw, parts }
    }

    /// Its texts, one after the other.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|block| match block {
            Content::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}
