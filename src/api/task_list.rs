use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::documents::TaskDocument;
use super::error::ApiError;
use super::operation::{Caller, Operation, READS, shown_as_it_is};
use super::{schema, task_id};
use crate::catalog::Annotations;
use crate::engine::{TaskEngine, TaskQuery, Whose};
use crate::limits;
use crate::task::TaskId;

/// Some of the caller's tasks.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskList {
    /// Only tasks in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateName>,
    /// Only tasks of this tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Only tasks that this task called, oldest first.
    #[serde(default, with = "task_id::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub parent: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = limits::MAX_PAGE_ROWS))]
    pub limit: Option<usize>,
    /// next_cursor of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateName {
    Queued,
    Running,
    Waiting,
    Completed,
    Failed,
    Cancelled,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskListed {
    // Without arguments and trace.
    pub tasks: Vec<TaskDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

shown_as_it_is!(TaskListed);

impl Operation for TaskList {
    type Response = TaskListed;

    const NAME: &'static str = "task_list";
    const TITLE: &'static str = "List tasks";
    const DESCRIPTION: &'static str = "List your tasks, newest first.";
    const HINTS: Annotations = READS;

    fn answers() -> Option<Value> {
        Some(schema::of_response::<TaskListed>())
    }

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<TaskListed, ApiError> {
        let page = engine.tasks(caller.principal, &self.query(Whose::Own)).await?;
        let tasks = page.tasks.into_iter().map(TaskDocument::from).collect();
        Ok(TaskListed { tasks, next_cursor: page.next_cursor })
    }
}

impl TaskList {
    /// What it wants of these tasks.
    pub(super) fn query(self, whose: Whose) -> TaskQuery {
        let Self { state, tool, parent, limit, cursor } = self;
        let state = state.map(|state| state.as_str().to_owned());
        TaskQuery { whose, state, tool, parent, limit: limit.unwrap_or_default(), cursor }
    }
}

impl StateName {
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Waiting, Self::Completed, Self::Failed, Self::Cancelled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no state of a task")]
pub struct NoSuchState(String);

impl FromStr for StateName {
    type Err = NoSuchState;

    fn from_str(name: &str) -> Result<Self, NoSuchState> {
        Self::ALL.into_iter().find(|state| state.as_str() == name).ok_or_else(|| NoSuchState(name.to_owned()))
    }
}
