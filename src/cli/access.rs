//! How tasks are reached: by the server that owns the data folder, or, where none runs, in the store itself.

use std::path::Path;

use serde_json::{Value, json};

use super::backup::open_copy;
use super::client::form::Reply;
use super::context::Context;
use super::exit::{CliError, Result};
use super::open::{open_store, open_to_read, runner};
use super::remote::{Remote, RemoteError};
use crate::authority::Principal;
use crate::engine::messages::Outgoing;
use crate::engine::questions::{Given, Hand};
use crate::engine::{
    AuditPage, AuditQuery, EngineError, EngineOptions, JournalDocument, Resolution, Slice, StateError,
    StateQuery, StateWrite, TaskDocument, TaskEnd, TaskEngine, TaskPage, TaskQuery, TokenDocument,
    TokenError, TokenGrant, state_document,
};
use crate::limits;
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
            return Ok(Self::Store(open_store(folder, runner(context)?, EngineOptions::default()).await?));
        }
        Self::open(url, context).await
    }

    /// The store itself, where there is one and nobody else has it.
    pub async fn open_offline(purpose: Purpose, context: &Context) -> Result<TaskEngine> {
        let folder = context.data();
        if Store::presence(folder).map_err(EngineError::from)? == Presence::Missing {
            let told = format!("no server runs, and there are no tasks in {}", folder.display());
            return Err(CliError::not_found(told)
                .next("longhaul serve --tools PATH, or name the server's --url or its --data folder"));
        }
        // It starts nothing; it tells what the records of a journal are.
        let (runner, options) = (runner(context)?, EngineOptions::default());
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
            Self::Store(engine) => Ok(engine.task(&local(), id)?),
        }
    }

    pub async fn tasks(&mut self, query: TaskQuery) -> Result<TaskPage> {
        match self {
            Self::Server(remote) => Ok(remote.tasks(query).await?),
            Self::Store(engine) => Ok(engine.tasks(&local(), &query)?),
        }
    }

    /// Of a completed task.
    pub async fn result(&mut self, task: &TaskDocument) -> Result<ToolResult> {
        match self {
            Self::Server(remote) => Ok(remote.result(task).await?),
            Self::Store(engine) => {
                let id: TaskId = task.id.parse().map_err(CliError::failed)?;
                match engine.result(&local(), id)? {
                    TaskEnd::Completed(result) => Ok(result),
                    _ => Err(CliError::failed(format_args!("task {id} has no result"))),
                }
            }
        }
    }

    /// A piece, and where the next one begins.
    pub async fn output(&mut self, id: TaskId, name: &str, offset: u64) -> Result<(Slice, u64)> {
        const AT_MOST: usize = limits::MAX_OUTPUT_READ_BYTES;
        let slice = match self {
            Self::Server(remote) => return Ok(remote.output(id, name, offset).await?),
            Self::Store(engine) if name == "log" => engine.log(&local(), id, offset, AT_MOST)?,
            Self::Store(engine) => engine.output(&local(), id, name, offset, AT_MOST)?,
        };
        let next = offset + slice.bytes.len() as u64;
        Ok((slice, next))
    }

    pub async fn journal(&mut self, id: TaskId) -> Result<JournalDocument> {
        match self {
            Self::Server(remote) => Ok(remote.journal(id).await?),
            Self::Store(engine) => Ok(engine.journal(&local(), id)?),
        }
    }

    pub async fn cancel(&mut self, id: TaskId, reason: Option<String>) -> Result<TaskDocument> {
        match self {
            Self::Server(remote) => Ok(remote.cancel(id, reason).await?),
            Self::Store(engine) => Ok(engine.cancel(&local(), id, reason).await?),
        }
    }

    /// `{value, version, updated_at, by}`, or `{version: 0}`.
    pub async fn state_get(&mut self, namespace: &str, key: &str) -> Result<Value> {
        match self {
            Self::Server(remote) => Ok(remote.state_get(namespace, key).await?),
            Self::Store(engine) => Ok(state_document(engine.state_get(&local(), namespace, key)?.as_ref())),
        }
    }

    /// The new version.
    pub async fn state_write(&mut self, namespace: &str, write: StateWrite) -> Result<u64> {
        match self {
            Self::Server(remote) => Ok(remote.state_put(namespace, &write).await?),
            Self::Store(engine) => {
                let versions = engine.state_write(&local(), namespace, vec![write]).await?;
                Ok(versions.first().copied().unwrap_or_default())
            }
        }
    }

    /// `{entries: [{key, version, updated_at, by}], next_cursor?}`
    pub async fn state_list(&mut self, namespace: &str, query: &StateQuery) -> Result<Value> {
        match self {
            Self::Server(remote) => Ok(remote.state_list(namespace, query).await?),
            Self::Store(engine) => Ok(engine.state_list(&local(), namespace, query)?.document()),
        }
    }

    /// The message's number.
    pub async fn send(&mut self, id: TaskId, message: Outgoing) -> Result<u64> {
        match self {
            Self::Server(remote) => Ok(remote.send(id, message).await?),
            Self::Store(engine) => Ok(engine.send(&local(), id, message).await?),
        }
    }

    /// An answer; without a key to the one question that is open. What a person is asked takes that of a person alone.
    pub async fn answer(
        &mut self,
        id: TaskId,
        key: Option<&str>,
        reply: Reply,
        is_person: bool,
    ) -> Result<TaskDocument> {
        let hand = Hand { channel: "cli", is_person };
        let Reply { action, content } = reply;
        match self {
            Self::Server(remote) => Ok(remote.answer(id, key, action, content, is_person).await?),
            Self::Store(engine) => {
                let given = match action {
                    "accept" => Given::Accept(content.unwrap_or_else(|| json!({}))),
                    "decline" => Given::Decline,
                    _ => Given::Cancel,
                };
                Ok(engine.answer(&local(), id, key, given, hand).await?)
            }
        }
    }

    pub async fn retry(&mut self, id: TaskId, from_step: Option<u64>) -> Result<TaskDocument> {
        match self {
            Self::Server(remote) => Ok(remote.retry(id, from_step).await?),
            Self::Store(engine) => Ok(engine.retry(&local(), id, from_step).await?),
        }
    }

    pub async fn new_token(&mut self, grant: TokenGrant) -> Result<String> {
        match self {
            Self::Server(remote) => Ok(remote.new_token(grant).await?),
            Self::Store(engine) => Ok(engine.new_token(&local(), grant).await?),
        }
    }

    pub async fn tokens(&mut self) -> Result<Vec<TokenDocument>> {
        match self {
            Self::Server(remote) => Ok(remote.tokens().await?),
            Self::Store(engine) => Ok(engine.tokens()),
        }
    }

    pub async fn revoke_token(&mut self, name: &str) -> Result<()> {
        match self {
            Self::Server(remote) => Ok(remote.revoke_token(name).await?),
            Self::Store(engine) => Ok(engine.revoke_token(&local(), name).await?),
        }
    }

    /// What there is to say about it.
    pub async fn pin(&mut self, server: &str) -> Result<Vec<String>> {
        match self {
            Self::Server(remote) => Ok(remote.pin(server).await?),
            Self::Store(engine) => Ok(engine.pin(&local(), server).await?),
        }
    }

    pub async fn audit(&mut self, query: AuditQuery) -> Result<AuditPage> {
        match self {
            Self::Server(remote) => Ok(remote.audit(query).await?),
            Self::Store(engine) => Ok(engine.audit(query).await?),
        }
    }

    pub async fn resolve(&mut self, id: TaskId, step: u64, resolution: Resolution) -> Result<TaskDocument> {
        match self {
            Self::Server(remote) => Ok(remote.resolve(id, step, resolution).await?),
            Self::Store(engine) => Ok(engine.resolve(&local(), id, step, resolution).await?),
        }
    }
}

