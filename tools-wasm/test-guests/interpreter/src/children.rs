//! Calls as programs have them, and what they came to as text.

use std::time::Duration;

use longhaul_guest::calls::{self, Answer, CallError};
use longhaul_guest::{HostError, Value};
use serde::Deserialize;

use crate::hash::{HASH_START, hash};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub tool: String,
    pub arguments: Value,
    #[serde(default)]
    pub alternatives: Vec<String>,
    #[serde(default)]
    pub retries: u32,
    pub timeout_seconds: Option<u64>,
    #[serde(default)]
    pub detached: bool,
}

impl Call {
    pub fn as_call(&self) -> calls::Call {
        let mut call = calls::Call::new(&self.tool, &self.arguments).retries(self.retries);
        call = self.alternatives.iter().fold(call, |call, tool| call.or(tool));
        if let Some(seconds) = self.timeout_seconds {
            call = call.timeout(Duration::from_secs(seconds));
        }
        if self.detached { call.detached() } else { call }
    }
}

pub fn outcome(end: Result<Answer, CallError>) -> String {
    let hashed = |answer: &Answer| format!("{:016x}", hash(HASH_START, answer.text().as_bytes()));
    match end {
        Ok(answer) => format!("ok {}", hashed(&answer)),
        Err(CallError::Tool(answer)) => format!("tool_error {}", hashed(&answer)),
        Err(CallError::Protocol { code, .. }) => format!("protocol {code}"),
        Err(CallError::Refused(error)) => format!("refused {}", refusal(&error)),
        Err(CallError::Failed(_)) => "failed".to_owned(),
        Err(CallError::TimedOut(_)) => "timed_out".to_owned(),
        Err(CallError::Cancelled(_)) => "cancelled".to_owned(),
    }
}

pub fn refusal(error: &HostError) -> &'static str {
    match error {
        HostError::NotGranted(_) => "not_granted",
        HostError::Invalid(_) => "invalid",
        HostError::Limit(_) => "limit",
        HostError::NotFound(_) => "not_found",
        HostError::Unavailable(_) => "unavailable",
    }
}
