//! What all connections share: the engine, the operator's choices, the list of tools, and the keys of what is sealed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rmcp::model::{RequestStateCodec, Tool};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::own::fixtures::Fixtures;
use super::own::tools::OwnTools;
use super::wire::client_settings::Links;
use super::wire::convert;
use super::wire::form::Form;
use super::wire::own_names::OwnNames;
use super::wire::seal::Seal;
use crate::api::{Audience, is_own};
use crate::catalog::Catalog;
use crate::engine::{EngineError, TaskEngine};
use crate::limits;

/// What the operator may choose.
#[derive(Clone, Debug)]
pub struct McpOptions {
    /// Offer `task_list`, `task_wait` and their like, for hosts that know neither tasks nor resources.
    pub task_tools: bool,
    /// Offer `state_get` and its like, for agents outside that share state with the tools.
    pub state_tools: bool,
    /// No answer of a call is waited for any longer; `None` is no bound.
    pub wait: Option<Duration>,
    /// How links to tasks are shown to clients that say nothing about it.
    pub links: Links,
    /// What clients call Longhaul's own tools.
    pub names: OwnNames,
}

impl Default for McpOptions {
    fn default() -> Self {
        Self {
            task_tools: true,
            state_tools: false,
            wait: None,
            links: Links::default(),
            names: OwnNames::default(),
        }
    }
}

/// MCP over a task engine. Cheap to clone; transports are given one.
#[derive(Clone)]
pub struct McpServer {
    inner: Arc<Inner>,
}

struct Inner {
    engine: TaskEngine,
    /// Until then a list of tools waits for those that are still being loaded.
    lists_wait_until: Instant,
    options: McpOptions,
    own_tools: OwnTools,
    instructions: String,
    /// As `tools/list` shows them, for the catalog they were made from.
    listed: Mutex<Option<Listed>>,
    /// Calls that wait answer with a link, subscriptions end.
    stopping: CancellationToken,
    /// For the conformance suite alone.
    fixtures: Option<Fixtures>,
    /// Seals what clients carry between the rounds of a call; its key is in the store.
    request_state: tokio::sync::OnceCell<RequestStateCodec>,
    /// Seals event ids and the ids of questions; its key is in the store.
    seal: tokio::sync::OnceCell<Arc<Seal>>,
}

#[derive(Clone)]
struct Listed {
    of: Arc<Catalog>,
    tools: Arc<Vec<Tool>>,
    /// The names of those that want arguments repeated in headers of a request.
    in_headers: Arc<[String]>,
}

