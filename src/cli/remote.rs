//! A running Longhaul, spoken to over MCP.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{CliError, Exit, Result};
use super::render::escape_text;
use super::server_file::ServerInfo;
use crate::catalog::{OWN_TOOL_NAMES, Reply};
use crate::engine::{JournalDocument, Slice, TaskDocument, TaskPage, TaskQuery};
use crate::mcp::{CallOptions, CallOutcome, Client, ClientError, ToolInfo, Updates};
use crate::store::{Presence, Store};
use crate::task::{TaskId, ToolResult};

/// A server of this machine that has not answered by now is gone.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

pub struct Remote {
    client: Client,
    url: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Nobody answers, or not any more: it may be back in a moment.
    #[error("{0}")]
    Lost(String),
    #[error("{0}")]
    NotFound(String),
    /// The server answered: no.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Other(String),
}

impl Remote {
    pub async fn connect(url: &str) -> Result<Self, RemoteError> {
        Ok(Self { client: connect(url).await?, url: url.to_owned() })
    }

    /// The server at `url`, or the one that is meant where nobody names one.
    pub async fn of_server(url: Option<&str>, context: &Context) -> Result<Self> {
        match url {
            Some(url) => Ok(Self::connect(url).await?),
            None => Ok(Self::find(context).await?),
        }
    }

    /// The server of the data folder; where that has none and was not named, the one at the usual address.
    pub async fn find(context: &Context) -> Result<Self, RemoteError> {
        let folder = context.data();
        let presence = Store::presence(folder).map_err(|e| RemoteError::Other(e.to_string()))?;
        let in_use = matches!(presence, Presence::InUse { .. });
        match ServerInfo::read(folder).filter(|_| in_use) {
            Some(ServerInfo { url: Some(url), .. }) => return Self::connect(&url).await,
            Some(ServerInfo { pid, url: None, .. }) => {
                return Err(RemoteError::Other(format!(
                    "the server of {}, pid {pid}, speaks to its own client on stdio alone; kill {pid} stops it",
                    folder.display()
                )));
            }
            None => {}
        }
        if context.data_named {
            let told =
                format!("no server runs on {0}: longhaul serve --data {0} starts one", folder.display());
            return Err(RemoteError::Lost(told));
        }
        Self::connect(&format!("http://{}/mcp", context.settings.http)).await
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends the connection; tasks go on.
    pub async fn close(self) {
        self.client.close().await;
    }

    /// A new connection to the same server.
    pub async fn reconnect(&mut self) -> Result<(), RemoteError> {
        self.client = connect(&self.url).await?;
        Ok(())
    }

    pub async fn tools(&self) -> Result<Vec<ToolInfo>, RemoteError> {
        Ok(self.client.tools().await?)
    }

    /// Starts a task. The same key, tool and arguments lead to the same task.
    pub async fn start(&self, tool: &str, arguments: &Value, key: &str) -> Result<TaskId, RemoteError> {
        let options = CallOptions {
            reply: Some(Reply::Link),
            idempotency_key: Some(key.to_owned()),
            ..CallOptions::default()
        };
        let outcome = self.client.call(tool, arguments.clone(), &options).await?;
        let id = outcome.link().map(|link| link.task_id).or_else(|| outcome.task.clone());
        match id {
            Some(id) => {
                id.parse().map_err(|e| RemoteError::Other(format!("the server names a task oddly: {e}")))
            }
            None if outcome.is_error => Err(RemoteError::Refused(outcome.text())),
            None => {
                Err(RemoteError::Other(format!("{} answers without a task: it is no longhaul", self.url)))
            }
        }
    }

    pub async fn task(&self, id: TaskId) -> Result<TaskDocument, RemoteError> {
        Ok(self.client.task(&id.uri()).await?)
    }

    /// Tells of every change of a task from now on.
    pub async fn watch(&self, id: TaskId) -> Result<Updates, RemoteError> {
        Ok(self.client.watch(&[id.uri()]).await?)
    }

    pub async fn tasks(&self, query: TaskQuery) -> Result<TaskPage, RemoteError> {
        let arguments = without_nulls(json!({
            "state": query.state, "tool": query.tool, "limit": query.limit, "cursor": query.cursor,
        }));
        let mut page = self.own_tool("task_list", arguments).await?;
        let next_cursor = page["next_cursor"].as_str().map(str::to_owned);
        Ok(TaskPage { tasks: parsed(page["tasks"].take())?, next_cursor })
    }

    /// Of a completed task.
    pub async fn result(&self, task: &TaskDocument) -> Result<ToolResult, RemoteError> {
        let outcome = self.call_own("task_result", json!({ "task_id": task.id })).await?;
        Ok(ToolResult {
            content: outcome.content,
            structured: outcome.structured.map(|structured| structured.to_string()),
            is_error: outcome.is_error,
        })
    }

    pub async fn output(&self, id: TaskId, name: &str, offset: u64) -> Result<Slice, RemoteError> {
        let arguments = json!({ "task_id": id, "name": name, "offset": offset });
        let piece = self.own_tool("task_output", arguments).await?;
        let bytes = match (piece["text"].as_str(), piece["base64"].as_str()) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(data)) => BASE64.decode(data).map_err(|e| RemoteError::Other(e.to_string()))?,
            (None, None) => {
                return Err(RemoteError::Other("task_output gave neither text nor base64".to_owned()));
            }
        };
        Ok(Slice {
            bytes,
            mime_type: piece["mime_type"].as_str().unwrap_or("application/octet-stream").to_owned(),
            total: piece["bytes"].as_u64().unwrap_or_default(),
            done: piece["done"].as_bool().unwrap_or_default(),
        })
    }

    pub async fn journal(&self, id: TaskId) -> Result<JournalDocument, RemoteError> {
        let body = self.client.read(&format!("{}/journal", id.uri())).await?;
        serde_json::from_slice(&body.bytes)
            .map_err(|e| RemoteError::Other(format!("this is no journal: {e}")))
    }

    pub async fn cancel(&self, id: TaskId, reason: Option<String>) -> Result<TaskDocument, RemoteError> {
        let arguments = without_nulls(json!({ "task_id": id, "reason": reason }));
        parsed(self.own_tool("task_cancel", arguments).await?)
    }

    pub async fn retry(&self, id: TaskId, from_step: Option<u64>) -> Result<TaskDocument, RemoteError> {
        let arguments = without_nulls(json!({ "task_id": id, "from_step": from_step }));
        parsed(self.own_tool("task_retry", arguments).await?)
    }

    /// What one of Longhaul's own tools answers with.
    async fn own_tool(&self, tool: &str, arguments: Value) -> Result<Value, RemoteError> {
        let outcome = self.call_own(tool, arguments).await?;
        if outcome.is_error {
            return Err(RemoteError::Refused(outcome.text()));
        }
        outcome.structured.ok_or_else(|| RemoteError::Other(format!("{tool} answered without a value")))
    }

    async fn call_own(&self, tool: &str, arguments: Value) -> Result<CallOutcome, RemoteError> {
        Ok(self.client.call(tool, arguments, &CallOptions::default()).await?)
    }
}

