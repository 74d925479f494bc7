//! One that takes all it can of one pool: so much at once, and again at once where it is refused.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{FutureExt, again, all, breathe, connections, note};
use crate::generator::Counts;
use crate::wire::{Caller, Outcome, raw_kind};

const MIB: usize = 1 << 20;

pub async fn act(caller: &Caller, orders: &Value, counts: &Counts) {
    let at_once = orders["at_once"].as_u64().expect("how much") as usize;
    let program = |ops: Value| json!({"program": ops});
    let sleep = program(json!([{"op": "sleep", "ms": 600_000}]));
    match orders["pool"].as_str().expect("a pool") {
        "connections" | "subscribers" => again(at_once, async |_| listen(caller, counts).await).await,
        "requests" => {
            let wait = program(json!([{"op": "sleep", "ms": 3_000}]));
            again(at_once, async |_| call(caller, counts, "run_program", &wait, "inline").await).await;
        }
        "request_bytes" => again(at_once, async |_| body(caller, counts, 8 * MIB - 1).await).await,
        "answer_bytes" => {
            let large = connections::large_output(caller, counts).await;
            again(at_once, async |_| connections::unread(caller, counts, &large).await).await;
        }
        // A request and answers that together are more than the share, where neither pool within it is used up.
        "memory" => {
            let large = connections::large_output(caller, counts).await;
            let unread = again(at_once, async |_| connections::unread(caller, counts, &large).await);
            all(vec![body(caller, counts, 6 * MIB).boxed(), unread.boxed()]).await;
        }
        "guest_memory" => {
            again(at_once, async |_| until_ended(caller, counts, "memory_hog").await).await;
        }
        "instances" => again(at_once, async |_| until_ended(caller, counts, "spin").await).await,
        "sessions" => {
            again(at_once, async |_| {
                let outcome = caller.begin_session().await;
                note(counts, "session", &outcome);
                match outcome {
                    // Held for as long as this goes on, and ended by what started this.
                    Outcome::Served(id) => {
                        counts.acknowledge(id.as_str().unwrap_or_default());
                        std::future::pending().await
                    }
                    _ => breathe().await,
                }
            })
            .await;
        }
        "open_tasks" => again(at_once, async |_| hold(caller, counts, &sleep).await).await,
        "task_memory" => {
            again(at_once, async |_| {
                let outcome = caller.call("run_program", sleep.clone(), "link").await;
                note(counts, "run_program", &outcome);
                if !matches!(outcome, Outcome::Served(_)) {
                    breathe().await;
                }
            })
            .await;
        }
        "stored_bytes" => {
            let long = program(json!([{"op": "status", "text": "x".repeat(MIB)}]));
            again(at_once, async |_| {
                call(caller, counts, "run_program", &long, "inline").await;
                breathe().await;
            })
            .await;
        }
        "state_entries" => {
            let key = AtomicUsize::new(0);
            again(at_once, async |_| {
                let key = key.fetch_add(1, Ordering::Relaxed).to_string();
                let entry = json!({"namespace": "taken", "key": key, "value": 1});
                call(caller, counts, "state_put", &entry, "inline").await;
                breathe().await;
            })
            .await;
        }
        "samples" | "sampling" => {
            let ask = program(json!([{"op": "sample", "prompt": "?", "max_tokens": 1}]));
            again(at_once, async |_| hold(caller, counts, &ask).await).await;
        }
        "questions" => {
            let ask = program(json!([{"op": "ask", "key": "k"}]));
            again(at_once, async |_| hold(caller, counts, &ask).await).await;
        }
        "new_connections" => {
            again(at_once, async |_| {
                connect(caller, counts).await;
                // Within its share where it is alone.
                if at_once == 1 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            })
            .await;
        }
        "rate" if at_once == 1 => {
            again(1, async |_| {
                call(caller, counts, "quick", &json!({}), "inline").await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            })
            .await;
        }
        "rate" => {
            again(at_once, async |_| call(caller, counts, "quick", &json!({}), "inline").await).await;
        }
        pool => panic!("nothing takes '{pool}'"),
    }
}

async fn call(caller: &Caller, counts: &Counts, tool: &str, arguments: &Value, reply: &str) {
    let outcome = caller.call(tool, arguments.clone(), reply).await;
    note(counts, tool, &outcome);
}

/// A task that is held open until it ends by itself.
async fn hold(caller: &Caller, counts: &Counts, arguments: &Value) {
    let outcome = caller.call("run_program", arguments.clone(), "link").await;
    note(counts, "run_program", &outcome);
    wait(caller, &outcome).await;
}

async fn until_ended(caller: &Caller, counts: &Counts, tool: &str) {
    let outcome = caller.call(tool, json!({}), "link").await;
    note(counts, tool, &outcome);
    wait(caller, &outcome).await;
}

async fn wait(caller: &Caller, outcome: &Outcome) {
    let Some(task) = outcome.task() else { return breathe().await };
    loop {
        let waited = caller.call("task_wait", json!({"task_id": task, "seconds": 30}), "inline").await;
        let Outcome::Served(waited) = waited else {
            breathe().await;
            continue;
        };
        let state = waited["structuredContent"]["state"].as_str();
        if matches!(state, Some("completed" | "failed" | "cancelled")) {
            return;
        }
    }
}

async fn listen(caller: &Caller, counts: &Counts) {
    let params = json!({"notifications": {"toolsListChanged": true}});
    if let Ok(mut stream) = caller.connect().await
        && caller.send_on(&mut stream, "subscriptions/listen", None, params).await.is_ok()
    {
        read_to_end(&mut stream, counts, "listen").await;
    }
    breathe().await;
}

/// A connection for a request without a body.
async fn connect(caller: &Caller, counts: &Counts) {
    if let Ok(mut stream) = caller.connect().await
        && stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
            .await
            .is_ok()
    {
        read_to_end(&mut stream, counts, "connect").await;
    }
}

/// A body of so many bytes that never ends.
async fn body(caller: &Caller, counts: &Counts, bytes: usize) {
    if let Ok(mut stream) = caller.connect().await
        && stream.write_all(caller.head("tools/call", Some("quick"), bytes).as_bytes()).await.is_ok()
    {
        read_to_end(&mut stream, counts, "body").await;
    }
    breathe().await;
}

/// Counts what the answer says, and holds on to it until the server ends it.
async fn read_to_end(stream: &mut TcpStream, counts: &Counts, what: &str) {
    let mut bytes = [0; 2048];
    let begin = stream.read(&mut bytes).await.unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..begin]).into_owned();
    counts.add(&format!("{what}: {}", raw_kind(&text)), &text);
    while let Ok(1..) = stream.read(&mut bytes).await {}
}