impl McpServer {
    pub fn new(engine: TaskEngine, options: McpOptions) -> Self {
        let inner = Inner {
            engine,
            lists_wait_until: Instant::now() + Duration::from_millis(limits::LISTING_WAIT_MS),
            own_tools: OwnTools::new(&options.names),
            instructions: instructions(&options.names),
            options,
            listed: Mutex::default(),
            stopping: CancellationToken::new(),
            fixtures: Fixtures::of_environment(),
            request_state: tokio::sync::OnceCell::new(),
            seal: tokio::sync::OnceCell::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(in crate::mcp) fn instructions(&self) -> &str {
        &self.inner.instructions
    }

    pub fn engine(&self) -> &TaskEngine {
        &self.inner.engine
    }

    /// Answer what waits and end what listens; tasks go on. A transport calls this when it shuts down.
    pub fn stop(&self) {
        self.inner.stopping.cancel();
    }

    pub(in crate::mcp) fn options(&self) -> &McpOptions {
        &self.inner.options
    }

    pub(in crate::mcp) fn names(&self) -> &OwnNames {
        &self.inner.options.names
    }

    /// How answers are made for a client that takes links so.
    pub(in crate::mcp) fn form(&self, links: Links) -> Form<'_> {
        Form { names: self.names(), links }
    }

    /// They answer also where they are not listed: the command line calls them.
    pub(in crate::mcp) fn own_tools(&self) -> &OwnTools {
        &self.inner.own_tools
    }

    /// Some hosts list tools once: shortly after the start of a server, the list waits for those that are being loaded.
    pub(in crate::mcp) async fn listable(&self) {
        let Inner { engine, lists_wait_until, stopping, .. } = &*self.inner;
        tokio::select! {
            _ = tokio::time::timeout_at(*lists_wait_until, engine.loaded()) => {}
            () = stopping.cancelled() => {}
        }
    }

    /// A tool that is not there may be one of those that are being loaded, and is waited for so long.
    pub(in crate::mcp) async fn tool_known(&self, name: &str, at_most: Duration) {
        let Inner { engine, stopping, .. } = &*self.inner;
        tokio::select! {
            _ = tokio::time::timeout(at_most, engine.tool_known(name)) => {}
            () = stopping.cancelled() => {}
        }
    }

    /// All tools as clients see them, sorted by name; made again only when the catalog is another.
    pub(in crate::mcp) fn listed(&self) -> Arc<Vec<Tool>> {
        self.of_catalog().tools
    }

    /// Whether a call of this tool has to repeat arguments in its head.
    pub(in crate::mcp) fn has_param_headers(&self, tool: &str) -> bool {
        self.of_catalog().in_headers.iter().any(|name| name == tool)
    }

    fn of_catalog(&self) -> Listed {
        let catalog = self.inner.engine.catalog();
        let mut listed = self.inner.listed.lock();
        if let Some(listed) = listed.as_ref().filter(|listed| Arc::ptr_eq(&listed.of, &catalog)) {
            return listed.clone();
        }
        // Where a catalog reserves no names, one of ours is ours.
        let served = catalog.tools().map(|entry| &entry.tool.definition);
        let mut tools: Vec<Tool> =
            served.filter(|definition| !is_own(&definition.name)).map(convert::tool).collect();
        if self.inner.options.task_tools {
            tools.extend(self.inner.own_tools.listed(Audience::Tasks));
        }
        if self.inner.options.state_tools {
            tools.extend(self.inner.own_tools.listed(Audience::State));
        }
        tools.extend(self.fixtures().into_iter().flat_map(Fixtures::tools));
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        let in_headers = tools.iter().filter(|tool| tool.input_schema.iter().any(is_in_header));
        let in_headers = in_headers.map(|tool| tool.name.to_string()).collect();
        let made = Listed { of: catalog, tools: Arc::new(tools), in_headers };
        *listed = Some(made.clone());
        made
    }

    pub(in crate::mcp) fn request_state(&self) -> &tokio::sync::OnceCell<RequestStateCodec> {
        &self.inner.request_state
    }

    pub(in crate::mcp) async fn seal(&self) -> Result<Arc<Seal>, EngineError> {
        let seal = self.inner.seal.get_or_try_init(async || Seal::of(self.engine()).await.map(Arc::new));
        seal.await.cloned()
    }

    /// A constant without the feature, so that no caller's code for it is linked.
    pub(in crate::mcp) fn fixtures(&self) -> Option<&Fixtures> {
        if cfg!(feature = "conformance") { self.inner.fixtures.as_ref() } else { None }
    }

    pub(in crate::mcp) fn stopping(&self) -> &CancellationToken {
        &self.inner.stopping
    }
}

/// Whether an entry of a schema, or one within it, wants a value repeated in a header.
fn is_in_header((key, value): (&String, &Value)) -> bool {
    let within = match value {
        Value::Object(entries) => entries.iter().any(is_in_header),
        Value::Array(values) => {
            values.iter().filter_map(Value::as_object).any(|entries| entries.iter().any(is_in_header))
        }
        _ => false,
    };
    key == "x-mcp-header" || within
}

fn instructions(names: &OwnNames) -> String {
    format!(
        "Tools run as durable tasks. A call may answer at once with a link to task://ID: call {} {{\"task_id\":\"ID\"}} \
         for its result, {} for its progress, {} for what it has published so far, or read or subscribe to task://ID. A \
         task goes on when the connection is lost, and across restarts of the server. Where a gateway has renamed these \
         tools, use the names in your list.",
        names.of("task_wait"),
        names.of("task_status"),
        names.of("task_output"),
    )
}
