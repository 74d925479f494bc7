//! The whole room over loopback and pipes, with tools made of closures.

mod bridge;
mod calls;
mod cursors;
mod direct;
mod fan_out;
mod hidden;
mod http;
mod pages;
mod params;
mod pipes;
mod questions;
mod raw;
mod resources;
mod reused_ids;
mod sessions;
mod settings;
mod shares;
mod silent;
mod state;
mod stdio;
mod task_tools;
mod tasks;
mod tokens;
mod upstream;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::api::TaskDocument;
use crate::authority::{Principal, Secret};
use crate::catalog::{Reply, ToolDefinition};
use crate::engine::closures::{Closures, StepError, Steps};
use crate::engine::{EngineOptions, OutputOp, ResourceKey, Submission, TaskEngine};
use crate::http::{Options, ServerError};
use crate::task::{LogLevel, TaskId, ToolResult};

/// Every wait of these tests ends by an event; this only bounds a test that hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// The owner's key of every server here.
const KEY: &str = "lhk_of-these-tests";

const ERAS: [Era; 2] = [Era::Modern, Era::Legacy];

/// A server with its engine. `gate` lets the tool `stages` through, one stage a permit.
struct World {
    folder: tempfile::TempDir,
    engine: TaskEngine,
    http: HttpServer,
    gate: Arc<Semaphore>,
}

fn keyed(options: Options) -> Options {
    Options { key: Some(Secret::new(KEY)), ..options }
}

impl World {
    async fn new() -> Self {
        Self::with(McpOptions::default()).await
    }

    async fn with(options: McpOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let gate = Arc::new(Semaphore::new(0));
        let engine = engine(folder.path(), &gate).await;
        let server = McpServer::new(engine.clone(), options);
        let http = HttpServer::bind(server, keyed(Options::new(loopback()))).await.expect("a server");
        Self { folder, engine, http, gate }
    }

    /// The same engine behind a server that listens otherwise.
    async fn listening(self, options: Options) -> Self {
        let Self { folder, engine, http, gate } = self;
        http.shutdown().await;
        let server = McpServer::new(engine.clone(), McpOptions::default());
        let http = HttpServer::bind(server, keyed(options)).await.expect("a server");
        Self { folder, engine, http, gate }
    }

    async fn client(&self, era: Era) -> Client {
        let options = ClientOptions { url: self.http.url(), era: Some(era), ..ClientOptions::default() };
        let client = Client::connect_with(options).await.expect("a client");
        assert_eq!(client.era(), era);
        client
    }

    /// Lets so many stages pass.
    fn pass(&self, stages: usize) {
        self.gate.add_permits(stages);
    }

    /// Waits until the task's document fits, as a subscriber would.
    async fn until(&self, id: &str, fits: impl Fn(&TaskDocument) -> bool) -> TaskDocument {
        until(&self.engine, id, fits).await
    }

    /// The tasks that have not ended, once there are so many.
    async fn open_tasks(&self, count: usize) -> Vec<String> {
        let mut watcher = self.engine.feed().watch().expect("room");
        watcher.add(ResourceKey::Tasks("local".to_owned()));
        let waiting = async {
            loop {
                let page = self.engine.tasks(&Principal::local(), &Default::default()).await.expect("a page");
                let open = page.tasks.into_iter().filter(|task| !task.state.is_terminal());
                let open: Vec<String> = open.map(|task| task.id.to_string()).collect();
                if open.len() == count {
                    return open;
                }
                watcher.next().await;
            }
        };
        in_time(waiting).await
    }

    /// What is left by a server that was killed: the data folder, and clients who know an address.
    async fn restarted(self) -> Self {
        let Self { folder, engine, http, gate } = self;
        drop(http);
        // Whatever was about to be sent is cut off; the store takes nothing more of it.
        engine.shutdown().await;
        drop(engine);
        let engine = self::engine(folder.path(), &gate).await;
        let server = McpServer::new(engine.clone(), McpOptions::default());
        let http = HttpServer::bind(server, keyed(Options::new(loopback()))).await.expect("a server");
        Self { folder, engine, http, gate }
    }

    /// A task of another principal.
    async fn foreign_task(&self) -> TaskId {
        let principal = Principal::new("somebody", vec!["*".to_owned()]);
        let submission = Submission {
            tool: "stages".to_owned(),
            arguments: json!({"stages": 1}),
            principal,
            idempotency_key: None,
            trace: None,
        };
        self.engine.submit(submission).await.expect("a task").id
    }
}

