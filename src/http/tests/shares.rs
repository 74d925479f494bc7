//! What one caller may take of the listener, and what is left for the others.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::*;
use crate::limits;
use crate::shares::{Bound, Pool};

const LARGE_BYTES: usize = 16 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;

fn bounds(pool: Pool, process: u64, share: u64) -> Bounds {
    let mut bounds = Bounds::default();
    bounds[pool] = Bound { process, share, reserve: 0 };
    bounds
}

struct Listener {
    server: Server,
    account: Arc<Account>,
    /// Lets the answers at `/wait` go, once each of `waiting` was heard of.
    go: Arc<Notify>,
    waiting: Arc<Notify>,
}

impl Listener {
    /// `/wait` answers when it may, `/large` with much, `/read` with the length of what it is sent.
    async fn new(bounds: Bounds) -> Self {
        let account = Account::new(bounds);
        let backend = OneToken {
            revoked: watch::channel(false).0,
            failure: None,
            unauthenticated: Mutex::default(),
            shares: account.clone(),
        };
        let (go, waiting) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let of_wing = (go.clone(), waiting.clone());
        let wait = Mount::new("Wait", "/wait", move |_| {
            let (go, waiting) = of_wing.clone();
            async move {
                waiting.notify_one();
                go.notified().await;
                text(http::StatusCode::OK, "waited")
            }
        });
        let large =
            Mount::new("Large", "/large", |_| async { text(http::StatusCode::OK, "x".repeat(LARGE_BYTES)) });
        let read = Mount::new("Read", "/read", |request: Request| async {
            match collect(request.into_body(), limits::MAX_REQUEST_BYTES).await {
                Ok(bytes) => text(http::StatusCode::OK, bytes.len().to_string()),
                Err(CollectError::Refused(refusal)) => refused(&refusal),
                Err(error) => text(http::StatusCode::BAD_REQUEST, error.to_string()),
            }
        });
        let options = Options::new(([127, 0, 0, 1], 0).into());
        let server =
            Server::bind(options, Arc::new(backend), vec![wait, large, read]).await.expect("listens");
        Self { server, account, go, waiting }
    }

    fn ask(&self, method: http::Method, path: &str) -> reqwest::RequestBuilder {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
        client.request(method, format!("http://{}{path}", self.server.address()))
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.ask(http::Method::GET, path)
    }

    async fn raw(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.server.address()).await.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream
    }

    /// Ends once nothing is held of a pool.
    async fn until_free(&self, pool: Pool) {
        loop {
            let mut freed = std::pin::pin!(self.account.freed(pool));
            freed.as_mut().enable();
            if self.account.used(pool) == 0 {
                return;
            }
            freed.await;
        }
    }
}

/// Its status, how long to wait, and its words.
async fn refusal(request: reqwest::RequestBuilder) -> (u16, Option<u64>, String) {
    let answer = request.send().await.expect("an answer");
    let after = answer.headers().get("retry-after").map(|after| after.to_str().expect("text").to_owned());
    let after = after.map(|after| after.parse().expect("seconds"));
    (answer.status().as_u16(), after, answer.text().await.expect("text"))
}

