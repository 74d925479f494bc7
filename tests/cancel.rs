//! Cancellation reaches a guest wherever it is: computing, asleep in the host, out of memory, or ready to
//! clean up after itself.

use serde_json::{Value, json};

use crate::support::{Client, Server, guest};

async fn cancel(client: &Client, id: &str) -> Value {
    let answer = client.call("task_cancel", json!({"task_id": id, "reason": "a test"}), json!({})).await;
    answer.expect("an answer")["structuredContent"].clone()
}

/// Waits until the task's state is one of these.
async fn until(client: &Client, id: &str, states: &[&str]) {
    client
        .until(id, |document| document["state"].as_str().is_some_and(|state| states.contains(&state)))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_computes_sleeps_or_is_suspended_ends_at_once() {
    let root = tempfile::tempdir().expect("a folder");
    let server = Server::start(&root.path().join("data"), &[guest("spin"), guest("sleeper")]);
    let client = server.client();
    let spinning = client.start("spin", json!({}), None).await.expect("a link");
    let dozing = client.start("nap", json!({"ms": 2_000}), None).await.expect("a link");
    let suspended = client.start("nap", json!({"ms": 86_400_000}), None).await.expect("a link");
    until(&client, &spinning, &["running"]).await;
    until(&client, &dozing, &["running"]).await;
    until(&client, &suspended, &["waiting"]).await;
    for id in [&spinning, &dozing, &suspended] {
        let document = cancel(&client, id).await;
        assert_eq!(document["state"], "cancelled", "{document}");
        assert_eq!(client.ended(id).await.expect("ended")["error"]["message"], "cancelled: a test");
    }
    // The spinning instance is really gone: its thread is free for another.
    let after = client.start("nap", json!({"ms": 1}), None).await.expect("a link");
    assert_eq!(client.ended(&after).await.expect("an end")["state"], "completed");
}

/// A guest that imports `cancellation` hears of it, and what it does in its last moment stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_heeds_cancellation_cleans_up_also_after_a_restart() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, tools) = (root.path().join("data"), vec![guest("interpreter")]);
    let server = Server::start(&data, &tools);
    let client = server.client();
    let program = json!({"program": [
        {"op": "step", "name": "before"},
        {"op": "await_cancel"},
        {"op": "step", "name": "never"},
    ]});
    let first = client.start("run_program", program.clone(), None).await.expect("a link");
    let second = client.start("run_program", program, None).await.expect("a link");
    for id in [&first, &second] {
        until(&client, id, &["running", "waiting"]).await;
    }
    cancel(&client, &first).await;
    assert_eq!(client.ended(&first).await.expect("an end")["state"], "cancelled");
    server.kill();
    let server = Server::start(&data, &tools);
    let client = server.client();
    cancel(&client, &second).await;
    assert_eq!(client.ended(&second).await.expect("an end")["state"], "cancelled");
    for id in [&first, &second] {
        assert_eq!(
            client.read(&format!("task://{id}/output/cleanup")).await.expect("an output"),
            "cleaned up\n"
        );
        assert_eq!(client.read(&format!("task://{id}/output/trace")).await.expect("an output"), "1 before\n");
    }
}
