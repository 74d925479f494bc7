//! Other MCP servers, whose tools the engine calls: one connection each, made when it is needed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::api::is_own;
use crate::catalog::{Reply, ToolDefinition};
use crate::clock::{self, Moment};
use crate::engine::{BoxFuture, Listing, RemoteCall, RemoteEnd, RemoteFault, RemoteTools, Report};
use crate::launch::{Launch, Role};
use crate::limits;
use crate::mcp::client::{
    CallEvent, CallOptions, CallOutcome, Client, ClientError, ClientOptions, RunningCall, ToolInfo,
};
use crate::task::{ProtocolError, ToolResult};

/// Where a server is.
#[derive(Clone, Debug)]
pub enum Place {
    Url(ClientOptions),
    /// The program of this role, which `launch` starts; errors call it `program`.
    Program {
        launch: Launch,
        role: Role,
        program: String,
    },
}

/// The servers that the configuration names.
#[derive(Clone)]
pub struct Upstreams {
    servers: Arc<BTreeMap<String, Upstream>>,
}

struct Upstream {
    place: Place,
    connection: Mutex<Option<Connection>>,
}

#[derive(Clone)]
struct Connection {
    client: Arc<Client>,
    listing: Arc<Listing>,
    listed_at: Moment,
}

impl Upstreams {
    pub fn new(places: BTreeMap<String, Place>) -> Self {
        let upstream = |place| Upstream { place, connection: Mutex::new(None) };
        let servers = places.into_iter().map(|(name, place)| (name, upstream(place))).collect();
        Self { servers: Arc::new(servers) }
    }
}

impl RemoteTools for Upstreams {
    fn list(&self, server: &str) -> BoxFuture<Result<Arc<Listing>, RemoteFault>> {
        let (servers, server) = (self.servers.clone(), server.to_owned());
        Box::pin(async move { Ok(find(&servers, &server)?.connected().await?.listing) })
    }

    fn call(
        &self,
        call: RemoteCall,
        report: Report,
        given_up: BoxFuture<()>,
    ) -> BoxFuture<Result<RemoteEnd, RemoteFault>> {
        let servers = self.servers.clone();
        Box::pin(async move {
            let upstream = find(&servers, &call.server)?;
            let connection = upstream.connected().await?;
            let end = perform(&connection, call, report, given_up).await;
            if matches!(end, Err(RemoteFault::Lost(_))) {
                // The next call begins with a new one.
                upstream.drop_connection(&connection.client).await;
            }
            end
        })
    }
}

fn find<'a>(servers: &'a BTreeMap<String, Upstream>, name: &str) -> Result<&'a Upstream, RemoteFault> {
    servers
        .get(name)
        .ok_or_else(|| RemoteFault::NotSent(format!("the configuration names no server '{name}'")))
}

impl Upstream {
    /// The connection, with a list of tools that is not too old. Nothing of a call has left when this fails.
    async fn connected(&self) -> Result<Connection, RemoteFault> {
        let mut held = self.connection.lock().await;
        if let Some(there) = &*held {
            let fresh = Duration::from_secs(limits::REMOTE_LIST_SECONDS);
            if !there.client.is_closed() && there.listed_at.elapsed() < fresh {
                return Ok(there.clone());
            }
            // One that was lost without a word is found out by this.
            if !there.client.is_closed()
                && let Ok(connection) = listed(there.client.clone()).await
            {
                *held = Some(connection.clone());
                return Ok(connection);
            }
            *held = None;
        }
        let client = match &self.place {
            Place::Url(options) => in_time(Client::connect_with(options.clone())).await?,
            Place::Program { launch, role, program } => {
                in_time(Client::launch(launch, role, program)).await?
            }
        };
        let connection = listed(Arc::new(client)).await?;
        *held = Some(connection.clone());
        Ok(connection)
    }

    async fn drop_connection(&self, lost: &Arc<Client>) {
        let mut held = self.connection.lock().await;
        if held.as_ref().is_some_and(|there| Arc::ptr_eq(&there.client, lost)) {
            *held = None;
        }
    }
}

