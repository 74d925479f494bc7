//! A runner of plain Rust closures: durable steps without WASM, for programs that embed the engine.
//!
//! A closure is run from its start after a crash; each of its steps that was recorded is answered from the
//! journal instead of being done again. So whatever is not a step must be deterministic: take times from
//! [`Steps::now`], random numbers from a step. A tool is known as `name@version`: change the version when
//! the order of its steps changes, for open tasks are only run by the version they began with.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::authority::Grant;
use crate::catalog::{Catalog, CatalogError, Component, Inspection, Tool, ToolDefinition};
use crate::engine::error::StateError;
use crate::engine::journal::records::Next;
use crate::engine::ports::{BoxFuture, InspectError, Outcome, Suspension};
use crate::engine::record::error::RecorderError;
use crate::engine::record::output::{OutputOp, call_hash};
use crate::engine::record::recorder::Recorder;
use crate::engine::runner::{Attempt, Runner};
use crate::engine::state::types::{StateEntry, StateWrite};
use crate::engine::trace::StepKind;
use crate::limits;
use crate::task::{ComponentId, Effects, LogLevel, RetryPolicy, TaskLimits, ToolResult, WaitingReason};

const KIND_STEP: u8 = 1;
const KIND_SLEEP: u8 = 2;

type Body = Arc<dyn Fn(Steps, Value) -> BoxFuture<Result<ToolResult, StepError>> + Send + Sync>;

/// Tools made of closures.
#[derive(Default)]
pub struct Closures {
    bodies: HashMap<(ComponentId, String), Body>,
    tools: Vec<Tool>,
}

/// Why a closure ends before its end. Pass it on with `?`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The tool reports an error of its own: the task completes with `is_error`.
    #[error("{0}")]
    Tool(String),
    /// The engine ends or suspends the attempt.
    #[error("the attempt ends here")]
    Stop(Stop),
}

/// Opaque: only the engine makes one.
#[derive(Debug)]
pub struct Stop(StopReason);

#[derive(Debug)]
enum StopReason {
    Recorder(RecorderError),
    Suspend(Suspension),
}

impl Closures {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tool as `name@version`.
    #[must_use]
    pub fn tool<F, R>(self, definition: ToolDefinition, version: &str, body: F) -> Self
    where
        F: Fn(Steps, Value) -> R + Send + Sync + 'static,
        R: Future<Output = Result<ToolResult, StepError>> + Send + 'static,
    {
        self.tool_with(definition, version, TaskLimits::default(), RetryPolicy::default(), body)
    }

    /// The same with bounds and a retry policy of its own.
    #[must_use]
    pub fn tool_with<F, R>(
        mut self,
        definition: ToolDefinition,
        version: &str,
        limits: TaskLimits,
        retry: RetryPolicy,
        body: F,
    ) -> Self
    where
        F: Fn(Steps, Value) -> R + Send + Sync + 'static,
        R: Future<Output = Result<ToolResult, StepError>> + Send + 'static,
    {
        let component = ComponentId::of_closures(&definition.name, version);
        let body: Body = Arc::new(move |steps, arguments| Box::pin(body(steps, arguments)));
        self.bodies.insert((component.clone(), definition.name.clone()), body);
        self.tools.push(Tool {
            component_name: definition.name.clone(),
            binding: definition.name.clone(),
            definition,
            component,
            limits,
            // It is the program's own code; whom it calls for is bounded all the same.
            grant: Grant { tools: vec!["*".to_owned()], ..Grant::default() },
            retry,
            effects: Effects::default(),
        });
        self
    }

    /// The catalog of these tools, for [`TaskEngine::set_catalog`](crate::engine::handle::TaskEngine::set_catalog).
    pub fn catalog(&self) -> Result<Catalog, CatalogError> {
        self.tools.iter().try_fold(Catalog::default(), |catalog, tool| {
            catalog.with(Component::of_tools(
                tool.component_name.clone(),
                tool.component.clone(),
                vec![tool.clone()],
            )?)
        })
    }
}

