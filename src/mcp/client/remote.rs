//! A connection to an MCP server, over Streamable HTTP, the socket of a data folder, or the pipes of a process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use rmcp::model::*;
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, PeerRequestOptions, RunningService};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, Transport};
use rmcp::{ClientHandler, RoleClient};
use serde_json::Value;

use super::error::ClientError;
use super::launched::LaunchedServer;
use super::tap::{Routes, Tap};
use crate::api::TaskDocument;
use crate::authority::Secret;
use crate::catalog::Annotations;
use crate::launch::{Launch, Role};
use crate::limits;
use crate::mcp::socket_path::connect_socket;
use crate::mcp::wire::meta::PERSON_META;

/// Of the URL of a socket.
const SOCKET_SCHEME: &str = "unix:";

/// Which protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// 2026-07-28: every request stands for itself, so that a restart of the server ends nothing but streams.
    Modern,
    /// 2025-11-25 and before: sessions.
    Legacy,
}

#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// `http://HOST:PORT/mcp`, or `unix:PATH` for the socket in a data folder.
    pub url: String,
    /// `None` is the newest that both speak.
    pub era: Option<Era>,
    /// A bearer token, where the server wants one.
    pub token: Option<Secret>,
    /// The data folder whose own server this is, where the address was found there: who connects makes sure that it is
    /// still that server before anything secret is sent.
    pub server_of: Option<PathBuf>,
    /// Of authorities that are trusted besides those of the machine.
    pub certificates: Vec<reqwest::Certificate>,
}

/// A connection to one server.
pub struct Client {
    pub(super) running: RunningService<RoleClient, Quiet>,
    pub(super) routes: Arc<Routes>,
    pub(super) url: String,
}

/// A tool as the server lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolInfo {
    pub name: String,
    pub title: Option<String>,
    pub description: String,
    pub input_schema: Value,
    pub output_schema: Option<Value>,
    pub annotations: Annotations,
}

/// What `resources/read` gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceBody {
    pub mime_type: Option<String>,
    pub bytes: Vec<u8>,
    /// It came as text.
    pub is_text: bool,
}

impl ResourceBody {
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok().filter(|_| self.is_text)
    }
}

impl Client {
    /// Speaks the newest protocol that both know.
    pub async fn connect(url: impl Into<String>) -> Result<Self, ClientError> {
        Self::connect_with(ClientOptions { url: url.into(), ..ClientOptions::default() }).await
    }

    /// The same, again and again for a while, as long as nothing answers there: a server that was just
    /// started needs a moment.
    pub async fn connect_within(options: ClientOptions, patience: Duration) -> Result<Self, ClientError> {
        let begun = Instant::now();
        loop {
            match Self::connect_with(options.clone()).await {
                Err(ClientError::Unreachable { .. }) if begun.elapsed() < patience => {
                    tokio::time::sleep(Duration::from_millis(limits::CLIENT_RETRY_MS)).await;
                }
                other => return other,
            }
        }
    }

    pub async fn connect_with(options: ClientOptions) -> Result<Self, ClientError> {
        let ClientOptions { url, era, token, server_of: _, certificates } = options;
        if let Some(path) = url.strip_prefix(SOCKET_SCHEME) {
            let stream = connect_socket(Path::new(path))
                .await
                .map_err(|error| ClientError::Unreachable { url: url.clone(), why: error.to_string() })?;
            let (read, write) = stream.into_split();
            let transport = AsyncRwTransport::new_client(read, write)
                .with_max_line_length(limits::MAX_CLIENT_EVENT_BYTES);
            return Self::over(transport, url, era).await;
        }
        let mut config = StreamableHttpClientTransportConfig::with_uri(url.clone())
            .max_sse_event_size(limits::MAX_CLIENT_EVENT_BYTES);
        config.auth_header = token.map(|token| token.expose().to_owned());
        let transport = StreamableHttpClientTransport::with_client(http_client(&url, certificates)?, config);
        Self::over(transport, url, era).await
    }