#[tokio::test]
async fn who_asks_too_often_is_answered_when_to_come_again_and_the_owner_is_not() {
    let mut bounds = Bounds::default();
    bounds[Pool::Rate] = bounds[Pool::Rate].with_share(1);
    let listener = Listener::new(bounds).await;
    let empty = |token: Option<&str>| {
        let request = listener.ask(http::Method::POST, "/read").body("a");
        refusal(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    };
    let mut answers = Vec::new();
    while !answers.contains(&429) {
        let (status, after, words) = empty(Some(TOKEN)).await;
        assert_eq!(after, (status == 429).then_some(1), "{words}");
        assert!(status == 200 || words.contains("the share of ann is 1 requests a second"), "{words}");
        answers.push(status);
    }
    assert!(answers.len() > 1, "some come at once");
    let mut guesses = Vec::new();
    for _ in 0..1_000 {
        let (status, after, words) = empty(Some("lh_guess")).await;
        guesses.push(status);
        if status == 429 {
            assert!(after.is_some() && words.contains("callers without a valid token"), "{words}");
            break;
        }
        assert_eq!(status, 401);
    }
    assert_eq!(guesses.last(), Some(&429));
    for _ in 0..100 {
        assert_eq!(empty(None).await.0, 200, "the owner");
    }
    let (_, metrics) = answer(listener.get("/metrics")).await;
    assert!(metrics.contains("longhaul_share_refused_total{pool=\"rate\"} 2\n"), "{metrics}");
}

#[tokio::test]
async fn a_body_counts_in_its_callers_rate_also_where_it_has_no_declared_length() {
    let mut bounds = Bounds::default();
    bounds[Pool::Rate] = bounds[Pool::Rate].with_share(1);
    let body = || "x".repeat(2 * MIB as usize);
    let listener = Listener::new(bounds.clone()).await;
    let declared = listener.ask(http::Method::POST, "/read").bearer_auth(TOKEN).body(body());
    assert_eq!(answer(declared).await.0, 200, "the longest there is is read, once there is room for it");
    let listener = Listener::new(bounds).await;
    let head = format!("POST /read HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n");
    let mut stream = listener.raw(&(head + "Transfer-Encoding: chunked\r\n\r\n")).await;
    let (mut read, mut write) = stream.split();
    let part = format!("{:x}\r\n{}\r\n", 2 * MIB, body());
    let mut status = [0; 12];
    // The server stops to read where it refuses.
    let (_, answered) = tokio::join!(write.write_all(part.as_bytes()), read.read_exact(&mut status));
    answered.expect("an answer, though the body has no end");
    assert_eq!(&status, b"HTTP/1.1 429");
}

#[tokio::test]
async fn who_is_refused_reads_why_whatever_it_was_still_writing() {
    let mut bounds = Bounds::default();
    bounds[Pool::Rate] = bounds[Pool::Rate].with_share(1);
    let listener = Listener::new(bounds).await;
    let head = |bytes: usize| {
        let of = format!("POST /read HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n");
        format!("{of}Content-Length: {bytes}\r\n\r\n")
    };
    // Short ones leave the connection as it is.
    let mut stream = listener.raw("").await;
    let mut answers = Vec::new();
    while !answers.iter().any(|answer: &String| answer.starts_with("HTTP/1.1 429")) {
        stream.write_all(head(1).as_bytes()).await.expect("sent");
        stream.write_all(b"x").await.expect("sent");
        answers.push(one_answer(&mut stream).await);
    }
    assert!(!answers.concat().contains("connection: close"), "{answers:?}");
    let long = 4 * MIB as usize;
    stream.write_all(head(long).as_bytes()).await.expect("sent");
    stream.write_all(&vec![b'x'; long]).await.expect("all of it is taken");
    let mut said = String::new();
    stream.read_to_string(&mut said).await.expect("the answer, and the end of the connection");
    assert!(said.starts_with("HTTP/1.1 429") && said.contains("connection: close\r\n"), "{said}");
}

/// The next answer on a connection that goes on.
async fn one_answer(stream: &mut TcpStream) -> String {
    let (mut answer, mut byte) = (String::new(), [0]);
    while !is_whole(&answer) {
        stream.read_exact(&mut byte).await.expect("an answer");
        answer.push(char::from(byte[0]));
    }
    answer
}

fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    match head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        Some(length) => length.parse() == Ok(body.len()),
        None => body.ends_with("0\r\n\r\n"),
    }
}

#[tokio::test]
async fn the_owner_begins_as_many_connections_as_it_likes() {
    let listener = Listener::new(bounds(Pool::NewConnections, u64::MAX, 1)).await;
    for _ in 0..20 {
        assert_eq!(answer(listener.ask(http::Method::POST, "/read").body("a")).await, (200, "1".to_owned()));
    }
}

