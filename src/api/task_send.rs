use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ApiError;
use super::operation::{ADDS, Caller, Operation, shown_as_it_is};
use super::{schema, task_id};
use crate::catalog::Annotations;
use crate::engine::TaskEngine;
use crate::engine::messages::Outgoing;
use crate::limits;
use crate::task::TaskId;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskSend {
    /// The id of the task, as its link gave it.
    #[serde(with = "task_id")]
    #[schemars(with = "String")]
    pub task_id: TaskId,
    #[schemars(length(min = 1, max = limits::MAX_MESSAGE_NAME_BYTES))]
    pub name: String,
    /// What the tool expects.
    #[schemars(schema_with = "schema::any_json")]
    pub payload: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = limits::MAX_IDEMPOTENCY_KEY_BYTES))]
    pub key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// Its number, from 1.
    pub seq: u64,
}

shown_as_it_is!(Sent);

impl Operation for TaskSend {
    type Response = Sent;

    const NAME: &'static str = "task_send";
    const TITLE: &'static str = "Send a message to a task";
    const DESCRIPTION: &'static str = "Send a message to a task that has not ended; the tool's description says which names it listens to. It is \
         delivered once, in order. The same key again is the same message.";
    const HINTS: Annotations = ADDS;

    fn answers() -> Option<Value> {
        Some(schema::of_response::<Sent>())
    }

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<Sent, ApiError> {
        let Self { task_id, name, payload, key } = self;
        Ok(Sent { seq: engine.send(&caller.overseer(), task_id, Outgoing { name, payload, key }).await? })
    }
}
