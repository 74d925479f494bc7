use std::path::{Path, PathBuf};

use rmcp::ClientHandler;
use rmcp::model::*;
use rmcp::service::{ClientServiceExt, NotificationContext, RoleClient};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use super::stdio::{inline_call, lifecycle};
use super::*;

/// A server on a socket that can be cut off and bound again, as one that is killed and started again.
pub(super) struct Socket {
    pub path: PathBuf,
    engine: TaskEngine,
    server: watch::Sender<Option<SocketServer>>,
}

impl Socket {
    pub fn new(world: &World) -> Arc<Self> {
        let (path, engine) = (world.folder.path().join("server.sock"), world.engine.clone());
        Arc::new(Self { path, engine, server: watch::channel(None).0 })
    }

    /// As the command line would: finds a server or starts one.
    pub async fn connect(&self) -> Result<UnixStream, SocketError> {
        if let Ok(stream) = connect_socket(&self.path).await {
            return Ok(stream);
        }
        let server = McpServer::new(self.engine.clone(), McpOptions::default());
        let server = SocketServer::bind(server, &self.path).await?;
        self.server.send_replace(Some(server));
        Ok(connect_socket(&self.path).await.expect("it listens"))
    }

    pub fn kill(&self) {
        self.server.send_replace(None);
    }
}

/// The host's end of a bridge.
pub(super) fn bridged(socket: &Arc<Socket>) -> (UnixStream, tokio::task::JoinHandle<bool>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let socket = socket.clone();
    let reader = Reader::of(&ours);
    let carried = async move {
        let connect = async || socket.connect().await;
        bridge(ours.into_split(), reader, BridgeOptions::default(), connect).await.is_ok()
    };
    (theirs, tokio::spawn(carried))
}

#[derive(Clone)]
struct Hears(mpsc::UnboundedSender<String>);

impl ClientHandler for Hears {
    async fn on_resource_updated(
        &self,
        seen: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let _ = self.0.send(seen.uri);
    }
}

#[tokio::test]
async fn a_host_goes_on_with_the_next_server() {
    for era in ERAS {
        let world = World::new().await;
        let socket = Socket::new(&world);
        let (pipe, carried) = bridged(&socket);
        let (tell, mut heard) = mpsc::unbounded_channel();
        let client = Hears(tell).serve_with_lifecycle(pipe, lifecycle(era)).await.expect("a client");
        let (request, options) = inline_call(1);
        let waiting = client.peer().send_request_with_option(request, options).await.expect("sent");
        let id = world.open_tasks(1).await.remove(0);
        let uri = format!("task://{id}");
        let mut listening = None;
        match era {
            Era::Modern => {
                let filter = SubscriptionFilter::builder().resource_subscriptions([uri.clone()]).build();
                listening = Some(client.peer().listen(filter).await.expect("listens"));
            }
            #[expect(deprecated, reason = "what it was replaced by is not for sessions")]
            Era::Legacy => {
                client.peer().subscribe(SubscribeRequestParams::new(uri.clone())).await.expect("subscribed");
            }
        }

        socket.kill();
        let seen = in_time(waiting.await_response()).await.expect_err("nobody knows").to_string();
        assert!(seen.contains("task_list"), "{seen}");
        match &mut listening {
            // It says so, and the client reads.
            Some(listening) => while in_time(listening.next()).await.expect("in order").is_some() {},
            None => while in_time(heard.recv()).await.expect("told") != uri {},
        }
        world.pass(1);
        world.until(&id, TaskDocument::is_terminal).await;
        if listening.is_none() {
            // The subscription holds on the new server.
            while in_time(heard.recv()).await.expect("told") != uri {}
        }
        client.peer().read_resource(ReadResourceRequestParams::new(uri)).await.expect("read");
        in_time(client.cancel()).await.expect("closed");
        assert!(in_time(carried).await.expect("no panic"), "{era:?}");
    }
}

