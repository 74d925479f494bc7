//! The doors of the engine that wings fill: what a component offers, how an attempt ends, what samples.

pub(super) mod remote;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::RequestText;
use crate::engine::journal::divergence::Divergence;
use crate::task::{Price, ProtocolError, ToolResult, WaitingReason, WakeOn};

pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Reads the files of a component that a person names, and what it requests; the error says why there is none.
pub type Reader = Arc<dyn Fn(PathBuf) -> BoxFuture<Result<(Arc<[u8]>, RequestText), String>> + Send + Sync>;

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
    /// A bound struck; `bound` is its name in the manifest or in `limits`.
    Limit { bound: &'static str, message: String },
    /// It needed what it is not granted, and could not hear so otherwise.
    Refused { message: String },
    /// Nothing to do until then: drop the instance, replay later.
    Suspended(Suspension),
    /// There is no memory for it now: drop the instance, replay where there are so many bytes.
    NoRoom { needs: u64 },
    /// The guest ended because it was cancelled.
    Cancelled,
    /// The runner does not know the component, or not this tool of it.
    MissingComponent { message: String },
    /// Operation `op` left and it is not known whether it arrived; the task's policy says what follows.
    UnknownOutcome { op: u64, message: String },
    /// Longhaul's own fault, or its machine's: tried again by replay.
    HostFault { message: String },
}

/// Why an instance leaves memory and when it comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    pub reason: WaitingReason,
    /// Logical time of the task, nanoseconds since its creation, at which it is due.
    pub until: Option<u64>,
    /// What else ends the wait.
    pub on: Vec<WakeOn>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
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

/// A model at an address. One wing fills it.
pub trait Sampler: Send + Sync + 'static {
    /// `request` is the parameters of MCP's `sampling/createMessage`; the error says why there is no answer. A sample
    /// whose answer was not on disk when the process ended is asked for again, under the same key.
    fn sample(&self, request: Value, idempotency_key: String) -> BoxFuture<Result<Sampled, String>>;
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    /// The result of MCP's `sampling/createMessage`.
    pub message: Value,
    /// What it cost, as it was reported.
    pub tokens: Option<u64>,
}

/// Models that the operator has configured, by name. One wing fills it.
pub trait Models: Send + Sync + 'static {
    /// What holds for the model of this name; `None` where it is not configured.
    fn terms(&self, model: &str) -> Option<ModelTerms>;

    /// `request` is the parameters of MCP's `sampling/createMessage`. What is said so far goes to `flow`, and each time
    /// that the endpoint is asked once more, `flow` is asked before.
    fn ask(
        &self,
        model: String,
        request: Value,
        idempotency_key: String,
        flow: Arc<dyn ModelFlow>,
    ) -> BoxFuture<Result<ModelAnswer, ModelFault>>;
}

/// The engine's end of one ask.
pub trait ModelFlow: Send + Sync {
    /// The endpoint is to be asked once more, and its answer begins again. Where it `may_be_paid` for what it was asked
    /// last, that counts as spent, and is on disk when this ends; the error says why it is not to be asked again.
    fn again(self: Arc<Self>, may_be_paid: bool) -> BoxFuture<Result<(), ModelFault>>;
    /// The next piece of the text; it is on disk when this ends, where it is shown at all.
    fn said(&self, piece: String) -> BoxFuture<()>;
}

/// What the operator says of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelTerms {
    pub price: Price,
    /// At most so many tokens of an answer.
    pub max_tokens: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ModelAnswer {
    /// The result of MCP's `sampling/createMessage`.
    pub message: Value,
    /// As its endpoint counted them, where it did.
    pub input_tokens: Option<u64>,
    pub output_tokens: u64,
}

/// Why there is no answer of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelFault {
    Unavailable {
        why: String,
        /// The endpoint may have begun to answer, and then wants to be paid.
        may_be_paid: bool,
    },
    Limit(String),
}
