use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use serde_json::Value;
use tokio::sync::watch;

/// A stand-in for a model's endpoint, of whatever interface: it answers request by request what it was given.
pub struct Script {
    pub port: u16,
    seen: watch::Sender<Vec<Request>>,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub head: String,
    pub body: Value,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: &'static str,
    /// Lines of the head.
    pub headers: &'static str,
    pub body: String,
    /// The connection stays open behind it.
    pub holds: bool,
    /// It says that more is to come, and ends.
    pub is_cut: bool,
}

/// Events of a stream.
pub fn stream(events: &[Value]) -> Reply {
    let event = |event: &Value| {
        let name = event["type"].as_str().map(|name| format!("event: {name}\n")).unwrap_or_default();
        format!("{name}data: {event}\n\n")
    };
    let body = events.iter().map(event).collect();
    Reply {
        status: "200 OK",
        headers: "content-type: text/event-stream\r\n",
        body,
        holds: false,
        is_cut: false,
    }
}

impl Reply {
    pub fn status(status: &'static str, headers: &'static str, body: &str) -> Self {
        Self { status, headers, body: body.to_owned(), holds: false, is_cut: false }
    }

    pub fn cut(self) -> Self {
        Self { is_cut: true, ..self }
    }

    pub fn held(self) -> Self {
        Self { holds: true, ..self }
    }
}

impl Script {
    /// The last reply is given from then on.
    pub fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, _) = watch::channel(Vec::new());
        let notes = seen.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (notes, replies) = (notes.clone(), replies.clone());
                std::thread::spawn(move || serve(stream, &replies, &notes));
            }
        });
        Self { port, seen }
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.borrow().clone()
    }

    /// Waits until it was asked so often.
    pub async fn asked(&self, times: usize) {
        let mut news = self.seen.subscribe();
        let asked = news.wait_for(|seen| seen.len() >= times);
        let asked = tokio::time::timeout(super::PATIENCE, asked).await;
        asked.expect("it is not asked").expect("it is there");
    }
}

fn serve(mut stream: TcpStream, replies: &[Reply], notes: &watch::Sender<Vec<Request>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let Some(request) = read(&mut reader) else { return };
    let mut number = 0;
    notes.send_modify(|all| {
        number = all.len();
        all.push(request);
    });
    let Some(reply) = replies.get(number).or(replies.last()) else { return };
    let more = usize::from(reply.holds || reply.is_cut);
    let length = reply.body.len() + more;
    let head = format!(
        "HTTP/1.1 {}\r\n{}content-length: {length}\r\nconnection: close\r\n\r\n",
        reply.status, reply.headers
    );
    let _ = stream.write_all(format!("{head}{}", reply.body).as_bytes());
    if reply.holds {
        loop {
            std::thread::park();
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_lowercase();
    let length = lower.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    Some(Request { path, head: lower, body: serde_json::from_slice(&body).ok()? })
}
