use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::documents::TaskDocument;
use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, READS, shown_as_it_is};
use super::task_id;
use super::task_list::StateName;
use crate::catalog::Annotations;
use crate::engine::{TaskEngine, TaskQuery, TaskView, Whose};
use crate::limits;
use crate::task::TaskId;

/// Tasks of one principal, or of all of them: for the owner.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskListAll {
    /// Only tasks of this principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
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

/// A task and whose it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OwnedTask {
    pub principal: String,
    #[serde(flatten)]
    pub task: TaskDocument,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AllTasksListed {
    // Without arguments and trace.
    pub tasks: Vec<OwnedTask>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

shown_as_it_is!(AllTasksListed);

impl Operation for TaskListAll {
    type Response = AllTasksListed;

    const NAME: &'static str = "task_list_all";
    const TITLE: &'static str = "List the tasks of all principals";
    const DESCRIPTION: &'static str = "List the tasks of one principal or of all of them, newest first.";
    const HINTS: Annotations = READS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<AllTasksListed, ApiError> {
        let Self { principal, state, tool, parent, limit, cursor } = self;
        let whose = principal.map_or(Whose::All, Whose::Of);
        let state = state.map(|state| state.as_str().to_owned());
        let query = TaskQuery { whose, state, tool, parent, limit: limit.unwrap_or_default(), cursor };
        let page = engine.tasks(&caller.overseer(), &query).await?;
        let owned =
            |task: TaskView| OwnedTask { principal: task.principal.clone(), task: TaskDocument::from(task) };
        Ok(AllTasksListed {
            tasks: page.tasks.into_iter().map(owned).collect(),
            next_cursor: page.next_cursor,
        })
    }
}