impl Runner for Closures {
    fn inspect(&self, _component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>> {
        let why = "this engine runs closures, it cannot load components".to_owned();
        Box::pin(std::future::ready(Err(InspectError::Unsupported(why))))
    }

    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome> {
        let key = (attempt.task.component.clone(), attempt.task.binding.clone());
        let Some(body) = self.bodies.get(&key).cloned() else {
            let message = format!("no closures are registered as {}", attempt.task.component);
            return Box::pin(std::future::ready(Outcome::MissingComponent { message }));
        };
        Box::pin(async move {
            let arguments = match serde_json::from_str(&attempt.task.arguments) {
                Ok(arguments) => arguments,
                Err(error) => {
                    return Outcome::HostFault { message: format!("the stored arguments: {error}") };
                }
            };
            let recorder = attempt.recorder;
            // On a task of its own, so that a panic of the closure is that task's failure alone.
            let body = AbortOnDrop(tokio::spawn(body(Steps { recorder: recorder.clone() }, arguments)));
            let ended = body.await;
            if let Ok(Err(StepError::Stop(Stop(StopReason::Suspend(suspension))))) = ended {
                return Outcome::Suspended(suspension);
            }
            match (recorder.finish(), ended) {
                (Err(error), _) => of_recorder(error),
                (Ok(()), Ok(Ok(result))) => Outcome::Completed(result),
                (Ok(()), Ok(Err(StepError::Tool(message)))) => Outcome::Completed(ToolResult::error(message)),
                (Ok(()), Ok(Err(StepError::Stop(Stop(StopReason::Recorder(error)))))) => of_recorder(error),
                (Ok(()), Ok(Err(StepError::Stop(Stop(StopReason::Suspend(suspension)))))) => {
                    Outcome::Suspended(suspension)
                }
                (Ok(()), Err(message)) => Outcome::Trap { message, backtrace: None },
            }
        })
    }

    fn describe(&self, kind: u8, payload: &[u8]) -> (&'static str, Option<String>) {
        match kind {
            KIND_STEP => ("step", Some(String::from_utf8_lossy(payload).chars().take(60).collect())),
            KIND_SLEEP => ("sleep", None),
            _ => ("call", None),
        }
    }
}

/// What a closure does durably.
#[derive(Clone)]
pub struct Steps {
    recorder: Recorder,
}

impl Steps {
    /// Does `act` once and keeps its result: when the task is taken up again, the result comes from the
    /// journal. A crash after `act` and before its commit repeats it, so what it does to the outside
    /// should bear that (at least once). Its error ends the task as a tool error and is not recorded.
    pub async fn step<T, F, R>(&self, name: &str, act: F) -> Result<T, StepError>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> R,
        R: Future<Output = Result<T, StepError>>,
    {
        let hash = call_hash(name, &[]);
        let unfit = |error: serde_json::Error| {
            StepError::Tool(format!("the result of step '{name}' is no JSON value: {error}"))
        };
        if let Next::Replayed(payload) = self.recorder.next(KIND_STEP, hash, name)? {
            return serde_json::from_slice(&payload).map_err(unfit);
        }
        let result = act().await?;
        let payload = serde_json::to_vec(&result).map_err(unfit)?;
        self.recorder.record(KIND_STEP, hash, &payload)?;
        self.recorder.barrier().await?;
        Ok(result)
    }

    /// Sleeps until so long after now, across restarts. A long sleep takes no memory.
    pub async fn sleep(&self, duration: Duration) -> Result<(), StepError> {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let deadline = self.recorder.now()?.saturating_add(nanos);
        let hash = call_hash("sleep", &[]);
        if let Next::Replayed(_) =
            self.recorder.next_step(Some((StepKind::Sleep, "sleep")), (KIND_SLEEP, hash), "sleep")?
        {
            return Ok(());
        }
        let left = deadline.saturating_sub(self.recorder.raw_now());
        if Duration::from_nanos(left) > Duration::from_millis(limits::SUSPEND_GRACE_MS) {
            let suspension =
                Suspension { reason: WaitingReason::Timer, until: Some(deadline), on: Vec::new() };
            return Err(StepError::suspend(suspension));
        }
        self.recorder.begin_wait()?;
        self.recorder.sleep_until(deadline).await;
        Ok(self.recorder.record(KIND_SLEEP, hash, &[])?)
    }

    /// Time since the task was created; the same at every replay.
    pub fn now(&self) -> Result<Duration, StepError> {
        Ok(Duration::from_nanos(self.recorder.now()?))
    }

    pub fn progress(&self, done: u64, total: Option<u64>, message: Option<&str>) -> Result<(), StepError> {
        Ok(self.recorder.progress(done, total, message.map(str::to_owned))?)
    }

    /// A line for the task's log.
    pub fn log(&self, line: &str) -> Result<(), StepError> {
        Ok(self.recorder.log(format!("{line}\n").as_bytes())?)
    }

    /// A line for the log that also goes to the task's followers.
    pub fn line(&self, level: LogLevel, text: &str) -> Result<(), StepError> {
        Ok(self.recorder.line(level, text)?)
    }

    /// One step on a named output; durable when it returns.
    pub async fn output(&self, op: OutputOp<'_>) -> Result<(), StepError> {
        self.recorder.output(op).await?.map_err(|error| StepError::Tool(error.to_string()))
    }

    /// An entry of shared state as it is now; at a replay as it was then.
    pub async fn state_get(&self, namespace: &str, key: &str) -> Result<Option<StateEntry>, StepError> {
        let entry = self.recorder.state_get(namespace, key).await?;
        entry.map_err(|error| StepError::Tool(error.to_string()))
    }

    /// Writes all of them or none, exactly once, and returns their new versions. The inner error is a lost race, or
    /// says what is wrong.
    pub async fn state_write(
        &self,
        namespace: &str,
        writes: &[StateWrite],
    ) -> Result<Result<Vec<u64>, StateError>, StepError> {
        Ok(self.recorder.state_write(namespace, writes).await?)
    }
}

impl Steps {
    pub(in crate::engine) fn recorder(&self) -> &Recorder {
        &self.recorder
    }
}

impl StepError {
    pub(in crate::engine) fn suspend(suspension: Suspension) -> Self {
        Self::Stop(Stop(StopReason::Suspend(suspension)))
    }
}

impl From<RecorderError> for StepError {
    fn from(error: RecorderError) -> Self {
        Self::Stop(Stop(StopReason::Recorder(error)))
    }
}

fn of_recorder(error: RecorderError) -> Outcome {
    match error {
        RecorderError::Diverged(divergence) => Outcome::Diverged(divergence),
        RecorderError::Limit { bound, message } => Outcome::Limit { bound, message },
        RecorderError::Refused(message) => Outcome::Refused { message },
        RecorderError::Fault(message) => Outcome::HostFault { message },
    }
}

/// A spawned body that ends with its waiter.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, String>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(context).map_err(|error| match error.try_into_panic() {
            Ok(panic) => {
                let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
                let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
                format!("the closure panicked: {}", words.unwrap_or_default())
            }
            Err(error) => error.to_string(),
        })
    }
}
