use std::path::{Path, PathBuf};

use rmcp::ClientHandler;
use rmcp::model::*;
use rmcp::service::{ClientServiceExt, NotificationContext, RoleClient};
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
    let carried =
        async move { bridge(ours.into_split(), reader, async || socket.connect().await).await.is_ok() };
    (theirs, tokio::spawn(carried))
}

#[derive(Clone)]
struct Hears(mpsc::UnboundedSender<String>);

impl ClientHandler for Hears {
    async fn on_resource_updated(
        &self,
        told: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let _ = self.0.send(told.uri);
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
        let told = in_time(waiting.await_response()).await.expect_err("nobody knows").to_string();
        assert!(told.contains("task_list"), "{told}");
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
