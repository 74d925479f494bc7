use serde_json::{Value, json};

use super::client::{RpcError, http_client, lost};

/// A bare client of 2025-11-25 that comes back: it remembers its session, and how far it has read the stream of its
/// call.
pub struct Session {
    http: reqwest::Client,
    url: String,
    id: String,
    stream: Option<reqwest::Response>,
    held: String,
    last_event: Option<String>,
}

const VERSION: &str = "2025-11-25";

impl Session {
    pub async fn begin(url: &str, capabilities: Value) -> Result<Self, RpcError> {
        let (http, url) = (http_client(), url.to_owned());
        let mut session =
            Self { http, url, id: String::new(), stream: None, held: String::new(), last_event: None };
        let client = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": VERSION, "capabilities": capabilities, "clientInfo": client});
        let answer = session.post(json!({"id": 0, "method": "initialize", "params": params})).await?;
        let id = answer.headers()["mcp-session-id"].to_str().expect("text").to_owned();
        let body = answer.text().await.map_err(lost)?;
        assert!(body.contains(VERSION), "{body}");
        session.id = id;
        session.post(json!({"method": "notifications/initialized"})).await?;
        Ok(session)
    }

    /// One that was begun elsewhere, and has read its call's stream up to an event.
    pub fn resumed(url: &str, id: &str, last_event: &str) -> Self {
        let (id, last_event) = (id.to_owned(), Some(last_event.to_owned()));
        Self { http: http_client(), url: url.to_owned(), id, stream: None, held: String::new(), last_event }
    }

    /// The server has another address by now.
    pub fn at(mut self, url: &str) -> Self {
        self.url = url.to_owned();
        self
    }

    /// Calls, or goes on behind the last event of the call's stream if there was one.
    pub async fn call(&mut self, params: Value) -> Result<(), RpcError> {
        self.held.clear();
        self.stream = Some(match &self.last_event {
            None => self.post(json!({"id": 1, "method": "tools/call", "params": params})).await?,
            Some(event) => {
                let request = self.http.get(&self.url).header("accept", "text/event-stream");
                sent(self.of_session(request).header("last-event-id", event)).await?
            }
        });
        Ok(())
    }

    /// The next message of the call's stream.
    pub async fn next(&mut self) -> Result<Value, RpcError> {
        loop {
            if let Some(end) = self.held.find("\n\n") {
                let event: String = self.held.drain(..end + 2).collect();
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let Some(id) = field("id:") {
                    self.last_event = Some(id.to_owned());
                }
                match field("data:").filter(|data| !data.is_empty()) {
                    Some(data) => return Ok(serde_json::from_str(data).expect("JSON")),
                    None => continue,
                }
            }
            let ended = || RpcError::Lost("the stream ended".to_owned());
            let chunk = self.stream.as_mut().ok_or_else(ended)?.chunk().await.map_err(lost)?;
            self.held.push_str(std::str::from_utf8(&chunk.ok_or_else(ended)?).expect("text"));
        }
    }

    /// Answers what the server asked.
    pub async fn reply(&self, request: &Value, result: Value) -> Result<(), RpcError> {
        self.post(json!({"id": request["id"], "result": result})).await.map(drop)
    }

    async fn post(&self, mut message: Value) -> Result<reqwest::Response, RpcError> {
        message["jsonrpc"] = json!("2.0");
        let request = self.http.post(&self.url).header("accept", "application/json, text/event-stream");
        sent(self.of_session(request).json(&message)).await
    }

    fn of_session(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        if self.id.is_empty() {
            return request;
        }
        request.header("mcp-session-id", &self.id).header("mcp-protocol-version", VERSION)
    }
}

async fn sent(request: reqwest::RequestBuilder) -> Result<reqwest::Response, RpcError> {
    let answer = request.send().await.map_err(lost)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let message = answer.text().await.map_err(lost)?;
    Err(RpcError::Refused { code: status.as_u16().into(), message })
}
