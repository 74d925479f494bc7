//! The list of all operations.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use super::answer::Answer;
use super::audit_list::AuditList;
use super::error::ApiError;
use super::operation::{Audience, Caller, Operation};
use super::schema;
use super::state_delete::StateDelete;
use super::state_get::StateGet;
use super::state_list::StateList;
use super::state_put::StatePut;
use super::task_answer::TaskAnswer;
use super::task_cancel::TaskCancel;
use super::task_delete::TaskDelete;
use super::task_export::TaskExport;
use super::task_list::TaskList;
use super::task_list_all::TaskListAll;
use super::task_output::TaskOutput;
use super::task_resolve::TaskResolve;
use super::task_result::TaskResult;
use super::task_retry::TaskRetry;
use super::task_send::TaskSend;
use super::task_status::TaskStatus;
use super::task_wait::TaskWait;
use super::token_list::TokenList;
use super::token_new::TokenNew;
use super::token_revoke::TokenRevoke;
use super::tool_add::{ToolAdd, ToolRemove, ToolUpdate};
use super::tool_added::ToolAdded;
use super::tool_approve::{ToolApprovals, ToolApprove, ToolRevoke};
use super::tool_block::{ToolBlock, ToolBlocks, ToolUnblock};
use super::tool_components::ToolComponents;
use super::tool_copy::ToolCopy;
use super::tool_pin::ToolPin;
use super::tool_trial::{ToolMove, ToolTry};
use crate::catalog::Annotations;
use crate::engine::TaskEngine;

/// All of them, in the order in which they are described.
pub static OPERATIONS: &[OwnOperation] = &[
    OwnOperation::of::<TaskList>(),
    OwnOperation::of::<TaskListAll>(),
    OwnOperation::of::<TaskStatus>(),
    OwnOperation::of::<TaskWait>(),
    OwnOperation::of::<TaskResult>(),
    OwnOperation::of::<TaskOutput>(),
    OwnOperation::of::<TaskCancel>(),
    OwnOperation::of::<TaskDelete>(),
    OwnOperation::of::<TaskExport>(),
    OwnOperation::of::<TaskSend>(),
    OwnOperation::of::<TaskAnswer>(),
    OwnOperation::of::<TaskRetry>(),
    OwnOperation::of::<TaskResolve>(),
    OwnOperation::of::<StateGet>(),
    OwnOperation::of::<StatePut>(),
    OwnOperation::of::<StateList>(),
    OwnOperation::of::<StateDelete>(),
    OwnOperation::of::<TokenNew>(),
    OwnOperation::of::<TokenList>(),
    OwnOperation::of::<TokenRevoke>(),
    OwnOperation::of::<ToolComponents>(),
    OwnOperation::of::<ToolPin>(),
    OwnOperation::of::<ToolAdd>(),
    OwnOperation::of::<ToolUpdate>(),
    OwnOperation::of::<ToolAdded>(),
    OwnOperation::of::<ToolCopy>(),
    OwnOperation::of::<ToolTry>(),
    OwnOperation::of::<ToolMove>(),
    OwnOperation::of::<ToolRemove>(),
    OwnOperation::of::<ToolApprove>(),
    OwnOperation::of::<ToolRevoke>(),
    OwnOperation::of::<ToolApprovals>(),
    OwnOperation::of::<ToolBlock>(),
    OwnOperation::of::<ToolUnblock>(),
    OwnOperation::of::<ToolBlocks>(),
    OwnOperation::of::<AuditList>(),
];

/// An operation whose types are not known where it is called.
pub struct OwnOperation {
    pub name: &'static str,
    pub title: &'static str,
    /// With `{…}` for names of tools.
    pub description: &'static str,
    pub hints: Annotations,
    pub audience: Audience,
    takes: fn() -> Value,
    answers: fn() -> Option<Value>,
    run: Run,
}

type Run = for<'a> fn(Value, &'a TaskEngine, &'a Caller<'a>) -> BoxFuture<'a, Result<Answer, ApiError>>;

impl OwnOperation {
    const fn of<O: Operation>() -> Self {
        Self {
            name: O::NAME,
            title: O::TITLE,
            description: O::DESCRIPTION,
            hints: O::HINTS,
            audience: O::AUDIENCE,
            takes: schema::of_request::<O>,
            answers: O::answers,
            run: run::<O>,
        }
    }

    /// The schema of its arguments.
    pub fn takes(&self) -> Value {
        (self.takes)()
    }

    /// The schema of what it answers, if that says anything.
    pub fn answers(&self) -> Option<Value> {
        (self.answers)()
    }

    /// Does it, with arguments that fit the schema.
    pub async fn run(
        &self,
        arguments: Value,
        engine: &TaskEngine,
        caller: &Caller<'_>,
    ) -> Result<Answer, ApiError> {
        (self.run)(arguments, engine, caller).await
    }
}

fn run<'a, O: Operation>(
    arguments: Value,
    engine: &'a TaskEngine,
    caller: &'a Caller<'a>,
) -> BoxFuture<'a, Result<Answer, ApiError>> {
    async move {
        let request: O =
            serde_json::from_value(arguments).map_err(|error| ApiError::Request(error.to_string()))?;
        Ok(request.run(engine, caller).await?.into())
    }
    .boxed()
}

/// What no other tool of a server may be called.
pub fn names() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().map(|operation| operation.name)
}

/// Whether a tool of this name is an operation of Longhaul's own.
pub fn is_own(name: &str) -> bool {
    OPERATIONS.iter().any(|operation| operation.name == name)
}
