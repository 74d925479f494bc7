//! A model that uses tools: a guest calls them and hands back what they came to, also behind a kill.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Value, json};

use crate::support::{Server, guest};

/// A stand-in for an OpenAI-compatible endpoint: it wants a tool called, and says in the end what that came to. Its
/// second answer comes when the gate is open.
struct Model {
    port: u16,
    requests: Arc<Mutex<Vec<Value>>>,
    gate: Arc<OnceLock<()>>,
}

impl Model {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::<Mutex<Vec<Value>>>::default();
        let gate = Arc::<OnceLock<()>>::default();
        let (notes, waits) = (requests.clone(), gate.clone());
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (notes, waits) = (notes.clone(), waits.clone());
                std::thread::spawn(move || answer(stream, &notes, &waits));
            }
        });
        Self { port, requests, gate }
    }
}

fn answer(mut stream: TcpStream, notes: &Mutex<Vec<Value>>, gate: &OnceLock<()>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some(("content-length", value)) = line.to_ascii_lowercase().trim_end().split_once(':') {
            length = value.trim().parse().expect("a number");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let request: Value = serde_json::from_slice(&body).expect("JSON");
    let last =
        request["messages"].as_array().and_then(|messages| messages.last()).cloned().unwrap_or_default();
    notes.lock().expect("no panic").push(request);
    let message = if last["role"] == "tool" {
        gate.wait();
        json!({"content": format!("It came to {}.", last["content"].as_str().unwrap_or_default())})
    } else {
        let call = json!({"id": "call-1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":2}"}});
        json!({"content": null, "tool_calls": [call]})
    };
    let answer = json!({"model": "stand-in-1", "choices": [{"message": message}]}).to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
    let _ = stream.write_all(format!("{head}{answer}").as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_hands_back_what_the_tools_of_a_model_came_to_also_behind_a_kill() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let model = Model::start();
    fs::create_dir_all(data.join("longhaul")).expect("a folder");
    let config = format!(
        "[sampling]\nurl = \"http://127.0.0.1:{}/v1\"\nmodel = \"m\"\n[grants.interpreter]\nsample = true\n",
        model.port
    );
    fs::write(data.join("longhaul/longhaul.toml"), config).expect("written");
    let variables = [("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")];
    let start = || Server::start_with(&data, &[guest("interpreter")], &variables).expect("a server");
    let server = start();
    let tools = json!([{"name": "look", "description": "Looks.", "inputSchema": {"type": "object"}}]);
    let program = json!([{"op": "sample", "prompt": "What is there?", "max_tokens": 50, "tools": tools}]);
    let id = server.client().start("run_program", json!({ "program": program }), None).await.expect("a link");
    server
        .client()
        .until(&id, |task| task["questions_answered"].as_array().is_some_and(|answered| answered.len() == 1))
        .await;
    server.kill();
    model.gate.set(()).expect("closed so far");
    let server = start();
    let document = server.client().ended(&id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{document} {}", server.said());
    assert_eq!(document["questions_answered"].as_array().map(Vec::len), Some(2), "{document}");
    let log = server.client().read(&format!("task://{id}/log")).await.expect("a log");
    assert!(log.contains("sample stand-in-1: It came to look {\"at\":2}."), "{log}");

    let requests = model.requests.lock().expect("no panic").clone();
    let first = requests.iter().filter(|request| request["messages"].as_array().map(Vec::len) == Some(1));
    assert_eq!(first.count(), 1, "the model was not asked again what it had answered");
    let last = requests.last().expect("a request");
    assert_eq!(last["tools"][0]["function"]["name"], "look");
    let function = json!({"name": "look", "arguments": "{\"at\":2}"});
    assert_eq!(
        last["messages"],
        json!([
            {"role": "user", "content": "What is there?"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "call-1", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "call-1", "content": "look {\"at\":2}"},
        ])
    );
    server.stop();
}