    /// A server that is started as a program and speaks on its stdin and stdout; it ends with the connection. `program` is
    /// what errors call it.
    pub async fn launch(launch: &Launch, role: &Role, program: &str) -> Result<Self, ClientError> {
        let url = format!("the command {program}");
        let started = launch.start(role).await;
        let server = started
            .map(LaunchedServer::new)
            .map_err(|error| ClientError::Unreachable { url: url.clone(), why: error.to_string() })?;
        Self::over(server, url, None).await
    }

    async fn over<T>(transport: T, url: String, era: Option<Era>) -> Result<Self, ClientError>
    where
        T: Transport<RoleClient> + Send + 'static,
    {
        let modern = vec![ProtocolVersion::V_2026_07_28];
        let legacy = ProtocolVersion::V_2025_11_25;
        let lifecycle = match era {
            Some(Era::Modern) => ClientLifecycleMode::Discover { preferred_versions: modern },
            Some(Era::Legacy) => ClientLifecycleMode::Initialize,
            None => ClientLifecycleMode::Auto { preferred_versions: modern, legacy_version: Some(legacy) },
        };
        let routes = Arc::new(Routes::default());
        let running = Quiet.serve_with_lifecycle(Tap::new(transport, routes.clone()), lifecycle).await;
        let running = running.map_err(|error| ClientError::of_connecting(&url, &error))?;
        Ok(Self { running, routes, url })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn era(&self) -> Era {
        let version = self.running.peer().peer_info().map(|info| info.protocol_version.clone());
        match version {
            Some(version) if version >= ProtocolVersion::V_2026_07_28 => Era::Modern,
            _ => Era::Legacy,
        }
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.running.is_closed()
    }

    /// Name and version of the server, where it tells them.
    pub fn server(&self) -> Option<(String, String)> {
        let info = self.running.peer().peer_info()?;
        info.server_info.as_ref().map(|server| (server.name.clone(), server.version.clone()))
    }

    pub async fn tools(&self) -> Result<Vec<ToolInfo>, ClientError> {
        let tools = self.running.peer().list_all_tools().await.map_err(|error| self.error(error))?;
        Ok(tools
            .into_iter()
            .map(|tool| ToolInfo {
                name: tool.name.into_owned(),
                title: tool.title,
                description: tool.description.unwrap_or_default().into_owned(),
                input_schema: Value::Object(tool.input_schema.as_ref().clone()),
                output_schema: tool.output_schema.map(|schema| Value::Object(schema.as_ref().clone())),
                annotations: tool.annotations.map_or_else(Annotations::default, |hints| Annotations {
                    read_only: hints.read_only_hint,
                    destructive: hints.destructive_hint,
                    idempotent: hints.idempotent_hint,
                    open_world: hints.open_world_hint,
                }),
            })
            .collect())
    }

    pub async fn read(&self, uri: &str) -> Result<ResourceBody, ClientError> {
        self.read_with(uri, RequestMetaObject::new()).await
    }

    /// The same as a person's own doing by the command line.
    #[doc(hidden)]
    pub async fn read_by_person(&self, uri: &str) -> Result<ResourceBody, ClientError> {
        let mut meta = RequestMetaObject::new();
        meta.insert(PERSON_META.to_owned(), true.into());
        self.read_with(uri, meta).await
    }

    async fn read_with(&self, uri: &str, meta: RequestMetaObject) -> Result<ResourceBody, ClientError> {
        let params = ReadResourceRequestParams::new(uri);
        let request = ClientRequest::ReadResourceRequest(ReadResourceRequest::new(params));
        let options = PeerRequestOptions::no_options().with_meta(meta);
        let handle = self.running.peer().send_request_with_option(request, options).await;
        let answer = handle.map_err(|error| self.error(error))?.await_response().await;
        let ServerResult::ReadResourceResult(result) = answer.map_err(|error| self.error(error))? else {
            return Err(self.unexpected(format!("the read of '{uri}' is answered with something else")));
        };
        let contents = result.contents.into_iter().next();
        match contents {
            Some(ResourceContents::TextResourceContents { mime_type, text, .. }) => {
                Ok(ResourceBody { mime_type, bytes: text.into_bytes(), is_text: true })
            }
            Some(ResourceContents::BlobResourceContents { mime_type, blob, .. }) => {
                let decoded = base64::engine::general_purpose::STANDARD.decode(blob);
                let bytes =
                    decoded.map_err(|error| self.unexpected(format!("'{uri}' is no base64: {error}")))?;
                Ok(ResourceBody { mime_type, bytes, is_text: false })
            }
            _ => Err(self.unexpected(format!("'{uri}' reads as nothing that is known here"))),
        }
    }

    /// The document of a task, by its URI.
    pub async fn task(&self, uri: &str) -> Result<TaskDocument, ClientError> {
        let body = self.read(uri).await?;
        serde_json::from_slice(&body.bytes)
            .map_err(|error| self.unexpected(format!("'{uri}' is no task document: {error}")))
    }

    /// Answers what a task asks as the client that was asked: by `tasks/update` of 2026-07-28, with the result of the
    /// request in the protocol's own form. The server takes it in silence, also where it is ignored.
    pub async fn update_task(&self, task: &str, key: &str, result: Value) -> Result<(), ClientError> {
        let capabilities = ClientCapabilities::builder().enable_elicitation().enable_tasks().build();
        let mut meta = RequestMetaObject::new();
        meta.set_client_capabilities(capabilities);
        let params = UpdateTaskParams::new(task, InputResponses::from([(key.to_owned(), result)]));
        let request = ClientRequest::UpdateTaskRequest(UpdateTaskRequest::new(params));
        let options = PeerRequestOptions::no_options().with_meta(meta);
        let handle = self.running.peer().send_request_with_option(request, options).await;
        match handle.map_err(|error| self.error(error))?.await_response().await {
            Ok(ServerResult::TaskAckResult(_) | ServerResult::EmptyResult(_)) => Ok(()),
            Ok(_) => Err(self.unexpected("tasks/update is answered with something else".to_owned())),
            Err(error) => Err(self.error(error)),
        }
    }

    pub async fn close(mut self) {
        // Nothing more is wanted of it, whatever it says.
        let _ = self.running.close_with_timeout(Duration::from_millis(limits::ANSWER_GRACE_MS)).await;
    }

    pub(super) fn error(&self, error: rmcp::ServiceError) -> ClientError {
        ClientError::of_service(&self.url, &error)
    }

    pub(super) fn unexpected(&self, what: String) -> ClientError {
        ClientError::Unexpected { url: self.url.clone(), what }
    }
}

/// Answers nothing: what the server asks goes through the task tools. A later wing asks a person here.
#[derive(Clone)]
pub(super) struct Quiet;

impl ClientHandler for Quiet {
    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("longhaul-cli", env!("CARGO_PKG_VERSION")).with_title("Longhaul");
        ClientConfig::new(ClientCapabilities::default(), us)
            .with_protocol_version(ProtocolVersion::V_2025_11_25)
    }
}

fn http_client(url: &str, certificates: Vec<reqwest::Certificate>) -> Result<reqwest::Client, ClientError> {
    let bad_url = |why: String| ClientError::BadUrl { url: url.to_owned(), why };
    let parsed = reqwest::Url::parse(url).map_err(|error| bad_url(error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(bad_url("it begins neither with http:// nor with https://".to_owned()));
    }
    let host = parsed.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    // As rmcp's own client: a connection whose answer was not read to its end is not used again.
    let mut builder =
        reqwest::Client::builder().pool_max_idle_per_host(0).redirect(reqwest::redirect::Policy::none());
    if is_local {
        builder = builder.no_proxy();
    }
    builder = match parsed.scheme() {
        // It needs no authority, and a machine without any must not stand in its way.
        "http" => builder.tls_certs_only([]),
        _ => builder.tls_certs_merge(certificates),
    };
    builder.build().map_err(|error| bad_url(error.to_string()))
}
