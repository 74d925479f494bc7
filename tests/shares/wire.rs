//! A bare client that sees what shares are about: statuses, when to come again, and in which words.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

const VERSION: &str = "2026-07-28";
/// What is not answered by then is as good as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// One principal at one address of loopback, so that it is a machine of its own to the server.
#[derive(Clone)]
pub struct Caller {
    pub url: String,
    pub token: String,
    pub from: IpAddr,
    http: reqwest::Client,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    Served(Value),
    /// There was no room: whose bound that is stands in the words.
    Refused {
        status: u16,
        retry_after: Option<u64>,
        words: String,
    },
    /// Another error.
    Failed(String),
    /// No answer.
    Lost(String),
}

impl Outcome {
    /// In a word, for counts.
    pub fn kind(&self) -> String {
        match self {
            Self::Served(_) => "served".to_owned(),
            Self::Refused { status, words, retry_after } => {
                let pool = words.split('(').nth(1).and_then(|rest| rest.split(')').next()).unwrap_or("?");
                let time = if retry_after.is_some() { "" } else { "without a time " };
                format!("refused {status} {time}{pool}")
            }
            Self::Failed(_) => "failed".to_owned(),
            Self::Lost(_) => "lost".to_owned(),
        }
    }

    pub fn words(&self) -> String {
        match self {
            Self::Served(_) => String::new(),
            Self::Refused { words, .. } | Self::Failed(words) | Self::Lost(words) => words.clone(),
        }
    }

    /// The task that a call was answered with, or was.
    pub fn task(&self) -> Option<&str> {
        match self {
            Self::Served(result) => result["structuredContent"]["task_id"].as_str(),
            _ => None,
        }
    }
}

impl Caller {
    pub fn new(url: &str, token: &str, from: IpAddr) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).local_address(from);
        let http = http.tcp_nodelay(true).tls_certs_only([]).build().expect("a client");
        Self { url: url.to_owned(), token: token.to_owned(), from, http }
    }

    /// From the orders of a hostile caller.
    pub fn of_orders(orders: &Value) -> Self {
        let word = |name: &str| orders[name].as_str().unwrap_or_else(|| panic!("no {name} in {orders}"));
        Self::new(word("url"), word("token"), word("from").parse().expect("an address"))
    }

    pub fn orders(&self) -> Value {
        json!({"url": self.url, "token": self.token, "from": self.from.to_string()})
    }

    pub fn address(&self) -> SocketAddr {
        let address = self.url.trim_start_matches("http://").trim_end_matches("/mcp");
        address.parse().expect("an address")
    }

    pub async fn call(&self, tool: &str, arguments: Value, reply: &str) -> Outcome {
        self.ask("tools/call", Some(tool), call_params(tool, arguments, reply)).await
    }

    pub async fn ask(&self, method: &str, name: Option<&str>, params: Value) -> Outcome {
        self.send(method, name, message(method, params)).await
    }

    /// A body that is written already.
    pub async fn send(&self, method: &str, name: Option<&str>, body: impl Into<reqwest::Body>) -> Outcome {
        let mut request = self.http.post(&self.url);
        for (header, value) in self.headers(method, name) {
            request = request.header(header, value);
        }
        match request.body(body).send().await {
            Ok(answer) => outcome(answer).await,
            Err(error) => Outcome::Lost(format!("{error:?}")),
        }
    }

    pub fn headers(&self, method: &str, name: Option<&str>) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("authorization", format!("Bearer {}", self.token)),
            ("content-type", "application/json".to_owned()),
            ("accept", "application/json, text/event-stream".to_owned()),
            ("mcp-protocol-version", VERSION.to_owned()),
            ("mcp-method", method.to_owned()),
        ];
        headers.extend(name.map(|name| ("mcp-name", name.to_owned())));
        headers
    }

    /// A session of 2025-11-25: what its beginning comes to.
    pub async fn begin_session(&self) -> Outcome {
        let client = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let request = self.http.post(&self.url).bearer_auth(&self.token);
        let request = request.header("content-type", "application/json");
        let request = request.header("accept", "application/json, text/event-stream");
        match request.body(body.to_string()).send().await {
            Ok(answer) => {
                let id = answer.headers().get("mcp-session-id").and_then(|id| id.to_str().ok());
                let id = id.map(str::to_owned);
                match (outcome(answer).await, id) {
                    (Outcome::Served(_), Some(id)) => Outcome::Served(json!(id)),
                    (Outcome::Served(_), None) => Outcome::Failed("no session".to_owned()),
                    (other, _) => other,
                }
            }
            Err(error) => Outcome::Lost(format!("{error:?}")),
        }
    }

    pub async fn end_session(&self, id: &str) -> Result<(), String> {
        let request = self.http.delete(&self.url).bearer_auth(&self.token).header("mcp-session-id", id);
        let ended = request.send().await.map_err(|error| error.to_string())?.status();
        // One that has gone already is ended.
        if ended.is_success() || ended.as_u16() == 404 { Ok(()) } else { Err(format!("DELETE: {ended}")) }
    }

    /// A connection from this caller's address.
    pub async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(self.from, 0))?;
        socket.connect(self.address()).await
    }

    /// The same, of which little is taken until it is read.
    pub async fn connect_deaf(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        socket.bind(SocketAddr::new(self.from, 0))?;
        socket.connect(self.address()).await
    }

    /// The head of a request with so many bytes of body, for connections that are written to by the caller.
    pub fn head(&self, method: &str, name: Option<&str>, bytes: usize) -> String {
        let mut head =
            format!("POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-length: {bytes}\r\n", self.address());
        for (header, value) in self.headers(method, name) {
            head.push_str(&format!("{header}: {value}\r\n"));
        }
        head + "\r\n"
    }

    /// A whole request on a connection of its own, whose answer is left to be read.
    pub async fn send_on(
        &self,
        stream: &mut TcpStream,
        method: &str,
        name: Option<&str>,
        params: Value,
    ) -> std::io::Result<()> {
        let body = message(method, params);
        stream.write_all(self.head(method, name, body.len()).as_bytes()).await?;
        stream.write_all(body.as_bytes()).await
    }
}

