//! The least of an HTTP client that can call a tool under MCP 2026-07-28: one kept connection, one request at a
//! time. Lean, because it runs on the same cores as the server that it measures.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A `tools/call` as it goes over the wire.
#[derive(Clone)]
pub struct Call {
    bytes: Vec<u8>,
}

const VERSION: &str = "2026-07-28";

impl Call {
    /// `reply` is `link` or `inline`.
    pub fn new(address: SocketAddr, tool: &str, arguments: Value, reply: &str) -> Self {
        let params = json!({"name": tool, "arguments": arguments, "_meta": {"longhaul/reply": reply}});
        Self::request(address, "tools/call", tool, json!({}), params)
    }

    /// `tasks/get`, of a client that takes tasks.
    #[cfg(feature = "cli")]
    pub fn get_task(address: SocketAddr, id: &str) -> Self {
        let takes = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
        Self::request(address, "tasks/get", id, takes, json!({"taskId": id}))
    }

    /// A page next to MCP.
    #[cfg(feature = "cli")]
    pub fn page(address: SocketAddr, path: &str) -> Self {
        Self { bytes: format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes() }
    }

    fn request(
        address: SocketAddr,
        method: &str,
        name: &str,
        capabilities: Value,
        mut params: Value,
    ) -> Self {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(VERSION);
        params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({ "name": "bench", "version": "1" });
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {VERSION}\r\n\
             Mcp-Method: {method}\r\nMcp-Name: {name}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Self { bytes: [head, body].concat().into_bytes() }
    }
}

pub struct Client {
    stream: TcpStream,
    /// What was read and not used yet.
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        Self { stream, buffer: Vec::with_capacity(16 * 1024) }
    }

    /// The body of the answer, whether it is JSON or a stream of events, once it is complete.
    pub async fn call(&mut self, call: &Call) -> String {
        self.stream.write_all(&call.bytes).await.expect("sent");
        let head = self.take_until(b"\r\n\r\n").await;
        let head = String::from_utf8(head).expect("a head of text").to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let mut body = Vec::new();
        match length.map(|length| length.trim().parse().expect("a length")) {
            Some(length) => body = self.take(length).await,
            None => loop {
                let line = self.take_until(b"\r\n").await;
                let length = std::str::from_utf8(&line).expect("a length").trim_end();
                let length = usize::from_str_radix(length, 16).expect("a length");
                body.extend(self.take(length).await);
                self.take(2).await;
                if length == 0 {
                    break;
                }
            },
        }
        let body = String::from_utf8(body).expect("a body of text");
        assert!(head.starts_with("http/1.1 200"), "{head}{body}");
        body
    }

    /// Up to and with `end`.
    async fn take_until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return self.take(at + end.len()).await;
            }
            self.read().await;
        }
    }

    async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            self.read().await;
        }
        self.buffer.drain(..length).collect()
    }

    async fn read(&mut self) {
        let read = self.stream.read_buf(&mut self.buffer).await.expect("read");
        assert!(read > 0, "the server closed the connection");
    }
}