/// A host before 2026-07-28 that speaks lines.
struct Lines {
    write: tokio::io::WriteHalf<UnixStream>,
    read: tokio::io::Lines<tokio::io::BufReader<tokio::io::ReadHalf<UnixStream>>>,
}

impl Lines {
    async fn begin(pipe: UnixStream) -> Self {
        let (read, write) = tokio::io::split(pipe);
        let mut lines = Self { write, read: tokio::io::BufReader::new(read).lines() };
        let client = json!({"name": "by hand", "version": "1"});
        let capabilities = json!({"elicitation": {}, "sampling": {}, "roots": {}});
        let params =
            json!({"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": client});
        lines.send(json!({"id": 0, "method": "initialize", "params": params})).await;
        lines.until(|message| message["id"] == 0).await;
        lines.send(json!({"method": "notifications/initialized"})).await;
        lines
    }

    async fn send(&mut self, mut message: Value) {
        message["jsonrpc"] = json!("2.0");
        self.write.write_all(format!("{message}\n").as_bytes()).await.expect("written");
    }

    /// The first that fits; nothing before it asks or takes back.
    async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = in_time(self.read.next_line()).await.expect("a line").expect("more");
            let message: Value = serde_json::from_str(&line).expect("JSON");
            if fits(&message) {
                return message;
            }
            let asks = message.get("method").is_some() && message.get("id").is_some();
            assert!(!asks && message["method"] != "notifications/cancelled", "{message}");
        }
    }
}

/// The host hears its question once, and its answer counts: with the call lost or repeated, given before the next
/// server is there or after.
#[tokio::test]
async fn a_host_answers_a_question_whose_server_is_gone() {
    let yes = json!({"action": "accept", "content": {"confirm": true}});
    for (keyed, before) in [(false, false), (false, true), (true, false), (true, true)] {
        let world = World::new().await;
        let socket = Socket::new(&world);
        let (pipe, _carried) = bridged(&socket);
        let mut host = Lines::begin(pipe).await;
        let meta = if keyed { json!({"longhaul/idempotency-key": "k"}) } else { json!({}) };
        let params = json!({"name": "asks", "arguments": {}, "_meta": meta});
        host.send(json!({"id": 1, "method": "tools/call", "params": params})).await;
        let asked = host.until(|message| message["method"] == "elicitation/create").await;
        let id = world.open_tasks(1).await.remove(0);
        let reply = json!({"id": asked["id"], "result": yes});
        socket.kill();
        if before {
            host.send(reply.clone()).await;
        }
        if !keyed {
            let lost = host.until(|message| message["id"] == 1).await;
            assert_eq!(lost["error"]["data"]["reason"], "server_restarted");
        }
        // As long as the next server takes to ask what it asks.
        host.send(json!({"id": 2, "method": "ping"})).await;
        if !before {
            host.until(|message| message["id"] == 2).await;
            host.send(reply.clone()).await;
        }
        let task = world.until(&id, TaskDocument::is_terminal).await;
        assert_eq!(task.questions_answered.len(), 1, "{keyed} {before}");
        assert_eq!(task.questions_answered[0].answered_by.channel, "mcp");
        if keyed {
            let answer = host.until(|message| message["id"] == 1).await;
            assert_eq!(answer["result"]["content"][0]["text"], "{\"confirm\":true}");
        }
        // Whatever comes of the same answer once more, nothing is asked.
        host.send(reply).await;
        host.send(json!({"id": 3, "method": "ping"})).await;
        host.until(|message| message["id"] == 3).await;
    }
}

