//! The doors of the engine that wings fill: what runs a component, and what an attempt is given to run it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::catalog::Inspection;
use crate::engine::record::recorder::Recorder;
use crate::task::{ComponentId, ProtocolError, Status, Task, ToolResult, WaitingReason, WakeOn};

pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs attempts. One wing fills it: the WASM sandbox, or closures.
pub trait Runner: Send + Sync + 'static {
    /// What a component offers and asks for. Must not run any of its code that could affect the outside.
    fn inspect(&self, component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>>;

    /// Run one attempt to its end. Dropping the future ends the attempt: nothing it does afterwards may
    /// have an effect (its lease is void by then).
    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome>;

    /// No task needs this component any more: what was kept of it may go.
    fn forget(&self, _component: &ComponentId) {}

    /// The outcome of an operation of this component's task as its owner tells it (`None`: it failed), in the runner's own form.
    fn settle(
        &self,
        _component: &ComponentId,
        _outcome: Option<serde_json::Value>,
    ) -> Result<Vec<u8>, String> {
        Err("tools of this engine have no operations".to_owned())
    }

    /// A record of this runner for people: what kind it is and, where that can be told, what it is about.
    fn describe(&self, _kind: u8, _payload: &[u8]) -> (&'static str, Option<String>) {
        ("call", None)
    }
}

/// One attempt at a task, with everything it may use.
pub struct Attempt {
    pub task: Arc<Task>,
    /// As it stood when the attempt began.
    pub status: Status,
    /// Where the component's bytes are, should the runner not have it loaded.
    pub component: ComponentSource,
    /// The journal: replay or execute.
    pub recorder: Recorder,
}

/// Reads a component from the store when it is needed: a runner keeps what it has loaded.
#[derive(Clone)]
pub struct ComponentSource {
    load: Arc<dyn Fn() -> Result<Arc<[u8]>, String> + Send + Sync>,
}

impl ComponentSource {
    pub fn new(load: impl Fn() -> Result<Arc<[u8]>, String> + Send + Sync + 'static) -> Self {
        Self { load: Arc::new(load) }
    }

    /// Blocks on the disk. The bytes fit the digest in `Task::component`; the error is a host fault.
    pub fn load(&self) -> Result<Arc<[u8]>, String> {
        (self.load)()
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Outcome {
    /// The tool handed back a result (which may say that it is an error of its own).
    Completed(ToolResult),
    /// The tool answers the call with a JSON-RPC error.
    Protocol(ProtocolError),
    /// The guest trapped: replaying it would trap again.
    Trap { message: String, backtrace: Option<String> },
    /// Replay did something else than the journal says.
    Diverged(Divergence),
    /// A bound struck; `bound` is its name in the manifest or in `limits.rs`.
    Limit { bound: &'static str, message: String },
    /// It needed what it is not granted, and could not be told so otherwise.
    Refused { message: String },
    /// Nothing to do until then: drop the instance, replay later.
    Suspended(Suspension),
    /// The guest ended because it was cancelled.
    Cancelled,
    /// The runner does not know the component, or not this tool of it.
    MissingComponent { message: String },
    /// Operation `op` left and nobody knows whether it arrived; the task's policy says what follows.
    UnknownOutcome { op: u64, message: String },
    /// Longhaul's own fault, or its machine's: tried again by replay.
    HostFault { message: String },
}

/// Why an instance leaves memory and when it comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    pub reason: WaitingReason,
    /// Logical time of the task, nanoseconds since its creation, at which it is due.
    pub until: Option<u64>,
    /// What else ends the wait.
    pub on: Vec<WakeOn>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("replay diverged at record {record}: the journal has {expected}, the guest does {actual}")]
pub struct Divergence {
    /// Number of the record, from 0.
    pub record: u64,
    pub expected: String,
    pub actual: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    #[error("{0}")]
    NotAComponent(String),
    #[error("{0}")]
    Unsupported(String),
    #[error("{0}")]
    BadDefinition(String),
    #[error("inspecting the component failed on this machine: {0}")]
    HostFault(String),
}
