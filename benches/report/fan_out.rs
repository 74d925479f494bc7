//! What does a subscriber cost who hears nothing, and how long until one update has reached ten thousand?
//!
//! The server is a process of its own, so that its memory can be distinguished from that of its clients. Those are plain TCP
//! connections from several addresses of loopback: `subscriptions/listen`, or a session with its GET stream. One in
//! a hundred never reads. The update is a task's progress, from the guest's report to the last subscriber's socket.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use longhaul::authority::Principal;
use longhaul::catalog::{Reply, ToolDefinition};
use longhaul::engine::closures::{Closures, StepError, Steps};
use longhaul::engine::{EngineOptions, Submission, TaskEngine};
use longhaul::http::Options;
use longhaul::mcp::{HttpServer, McpOptions, McpServer};
use longhaul::task::ToolResult;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

use crate::measure::{Row, micros, shown};

/// First argument of the server's process.
pub const CHILD: &str = "serve-subscribers";
const SUBSCRIBERS: u64 = 10_000;
/// Connections that are made at once.
const AT_ONCE: usize = 100;
/// Who rests needs this long to do so.
const SETTLE: Duration = Duration::from_secs(20);
const KIB_EACH: f64 = 25.0;
const UPDATE_SECONDS: f64 = 2.0;

pub fn run(_folder: &Path) -> Vec<Row> {
    let count = usize::try_from(crate::number("LONGHAUL_BENCH_SUBSCRIBERS").unwrap_or(SUBSCRIBERS)).unwrap();
    let mut rows = Vec::new();
    for (era, name) in [(Era::Modern, "2026-07-28"), (Era::Legacy, "2025-11-25")] {
        let mut server = Server::start();
        let clients = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (kib, update) = clients.block_on(measure(&mut server, era, count));
        server.process.kill().expect("killed");
        server.process.wait().expect("ended");
        rows.push(
            Row::new(
                format!("memory of a subscriber, {count} of {name}"),
                format!("{kib:.1} KiB"),
                "resident memory of the server's process".to_owned(),
            )
            .at_most(kib, KIB_EACH),
        );
        rows.push(
            Row::new(
                format!("one update to {count} subscribers of {name}"),
                shown(micros(update)),
                "from the report to the last socket that is read".to_owned(),
            )
            .at_most(update.as_secs_f64(), UPDATE_SECONDS),
        );
    }
    rows
}

#[derive(Clone, Copy)]
enum Era {
    Modern,
    Legacy,
}

async fn measure(server: &mut Server, era: Era, count: usize) -> (f64, Duration) {
    let target = Arc::new((server.address, server.uri.clone()));
    // Whatever is made once is made now.
    drop(subscribe(&target, era, 0).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = server.resident_kib();
    let mut subscribers = Vec::with_capacity(count);
    while subscribers.len() < count {
        let until = count.min(subscribers.len() + AT_ONCE);
        let batch = (subscribers.len()..until).map(|number| subscribe(&target, era, number));
        subscribers.extend(futures::future::join_all(batch).await);
    }
    tokio::time::sleep(SETTLE).await;
    let kib = (server.resident_kib() - before) / count as f64;
    let deaf = subscribers.split_off(count - count / 100);
    let uri = target.1.clone();
    let listening: Vec<_> = subscribers
        .into_iter()
        .map(|mut stream| {
            let uri = uri.clone();
            tokio::spawn(async move { until(&mut stream, &uri).await })
        })
        .collect();
    let began = Instant::now();
    server.report();
    for listener in listening {
        listener.await.expect("told");
    }
    let update = began.elapsed();
    drop(deaf);
    (kib, update)
}

async fn subscribe(target: &(SocketAddr, String), era: Era, number: usize) -> TcpStream {
    let (address, uri) = (target.0, target.1.as_str());
    match era {
        Era::Modern => {
            let mut params = json!({"notifications": {"resourceSubscriptions": [uri]}});
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            let headers = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\n";
            let mut stream = connect(address, number).await;
            post(&mut stream, address, headers, Some(1), "subscriptions/listen", params).await;
            until(&mut stream, "acknowledged").await;
            stream
        }
        Era::Legacy => {
            let mut stream = connect(address, number).await;
            let client = json!({"name": "bench", "version": "1"});
            let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
            post(&mut stream, address, "", Some(0), "initialize", hello).await;
            let answer = until(&mut stream, "\"id\":0").await;
            let session =
                answer.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).expect("an id");
            let headers = format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n");
            let mut stream = connect(address, number).await;
            post(&mut stream, address, &headers, None, "notifications/initialized", json!({})).await;
            until(&mut stream, "202").await;
            let mut stream = connect(address, number).await;
            post(&mut stream, address, &headers, Some(1), "resources/subscribe", json!({"uri": uri})).await;
            until(&mut stream, "\"id\":1").await;
            let mut stream = connect(address, number).await;
            let get =
                format!("GET /mcp HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{headers}\r\n");
            stream.write_all(get.as_bytes()).await.expect("sent");
            until(&mut stream, "retry:").await;
            stream
        }
    }
}