/// One program's connections are as good as another's of its user, and forged ids are as good as none.
#[tokio::test]
async fn over_pipes_questions_are_asked_taken_back_and_refused() {
    let world = World::new().await;
    let socket = Socket::new(&world);
    let mut host = Lines::begin(bridged(&socket).0).await;
    let call = |id: u64, tool: &str, arguments: Value| json!({"id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}});
    host.send(call(1, "samples", json!({"roots": true}))).await;
    let asked = host.until(|message| message["method"] == "roots/list").await;
    let known = asked["id"].as_str().expect("a text").to_owned();
    for forged in [json!("question-"), json!(format!("{known}A")), json!(0)] {
        host.send(json!({"id": forged, "result": {"roots": []}})).await;
    }
    host.send(json!({"id": known, "error": {"code": -32601, "message": "no folders"}})).await;
    let answer = host.until(|message| message["id"] == 1).await;
    assert_eq!(answer["result"]["content"][0]["text"], "unavailable: the client answered: no folders");

    host.send(call(2, "asks", json!({}))).await;
    let asked = host.until(|message| message["method"] == "elicitation/create").await;
    let unfit = json!({"action": "accept", "content": {"confirm": "perhaps"}});
    host.send(json!({"id": asked["id"], "result": unfit})).await;
    let again = host.until(|message| message["method"] == "elicitation/create").await;
    assert_ne!(again["id"], asked["id"]);
    let id: TaskId = world.open_tasks(1).await.remove(0).parse().expect("an id");
    let given = crate::engine::questions::Given::Decline;
    let by_hand = crate::mcp::questions::asks::BY_PROTOCOL;
    world.engine.answer(&Principal::local(), id, None, given, by_hand).await.expect("taken");
    let over = host.until(|message| message["method"] == "notifications/cancelled").await;
    assert_eq!(over["params"]["requestId"], again["id"]);
    let answer = host.until(|message| message["id"] == 2).await;
    assert_eq!(answer["result"]["content"][0]["text"], "Decline");
}

#[tokio::test]
async fn a_socket_is_private_replaces_a_stale_one_and_may_lie_deep() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new().await;
    let deep = world.folder.path().join("d".repeat(120));
    std::fs::create_dir(&deep).expect("a folder");
    for folder in [world.folder.path(), &deep] {
        let path: &Path = &folder.join("server.sock");
        drop(std::os::unix::net::UnixListener::bind(folder.join("short")));
        let _ = std::fs::rename(folder.join("short"), path);
        let server = McpServer::new(world.engine.clone(), McpOptions::default());
        let served = SocketServer::bind(server, path).await.expect("bound");
        let mode = std::fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let url = format!("unix:{}", path.display());
        let client = Client::connect(&url).await.expect("a client");
        assert_eq!(client.era(), Era::Modern);
        assert!(!client.tools().await.expect("tools").is_empty());
        served.shutdown().await;
        assert!(!path.exists());
        let again = ClientOptions { url, ..ClientOptions::default() };
        assert!(matches!(Client::connect_with(again).await, Err(ClientError::Unreachable { .. })));
    }
}

#[tokio::test]
async fn it_is_idle_once_nobody_is_there_and_no_task_is_open() {
    let world = World::new().await;
    let path = world.folder.path().join("server.sock");
    let server = McpServer::new(world.engine.clone(), McpOptions::default());
    let served = Arc::new(SocketServer::bind(server, &path).await.expect("bound"));
    let client = Client::connect(format!("unix:{}", path.display())).await.expect("a client");
    let options = CallOptions { reply: Some(Reply::Link), ..CallOptions::default() };
    let started = client.call("stages", json!({ "stages": 1 }), &options).await.expect("started");
    let watched = served.clone();
    let mut idle = tokio::spawn(async move { watched.idle(Duration::ZERO).await });
    client.close().await;
    // As long as it takes to look twice.
    let looks = Duration::from_millis(2 * crate::limits::IDLE_CHECK_MS);
    assert!(tokio::time::timeout(looks, &mut idle).await.is_err(), "a task is open");
    world.pass(1);
    world.until(&started.link().expect("a link").task_id, TaskDocument::is_terminal).await;
    in_time(idle).await.expect("no panic");
}