async fn listed(client: Arc<Client>) -> Result<Connection, RemoteFault> {
    let heeds_keys = client.server().is_some_and(|(name, _)| name == "longhaul");
    let tools = in_time(client.tools()).await?;
    let is_its_own = |tool: &ToolInfo| heeds_keys && is_own(&tool.name);
    let tools =
        tools.into_iter().filter(|tool| !is_its_own(tool)).take(limits::MAX_REMOTE_TOOLS).map(definition);
    let listing = Arc::new(Listing { tools: tools.collect(), heeds_keys });
    Ok(Connection { client, listing, listed_at: Moment::now() })
}

async fn in_time<T>(answer: impl Future<Output = Result<T, ClientError>>) -> Result<T, RemoteFault> {
    let patience = Duration::from_secs(limits::REMOTE_CONNECT_SECONDS);
    match clock::timeout(patience, answer).await {
        Some(answer) => answer.map_err(|error| RemoteFault::NotSent(error.to_string())),
        None => Err(RemoteFault::NotSent(format!("it does not answer within {} s", patience.as_secs()))),
    }
}

fn definition(tool: ToolInfo) -> ToolDefinition {
    let ToolInfo { name, title, description, input_schema, output_schema, annotations } = tool;
    ToolDefinition {
        title,
        output_schema,
        annotations,
        ..ToolDefinition::new(name, description, input_schema)
    }
}

async fn perform(
    connection: &Connection,
    call: RemoteCall,
    report: Report,
    given_up: BoxFuture<()>,
) -> Result<RemoteEnd, RemoteFault> {
    let arguments: Value =
        serde_json::from_str(&call.arguments).map_err(|error| RemoteFault::NotSent(error.to_string()))?;
    let options = CallOptions {
        // A Longhaul over there answers with the result, however long it takes.
        reply: Some(Reply::Inline),
        inline_wait_seconds: Some(0),
        idempotency_key: Some(call.idempotency_key),
        by_person: false,
    };
    let client = &connection.client;
    let mut running = client.start_call(&call.tool, arguments.clone(), &options).await.map_err(fault)?;
    let notified = async {
        while let Some(event) = running.next().await {
            if let CallEvent::Progress { progress, total, message, .. } = event {
                report(progress, total, message);
            }
        }
    };
    tokio::select! {
        () = notified => {}
        () = given_up => {
            let withdrawn = withdraw(connection, running, &call.tool, arguments, options).await;
            let why = withdrawn.err().map_or_else(String::new, |error| format!(": {error}"));
            tracing::info!(tool = call.tool, "a call of another server is withdrawn{why}");
            return Err(RemoteFault::Lost("it was withdrawn".to_owned()));
        }
    }
    match running.answer().await {
        Ok(outcome) if outcome.link().is_some() => {
            Err(RemoteFault::Lost("it answered with a link to a task of its own".to_owned()))
        }
        Ok(CallOutcome { content, structured, is_error, .. }) => {
            let structured = structured.map(|value| value.to_string());
            Ok(RemoteEnd::Result(ToolResult { content, structured, is_error }))
        }
        Err(ClientError::Protocol { code, message, data }) => {
            let data = data.map(|data| data.to_string());
            Ok(RemoteEnd::Protocol(ProtocolError { code, message, data }))
        }
        Err(ClientError::NotFound { message }) => {
            Ok(RemoteEnd::Protocol(ProtocolError { code: -32602, message, data: None }))
        }
        Err(error) => Err(fault(error)),
    }
}

/// Gives a call up over there. A Longhaul keeps the task of a call that has a key: the same call leads to it.
async fn withdraw(
    connection: &Connection,
    running: RunningCall,
    tool: &str,
    arguments: Value,
    options: CallOptions,
) -> Result<(), ClientError> {
    running.cancel().await?;
    if connection.listing.heeds_keys {
        let link = CallOptions { reply: Some(Reply::Link), inline_wait_seconds: None, ..options };
        let answer = connection.client.call(tool, arguments, &link).await?;
        if let Some(link) = answer.link() {
            let task = json!({ "task_id": link.task_id });
            connection.client.call("task_cancel", task, &CallOptions::default()).await?;
        }
    }
    Ok(())
}

/// Of an error after which nothing came back.
fn fault(error: ClientError) -> RemoteFault {
    let words = error.to_string();
    match error {
        ClientError::BadUrl { .. } | ClientError::Unreachable { .. } | ClientError::Refused { .. } => {
            RemoteFault::NotSent(words)
        }
        _ => RemoteFault::Lost(words),
    }
}
