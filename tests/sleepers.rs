//! A thousand tasks that wait, for time, people, messages and shared state: what they take of the server's memory, and that
//! all of them go on when they are due, also behind a `kill -9`.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::support::{Client, Clocks, Server};
use crate::suspend::serve;

/// `LONGHAUL_SLEEPERS` sets another number, a multiple of the kinds.
const SLEEPERS: u64 = 1_000;
const HOUR: i64 = 3_600;
/// What one may take of memory, behind a kill: a few words, and its part of the log, of which the store keeps in memory what is
/// not folded yet.
const MOST_KIB_OF_ONE: u64 = 8;

/// Ways to wait for an hour.
fn waits() -> [Value; 4] {
    [
        json!([{"op": "sleep", "ms": HOUR * 1_000}]),
        json!([{"op": "ask", "key": "a", "seconds": HOUR}]),
        json!([{"op": "receive", "names": ["go"], "timeout_ms": HOUR * 1_000}]),
        json!([{"op": "state_watch", "namespace": "s", "key": "k", "version": 1}]),
    ]
}

/// Waits until so many rest.
async fn all_rest(server: &Server, count: u64) {
    let line = format!("longhaul_tasks_resting {count}\n");
    let rests = async {
        while !server.page("metrics").await.contains(&line) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(120), rests).await.is_err() {
        panic!("not {count}: {}", server.page("metrics").await);
    }
}

async fn state_of(client: &Client, id: &str) -> Value {
    client.task(id).await.expect("a task")["state"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_that_wait_take_little_memory_and_all_go_on_behind_a_kill() {
    let count = crate::support::scale("LONGHAUL_SLEEPERS", SLEEPERS);
    let root = tempfile::tempdir().expect("a folder");
    let mut clocks = Clocks::new(root.path());
    let server = serve(root.path(), &clocks);
    let idle = server.own_kib();
    let client = server.client();
    let entry = json!({"key": "k", "value": 1, "ttl_seconds": HOUR});
    let put = json!({"program": [{"op": "state_put", "namespace": "s", "entries": [entry]}]});
    let written = client.start("run_program", put, None).await.expect("a link");
    client.ended(&written).await.expect("it is written");
    let kinds = waits();
    let ids: Vec<String> =
        futures::stream::iter(0..count)
            .map(|number| {
                let (client, program) = (&client, kinds[number as usize % kinds.len()].clone());
                async move {
                    client.start("run_program", json!({"program": program}), None).await.expect("a link")
                }
            })
            .buffered(32)
            .collect()
            .await;
    all_rest(&server, count).await;
    // What comes to one that rests finds it, and it rests again.
    let (asking, receiving) = (&ids[1], &ids[2]);
    client.structured("task_send", json!({"task_id": receiving, "name": "other", "payload": 1})).await;
    assert_eq!(client.task(asking).await.expect("a task")["input_requests"]["a"]["by"], "person");
    all_rest(&server, count).await;
    server.kill();

    let server = serve(root.path(), &clocks);
    let client = server.client();
    all_rest(&server, count).await;
    let grown = server.own_kib().saturating_sub(idle);
    println!("{count} tasks that wait: {grown} KiB more than an idle server");
    assert!(grown <= MOST_KIB_OF_ONE * count, "{grown} KiB for {count}");
    // One is cancelled, one is answered and one gets its message, as if they were in memory.
    client.structured("task_cancel", json!({"task_id": ids[0]})).await;
    server.answer(asking, &["--decline"]);
    client.structured("task_send", json!({"task_id": receiving, "name": "go", "payload": 2})).await;
    for (id, state) in [(&ids[0], "cancelled"), (asking, "completed"), (receiving, "completed")] {
        assert_eq!(client.ended(id).await.expect("an end")["state"], state);
    }
    all_rest(&server, count - 3).await;

    clocks.pass(HOUR);
    for id in &ids[3..] {
        let ended = client.ended(id).await.expect("an end");
        assert_eq!(ended["state"], "completed", "{ended}");
    }
    assert_eq!(state_of(&client, &ids[0]).await, "cancelled");
    all_rest(&server, 0).await;
}
