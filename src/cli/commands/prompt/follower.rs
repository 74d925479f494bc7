//! One remembered task, from its call to its end, over a connection of its own and however long its server is away.

use std::time::Duration;

use tokio::sync::mpsc;

use super::memory::Entry;
use crate::api::TaskDocument;
use crate::cli::client::follow::{self, Audience};
use crate::cli::client::remote::{Remote, RemoteError};
use crate::cli::exit::CliError;
use crate::mcp::ClientOptions;
use crate::task::{TaskId, ToolResult};

const BACKOFF: Duration = Duration::from_millis(500);

/// What is reported of the entry with this key.
pub struct Event {
    pub key: String,
    pub what: What,
}

pub enum What {
    Note(String),
    /// The call was answered: the task is on disk.
    Acknowledged(TaskId),
    Stands(Box<TaskDocument>),
    Ended(Box<TaskDocument>, Option<ToolResult>),
    /// There is no such task, or the call was refused.
    Failed {
        error: CliError,
        /// Trying again is of no use.
        for_good: bool,
    },
}

pub async fn follow(entry: Entry, server: ClientOptions, events: mpsc::Sender<Event>) {
    let teller = Teller { key: entry.key.clone(), events, noted: String::new() };
    let sender = teller.clone();
    let what = match to_the_end(entry, server, teller).await {
        Ok((task, result)) => What::Ended(task, result),
        Err((error, for_good)) => What::Failed { error, for_good },
    };
    sender.tell(what).await;
}

async fn to_the_end(
    entry: Entry,
    server: ClientOptions,
    mut teller: Teller,
) -> Result<(Box<TaskDocument>, Option<ToolResult>), (CliError, bool)> {
    let mut remote = loop {
        match Remote::connect_with(server.clone()).await {
            Ok(remote) => break remote,
            Err(RemoteError::Lost(why)) => teller.away(&why).await,
            Err(error) => return Err((error.into(), false)),
        }
    };
    let id = match entry.id {
        Some(id) => id,
        None => {
            let id = start(&mut remote, &entry, &mut teller).await.map_err(|error| (error, true))?;
            teller.tell(What::Acknowledged(id)).await;
            id
        }
    };
    let task = follow::patiently(&mut remote, id, &mut teller, Duration::MAX).await;
    let task = task.map_err(|error| (error, true))?;
    let result = match task.state.as_str() {
        "completed" => Some(result(&mut remote, &task, &mut teller).await.map_err(|error| (error, false))?),
        _ => None,
    };
    remote.close().await;
    Ok((Box::new(task), result))
}

/// Sends the call until it is answered; with its key it is one task, however often it is sent.
async fn start(remote: &mut Remote, entry: &Entry, teller: &mut Teller) -> Result<TaskId, CliError> {
    loop {
        match remote.start(&entry.tool, &entry.arguments, &entry.key).await {
            Ok(id) => return Ok(id),
            Err(RemoteError::Lost(why)) => teller.away(&why).await,
            Err(error) => return Err(error.into()),
        }
        // Where this fails, so does the next try.
        let _ = remote.reconnect().await;
    }
}

async fn result(
    remote: &mut Remote,
    task: &TaskDocument,
    teller: &mut Teller,
) -> Result<ToolResult, CliError> {
    loop {
        match remote.result(task).await {
            Ok(result) => return Ok(result),
            Err(RemoteError::Lost(why)) => teller.away(&why).await,
            Err(error) => return Err(error.into()),
        }
        let _ = remote.reconnect().await;
    }
}

#[derive(Clone)]
struct Teller {
    key: String,
    events: mpsc::Sender<Event>,
    /// What was noted last: the same is not said twice.
    noted: String,
}

impl Teller {
    async fn tell(&self, what: What) {
        // A client that is gone has no use for it.
        let _ = self.events.send(Event { key: self.key.clone(), what }).await;
    }

    async fn away(&mut self, why: &str) {
        self.note(why);
        tokio::time::sleep(BACKOFF).await;
    }
}

impl Audience for Teller {
    fn show(&mut self, task: &TaskDocument) {
        self.noted.clear();
        let what = What::Stands(Box::new(task.clone()));
        // Where the client is behind, it hears where the task stands later.
        let _ = self.events.try_send(Event { key: self.key.clone(), what });
    }

    fn note(&mut self, text: &str) {
        if self.noted != text {
            self.noted = text.to_owned();
            let _ = self.events.try_send(Event { key: self.key.clone(), what: What::Note(text.to_owned()) });
        }
    }
}
