//! How tasks are reached: by the server that owns the data folder, or, where none runs, in the store itself.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::remote::{Remote, RemoteError};
use crate::api::{
    ApiError, Caller, JournalDocument, Operation, StepsDocument, TaskAnswer, TaskDocument, TaskJournal,
    TaskResult, TaskStatus, TaskSteps, words,
};
use crate::authority::Principal;
use crate::cli::backup::open_copy;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Result};
use crate::cli::server::open::{offline, open_store, open_to_read, runner};
use crate::engine::{EngineError, StateError, TaskEnd, TaskEngine, TokenError};
pub use crate::private::Purpose;
use crate::store::{Presence, Store, StoreError};
use crate::task::{TaskId, ToolResult};

pub enum Access {
    Server(Box<Remote>),
    /// Opened by this process alone; nothing is run.
    Store(TaskEngine),
}

impl Access {
    /// With `url`, that server and no other. Without, the server of the data folder, and where none runs the
    /// store itself; a data folder without a store is left as it is.
    pub async fn open(url: Option<&str>, context: &Context) -> Result<Self> {
        Self::open_for(Purpose::Write, url, context).await
    }

    /// For commands that change nothing: a store without a server is not written, so that a backup and a read-only
    /// mount will do.
    pub async fn open_to_read(url: Option<&str>, context: &Context) -> Result<Self> {
        Self::open_for(Purpose::Read, url, context).await
    }

    pub async fn open_for(purpose: Purpose, url: Option<&str>, context: &Context) -> Result<Self> {
        if url.is_some() {
            return Ok(Self::Server(Box::new(Remote::of_server(url, context).await?)));
        }
        let why = match Remote::find(context).await {
            Ok(remote) => return Ok(Self::Server(Box::new(remote))),
            Err(why @ (RemoteError::Lost(_) | RemoteError::Other(_))) => why,
            Err(error) => return Err(error.into()),
        };
        // A server that starts, or that has another host alone, cannot be asked; what it has can be looked at.
        if purpose == Purpose::Read
            && matches!(Store::presence(context.data()), Ok(Presence::InUse { .. }))
            && let Ok(engine) = open_copy(&why, runner(context)?, context).await
        {
            return Ok(Self::Store(engine));
        }
        if !matches!(why, RemoteError::Lost(_)) {
            return Err(why.into());
        }
        Self::open_offline(purpose, context).await.map(Self::Store)
    }

    /// The same, but a store that is not there is made.
    pub async fn open_or_make(url: Option<&str>, context: &Context) -> Result<Self> {
        let folder = context.data();
        if url.is_none() && Store::presence(folder).map_err(EngineError::from)? == Presence::Missing {
            // A server at the usual address, if any, has another folder.
            return Ok(Self::Store(open_store(folder, runner(context)?, offline(context)).await?));
        }
        Self::open(url, context).await
    }

    /// The store itself, where there is one and no other process has it.
    pub async fn open_offline(purpose: Purpose, context: &Context) -> Result<TaskEngine> {
        let folder = context.data();
        if Store::presence(folder).map_err(EngineError::from)? == Presence::Missing {
            let text = format!("no server runs, and there are no tasks in {}", folder.display());
            return Err(CliError::not_found(text)
                .next("longhaul serve --tools PATH, or name the server's --url or its --data folder"));
        }
        // It starts nothing; it tells what the records of a journal are.
        let (runner, options) = (runner(context)?, offline(context));
        match purpose {
            Purpose::Write => open_store(folder, runner, options).await,
            Purpose::Read => open_to_read(folder, runner, options).await,
        }
    }

    /// True where tasks can be looked at but do not go on.
    pub fn runs_nothing(&self) -> bool {
        matches!(self, Self::Store(_))
    }

    pub async fn close(self) {
        match self {
            Self::Server(remote) => remote.close().await,
            Self::Store(engine) => engine.shutdown().await,
        }
    }

    pub async fn task(&mut self, id: TaskId) -> Result<TaskDocument> {
        match self {
            Self::Server(remote) => Ok(remote.task(id).await?),
            Self::Store(engine) => {
                Ok(TaskStatus { task_id: id }.run(engine, &Caller::reading(&local().overseeing())).await?)
            }
        }
    }

    /// Does it by the server, or in the store itself.
    pub async fn run<O>(&mut self, operation: O) -> Result<O::Response>
    where
        O: Operation<Response: DeserializeOwned>,
    {
        self.run_by(operation, true).await
    }