#[tokio::test]
async fn one_caller_leaves_requests_for_the_others() {
    let listener = Listener::new(bounds(Pool::Requests, 2, 1)).await;
    let first = tokio::spawn(answer(listener.get("/wait").bearer_auth(TOKEN)));
    listener.waiting.notified().await;
    let (status, after, words) = refusal(listener.get("/wait").bearer_auth(TOKEN)).await;
    assert_eq!((status, after), (429, Some(1)), "{words}");
    assert!(words.contains("the share of ann is 1 requests that are not answered (requests)"), "{words}");
    let owner = tokio::spawn(answer(listener.get("/wait")));
    listener.waiting.notified().await;
    let (status, _, words) = refusal(listener.get("/wait")).await;
    assert_eq!(status, 503, "{words}");
    assert!(words.contains("this server has at most 2 requests"), "{words}");
    listener.go.notify_waiters();
    assert_eq!((first.await.expect("ended").0, owner.await.expect("ended").0), (200, 200));
    listener.until_free(Pool::Requests).await;
}

#[tokio::test]
async fn a_body_takes_its_declared_length_before_it_is_sent_and_any_other_as_it_arrives() {
    let listener = Listener::new(bounds(Pool::RequestBytes, 64 * MIB, MIB * limits::REQUEST_COPIES)).await;
    let head = |length: &str| {
        format!("POST /read HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{length}\r\n\r\n")
    };
    let mut stream = listener.raw(&head(&format!("Content-Length: {}", MIB + 1))).await;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("an answer, though nothing of the body was sent");
    assert_eq!(&status, b"HTTP/1.1 429");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("the answer, and the end of the connection");
    assert!(rest.contains("connection: close\r\n"), "what was not read is not taken for a request: {rest}");
    let mut stream = listener.raw(&head("Transfer-Encoding: chunked")).await;
    let part = format!("{MIB:x}\r\n{}\r\n", "x".repeat(MIB as usize));
    stream.write_all(part.as_bytes()).await.expect("sent");
    stream.write_all(b"1\r\nx\r\n").await.expect("sent");
    stream.read_exact(&mut status).await.expect("an answer, though the body has no end");
    assert_eq!(&status, b"HTTP/1.1 429");
    let fits = listener.ask(http::Method::POST, "/read").bearer_auth(TOKEN).body("x".repeat(MIB as usize));
    assert_eq!(answer(fits).await, (200, MIB.to_string()));
    drop(stream);
    listener.until_free(Pool::Memory).await;
}

#[tokio::test]
async fn answers_are_held_of_the_account_until_they_are_read() {
    let listener =
        Listener::new(bounds(Pool::AnswerBytes, 10 * LARGE_BYTES as u64, LARGE_BYTES as u64)).await;
    let head = format!("GET /large HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    let mut unread = listener.raw(&head).await;
    let mut status = [0; 12];
    unread.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 200");
    assert_eq!(listener.account.used_by(Pool::AnswerBytes, "ann"), LARGE_BYTES as u64);
    let (status, _, words) = refusal(listener.get("/large").bearer_auth(TOKEN)).await;
    assert_eq!(status, 429, "{words}");
    assert!(words.contains("the share of ann is 16 MiB of answers that are not read"), "{words}");
    let owner = listener.raw("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    owner.readable().await.expect("an answer");
    assert_eq!(
        listener.account.used_by(Pool::AnswerBytes, "local"),
        LARGE_BYTES as u64,
        "also where its length is known"
    );
    drop(owner);
    let mut rest = vec![0; 64 * 1024];
    let reading = async { while unread.read(&mut rest).await.expect("more of the answer") > 0 {} };
    tokio::select! {
        () = listener.until_free(Pool::AnswerBytes) => {}
        () = reading => {}
    }
    assert_eq!(answer(listener.get("/large").bearer_auth(TOKEN)).await.0, 200);
}
