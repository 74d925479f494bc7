use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::documents::TaskDocument;
use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, READS, shown_as_it_is};
use super::task_list::TaskList;
use crate::catalog::Annotations;
use crate::engine::{TaskEngine, TaskView, Whose};

/// Tasks of one principal, or of all of them: for the owner.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
// A flattened field looks like an unknown one: the schema refuses those before it is read.
#[schemars(extend("additionalProperties" = false))]
pub struct TaskListAll {
    /// Only tasks of this principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    #[serde(flatten)]
    pub list: TaskList,
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
        let query = self.list.query(self.principal.map_or(Whose::All, Whose::Of));
        let page = engine.tasks(&caller.overseer(), &query).await?;
        let owned =
            |task: TaskView| OwnedTask { principal: task.principal.clone(), task: TaskDocument::from(task) };
        Ok(AllTasksListed {
            tasks: page.tasks.into_iter().map(owned).collect(),
            next_cursor: page.next_cursor,
        })
    }
}
