//! MCP by hand over HTTP, for what a well-behaved client does not do.

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

impl Session<'_> {
    pub fn post(&self) -> reqwest::RequestBuilder {
        self.raw.post().header("mcp-session-id", &self.id).header("mcp-protocol-version", "2025-11-25")
    }

    pub async fn send(&self, method: &str, params: Value) -> reqwest::Response {
        let body = json!({"jsonrpc": "2.0", "id": 8, "method": method, "params": params});
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
