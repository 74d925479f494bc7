//! A response, as a wing makes its own form of it.

use serde_json::Value;

use super::documents::TaskDocument;
use crate::authority::Principal;
use crate::engine::{EngineError, TaskEnd, TaskEngine};
use crate::task::TaskId;

pub enum Answer {
    /// Where a task stands.
    Task(Box<TaskDocument>),
    /// What a task came to.
    End(Box<Ended>),
    /// The same after a wait, which a task may outlast.
    Waited(Box<Ended>),
    Value(Value),
}

/// A task, and what became of it.
#[derive(Clone, Debug)]
pub struct Ended {
    pub task_id: TaskId,
    pub task: TaskDocument,
    pub end: TaskEnd,
}

impl Ended {
    pub(super) async fn of(
        engine: &TaskEngine,
        principal: &Principal,
        id: TaskId,
    ) -> Result<Self, EngineError> {
        // In this order: what has ended stays so, and may end between the two.
        let end = engine.result(principal, id).await?;
        let task = match &end {
            TaskEnd::Failed(task, _) | TaskEnd::Cancelled(task) => task.clone(),
            TaskEnd::NotYet(_) | TaskEnd::Completed(_) => engine.task(principal, id).await?,
        };
        Ok(Self { task_id: id, task: task.into(), end })
    }

    /// Why there is no result yet; `None` where the task has ended.
    pub fn no_result_yet(&self) -> Option<String> {
        let TaskEnd::NotYet(task) = &self.end else { return None };
        let task = TaskDocument::from(task.clone());
        Some(format!("The task {} is {}: there is no result yet.", task.id, task.stands()))
    }
}

impl From<TaskDocument> for Answer {
    fn from(task: TaskDocument) -> Self {
        Self::Task(Box::new(task))
    }
}

impl From<Ended> for Answer {
    fn from(ended: Ended) -> Self {
        Self::End(Box::new(ended))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Map, Value, json};

    use crate::api::{ApiError, Caller, Operation, TaskCancel, TaskResult, TaskWait};
    use crate::authority::Principal;
    use crate::engine::closures::{Closures, StepError, Steps};
    use crate::engine::{TaskEnd, TaskEngine};
    use crate::task::TaskId;

    async fn rest(steps: Steps, _: Map<String, Value>) -> Result<(), StepError> {
        steps.sleep(Duration::from_secs(3_600)).await
    }

    #[tokio::test]
    async fn a_task_that_outlasts_the_wait_says_where_it_stands_and_its_end_is_the_answer_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let closures = Closures::new().typed("rest", "1", "Rests.", rest);
        let engine = TaskEngine::builder(folder.path()).closures(closures).start().await.expect("an engine");
        let (local, none) = (Principal::local(), json!({}));
        let caller = Caller::reading(&local);
        let task_id = engine.call("rest", &none).submit().await.expect("a task").id();

        let wait = |seconds| TaskWait { task_id, seconds: Some(seconds) }.run(&engine, &caller);
        let open = wait(0).await.expect("a task").0;
        assert!(matches!(open.end, TaskEnd::NotYet(_)) && !open.task.is_terminal(), "{open:?}");
        let early = TaskResult { task_id }.run(&engine, &caller).await.expect("a task");
        let words = early.no_result_yet().expect("it is open");
        assert!(words.starts_with(&format!("The task {task_id} is ")), "{words}");

        TaskCancel { task_id, reason: None }.run(&engine, &caller).await.expect("cancelled");
        let ended = wait(20).await.expect("a task").0;
        assert!(matches!(ended.end, TaskEnd::Cancelled(_)) && ended.no_result_yet().is_none(), "{ended:?}");
        assert_eq!((ended.task_id, ended.task.state.as_str()), (task_id, "cancelled"));

        let unknown = TaskWait { task_id: TaskId::from_bytes([9; 16]), seconds: Some(0) };
        let refused = unknown.run(&engine, &caller).await.err();
        assert!(matches!(&refused, Some(ApiError::Engine(_))), "{refused:?}");
        engine.shutdown().await;
    }
}
