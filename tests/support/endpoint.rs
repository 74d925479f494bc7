use std::fs;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use serde_json::json;
use tokio::sync::watch;

use super::web::{Seen, request};

/// A stand-in for an OpenAI-compatible endpoint that notes every request.
pub struct Endpoint {
    port: u16,
    seen: watch::Sender<Vec<Seen>>,
}

/// How it answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Not at all: the connection stays open.
    Nothing,
    /// That it is to be asked again.
    Busy,
    /// What a model says.
    Words,
}

impl Endpoint {
    /// What a server that uses it must have in its environment.
    pub const ENVIRONMENT: [(&str, &str); 3] =
        [("TEST_MODEL_KEY", "k-1"), ("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")];
    pub const MODEL: &str = "stand-in-1";
    pub const WORDS: &str = "It is fine.";

    /// `first` are its answers to the first requests; from then on it answers in words.
    pub fn start(first: &'static [Says]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, _) = watch::channel(Vec::new());
        let notes = seen.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let notes = notes.clone();
                std::thread::spawn(move || serve(stream, first, &notes));
            }
        });
        Self { port, seen }
    }

    /// Makes it the endpoint of the server that has this data folder.
    pub fn configure(&self, data: &Path) {
        let config = format!(
            "[sampling]\nurl = \"http://127.0.0.1:{}/v1\"\nmodel = \"stand-in\"\nkey = \"env:TEST_MODEL_KEY\"\n",
            self.port
        );
        fs::create_dir_all(data.join("longhaul")).expect("a folder");
        fs::write(data.join("longhaul/longhaul.toml"), config).expect("written");
    }

    /// All requests so far, in the order of their arrival.
    pub fn seen(&self) -> Vec<Seen> {
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

fn serve(mut stream: TcpStream, first: &[Says], notes: &watch::Sender<Vec<Seen>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let Some(seen) = request(&mut reader) else { return };
    let mut number = 0;
    notes.send_modify(|all| {
        number = all.len();
        all.push(seen);
    });
    let (status, answer) = match first.get(number).unwrap_or(&Says::Words) {
        Says::Nothing => loop {
            std::thread::park();
        },
        Says::Busy => ("429 Too Many Requests", json!({"error": {"message": "slower"}})),
        Says::Words => (
            "200 OK",
            json!({
                "model": Endpoint::MODEL, "usage": {"total_tokens": 21},
                "choices": [{"finish_reason": "stop", "message": {"content": Endpoint::WORDS}}],
            }),
        ),
    };
    let body = answer.to_string();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}
