use std::any::Any;

use serde_json::Value;

use crate::HostError;
use crate::bindings::exports::longhaul::tool::tools as wit;
use crate::bindings::longhaul::tool::types::{Blob, Content};

/// What a tool's function returns.
pub type ToolResult = Result<Output, Failure>;

/// The result of a tool: content for the reader, and a JSON value for programs where the tool has one.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub content: Vec<Content>,
    pub structured: Option<Value>,
}

/// The two ways to fail that are no trap.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The tool ran and reports an error that a model can read. Any error becomes one with `?`.
    Tool(Output),
    /// The call itself is wrong: it is answered with a JSON-RPC error.
    Protocol { code: i32, message: String, data: Option<Value> },
}

impl Output {
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Content::Text(text.into())], structured: None }
    }

    /// Adds the value that must fit the tool's output schema.
    pub fn structured(mut self, value: Value) -> Self {
        self.structured = Some(value);
        self
    }

    /// Adds a block of content.
    pub fn and(mut self, content: Content) -> Self {
        self.content.push(content);
        self
    }

    pub fn image(data: Vec<u8>, mime_type: &str) -> Self {
        let blob = Blob { data, mime_type: mime_type.to_owned() };
        Self { content: vec![Content::Image(blob)], structured: None }
    }
}

impl Failure {
    pub fn tool(message: impl Into<String>) -> Self {
        Self::Tool(Output::text(message))
    }

    pub fn protocol(code: i32, message: impl Into<String>) -> Self {
        Self::Protocol { code, message: message.into(), data: None }
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        // As generated, the host's errors print as Rust has them; their words are for people.
        let hosts = (&error as &dyn Any).downcast_ref::<HostError>();
        Self::tool(hosts.map_or_else(|| error.to_string(), |error| words(error).to_owned()))
    }
}

/// What the host says.
pub(crate) fn words(error: &HostError) -> &str {
    match error {
        HostError::NotGranted(text)
        | HostError::Invalid(text)
        | HostError::Limit(text)
        | HostError::NotFound(text)
        | HostError::Unavailable(text) => text,
    }
}

impl From<Output> for wit::Output {
    fn from(output: Output) -> Self {
        Self { content: output.content, structured: output.structured.map(|value| value.to_string()) }
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Tool(output) => Self::Tool(output.into()),
            Failure::Protocol { code, message, data } => Self::Protocol(wit::ProtocolError {
                code,
                message,
                data: data.map(|value| value.to_string()),
            }),
        }
    }
}
