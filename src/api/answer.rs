//! A response, as a wing makes its own form of it.

use serde_json::Value;

use super::documents::TaskDocument;
use crate::engine::TaskEnd;
use crate::task::TaskId;

pub enum Answer {
    /// Where a task stands.
    Task(Box<TaskDocument>),
    /// What a task came to.
    End(Box<Ended>),
    Value(Value),
}

/// What became of a task.
#[derive(Clone, Debug)]
pub struct Ended {
    pub task_id: TaskId,
    pub end: TaskEnd,
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
