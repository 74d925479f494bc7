//! A running Longhaul, spoken to over MCP.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::{
    Audience, InputRequest, JournalDocument, Operation, StepsDocument, TaskAnswer, TaskDocument, TaskResult,
    state_uri,
};
use crate::authority::Secret;
use crate::catalog::Reply;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::server::own_server;
use crate::cli::server::server_file::{ServerInfo, Serves};
use crate::cli::show::render::escape_text;
use crate::mcp::{
    CallOptions, CallOutcome, Client, ClientError, ClientOptions, ResourceBody, ToolInfo, Updates,
};
use crate::private::{self, NotPrivate};
use crate::store::{Presence, Store, StoreError};
use crate::task::{QuestionKind, TaskId, ToolResult};

/// Of the address of a socket.
const SOCKET_SCHEME: &str = "unix:";

/// A server of this machine that has not answered by now is gone.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

pub struct Remote {
    client: Client,
    options: ClientOptions,
    /// The person named its URL.
    named: bool,
    /// It is reached by what only the owner of its data folder has.
    as_owner: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// No server answers, or not any more: it may be back in a moment.
    #[error("{0}")]
    Lost(String),
    #[error("{0}")]
    NotFound(String),
    /// The server answered: no.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Other(String),
    /// The data folder is not this user's alone: nothing in it is believed.
    #[error(transparent)]
    NotPrivate(NotPrivate),
}

impl Remote {
    pub async fn connect(url: &str, token: Option<Secret>) -> Result<Self, RemoteError> {
        Self::connect_with(ClientOptions { url: url.to_owned(), token, ..ClientOptions::default() }).await
    }

    pub async fn connect_with(options: ClientOptions) -> Result<Self, RemoteError> {
        let as_owner = options.url.starts_with(SOCKET_SCHEME);
        Ok(Self { client: connect(options.clone()).await?, options, named: false, as_owner })
    }

    /// The server that listens at an address which stands in the data folder.
    async fn of_folder(url: &str, token: Option<Secret>, context: &Context) -> Result<Self, RemoteError> {
        let server_of = Some(context.data().to_owned());
        Self::connect_with(ClientOptions { server_of, ..context.server(url, token) }).await
    }

    /// Its URL stands in the commands that people are shown.
    pub fn named(self) -> Self {
        Self { named: true, ..self }
    }

    /// The server at `url`, or the one that is meant where none is named.
    pub async fn of_server(url: Option<&str>, context: &Context) -> Result<Self> {
        match url {
            Some(url) => {
                let key = if context.token.is_none() { own_server::key(url, context) } else { None };
                let as_owner = key.is_some() || url.starts_with(SOCKET_SCHEME);
                let server_of = key.is_some().then(|| context.data().to_owned());
                let options = context.server(url, context.token.clone().or(key));
                let options = ClientOptions { server_of, ..options };
                Ok(Self { as_owner, ..Self::connect_with(options).await? }.named())
            }
            None => Ok(Self::find(context).await?),
        }
    }

