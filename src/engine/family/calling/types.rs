//! Calls and messages as a guest gives them, and what they come to.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::task::{ProtocolError, TaskId, ToolResult};

/// A call to another tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildCall {
    pub tool: String,
    /// A JSON object as text.
    pub arguments: String,
    /// Tried in turn where the tool before fails, times out or cannot be reached.
    pub alternatives: Vec<String>,
    /// How often each tool is tried again.
    pub retries: u32,
    /// Bounds each try.
    pub timeout_seconds: Option<u64>,
    pub detached: bool,
}

impl ChildCall {
    /// A call without alternatives, retries or a deadline of its own.
    pub fn new(tool: impl Into<String>, arguments: &Value) -> Self {
        Self {
            tool: tool.into(),
            arguments: arguments.to_string(),
            alternatives: Vec::new(),
            retries: 0,
            timeout_seconds: None,
            detached: false,
        }
    }
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildEnd {
    Completed(ToolResult),
    Protocol(ProtocolError),
    Failed(String),
    TimedOut(String),
    Cancelled(String),
}

/// Why a guest's call is not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallRefusal {
    /// The component holds no grant for this tool.
    NotGranted(String),
    Invalid(String),
    Limit(String),
    NotFound(String),
    /// The task was given the power for it, and has lost it since.
    Lost(String),
}

/// Where a guest's message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Addressee {
    Parent,
    Child(TaskId),
}
