//! The door that what speaks to other MCP servers fills.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::BoxFuture;
use crate::catalog::ToolDefinition;
use crate::limits;
use crate::task::{ProtocolError, RetryPolicy, ToolResult, UnknownOutcome};

/// Speaks to other MCP servers, which it knows by their names in the configuration.
pub trait RemoteTools: Send + Sync + 'static {
    /// What the server offers, as it said at most a minute ago. Connects, so that a server that is not there is reported
    /// from one that was and is no more.
    fn list(&self, server: &str) -> BoxFuture<Result<Arc<Listing>, RemoteFault>>;

    /// One call, to its answer. Dropping the future gives nothing up over there: the same call may come again. Once
    /// `given_up` ends it will not, and the call is withdrawn, as far as the server lets that be done.
    fn call(
        &self,
        call: RemoteCall,
        report: Report,
        given_up: BoxFuture<()>,
    ) -> BoxFuture<Result<RemoteEnd, RemoteFault>>;
}

/// Takes progress: how much is done, of how much, and a word about it.
pub type Report = Arc<dyn Fn(f64, Option<f64>, Option<String>) + Send + Sync>;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    pub tools: Vec<ToolDefinition>,
    /// It is known to lead the same idempotency key to the same task.
    pub heeds_keys: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCall {
    pub server: String,
    pub tool: String,
    /// A JSON object as text.
    pub arguments: String,
    pub idempotency_key: String,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoteEnd {
    Result(ToolResult),
    Protocol(ProtocolError),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteFault {
    /// Nothing has left.
    #[error("{0}")]
    NotSent(String),
    /// It may have arrived.
    #[error("{0}")]
    Lost(String),
}

/// How the tools of one server are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePolicy {
    /// Tools (globs) that clients see too.
    pub expose: Vec<String>,
    /// Tools (globs) that may be called again where it is not known whether a call arrived.
    pub idempotent: Vec<String>,
    pub unknown_outcome: UnknownOutcome,
    pub retry: RetryPolicy,
    /// Bounds one try.
    pub timeout: Duration,
}

impl Default for RemotePolicy {
    fn default() -> Self {
        Self {
            expose: Vec::new(),
            idempotent: Vec::new(),
            unknown_outcome: UnknownOutcome::Fail,
            retry: RetryPolicy { attempts: limits::DEFAULT_REMOTE_ATTEMPTS, backoff: Duration::from_secs(1) },
            timeout: Duration::from_secs(limits::DEFAULT_REMOTE_SECONDS),
        }
    }
}

/// The servers that the configuration names, and who speaks to them.
#[derive(Clone)]
pub struct Remotes {
    pub tools: Arc<dyn RemoteTools>,
    pub policies: Arc<BTreeMap<String, RemotePolicy>>,
}
