use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

/// A stand-in for a model's endpoint, of whatever interface: it answers request by request what it was given.
pub struct Script {
    pub port: u16,
    seen: watch::Sender<Vec<Request>>,
    /// Connections that were held open and that their other end has closed.
    dropped: watch::Sender<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub path: String,
    /// In small letters.
    pub head: String,
    pub body: Value,
}

impl Request {
    /// A header's value, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// Under which it was asked, and is asked again.
    pub fn key(&self) -> &str {
        self.header("idempotency-key").expect("a key")
    }
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

/// The same answer as each interface streams it, in these pieces.
pub fn says(api: &str, pieces: &[&str]) -> Reply {
    let mut events = begins(api, pieces);
    let text = pieces.concat();
    match api {
        "openai-chat" => {
            events.push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}));
            events.push(json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}));
        }
        "openai-responses" => events.push(json!({"type": "response.completed", "response": {
            "model": "m-1", "status": "completed", "usage": {"input_tokens": 7, "output_tokens": 5},
            "output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}],
        }})),
        _ => {
            events.push(json!({"type": "content_block_stop", "index": 0}));
            events.push(json!({
                "type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5},
            }));
            events.push(json!({"type": "message_stop"}));
        }
    }
    let mut reply = stream(&events);
    if api == "openai-chat" {
        reply.body += "data: [DONE]\n\n";
    }
    reply
}

/// As far as its text.
pub fn begins(api: &str, pieces: &[&str]) -> Vec<Value> {
    let piece = |piece: &&str| match api {
        "openai-chat" => json!({"model": "m-1", "choices": [{"index": 0, "delta": {"content": piece}}]}),
        "openai-responses" => json!({"type": "response.output_text.delta", "delta": piece}),
        _ => json!({
            "type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece},
        }),
    };
    let mut events = Vec::new();
    if api == "anthropic" {
        let message = json!({"model": "m-1", "usage": {"input_tokens": 7, "output_tokens": 1}});
        events.push(json!({"type": "message_start", "message": message}));
        events.push(
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        );
        events.push(json!({"type": "ping"}));
    }
    events.extend(pieces.iter().map(piece));
    events
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
        Self::saying(move |_, number| replies.get(number).or(replies.last()).cloned())
    }

    /// What `says` makes of a request, and of its number.
    pub fn saying(says: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, dropped) = (watch::Sender::new(Vec::new()), watch::Sender::new(0));
        let (notes, ends, says) = (seen.clone(), dropped.clone(), Arc::new(says));
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (notes, ends, says) = (notes.clone(), ends.clone(), says.clone());
                std::thread::spawn(move || serve(stream, &*says, &notes, &ends));
            }
        });
        Self { port, seen, dropped }
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

    /// Waits until a request that it holds was given up.
    pub async fn dropped(&self) {
        let mut news = self.dropped.subscribe();
        let dropped = news.wait_for(|count| *count > 0);
        let dropped = tokio::time::timeout(super::PATIENCE, dropped).await;
        dropped.expect("it is not given up").expect("it is there");
    }
}

fn serve(
    mut stream: TcpStream,
    says: &dyn Fn(&Request, usize) -> Option<Reply>,
    notes: &watch::Sender<Vec<Request>>,
    dropped: &watch::Sender<usize>,
) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let Some(request) = read(&mut reader) else { return };
    let mut number = 0;
    notes.send_modify(|all| {
        number = all.len();
        all.push(request.clone());
    });
    let Some(reply) = says(&request, number) else { return };
    let more = usize::from(reply.holds || reply.is_cut);
    let length = reply.body.len() + more;
    let head = format!(
        "HTTP/1.1 {}\r\n{}content-length: {length}\r\nconnection: close\r\n\r\n",
        reply.status, reply.headers
    );
    let _ = stream.write_all(format!("{head}{}", reply.body).as_bytes());
    if reply.holds {
        // Its other end sends nothing more, and closes it in the end.
        let _ = reader.read_to_end(&mut Vec::new());
        dropped.send_modify(|count| *count += 1);
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
