//! Bare MCP over HTTP, for what a well-behaved client does not do.

use super::*;

pub struct Raw {
    pub http: reqwest::Client,
    pub url: String,
}

impl Raw {
    pub fn new(world: &World) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { http, url: world.http.url() }
    }

    /// The same, with every request showing this token or key.
    pub fn with_token(world: &World, token: &str) -> Self {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().expect("a header"));
        let http = reqwest::Client::builder().no_proxy().default_headers(headers).build().expect("a client");
        Self { http, url: world.http.url() }
    }

    pub fn post(&self) -> reqwest::RequestBuilder {
        self.http
            .post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
    }

    /// A request of 2026-07-28; `meta` is added to what the protocol wants there.
    pub fn modern(&self, method: &str, mut params: Value, meta: Value) -> reqwest::RequestBuilder {
        let mut all = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "by hand", "version": "1"},
        });
        for (key, value) in meta.as_object().expect("an object") {
            all[key] = value.clone();
        }
        let name =
            ["name", "uri", "taskId"].iter().find_map(|key| params.get(key)?.as_str().map(str::to_owned));
        params["_meta"] = all;
        let mut request =
            self.post().header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        request.body(json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string())
    }

    pub async fn ask_modern(&self, method: &str, params: Value, meta: Value) -> Vec<Value> {
        messages(self.modern(method, params, meta).send().await.expect("an answer")).await
    }

    /// A session of 2025-11-25.
    pub async fn session(&self) -> Session<'_> {
        self.session_with(json!({})).await
    }

    /// A session that was begun elsewhere.
    pub fn session_of(&self, id: &str) -> Session<'_> {
        Session { raw: self, id: id.to_owned() }
    }

    /// One whose client declares these capabilities.
    pub async fn session_with(&self, capabilities: Value) -> Session<'_> {
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {"name": "by hand", "version": "1"},
        });
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let answer = self.post().body(body.to_string()).send().await.expect("an answer");
        let id = answer.headers()["mcp-session-id"].to_str().expect("text").to_owned();
        let initialized = &messages(answer).await[0];
        assert_eq!(initialized["result"]["protocolVersion"], "2025-11-25");
        assert_eq!(initialized["result"]["capabilities"].get("extensions"), None, "none are for sessions");
        let session = Session { raw: self, id };
        let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let accepted = session.post().body(body.to_string()).send().await.expect("an answer");
        assert_eq!(accepted.status(), 202);
        session
    }
}

pub struct Session<'a> {
    raw: &'a Raw,
    pub id: String,
}

impl<'a> Session<'a> {
    /// As a client sees it that comes back with what it remembers.
    pub fn again(raw: &'a Raw, id: &str) -> Self {
        Self { raw, id: id.to_owned() }
    }

    pub async fn notify(&self, method: &str, params: Value) -> u16 {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params});
        self.post().body(body.to_string()).send().await.expect("an answer").status().as_u16()
    }

    pub fn post(&self) -> reqwest::RequestBuilder {
        self.raw.post().header("mcp-session-id", &self.id).header("mcp-protocol-version", "2025-11-25")
    }

    pub async fn send(&self, method: &str, params: Value) -> reqwest::Response {
        self.send_as(json!(8), method, params).await
    }

    pub async fn send_as(&self, id: Value, method: &str, params: Value) -> reqwest::Response {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.post().body(body.to_string()).send().await.expect("an answer")
    }

    /// Its GET stream, from behind an event if one is named.
    pub async fn get(&self, last_event: Option<&str>) -> reqwest::Response {
        let request = self.raw.http.get(&self.raw.url).header("accept", "text/event-stream");
        let mut request =
            request.header("mcp-session-id", &self.id).header("mcp-protocol-version", "2025-11-25");
        if let Some(event) = last_event {
            request = request.header("last-event-id", event);
        }
        request.send().await.expect("an answer")
    }

    pub async fn delete(&self) -> reqwest::Response {
        let request = self.raw.http.delete(&self.raw.url).header("mcp-session-id", &self.id);
        request.header("mcp-protocol-version", "2025-11-25").send().await.expect("an answer")
    }

    pub async fn ask(&self, method: &str, params: Value) -> Vec<Value> {
        messages(self.send(method, params).await).await
    }
}

/// An event of a stream: its id, and its message if it has one.
#[derive(Debug)]
pub struct Event {
    pub id: String,
    pub message: Value,
}

/// Reads a stream event by event.
pub struct Events {
    answer: reqwest::Response,
    read: String,
}

impl Events {
    pub fn of(answer: reqwest::Response) -> Self {
        assert_eq!(answer.status(), 200);
        Self { answer, read: String::new() }
    }

    /// `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.read.find("\n\n") {
                let event: String = self.read.drain(..end + 2).collect();
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                // Comments keep the connection alive.
                let Some(id) = field("id:") else { continue };
                let data = field("data:").filter(|data| !data.is_empty());
                let message = data.map_or(Value::Null, |data| serde_json::from_str(data).expect("JSON"));
                return Some(Event { id: id.to_owned(), message });
            }
            let chunk = in_time(self.answer.chunk()).await.expect("a stream")?;
            self.read.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// To the end: the data of log messages, and the answer.
    pub async fn rest(&mut self) -> (Vec<String>, Option<Value>) {
        let (mut seen, mut answer) = (Vec::new(), None);
        while let Some(Event { message, .. }) = self.next().await {
            match &message["params"]["data"] {
                Value::String(text) => seen.push(text.clone()),
                _ if message.get("id").is_some() => answer = Some(message),
                _ => assert_eq!(message, Value::Null),
            }
        }
        (seen, answer)
    }
}

/// The JSON-RPC messages of an answer, whether it is one JSON document or a stream, to its end.
pub async fn messages(answer: reqwest::Response) -> Vec<Value> {
    let is_stream = answer.headers()["content-type"].to_str().expect("text").starts_with("text/event-stream");
    let body = in_time(answer.text()).await.expect("a body");
    if !is_stream {
        return vec![serde_json::from_str(&body).expect("JSON")];
    }
    let data = body.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    data.filter(|data| !data.is_empty()).map(|data| serde_json::from_str(data).expect("JSON")).collect()
}
