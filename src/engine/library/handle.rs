//! A call from a program, and the handle of the task that it became.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::authority::Principal;
use crate::engine::error::EngineError;
use crate::engine::feed::Follower;
use crate::engine::handle::TaskEngine;
use crate::engine::lifecycle::submit::Submission;
use crate::engine::query::outputs::Slice;
use crate::engine::query::tasks::TaskEnd;
use crate::engine::query::view::TaskView;
use crate::limits;
use crate::task::{TaskId, ToolResult, TraceContext};

/// A call that is to become a task; made by [`TaskEngine::call`].
#[must_use = "a call is nothing before it is submitted"]
pub struct Call {
    engine: TaskEngine,
    submission: Result<Submission, EngineError>,
}

/// A task of one principal: what its owner may do. Cheap to clone; the task goes on without it.
#[derive(Clone)]
pub struct TaskHandle {
    engine: TaskEngine,
    principal: Principal,
    id: TaskId,
    is_existing: bool,
}

impl TaskEngine {
    /// Begins to call a tool; `arguments` become the JSON object that its input schema describes. The caller is the
    /// local owner, unless [`Call::principal`] says otherwise.
    ///
    /// ```
    /// # // Programs see these names in the crate that shows all floors, which this one cannot import.
    /// # mod longhaul { pub use longhaul_engine::engine::{closures::*, *}; }
    /// # async fn program(folder: &std::path::Path) -> Result<(), longhaul::EngineError> {
    /// use longhaul::{Closures, StepError, Steps, TaskEngine};
    ///
    /// #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    /// struct Sum {
    ///     numbers: Vec<i64>,
    /// }
    ///
    /// let add = async |_: Steps, sum: Sum| Ok::<i64, StepError>(sum.numbers.iter().sum());
    /// let closures = Closures::new().typed("add", "1", "Adds numbers.", move |steps, sum| add(steps, sum));
    /// let engine = TaskEngine::builder(folder).closures(closures).start().await?;
    ///
    /// let task = engine.call("add", &Sum { numbers: vec![40, 2] }).key("the-sum").submit().await?;
    /// assert_eq!(task.value::<i64>().await?, 42);
    /// engine.shutdown().await;
    /// # Ok(())
    /// # }
    /// # let folder = tempfile::tempdir().unwrap();
    /// # tokio::runtime::Runtime::new().unwrap().block_on(program(folder.path())).unwrap();
    /// ```
    pub fn call(&self, tool: impl Into<String>, arguments: &impl Serialize) -> Call {
        let arguments = serde_json::to_value(arguments).map_err(EngineError::Unencodable);
        let submission = arguments.map(|arguments| Submission {
            tool: tool.into(),
            arguments,
            principal: Principal::local(),
            idempotency_key: None,
            trace: None,
        });
        Call { engine: self.clone(), submission }
    }

    /// The handle of a task that is there, of this principal.
    ///
    /// # Errors
    /// [`EngineError::NoSuchTask`], also for another principal's task.
    pub async fn handle(&self, principal: &Principal, id: TaskId) -> Result<TaskHandle, EngineError> {
        self.task(principal, id).await?;
        Ok(TaskHandle { engine: self.clone(), principal: principal.clone(), id, is_existing: true })
    }
}

impl Call {
    /// The caller's name for "the same call": repeated, it leads to the same task, also after a restart.
    pub fn key(self, key: impl Into<String>) -> Self {
        self.with(|submission| submission.idempotency_key = Some(key.into()))
    }

    pub fn principal(self, principal: Principal) -> Self {
        self.with(|submission| submission.principal = principal)
    }

    /// Where the call stands in its caller's trace.
    pub fn trace(self, trace: TraceContext) -> Self {
        self.with(|submission| submission.trace = Some(trace))
    }

    /// Makes the task. It is on disk when this returns.
    ///
    /// # Errors
    /// What [`TaskEngine::submit`] refuses; [`EngineError::Unencodable`] where the arguments are no JSON.
    pub async fn submit(self) -> Result<TaskHandle, EngineError> {
        let submission = self.submission?;
        let principal = submission.principal.clone();
        let submitted = self.engine.submit(submission).await?;
        Ok(TaskHandle { engine: self.engine, principal, id: submitted.id, is_existing: submitted.existing })
    }