/// From one of many addresses: each has ports of its own.
async fn connect(address: SocketAddr, number: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let last = u8::try_from(2 + number % 200).expect("a byte");
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).expect("an address");
    socket.connect(address).await.expect("a connection")
}

async fn post(
    stream: &mut TcpStream,
    address: SocketAddr,
    headers: &str,
    id: Option<u64>,
    method: &str,
    params: Value,
) {
    let mut body = json!({"jsonrpc": "2.0", "method": method, "params": params});
    if let Some(id) = id {
        body["id"] = json!(id);
    }
    let body = body.to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{headers}\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all([head, body].concat().as_bytes()).await.expect("sent");
}

/// What was read until it had this part.
async fn until(stream: &mut TcpStream, part: &str) -> String {
    let (mut read, mut buffer) = (String::new(), [0; 1024]);
    while !read.contains(part) {
        let count = stream.read(&mut buffer).await.expect("a stream");
        assert!(count > 0, "the end, behind {read}");
        read.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    read
}

struct Server {
    process: Child,
    commands: ChildStdin,
    address: SocketAddr,
    /// The task to subscribe to.
    uri: String,
}

impl Server {
    fn start() -> Self {
        let this = std::env::current_exe().expect("this program");
        let mut command = Command::new(this);
        command.arg(CHILD).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a process");
        let commands = process.stdin.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let (address, uri) = line.trim().split_once(' ').expect("where, and what");
        Self { process, commands, address: address.parse().expect("an address"), uri: uri.to_owned() }
    }

    /// The task reports its progress once.
    fn report(&mut self) {
        self.commands.write_all(b"\n").expect("sent");
    }

    fn resident_kib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    }
}

/// The server's process. Each line on its stdin lets the task report once.
pub fn child() {
    crate::runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let gate = Arc::new(Semaphore::new(0));
        let passes = gate.clone();
        let mut definition =
            ToolDefinition::new("ticks", "Reports when it is told to.", json!({"type": "object"}));
        definition.reply = Reply::Link;
        let closures = Closures::new().tool(definition, "1", move |steps: Steps, _| {
            let gate = passes.clone();
            async move {
                for tick in 1.. {
                    gate.acquire().await.map_err(|error| StepError::Tool(error.to_string()))?.forget();
                    steps.progress(tick, None, None)?;
                }
                Ok(ToolResult::text("never"))
            }
        });
        let catalog = Arc::new(closures.catalog().expect("a catalog"));
        let options = EngineOptions::default();
        let engine = TaskEngine::open(folder.path(), Arc::new(closures), options).await.expect("an engine");
        engine.set_catalog(catalog);
        engine.start().await.expect("started");
        let submission = Submission {
            tool: "ticks".to_owned(),
            arguments: json!({}),
            principal: Principal::local(),
            idempotency_key: None,
            trace: None,
        };
        let task = engine.submit(submission).await.expect("a task").task;
        let server = McpServer::new(engine, McpOptions::default());
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let http = HttpServer::bind(server, Options::new(address)).await.expect("a server");
        println!("{} {}", http.address(), task.id.uri());
        let reading = tokio::task::spawn_blocking(move || {
            for line in std::io::stdin().lock().lines() {
                line.expect("a line");
                gate.add_permits(1);
            }
        });
        reading.await.expect("the end of stdin");
    });
}
