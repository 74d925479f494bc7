//! What each file of an operation says.

use std::borrow::Cow;
use std::future::Future;
use std::time::Duration;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::Answer;
use super::error::ApiError;
use crate::authority::Principal;
use crate::catalog::Annotations;
use crate::engine::questions::AnsweredVia;
use crate::engine::{EngineError, TaskEngine};
use crate::task::TaskId;

/// Something that a caller may ask for. The type is its request: its fields are the arguments of the tool, their
/// comments what clients read of them.
pub trait Operation: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    type Response: Into<Answer> + Send;

    /// As tools are called.
    const NAME: &'static str;
    const TITLE: &'static str;
    /// `{task_wait}` in it, as in the comments of fields, stands for the name under which clients have that tool.
    const DESCRIPTION: &'static str;
    const HINTS: Annotations;
    const AUDIENCE: Audience = Audience::Tasks;

    /// The schema of what it answers; `None` says nothing about it.
    fn answers() -> Option<Value> {
        None
    }

    fn run(
        self,
        engine: &TaskEngine,
        caller: &Caller<'_>,
    ) -> impl Future<Output = Result<Self::Response, ApiError>> + Send;
}

/// Whom an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every caller, about its own tasks.
    Tasks,
    /// Agents that share state with tools, where the operator says so.
    State,
    /// A person, about tasks of their own, or the owner about any. No list shows it.
    Person,
    /// Who owns this server's data folder. For others there is no such operation.
    Owner,
}

/// Who asks.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub principal: &'a Principal,
    /// How it comes, in the word that a task shows for its answers.
    pub channel: &'static str,
    /// A person's own doing, not a model's; for `local`, the owner's.
    pub is_person: bool,
    /// How it waits for a task, where it does more meanwhile than to wait.
    pub waiting: Option<&'a dyn Waiting>,
}

/// A wing's own way to wait for a task.
pub trait Waiting: Send + Sync {
    /// Ends when the task has ended or asks something, when the time is over, or when the caller gives it up.
    fn wait<'a>(
        &'a self,
        tool: &'a str,
        id: TaskId,
        at_most: Duration,
    ) -> BoxFuture<'a, Result<(), EngineError>>;
}

impl<'a> Caller<'a> {
    /// One that only looks, and leaves no trace of how it came.
    pub fn reading(principal: &'a Principal) -> Self {
        Self { principal, channel: "", is_person: false, waiting: None }
    }

    /// The caller where it looks at tasks, or does something about them: the owner sees those of all principals, where a
    /// person asks by what only the owner of the data folder has.
    pub(super) fn overseer(&self) -> Cow<'a, Principal> {
        if self.is_person && self.principal.is_local() {
            Cow::Owned(self.principal.clone().overseeing())
        } else {
            Cow::Borrowed(self.principal)
        }
    }

    pub(super) fn answered_via(&self) -> AnsweredVia {
        AnsweredVia { channel: self.channel, is_person: self.is_person }
    }
}

/// A response that is shown as it serialises.
macro_rules! shown_as_it_is {
    ($($response:ty),*) => {
        $(impl From<$response> for $crate::api::answer::Answer {
            fn from(response: $response) -> Self {
                Self::Value(serde_json::to_value(response).unwrap_or_default())
            }
        })*
    };
}
pub(super) use shown_as_it_is;

pub(super) const READS: Annotations =
    Annotations { read_only: Some(true), destructive: None, idempotent: Some(true), open_world: Some(false) };

pub(super) const ADDS: Annotations = Annotations {
    read_only: Some(false),
    destructive: Some(false),
    idempotent: Some(false),
    open_world: Some(false),
};

/// Takes something away or replaces it; done twice it is the same.
pub(super) const REPLACES: Annotations = Annotations {
    read_only: Some(false),
    destructive: Some(true),
    idempotent: Some(true),
    open_world: Some(false),
};