    fn with(mut self, change: impl FnOnce(&mut Submission)) -> Self {
        if let Ok(submission) = &mut self.submission {
            change(submission);
        }
        self
    }
}

impl TaskHandle {
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Whether the call led to a task that was there already.
    pub fn is_existing(&self) -> bool {
        self.is_existing
    }

    /// The task as it is on disk.
    ///
    /// # Errors
    /// [`EngineError::NoSuchTask`] once its retention is over.
    pub async fn view(&self) -> Result<TaskView, EngineError> {
        self.engine.task(&self.principal, self.id).await
    }

    /// Waits for the task's end, however long that takes; dropping the future leaves the task as it is.
    ///
    /// # Errors
    /// As [`Self::view`].
    pub async fn wait(&self) -> Result<TaskView, EngineError> {
        let at_most = Duration::from_secs(limits::MAX_INLINE_WAIT_SECONDS);
        loop {
            let view = self.engine.wait(&self.principal, self.id, at_most).await?;
            if view.state.is_terminal() {
                return Ok(view);
            }
        }
    }

    /// Waits at most so long; the task as it is then.
    ///
    /// # Errors
    /// As [`Self::view`].
    pub async fn wait_at_most(&self, time: Duration) -> Result<TaskView, EngineError> {
        self.engine.wait(&self.principal, self.id, time).await
    }

    /// Waits for the end, and what the tool returned.
    ///
    /// # Errors
    /// [`EngineError::NotCompleted`] where the task failed or was cancelled. An error that the tool itself reports is
    /// a result.
    pub async fn result(&self) -> Result<ToolResult, EngineError> {
        self.wait().await?;
        match self.engine.result(&self.principal, self.id).await? {
            TaskEnd::Completed(result) => Ok(result),
            TaskEnd::NotYet(view) | TaskEnd::Failed(view, _) | TaskEnd::Cancelled(view) => {
                let failed_with = view.error.map(|error| error.message);
                let why = failed_with.or_else(|| view.cancel.and_then(|cancel| cancel.reason));
                Err(EngineError::NotCompleted { task: self.id, state: view.state, why })
            }
        }
    }

    /// The same as a value of the type that a typed closure returned.
    ///
    /// # Errors
    /// As [`Self::result`]; [`EngineError::NoValue`] where the tool reported an error, or returned another type.
    pub async fn value<T: DeserializeOwned>(&self) -> Result<T, EngineError> {
        let result = self.result().await?;
        crate::engine::library::typed::value_of(&result)
            .map_err(|why| EngineError::NoValue { task: self.id, why })
    }

    /// A piece of a named output, from a byte on.
    ///
    /// # Errors
    /// [`EngineError::NoSuchOutput`], with the names of those that there are.
    pub async fn output(&self, name: &str, from: u64, at_most: usize) -> Result<Slice, EngineError> {
        self.engine.output(&self.principal, self.id, name, from, at_most).await
    }

    /// A piece of the task's log, from a byte on.
    ///
    /// # Errors
    /// As [`Self::view`].
    pub async fn log(&self, from: u64, at_most: usize) -> Result<Slice, EngineError> {
        self.engine.log(&self.principal, self.id, from, at_most).await
    }

    /// Follows the task from now on, change by change; `None` where there are too many subscribers.
    pub fn follow(&self) -> Option<Follower> {
        self.engine.feed().follow(self.id)
    }

    /// Asks the task to end. One that has ended stays as it is.
    ///
    /// # Errors
    /// As [`Self::view`].
    pub async fn cancel(&self, reason: impl Into<String>) -> Result<TaskView, EngineError> {
        self.engine.cancel(&self.principal, self.id, Some(reason.into())).await
    }

    /// Deletes the task, which has ended, and those that it called; says how many are gone.
    ///
    /// # Errors
    /// As [`Self::view`], and [`EngineError::WrongState`] where one of them is open, or what called it.
    pub async fn delete(self) -> Result<u64, EngineError> {
        self.engine.delete(&self.principal, self.id).await
    }
}
