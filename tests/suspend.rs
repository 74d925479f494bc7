//! A machine that is suspended: what waits is due by the time that has passed, what computes by the time it ran.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Clocks, Server, guest};

/// Its tools are the interpreter, which may ask and write state.
pub fn serve(folder: &Path, clocks: &Clocks) -> Server {
    let component = folder.join("interpreter.wasm");
    fs::copy(guest("interpreter"), &component).expect("a copy");
    let manifest = "name = \"interpreter\"\n[capabilities]\nelicit = true\nstate = [\"s\"]\n";
    fs::write(folder.join("interpreter.toml"), manifest).expect("a manifest");
    Server::start_with(&folder.join("data"), &[component], &clocks.environment()).expect("a server")
}

/// What a task that has completed has printed last.
async fn printed(client: &Client, id: &str) -> String {
    let ended = client.ended(id).await.expect("an end");
    assert_eq!(ended["state"], "completed", "{ended}");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    log.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_are_over_when_the_machine_wakes_and_computing_has_lost_nothing() {
    const HOUR: i64 = 3_600;
    let root = tempfile::tempdir().expect("a folder");
    let mut clocks = Clocks::new(root.path());
    let server = serve(root.path(), &clocks);
    let client = server.client();
    let start = async |program: Value| {
        client.start("run_program", json!({"program": program}), None).await.expect("a link")
    };
    let waiting = async |id: &str| {
        client.until(id, |task| task["state"] == "waiting").await;
    };
    let put = json!({"op": "state_put", "namespace": "s", "entries": [{"key": "k", "value": 1, "ttl_seconds": HOUR}]});
    let received = start(json!([{"op": "receive", "names": ["go"], "timeout_ms": HOUR * 1_000}])).await;
    let asked = start(json!([{"op": "ask", "key": "a", "seconds": HOUR}])).await;
    let watched =
        start(json!([put, {"op": "state_watch", "namespace": "s", "key": "k", "version": 1}])).await;
    let endless = start(json!([{"op": "receive", "names": ["go"]}])).await;
    for id in [&received, &asked, &watched, &endless] {
        waiting(id).await;
    }
    let computing = start(json!([{"op": "compute", "rounds": 1_u64 << 60}])).await;
    client.until(&computing, |task| task["state"] == "running").await;
    let inline = {
        let client = client.clone();
        tokio::spawn(async move {
            let sleep = json!({"program": [{"op": "sleep", "ms": 24 * HOUR * 1_000}]});
            let waits = json!({"longhaul/reply": "inline", "longhaul/inline-wait-seconds": HOUR});
            client.call("run_program", sleep, waits).await.expect("an answer")
        })
    };
    // Its answer is awaited by then.
    let tasks = async || client.structured("task_list", json!({"state": "waiting"})).await["tasks"].clone();
    while tasks().await.as_array().map(Vec::len) < Some(5) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    clocks.pass(HOUR);
    assert!(printed(&client, &received).await.ends_with("receive timeout"));
    assert!(printed(&client, &asked).await.ends_with("timeout"));
    assert!(printed(&client, &watched).await.ends_with("none"));
    let link = inline.await.expect("an answer");
    assert!(link["structuredContent"]["task_id"].is_string(), "{link}");
    // It may compute for five minutes, and did so for a few seconds.
    assert_eq!(client.task(&computing).await.expect("a task")["state"], "running");
    assert_eq!(client.task(&endless).await.expect("a task")["state"], "waiting");

    clocks.pass(7 * 24 * HOUR);
    for id in [&endless, &computing] {
        let ended = client.ended(id).await.expect("an end");
        assert_eq!((&ended["state"], &ended["reason"]), (&json!("failed"), &json!("timeout")), "{ended}");
    }
}