/// A task as the store in `folder` has it, which nobody else may have open.
pub async fn look_at(folder: &Path, id: TaskId, context: &Context) -> Result<TaskDocument> {
    let engine = open_to_read(folder, runner(context)?, EngineOptions::default()).await?;
    let task = engine.task(&local(), id);
    engine.shutdown().await;
    Ok(task?)
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        match &error {
            EngineError::Store(StoreError::NotPrivate(why)) => why.clone().into(),
            EngineError::Store(StoreError::ReadOnly { .. }) => Self::failed(error).next(
                "copy the data folder to a disk where you may write, and name the copy with --data; what only looks \
                 (task list, task show, audit list, doctor --check) reads it where it lies",
            ),
            EngineError::NoSuchTask(_)
            | EngineError::NoSuchOutput { .. }
            | EngineError::NoSuchTool { .. }
            | EngineError::NoSuchQuestion { .. }
            | EngineError::NoSuchStep { .. } => Self::not_found(error),
            EngineError::Arguments(_)
            | EngineError::ArgumentsTooLarge { .. }
            | EngineError::IdempotencyConflict { .. }
            | EngineError::BadIdempotencyKey { .. }
            | EngineError::BadAnswer { .. }
            | EngineError::WhichQuestion { .. }
            | EngineError::BadMessage(_) => Self::usage(error),
            EngineError::Token(token) => match token {
                TokenError::Missing(_) => Self::not_found(error),
                TokenError::Exists(_) | TokenError::TooMany(_) => Self::refused(error),
                TokenError::BadName(_) | TokenError::BadTools(_) | TokenError::BadState(_) => {
                    Self::usage(error)
                }
            },
            EngineError::State(StateError::Invalid(_) | StateError::Limit(_)) => Self::usage(error),
            EngineError::Remote(_) => Self::not_found(error),
            EngineError::TooManyOpenTasks { .. } | EngineError::State(_) => Self::refused(error),
            _ => Self::failed(error),
        }
    }
}

/// Whoever may open the store is its owner.
fn local() -> Principal {
    Principal::local().through(Some("longhaul-cli (closed store)".into()))
}