    /// The server of the data folder; where that has none and was not named, the one at the usual address.
    pub async fn find(context: &Context) -> Result<Self, RemoteError> {
        let folder = context.data();
        let presence = Store::presence(folder).map_err(|error| match error {
            StoreError::NotPrivate(why) => RemoteError::NotPrivate(why),
            error => RemoteError::Other(error.to_string()),
        })?;
        let in_use = matches!(presence, Presence::InUse { .. });
        if let Some(info) = ServerInfo::read(folder).filter(|_| in_use) {
            let (pid, place) = (info.pid, folder.display());
            match (info.socket, info.url, context.token.clone()) {
                (_, Some(url), Some(token)) => return Self::of_folder(&url, Some(token), context).await,
                // Only the folder's owner can open it.
                (Some(socket), _, None) => {
                    private::no_link(&socket).map_err(|error| RemoteError::Other(error.to_string()))?;
                    return Self::connect(&format!("{SOCKET_SCHEME}{}", socket.display()), None).await;
                }
                // The server's key says the same.
                (None, Some(url), None) => {
                    let remote = Self::of_folder(&url, info.key.map(Secret::new), context).await?;
                    return Ok(Self { as_owner: true, ..remote });
                }
                (Some(_), None, Some(_)) => {
                    return Err(RemoteError::Refused(format!(
                        "the server of {place}, pid {pid}, listens on its socket alone, where all callers are \
                         local: leave the token out"
                    )));
                }
                (None, None, _) => {}
            }
            return Err(match info.serves {
                Serves::OneHost => RemoteError::Other(format!(
                    "the server of {place}, pid {pid}, runs with --private: it speaks to its own host alone, and \
                     ends with it"
                )),
                _ => RemoteError::Lost(format!("the server of {place}, pid {pid}, does not answer yet")),
            });
        }
        if context.data_named {
            let words =
                format!("no server runs on {0}: longhaul serve --data {0} starts one", folder.display());
            return Err(RemoteError::Lost(words));
        }
        let usual = format!("http://{}/mcp", context.settings.http);
        if context.token.is_some() {
            return Err(RemoteError::Refused(token_is_not_for(&usual, "no server runs on the data folder")));
        }
        Self::connect(&usual, None).await
    }

    pub fn url(&self) -> &str {
        &self.options.url
    }

    /// How it was reached.
    pub fn options(&self) -> &ClientOptions {
        &self.options
    }

    async fn client(&self) -> Result<&Client, RemoteError> {
        still_there(&self.options).await?;
        Ok(&self.client)
    }

    /// What a further command needs so that it reaches the same server: nothing, or ` --url URL`.
    pub fn at(&self) -> String {
        if self.named { format!(" --url {}", self.url()) } else { String::new() }
    }

    /// Ends the connection; tasks go on.
    pub async fn close(self) {
        self.client.close().await;
    }

    /// A new connection to the same server; the data folder's own may listen elsewhere by now.
    pub async fn reconnect(&mut self) -> Result<(), RemoteError> {
        let moved = self.options.server_of.as_deref().filter(|_| !self.named).and_then(ServerInfo::read);
        if let Some(url) = moved.and_then(|info| info.url) {
            self.options.url = url;
        }
        self.client = connect(self.options.clone()).await?;
        Ok(())
    }

    pub async fn tools(&self) -> Result<Vec<ToolInfo>, RemoteError> {
        Ok(self.client().await?.tools().await?)
    }

    /// Starts a task. The same key, tool and arguments lead to the same task.
    pub async fn start(&self, tool: &str, arguments: &Value, key: &str) -> Result<TaskId, RemoteError> {
        let options = CallOptions {
            reply: Some(Reply::Link),
            idempotency_key: Some(key.to_owned()),
            ..CallOptions::default()
        };
        let outcome = self.client().await?.call(tool, arguments.clone(), &options).await?;
        let id = outcome.link().map(|link| link.task_id).or_else(|| outcome.task.clone());
        match id {
            Some(id) => {
                id.parse().map_err(|e| RemoteError::Other(format!("the server names a task oddly: {e}")))
            }
            None if outcome.is_error => Err(RemoteError::Refused(outcome.text())),
            None => {
                Err(RemoteError::Other(format!("{} answers without a task: it is no longhaul", self.url())))
            }
        }
    }

    pub async fn task(&self, id: TaskId) -> Result<TaskDocument, RemoteError> {
        let body = self.read(&id.uri()).await?;
        serde_json::from_slice(&body.bytes)
            .map_err(|e| RemoteError::Other(format!("this is no document of a task: {e}")))
    }

    /// The owner's folder lets a person read the tasks of all principals.
    async fn read(&self, uri: &str) -> Result<ResourceBody, RemoteError> {
        let client = self.client().await?;
        let body = if self.as_owner { client.read_by_person(uri).await } else { client.read(uri).await };
        Ok(body?)
    }

