//! Connections that send nothing, that send slowly, and that do not read.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{FutureExt, again, all, breathe, note};
use crate::generator::Counts;
use crate::wire::{Caller, raw_kind};

const MIB: usize = 1 << 20;
/// Not more than fit into the share, or none of the other requests would be read.
const SLOW_BODIES: usize = 4;

pub async fn act(caller: &Caller, orders: &Value, counts: &Counts) {
    let connections = orders["connections"].as_u64().expect("how many") as usize;
    let large = large_output(caller, counts).await;
    all(vec![
        again(connections, async |_| idle(caller, counts).await).boxed(),
        again(connections / 4, async |_| half_a_head(caller, counts).await).boxed(),
        again(SLOW_BODIES, async |_| slow_body(caller, counts).await).boxed(),
        again(32, async |_| unread(caller, counts, &large).await).boxed(),
    ])
    .await;
}

/// Until the server closes it.
async fn until_closed(mut stream: TcpStream, counts: &Counts, what: &str) {
    let mut answer = String::new();
    let mut bytes = [0; 512];
    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
        answer.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    counts.add(&format!("{what}: closed"), &answer);
}

async fn idle(caller: &Caller, counts: &Counts) {
    match caller.connect().await {
        Ok(stream) => until_closed(stream, counts, "idle").await,
        Err(error) => counts.add("idle: not connected", &error.to_string()),
    }
    breathe().await;
}

async fn half_a_head(caller: &Caller, counts: &Counts) {
    if let Ok(mut stream) = caller.connect().await
        && stream.write_all(b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nx-").await.is_ok()
    {
        until_closed(stream, counts, "half a head").await;
    }
    breathe().await;
}

/// A byte a second of 1 MiB.
async fn slow_body(caller: &Caller, counts: &Counts) {
    if let Ok(mut stream) = caller.connect().await {
        let head = caller.head("tools/call", Some("quick"), MIB);
        let mut sent = stream.write_all(head.as_bytes()).await.is_ok();
        let (mut read, mut write) = stream.into_split();
        let mut answer = [0; 512];
        while sent {
            tokio::select! {
                read = read.read(&mut answer) => {
                    let words = String::from_utf8_lossy(&answer[..read.unwrap_or(0)]).into_owned();
                    counts.add("slow body: answered", &words);
                    break;
                }
                () = tokio::time::sleep(Duration::from_secs(1)) => sent = write.write_all(b" ").await.is_ok(),
            }
        }
    }
    breathe().await;
}

/// A task with an output of 12 MiB.
pub async fn large_output(caller: &Caller, counts: &Counts) -> String {
    let step = json!({"op": "step", "name": "x".repeat(2 * MIB)});
    let program = json!({"program": [{"op": "loop", "times": 6, "body": [step]}]});
    loop {
        let outcome = caller.call("run_program", program.clone(), "link").await;
        note(counts, "large output", &outcome);
        let Some(task) = outcome.task() else {
            breathe().await;
            continue;
        };
        caller.call("task_wait", json!({"task_id": task, "seconds": 30}), "inline").await;
        return format!("task://{task}/output/trace");
    }
}

pub async fn unread(caller: &Caller, counts: &Counts, uri: &str) {
    if let Ok(mut stream) = caller.connect_deaf().await
        && caller.send_on(&mut stream, "resources/read", Some(uri), json!({"uri": uri})).await.is_ok()
    {
        // Not the answer, of which this would make room for more.
        let mut begin = [0; 512];
        let read = stream.read(&mut begin).await.unwrap_or(0);
        let text = String::from_utf8_lossy(&begin[..read]).into_owned();
        counts.add(&format!("unread: {}", raw_kind(&text)), &text);
        if !text.starts_with("HTTP/1.1 200") {
            return breathe().await;
        }
        // Reads nothing: it is over once the server gives up.
        let over = std::future::pending::<()>();
        let _ = tokio::time::timeout(Duration::from_secs(60), over).await;
    }
    breathe().await;
}