    /// The same, said to be a person's own doing or a program's.
    async fn run_by<O>(&mut self, operation: O, is_person: bool) -> Result<O::Response>
    where
        O: Operation<Response: DeserializeOwned>,
    {
        match self {
            Self::Server(remote) => Ok(remote.run(&operation, is_person).await?),
            Self::Store(engine) => {
                let caller = Caller { principal: &local(), channel: "cli", is_person, waiting: None };
                Ok(operation.run(engine, &caller).await?)
            }
        }
    }

    /// Of a completed task.
    pub async fn result(&mut self, task: &TaskDocument) -> Result<ToolResult> {
        match self {
            Self::Server(remote) => Ok(remote.result(task).await?),
            Self::Store(engine) => {
                let task_id: TaskId = task.id.parse().map_err(CliError::failed)?;
                match (TaskResult { task_id }).run(engine, &Caller::reading(&local().overseeing())).await?.end
                {
                    TaskEnd::Completed(result) => Ok(result),
                    _ => Err(CliError::failed(format_args!("task {task_id} has no result"))),
                }
            }
        }
    }

    pub async fn journal(&mut self, id: TaskId) -> Result<JournalDocument> {
        match self {
            Self::Server(remote) => Ok(remote.journal(id).await?),
            Self::Store(engine) => {
                Ok(TaskJournal { task_id: id }.run(engine, &Caller::reading(&local().overseeing())).await?)
            }
        }
    }

    pub async fn steps(&mut self, id: TaskId) -> Result<StepsDocument> {
        match self {
            Self::Server(remote) => Ok(remote.steps(id).await?),
            Self::Store(engine) => {
                Ok(TaskSteps { task_id: id }.run(engine, &Caller::reading(&local().overseeing())).await?)
            }
        }
    }

    /// An answer; without a key to the one question that is open. What a person is asked takes that of a person alone.
    pub async fn answer(&mut self, answer: TaskAnswer, is_person: bool) -> Result<TaskDocument> {
        match self {
            Self::Server(remote) => Ok(remote.answer(answer, is_person).await?),
            Self::Store(_) => self.run_by(answer, is_person).await,
        }
    }
}

/// A task as the store in `folder` has it, which no other process may have open.
pub async fn look_at(folder: &Path, id: TaskId, context: &Context) -> Result<TaskDocument> {
    let engine = open_to_read(folder, runner(context)?, offline(context)).await?;
    let task = engine.task(&local().overseeing(), id).await;
    engine.shutdown().await;
    Ok(task?.into())
}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Engine(error) => error.into(),
            ApiError::Request(_) => Self::usage(error),
            ApiError::TakesAPerson(_) => Self::refused(error),
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        let words = words(&error);
        match &error {
            EngineError::Store(StoreError::NotPrivate(why)) => why.clone().into(),
            EngineError::Store(StoreError::ReadOnly { .. }) => Self::failed(words).next(
                "copy the data folder to a disk where you may write, and name the copy with --data; what only looks \
                 (task list, task show, audit list, doctor --check) reads it where it lies",
            ),
            EngineError::NoSuchTask(_)
            | EngineError::NoSuchOutput { .. }
            | EngineError::NoSuchTool { .. }
            | EngineError::NoSuchQuestion { .. }
            | EngineError::NoSuchStep { .. }
            | EngineError::NoComponentNamed(_)
            | EngineError::NotBlocked(_)
            | EngineError::NotWaiting(_)
            | EngineError::NotAdded(_)
            | EngineError::NotApproved(_) => Self::not_found(words),
            EngineError::Arguments(_)
            | EngineError::ArgumentsTooLarge { .. }
            | EngineError::IdempotencyConflict { .. }
            | EngineError::BadIdempotencyKey { .. }
            | EngineError::BadAnswer { .. }
            | EngineError::Selection(_)
            | EngineError::WhichQuestion { .. }
            | EngineError::BadMessage(_) => Self::usage(words),
            EngineError::Token(token) => match token {
                TokenError::Missing(_) => Self::not_found(words),
                TokenError::Exists(_) | TokenError::TooMany(_) => Self::refused(words),
                _ => Self::usage(words),
            },
            EngineError::State(StateError::Invalid(_) | StateError::Limit(_)) => Self::usage(words),
            EngineError::Remote(_) => Self::not_found(words),
            EngineError::NotTriable { .. } => Self::usage(words),
            EngineError::Blocked { .. }
            | EngineError::NotMovable { .. }
            | EngineError::ComponentThere(_)
            | EngineError::Unapproved { .. }
            | EngineError::AnotherStatement { .. } => Self::refused(words),
            EngineError::Share(_) | EngineError::WrongState { .. } | EngineError::State(_) => {
                Self::refused(words)
            }
            _ => Self::failed(words),
        }
    }
}

/// The owner: a store is opened by its owner alone.
fn local() -> Principal {
    Principal::local().through(Some("longhaul-cli (closed store)".into()))
}