/// Whether a tool is one of Longhaul's own.
pub fn is_own(tool: &ToolInfo) -> bool {
    OWN_TOOL_NAMES.contains(&tool.name.as_str())
}

impl RemoteError {
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

impl From<ClientError> for RemoteError {
    fn from(error: ClientError) -> Self {
        let told = error.to_string();
        match error {
            ClientError::Unreachable { .. } | ClientError::Disconnected { .. } => Self::Lost(told),
            ClientError::NotFound { .. } => Self::NotFound(told),
            ClientError::Refused { .. } | ClientError::Protocol { .. } => Self::Refused(told),
            ClientError::BadUrl { .. } | ClientError::NotMcp { .. } | ClientError::Unexpected { .. } => {
                Self::Other(told)
            }
        }
    }
}

impl From<RemoteError> for CliError {
    fn from(error: RemoteError) -> Self {
        let exit = match &error {
            RemoteError::Lost(_) | RemoteError::Other(_) => Exit::Failed,
            RemoteError::NotFound(_) => Exit::NotFound,
            RemoteError::Refused(_) => Exit::Refused,
        };
        Self { exit, message: escape_text(&error.to_string()), next: None }
    }
}

async fn connect(url: &str) -> Result<Client, RemoteError> {
    match tokio::time::timeout(CONNECT_PATIENCE, Client::connect(url)).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(RemoteError::Lost(format!("the server at {url} does not answer"))),
    }
}

fn parsed<T: DeserializeOwned>(value: Value) -> Result<T, RemoteError> {
    serde_json::from_value(value)
        .map_err(|e| RemoteError::Other(format!("the server's answer is not understood: {e}")))
}

fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null());
    }
    value
}
