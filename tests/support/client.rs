use std::time::Duration;

use serde_json::{Value, json};

use super::PATIENCE;

/// A bare client of the stateless era (2026-07-28): one POST a request, nothing remembered. Written from the
/// specification, besides Longhaul's own client and the stock ones.
#[derive(Clone)]
pub struct Client {
    url: String,
    http: reqwest::Client,
    capabilities: Value,
}

#[derive(Debug)]
// The fields are for the words of a failed test.
#[allow(dead_code)]
pub enum RpcError {
    /// No answer: the server is gone, or went while it answered.
    Lost(String),
    /// A JSON-RPC error.
    Refused { code: i64, message: String },
}

const VERSION: &str = "2026-07-28";

impl Client {
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), http: http_client(), capabilities: json!({}) }
    }

    /// One that declares these capabilities with each request.
    pub fn declaring(self, capabilities: Value) -> Self {
        Self { capabilities, ..self }
    }

    /// The owner, by the key of the server's data folder.
    pub fn with_key(self, key: &str) -> Self {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {key}").parse().expect("a header"));
        Self { http: http_client_with(headers), ..self }
    }

    /// One request and its result; what comes on the stream before the result is passed over.
    pub async fn request(&self, method: &str, name: Option<&str>, params: Value) -> Result<Value, RpcError> {
        let response = self.post(method, name, params).send().await.map_err(lost)?;
        let text = response.text().await.map_err(lost)?;
        let messages = text.lines().filter_map(|line| match line.strip_prefix("data:") {
            Some(data) => serde_json::from_str::<Value>(data.trim()).ok(),
            None => serde_json::from_str::<Value>(line).ok().filter(Value::is_object),
        });
        for message in messages {
            if message.get("result").is_some() {
                return Ok(message["result"].clone());
            }
            if let Some(error) = message.get("error") {
                let code = error["code"].as_i64().unwrap_or_default();
                let message = error["message"].as_str().unwrap_or_default().to_owned();
                return Err(RpcError::Refused { code, message });
            }
        }
        Err(RpcError::Lost(format!("no answer in {text:?}")))
    }

    fn post(&self, method: &str, name: Option<&str>, mut params: Value) -> reqwest::RequestBuilder {
        let meta = &mut params["_meta"];
        meta["io.modelcontextprotocol/protocolVersion"] = json!(VERSION);
        meta["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "test", "version": "1"});
        let mut request = self
            .http
            .post(&self.url)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", VERSION)
            .header("mcp-method", method);
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        request.json(&body)
    }

    pub async fn call(&self, tool: &str, arguments: Value, meta: Value) -> Result<Value, RpcError> {
        let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
        self.request("tools/call", Some(tool), params).await
    }

    /// The structured result of a call that works.
    pub async fn structured(&self, tool: &str, arguments: Value) -> Value {
        let answer = self.call(tool, arguments, json!({})).await.expect("an answer");
        assert_ne!(answer["isError"], json!(true), "{answer}");
        answer["structuredContent"].clone()
    }

    /// One round of a call: its result, or what this client is asked and the next round's parameters.
    pub async fn round(&self, params: &Value) -> Result<Result<Value, (Value, Value)>, RpcError> {
        let result = self.request("tools/call", params["name"].as_str(), params.clone()).await?;
        if result["resultType"] != "input_required" {
            return Ok(Ok(result));
        }
        let mut next = params.clone();
        next["requestState"] = result["requestState"].clone();
        Ok(Err((result["inputRequests"].clone(), next)))
    }

    /// A whole call; `answer` is this client's hand, or its model.
    pub async fn in_rounds(&self, tool: &str, arguments: Value, answer: impl Fn(&Value) -> Value) -> Value {
        let mut params = json!({"name": tool, "arguments": arguments, "_meta": {}});
        loop {
            match self.round(&params).await.expect("an answer") {
                Ok(result) => return result,
                Err((asked, next)) => {
                    params = next;
                    params["inputResponses"] = json!({});
                    for (key, request) in asked.as_object().expect("requests") {
                        params["inputResponses"][key] = answer(request);
                    }
                }
            }
        }
    }

    /// Calls a tool as a link; the id of its task.
    pub async fn start(&self, tool: &str, arguments: Value, key: Option<&str>) -> Result<String, RpcError> {
        let mut meta = json!({"longhaul/reply": "link"});
        if let Some(key) = key {
            meta["longhaul/idempotency-key"] = json!(key);
        }
        let result = self.call(tool, arguments, meta).await?;
        match result["structuredContent"]["task_id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => panic!("no link in {result}"),
        }
    }

    /// The task's document.
    pub async fn task(&self, id: &str) -> Result<Value, RpcError> {
        Ok(serde_json::from_str(&self.read(&format!("task://{id}")).await?).expect("a document"))
    }

    /// Waits until the task's document fits: reads it whenever the server tells that it changed.
    pub async fn until(&self, id: &str, fits: impl Fn(&Value) -> bool) -> Value {
        match tokio::time::timeout(PATIENCE, self.changes(id, fits)).await {
            Ok(document) => document,
            Err(_) => panic!("the task never came to that: {:?}", self.task(id).await),
        }
    }

    /// The stream of what is told of these.
    pub async fn listen(&self, filter: Value) -> reqwest::Response {
        let request = self.post("subscriptions/listen", None, json!({"notifications": filter}));
        request.send().await.expect("a stream")
    }

    async fn changes(&self, id: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let filter = json!({"resourceSubscriptions": [format!("task://{id}")]});
        let mut stream = self.listen(filter).await;
        let mut seen = Vec::new();
        // The first word is the acknowledgement: what changes from then on is reported.
        while let Some(piece) = stream.chunk().await.expect("the stream goes on") {
            seen.extend_from_slice(&piece);
            if !seen.ends_with(b"\n\n") {
                continue;
            }
            let is_news = seen.windows(5).any(|word| word == b"data:");
            seen.clear();
            if is_news {
                let document = self.task(id).await.expect("a task");
                if fits(&document) {
                    return document;
                }
            }
        }
        panic!("the server ended the stream of changes")
    }

    /// Waits until the task waits for an answer, out of memory.
    pub async fn asks(&self, id: &str) -> Value {
        self.until(id, |document| document["reason"] == "input").await
    }

    /// The text of a resource.
    pub async fn read(&self, uri: &str) -> Result<String, RpcError> {
        let result = self.request("resources/read", Some(uri), json!({"uri": uri})).await?;
        match result["contents"][0]["text"].as_str() {
            Some(text) => Ok(text.to_owned()),
            None => panic!("no text in {result}"),
        }
    }

    /// Waits until the task has ended; its document.
    pub async fn ended(&self, id: &str) -> Result<Value, RpcError> {
        loop {
            let result = self.call("task_wait", json!({"task_id": id, "seconds": 30}), json!({})).await?;
            let document = &result["structuredContent"];
            if matches!(document["state"].as_str(), Some("completed" | "failed" | "cancelled")) {
                return self.task(id).await;
            }
            assert!(document["state"].is_string(), "no document in {result}");
        }
    }

    /// The structured result of a task that has completed.
    pub async fn result(&self, id: &str) -> Result<Value, RpcError> {
        let result = self.call("task_result", json!({"task_id": id}), json!({})).await?;
        Ok(result["structuredContent"].clone())
    }
}

pub(super) fn http_client() -> reqwest::Client {
    http_client_with(reqwest::header::HeaderMap::new())
}

fn http_client_with(headers: reqwest::header::HeaderMap) -> reqwest::Client {
    let http =
        reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120)).default_headers(headers);
    http.build().expect("a client")
}

pub(super) fn lost(error: reqwest::Error) -> RpcError {
    RpcError::Lost(format!("{error:?}"))
}

/// What a client's model says.
pub fn said(text: &str) -> Value {
    json!({"model": "a-model", "role": "assistant", "content": {"type": "text", "text": text}})
}
