//! A model's endpoint in a process of its own: each answer takes two seconds.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// First argument of its process.
pub const CHILD: &str = "be-a-model";
const TAKES: Duration = Duration::from_secs(2);

pub struct Model {
    child: Child,
    pub address: SocketAddr,
}

impl Model {
    pub fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let mut child = command.arg(CHILD).stdout(Stdio::piped()).spawn().expect("a process");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        Self { child, address: line.trim().parse().expect("an address") }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Until it is killed.
pub fn child() {
    crate::runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(serve(stream));
        }
    });
}

/// Answers request by request, until the other end closes the connection.
async fn serve(stream: TcpStream) {
    let mut stream = tokio::io::BufStream::new(stream);
    let events = [
        json!({"model": "m-1", "choices": [{"index": 0, "delta": {"content": "Well."}}]}),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}),
    ];
    let events = events.map(|event| format!("data: {event}\n\n")).concat() + "data: [DONE]\n\n";
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: ";
    let answer = format!("{head}{}\r\n\r\n{events}", events.len());
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.is_empty() {
                break;
            }
        }
        if stream.read_exact(&mut vec![0; length]).await.is_err() {
            return;
        }
        tokio::time::sleep(TAKES).await;
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