    /// Tells of every change of a task from now on.
    pub async fn watch(&self, id: TaskId) -> Result<Updates, RemoteError> {
        Ok(self.client().await?.watch(&[id.uri()]).await?)
    }

    /// Does it by the tool that it is there.
    pub async fn run<O>(&self, operation: &O, by_person: bool) -> Result<O::Response, RemoteError>
    where
        O: Operation<Response: DeserializeOwned>,
    {
        let outcome = match call_own(self.client().await?, operation, by_person).await {
            Err(ClientError::Protocol { code: -32602, .. }) if O::AUDIENCE == Audience::Owner => {
                return Err(RemoteError::Refused(format!(
                    "the server at {} does this for its owner alone, who names its folder: the same command with \
                     --data DIR and without --url and --token",
                    self.url()
                )));
            }
            outcome => outcome?,
        };
        if outcome.is_error {
            let is_missing = outcome.error.as_deref().is_some_and(|word| word.starts_with("no_such_"));
            let error = if is_missing { RemoteError::NotFound } else { RemoteError::Refused };
            return Err(error(outcome.text()));
        }
        let none = || RemoteError::Other(format!("{} answered without a value", O::NAME));
        let value = outcome.structured.ok_or_else(none)?;
        serde_json::from_value(value)
            .map_err(|e| RemoteError::Other(format!("the server's answer is not understood: {e}")))
    }

    /// Of a completed task.
    pub async fn result(&self, task: &TaskDocument) -> Result<ToolResult, RemoteError> {
        let task_id =
            task.id.parse().map_err(|e| RemoteError::Other(format!("the server names a task oddly: {e}")))?;
        let outcome = call_own(self.client().await?, &TaskResult { task_id }, self.as_owner).await?;
        Ok(ToolResult {
            content: outcome.content,
            structured: outcome.structured.map(|structured| structured.to_string()),
            is_error: outcome.is_error,
        })
    }

    pub async fn journal(&self, id: TaskId) -> Result<JournalDocument, RemoteError> {
        let body = self.read(&format!("{}/journal", id.uri())).await?;
        serde_json::from_slice(&body.bytes)
            .map_err(|e| RemoteError::Other(format!("this is no journal: {e}")))
    }

    pub async fn steps(&self, id: TaskId) -> Result<StepsDocument, RemoteError> {
        let body = self.read(&format!("{}/steps", id.uri())).await?;
        serde_json::from_slice(&body.bytes)
            .map_err(|e| RemoteError::Other(format!("these are no steps: {e}")))
    }

    /// An answer to what the task asks.
    pub async fn answer(&self, answer: TaskAnswer, by_person: bool) -> Result<TaskDocument, RemoteError> {
        let id = answer.task_id;
        let is_elicited = |question: &InputRequest| question.kind == QuestionKind::Elicit;
        if !self.as_owner {
            let task = self.task(id).await?;
            let asked = match &answer.key {
                Some(key) => task.input_requests.get_key_value(key),
                None if task.input_requests.len() == 1 => task.input_requests.iter().next(),
                None => None,
            };
            // Elsewhere the person is the one at the client that is asked.
            if let Some((key, _)) = asked.filter(|(_, question)| is_elicited(question)) {
                let TaskAnswer { action, content, .. } = answer;
                let mut said = json!({ "action": action });
                if let Some(content) = content {
                    said["content"] = content;
                }
                self.client().await?.update_task(&id.to_string(), key, said).await?;
                return self.task(id).await;
            }
        }
        let content = answer.content.map(as_object);
        self.run(&TaskAnswer { content, ..answer }, by_person).await
    }

    /// Tells of every change of an entry from now on.
    pub async fn watch_state(&self, namespace: &str, key: &str) -> Result<Updates, RemoteError> {
        Ok(self.client().await?.watch(&[state_uri(namespace, key)]).await?)
    }
}

async fn call_own<O: Operation>(
    client: &Client,
    operation: &O,
    by_person: bool,
) -> Result<CallOutcome, ClientError> {
    let arguments = serde_json::to_value(operation).unwrap_or_default();
    client.call(O::NAME, arguments, &CallOptions { by_person, ..CallOptions::default() }).await
}