pub fn call_params(tool: &str, arguments: Value, reply: &str) -> Value {
    json!({"name": tool, "arguments": arguments, "_meta": {"longhaul/reply": reply}})
}

pub fn message(method: &str, mut params: Value) -> String {
    let meta = &mut params["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = json!(VERSION);
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "test", "version": "1"});
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

async fn outcome(answer: reqwest::Response) -> Outcome {
    let status = answer.status().as_u16();
    let after = answer.headers().get("retry-after").and_then(|after| after.to_str().ok()?.parse().ok());
    let text = match answer.text().await {
        Ok(text) => text,
        Err(error) => return Outcome::Lost(format!("{error:?}")),
    };
    let Some(message) = last_message(&text) else {
        return match status {
            429 | 503 => Outcome::Refused { status, retry_after: after, words: text },
            _ => Outcome::Failed(format!("{status} {text}")),
        };
    };
    let error = &message["error"];
    if !error.is_null() {
        let words = error["message"].as_str().unwrap_or_default().to_owned();
        let inside = error["data"]["retry_after_seconds"].as_u64();
        return match after.or(inside) {
            Some(after) => Outcome::Refused { status, retry_after: Some(after), words },
            None => Outcome::Failed(format!("{status} {error}")),
        };
    }
    let result = &message["result"];
    if result["isError"] == json!(true) {
        let words = result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
        return match result["_meta"]["longhaul/retry-after-seconds"].as_u64() {
            Some(after) => Outcome::Refused { status, retry_after: Some(after), words },
            None => Outcome::Failed(words),
        };
    }
    Outcome::Served(result.clone())
}

/// Of a body that is JSON, or a stream of events.
fn last_message(text: &str) -> Option<Value> {
    if let Ok(message @ Value::Object(_)) = serde_json::from_str(text) {
        return Some(message);
    }
    let of_line = |line: &str| serde_json::from_str::<Value>(line.strip_prefix("data:")?.trim()).ok();
    text.lines().rev().find_map(of_line).filter(Value::is_object)
}

/// In a word, of an answer as it came over the wire.
pub fn raw_kind(answer: &str) -> String {
    let status = answer.split(' ').nth(1).unwrap_or("nothing");
    match status {
        "429" | "503" => {
            let pool = answer.split('(').nth(1).and_then(|rest| rest.split(')').next()).unwrap_or("?");
            let has_time = answer.to_lowercase().contains("\r\nretry-after: ");
            let time = if has_time { "" } else { "without a time " };
            format!("refused {status} {time}{pool}")
        }
        other => other.to_owned(),
    }
}
