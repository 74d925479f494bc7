use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ApiError;
use super::operation::{Caller, Operation, REPLACES, shown_as_it_is};
use super::{schema, task_id};
use crate::catalog::Annotations;
use crate::engine::TaskEngine;
use crate::task::TaskId;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskDelete {
    /// The id of the task, as its link gave it.
    #[serde(with = "task_id")]
    #[schemars(with = "String")]
    pub task_id: TaskId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    /// How many tasks are gone: it, and those that it called.
    pub deleted: u64,
}

shown_as_it_is!(Deleted);

impl fmt::Display for Deleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.deleted {
            1 => f.write_str("deleted 1 task"),
            count => write!(f, "deleted {count} tasks"),
        }
    }
}

impl Operation for TaskDelete {
    type Response = Deleted;

    const NAME: &'static str = "task_delete";
    const TITLE: &'static str = "Delete a task";
    const DESCRIPTION: &'static str = "Delete a task that has ended, and the tasks that it called, with results, outputs and logs, for ever. A task \
         that is open is refused: {task_cancel} ends it first.";
    const HINTS: Annotations = REPLACES;

    fn answers() -> Option<Value> {
        Some(schema::of_response::<Deleted>())
    }

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<Deleted, ApiError> {
        Ok(Deleted { deleted: engine.delete(&caller.overseer(), self.task_id).await? })
    }
}