/// Whether a tool is one of Longhaul's own.
pub fn is_own(tool: &ToolInfo) -> bool {
    crate::api::is_own(&tool.name)
}

impl RemoteError {
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

impl From<ClientError> for RemoteError {
    fn from(error: ClientError) -> Self {
        let words = error.to_string();
        match error {
            ClientError::Unreachable { .. } | ClientError::Disconnected { .. } => Self::Lost(words),
            ClientError::NotFound { .. } => Self::NotFound(words),
            ClientError::Refused { .. } | ClientError::Protocol { .. } => Self::Refused(words),
            ClientError::BadUrl { .. } | ClientError::NotMcp { .. } | ClientError::Unexpected { .. } => {
                Self::Other(words)
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
            RemoteError::NotPrivate(why) => return why.clone().into(),
        };
        Self { exit, message: escape_text(&error.to_string()), next: None }
    }
}

/// A token goes to an address that came with it, or to the data folder's own server. Anything may listen at an address
/// out of a file, or at the usual one.
pub fn token_is_not_for(url: &str, why: &str) -> String {
    format!(
        "{why}, and the token is not sent to {url}, which did not come with it: name the server with --url {url}, or \
         leave --token and LONGHAUL_TOKEN out"
    )
}

async fn still_there(options: &ClientOptions) -> Result<(), RemoteError> {
    let ClientOptions { url, server_of: Some(folder), .. } = options else { return Ok(()) };
    if own_server::is_still_at(url, folder).await {
        return Ok(());
    }
    Err(RemoteError::Lost(format!("the server of {} does not answer at {url}", folder.display())))
}

async fn connect(options: ClientOptions) -> Result<Client, RemoteError> {
    still_there(&options).await?;
    let url = options.url.clone();
    match tokio::time::timeout(CONNECT_PATIENCE, Client::connect_with(options)).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(RemoteError::Lost(format!("the server at {url} does not answer"))),
    }
}

/// The operation's content is an object: a text alone stands for a model's message, and a list for roots.
fn as_object(content: Value) -> Value {
    match content {
        Value::String(_) => json!({ "content": content }),
        Value::Array(_) => json!({ "roots": content }),
        content => content,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;
    use crate::api::{StateName, TaskCancel, TaskList, TaskOutput, TaskRetry};
    use crate::catalog::ToolDefinition;
    use crate::cli::client::follow;
    use crate::cli::client::progress::{Reporter, Screen};
    use crate::engine::closures::{Closures, Steps};
    use crate::engine::{EngineOptions, TaskEngine};
    use crate::mcp::{HttpServer, McpOptions, McpServer};

    /// An engine whose tool `count {to}` takes so many short steps and logs each.
    async fn engine(folder: &std::path::Path) -> TaskEngine {
        let schema =
            json!({ "type": "object", "properties": { "to": { "type": "integer" } }, "required": ["to"] });
        let tools = Closures::new().tool(
            ToolDefinition::new("count", "Counts.", schema),
            "1",
            |steps: Steps, arguments: Value| async move {
                let to = arguments["to"].as_u64().unwrap_or_default();
                for step in 1..=to {
                    steps.sleep(Duration::from_millis(20)).await?;
                    steps.log(&format!("{step}"))?;
                    steps.progress(step, Some(to), None)?;
                }
                Ok(ToolResult::text(format!("counted to {to}")))
            },
        );
        let catalog = tools.catalog().expect("a catalog");
        let engine =
            TaskEngine::open(folder, Arc::new(tools), EngineOptions::default()).await.expect("opened");
        engine.set_catalog(Arc::new(catalog));
        engine.start().await.expect("started");
        engine
    }

    async fn serve(engine: &TaskEngine, address: SocketAddr) -> HttpServer {
        // Hidden task tools answer the command line all the same.
        let server =
            McpServer::new(engine.clone(), McpOptions { task_tools: false, ..McpOptions::default() });
        HttpServer::bind(server, crate::http::Options::new(address)).await.expect("listens")
    }

    fn reporter() -> Reporter {
        Screen::new().reporter(None, String::new())
    }

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_command_asks_is_answered_or_refused_in_a_way_that_it_can_tell() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = engine(folder.path()).await;
        let http = serve(&engine, ANY_PORT).await;
        let mut remote = Remote::connect(&http.url(), None).await.expect("connects");
        assert_eq!(remote.tools().await.expect("listed").len(), 1);

        let id = remote.start("count", &json!({ "to": 3 }), "k").await.expect("started");
        assert_eq!(
            remote.start("count", &json!({ "to": 3 }), "k").await,
            Ok(id),
            "the same key is the same task"
        );
        let ended = follow::to_the_end(&mut remote, id, &mut reporter()).await.expect("ends");
        assert_eq!(ended.state, "completed");
        assert_eq!(remote.result(&ended).await, Ok(ToolResult::text("counted to 3")));
        let log = TaskOutput { task_id: id, name: "log".to_owned(), offset: 2, limit: None };
        let log = remote.run(&log, false).await.expect("a log");
        assert_eq!((log.text.as_deref(), log.next_offset), (Some("2\n3\n"), 6));
        assert_eq!((log.bytes, log.done), (6, true));
        assert_eq!(remote.journal(id).await.expect("a journal").task, id.to_string());
        let page = TaskList { state: Some(StateName::Completed), limit: Some(5), ..TaskList::default() };
        assert_eq!(remote.run(&page, false).await.expect("a page").tasks.len(), 1);

        let long = remote.start("count", &json!({ "to": 100_000 }), "long").await.expect("started");
        let cancel = TaskCancel { task_id: long, reason: None };
        assert_eq!(remote.run(&cancel, false).await.expect("cancelled").id, long.to_string());
        assert_eq!(
            follow::to_the_end(&mut remote, long, &mut reporter()).await.expect("ends").state,
            "cancelled"
        );

        let unknown = TaskId::from_bytes([7; 16]);
        assert!(matches!(remote.task(unknown).await, Err(RemoteError::NotFound(_))));
        assert!(matches!(
            remote.start("count", &json!({ "to": "x" }), "x").await,
            Err(RemoteError::Refused(_))
        ));
        assert!(matches!(
            remote.start("count", &json!({ "to": 4 }), "k").await,
            Err(RemoteError::Refused(_))
        ));
        let retry = TaskRetry { task_id: id, from_step: None };
        assert!(matches!(remote.run(&retry, false).await, Err(RemoteError::Refused(_))), "it has completed");
        let url = http.url();
        http.shutdown().await;
        assert!(matches!(Remote::connect(&url, None).await, Err(RemoteError::Lost(_))));
        engine.shutdown().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_task_is_followed_across_a_server_that_goes_away_and_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = engine(folder.path()).await;
        let http = serve(&engine, ANY_PORT).await;
        let address = http.address();
        let mut remote = Remote::connect(&http.url(), None).await.expect("connects");
        let id = remote.start("count", &json!({ "to": 40 }), "k").await.expect("started");
        let following =
            tokio::spawn(async move { follow::to_the_end(&mut remote, id, &mut reporter()).await });
        http.shutdown().await;
        let again = serve(&engine, address).await;
        let ended = following.await.expect("no panic").expect("ends");
        assert_eq!((ended.state.as_str(), ended.progress.map(|p| p.done)), ("completed", Some(40)));
        again.shutdown().await;
        engine.shutdown().await;
    }

    #[test]
    fn the_short_forms_of_an_answer_are_objects_for_the_operation() {
        assert_eq!(as_object(json!("word")), json!({"content": "word"}));
        assert_eq!(as_object(json!([{"uri": "file:///a"}])), json!({"roots": [{"uri": "file:///a"}]}));
        assert_eq!(as_object(json!({"n": 1})), json!({"n": 1}));
    }
}
