use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use futures::stream;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::*;
use crate::http::EventStream;
use crate::http::chain::Chain;
use crate::shares::{Account, Bound, Bounds, Pool};

/// More than the system keeps for a client that does not read.
const LARGE_BYTES: usize = 16 * 1024 * 1024;

struct World {
    address: SocketAddr,
    tell: mpsc::UnboundedSender<&'static str>,
    closing: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    places: Arc<Places>,
}

impl World {
    /// A large page, and one that sends what it is given.
    async fn new() -> Self {
        Self::with(Patience::default(), limits::MAX_CONNECTIONS as u64).await
    }

    async fn with(patience: Patience, connections: u64) -> Self {
        let (tell, parts) = mpsc::unbounded_channel();
        let parts = Arc::new(Mutex::new(Some(parts)));
        let seen = get(move || {
            let parts = parts.lock().take().expect("one listener");
            let next = async |mut parts: mpsc::UnboundedReceiver<&'static str>| {
                Some((Ok::<_, io::Error>(parts.recv().await?), parts))
            };
            let mut response = Response::new(Body::from_stream(stream::unfold(parts, next)));
            response.extensions_mut().insert(EventStream);
            std::future::ready(response)
        });
        let app =
            Router::new().route("/large", get(|| async { "x".repeat(LARGE_BYTES) })).route("/told", seen);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut bounds = Bounds::default();
        bounds[Pool::Connections] = Bound { process: connections, share: connections, reserve: 0 };
        let places = Places::new(Account::new(bounds));
        let (address, closing) = (listener.local_addr().expect("an address"), CancellationToken::new());
        let serving = tokio::spawn(serve(
            listener,
            Chain::of_routes(app).shared(),
            OwnerRule::None,
            places.clone(),
            patience,
            closing.clone(),
        ));
        Self { address, tell, closing, serving, places }
    }

    async fn ask(&self, requests: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(requests.as_bytes()).await.expect("sent");
        stream
    }
}

async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        read.push(stream.read_u8().await.expect("more"));
    }
    String::from_utf8(read).expect("text")
}

#[tokio::test]
async fn what_is_told_stands_whole_behind_earlier_answers_and_ends_with_its_body() {
    let world = World::new().await;
    let mut stream =
        world.ask("GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /told HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until(&mut stream, "\r\n\r\n").await;
    let mut large = vec![0; LARGE_BYTES];
    stream.read_exact(&mut large).await.expect("the whole page");
    assert!(large.iter().all(|byte| *byte == b'x'));
    let head = until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("connection: close\r\n"), "{head}");
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    world.tell.send("one").expect("told");
    assert_eq!(until(&mut stream, "one\r\n").await, "3\r\none\r\n");
    world.closing.cancel();
    world.tell.send("").expect("told");
    world.tell.send("and ten more").expect("told");
    assert!(!world.serving.is_finished(), "there is a listener");
    drop(world.tell);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("the end");
    assert_eq!(rest, "c\r\nand ten more\r\n0\r\n\r\n");
    world.serving.await.expect("ended");
}

#[tokio::test]
async fn http_1_0_is_told_without_frames() {
    let world = World::new().await;
    let mut stream = world.ask("GET /told HTTP/1.0\r\n\r\n").await;
    let head = until(&mut stream, "\r\n\r\n").await;
    assert!(!head.contains("chunked"), "{head}");
    world.tell.send("one").expect("told");
    drop(world.tell);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("the end");
    assert_eq!(rest, "one");
}

#[tokio::test]
async fn nothing_is_kept_for_a_listener_who_has_gone() {
    let world = World::new().await;
    let mut stream = world.ask("GET /told HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until(&mut stream, "\r\n\r\n").await;
    drop(stream);
    world.tell.closed().await;
}

/// All that a connection that ends is sent.
async fn all_of(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    // Where the client was still sending, its end may be a reset.
    drop(stream.read_to_end(&mut read).await);
    String::from_utf8_lossy(&read).into_owned()
}

fn short() -> Patience {
    let (soon, late) = (Duration::from_millis(50), Duration::from_secs(3_600));
    Patience { head: late, idle: late, unread: late, look: soon }
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for_however_it_trickles() {
    let world = World::with(Patience { head: Duration::from_millis(200), ..short() }, 16).await;
    let mut silent = world.ask("").await;
    let mut half = world.ask("GET /large HTTP/1.1\r\nHost: a\r\n").await;
    let (mut reader, mut writer) = world.ask("GET /large HTTP/1.1\r\n").await.into_split();
    let trickle = async {
        while writer.write_all(b"a: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut read = Vec::new();
    tokio::select! {
        _ = reader.read_to_end(&mut read) => {}
        () = trickle => {}
    }
    assert_eq!((all_of(&mut silent).await, all_of(&mut half).await), (String::new(), String::new()));
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time_and_one_that_is_answered_is_not() {
    let world = World::with(Patience { idle: Duration::from_millis(200), ..short() }, 16).await;
    let mut told = world.ask("GET /told HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until(&mut told, "\r\n\r\n").await;
    let mut idle = world.ask("GET /none HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(all_of(&mut idle).await.starts_with("HTTP/1.1 404"), "it ends by itself");
    world.tell.send("still here").expect("told");
    assert_eq!(until(&mut told, "here\r\n").await, "a\r\nstill here\r\n");
}

#[tokio::test]
async fn an_answer_that_is_not_read_is_given_up() {
    let world = World::with(Patience { unread: Duration::from_millis(200), ..short() }, 16).await;
    let account = world.places.account().clone();
    let unread = world.ask("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    unread.readable().await.expect("it begins");
    loop {
        let mut freed = std::pin::pin!(account.freed(Pool::Connections));
        freed.as_mut().enable();
        if account.used(Pool::Connections) == 0 {
            return;
        }
        freed.await;
    }
}

#[tokio::test]
async fn where_all_places_are_taken_the_one_idle_longest_makes_room_and_no_busy_one() {
    // Half of them are one machine's.
    let world = World::with(short(), 6).await;
    let mut told = world.ask("GET /told HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until(&mut told, "\r\n\r\n").await;
    let mut idle = Vec::new();
    for _ in 0..5 {
        let mut stream = world.ask("GET /none HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 404"), "it is answered");
        idle.push(stream);
    }
    for stream in &mut idle[..3] {
        assert_eq!(all_of(stream).await, "", "it has made room");
    }
    assert_eq!(world.places.closed(), 3);
    world.tell.send("still here").expect("told");
    until(&mut told, "here\r\n").await;
    // Those that are answered are not closed: there is no room.
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut stream = world.ask("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
        until(&mut stream, "\r\n\r\n").await;
        busy.push(stream);
    }
    let refused = all_of(&mut world.ask("").await).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("\r\nretry-after: 1\r\n") && refused.contains("connections"), "{refused}");
}