/// One that answers, one that refuses and one that crashes.
fn quick_tools(closures: Closures) -> Closures {
    let anything = json!({"type": "object"});
    closures
        .tool(
            definition("double", Reply::Inline, anything.clone(), Some(json!({"type": "integer"}))),
            "1",
            |_: Steps, arguments| async move {
                let doubled = arguments["n"].as_i64().unwrap_or_default() * 2;
                Ok(ToolResult { structured: Some(doubled.to_string()), ..ToolResult::default() })
            },
        )
        .tool(definition("refuse", Reply::Inline, anything.clone(), None), "1", |_: Steps, _| async {
            Err(StepError::Tool("the ticket is closed".to_owned()))
        })
        .tool(definition("crash", Reply::Inline, anything, None), "1", |steps: Steps, arguments: Value| {
            let crashes = arguments["crashes"] != false;
            async move {
                if let Some(says) = arguments["says"].as_str() {
                    steps.log(says)?;
                }
                if crashes { panic!("out of cheese") } else { Ok(ToolResult::text("well")) }
            }
        })
}

async fn until(engine: &TaskEngine, id: &str, fits: impl Fn(&TaskDocument) -> bool) -> TaskDocument {
    let id: TaskId = id.parse().expect("an id");
    let mut watcher = engine.feed().watch().expect("room");
    watcher.add(ResourceKey::Task(id));
    let waiting = async {
        loop {
            let document = engine.task(&Principal::local(), id).await.expect("a task").into();
            if fits(&document) {
                return document;
            }
            watcher.next().await;
        }
    };
    in_time(waiting).await
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("in time")
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn engine(folder: &std::path::Path, gate: &Arc<Semaphore>) -> TaskEngine {
    engine_with(folder, gate, EngineOptions::default()).await
}

async fn engine_with(folder: &std::path::Path, gate: &Arc<Semaphore>, options: EngineOptions) -> TaskEngine {
    let closures = tools(gate);
    let catalog = Arc::new(closures.catalog().expect("a catalog"));
    let engine = TaskEngine::open(folder, Arc::new(closures), options).await;
    let engine = engine.expect("an engine");
    engine.set_catalog(catalog);
    engine.start().await.expect("a start");
    engine
}

fn definition(name: &str, reply: Reply, input: Value, output: Option<Value>) -> ToolDefinition {
    let mut definition = ToolDefinition::new(name, format!("The tool {name}"), input);
    definition.reply = reply;
    definition.output_schema = output;
    definition
}

fn tools(gate: &Arc<Semaphore>) -> Closures {
    let anything = json!({"type": "object"});
    let count = json!({
        "type": "object",
        "properties": { "stages": { "type": "integer", "minimum": 1 } },
        "required": ["stages"],
        "additionalProperties": false,
    });
    let stages_result =
        json!({ "type": "object", "properties": { "done": { "type": "integer" } }, "required": ["done"] });
    let mut endless = definition("stages", Reply::Link, count, Some(stages_result));
    endless.inline_wait_seconds = Some(0);
    let mut impatient = ToolDefinition { name: "impatient".to_owned(), ..endless.clone() };
    impatient.cancel_when_lost = true;
    let gate = gate.clone();
    let staged = move |steps: Steps, arguments: Value| {
        let gate = gate.clone();
        async move { stages(&steps, &gate, arguments["stages"].as_u64().unwrap_or_default()).await }
    };
    quick_tools(questions::tools(Closures::new()))
        .tool(endless, "1", staged.clone())
        .tool(impatient, "1", staged)
        .tool(
            definition("chatty", Reply::Inline, anything.clone(), None),
            "1",
            |steps: Steps, _| async move {
                steps.line(LogLevel::Debug, "a detail")?;
                steps.line(LogLevel::Info, "1/1 it begins")?;
                steps.log("printed")?;
                steps.log("error: printed as well")?;
                steps.line(LogLevel::Warning, "hot")?;
                steps.line(LogLevel::Error, "burnt")?;
                Ok(ToolResult::text("said"))
            },
        )
        .tool(definition("needs_tasks", Reply::Task, anything, None), "1", |_: Steps, _| async {
            Ok(ToolResult::text("as a task"))
        })
}

/// One report, one log line and one piece of the output `story` a stage; each stage needs a permit.
async fn stages(steps: &Steps, gate: &Semaphore, stages: u64) -> Result<ToolResult, StepError> {
    steps.output(OutputOp::Open { name: "story", mime_type: "text/markdown" }).await?;
    for stage in 1..=stages {
        let pass = async || {
            gate.acquire().await.map_err(|error| StepError::Tool(error.to_string()))?.forget();
            Ok(stage)
        };
        steps.step("stage", pass).await?;
        steps.log(&format!("stage {stage}"))?;
        let piece = format!("# {stage}\n");
        steps.output(OutputOp::Append { name: "story", data: piece.as_bytes() }).await?;
        steps.progress(stage, Some(stages), Some(&format!("stage {stage} is done")))?;
    }
    steps.line(LogLevel::Warning, "no more stages")?;
    steps.output(OutputOp::Close { name: "story" }).await?;
    Ok(ToolResult { structured: Some(json!({"done": stages}).to_string()), ..ToolResult::default() })
}
