//! Partial results: outputs are read while the task writes on, survive a kill byte for byte, and stay when
//! the task is cancelled.

use serde_json::{Value, json};

use crate::support::{Client, Server, guest};

fn is_done(document: &Value, name: &str) -> bool {
    document["outputs"]
        .as_array()
        .is_some_and(|outputs| outputs.iter().any(|output| output["name"] == name && output["done"] == true))
}

fn has(document: &Value, name: &str) -> bool {
    document["outputs"].as_array().is_some_and(|outputs| outputs.iter().any(|output| output["name"] == name))
}

async fn chapter(client: &Client, id: &str, number: u32) -> String {
    client.read(&format!("task://{id}/output/chapter-{number}")).await.expect("a chapter")
}

#[tokio::test(flavor = "multi_thread")]
async fn chapters_are_read_while_the_book_is_written_and_survive_a_kill() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, tools) = (root.path().join("data"), vec![guest("book_agent")]);
    let server = Server::start(&data, &tools);
    let client = server.client();
    let book = json!({"topic": "rivers", "chapters": 4, "pause_ms": 60});
    let id = client.start("book_agent", book, None).await.expect("a link");
    client.until(&id, |document| is_done(document, "chapter-1") && has(document, "chapter-2")).await;
    let first = chapter(&client, &id, 1).await;
    let begun = chapter(&client, &id, 2).await;
    server.kill();

    let server = Server::start(&data, &tools);
    let client = server.client();
    assert_eq!(chapter(&client, &id, 1).await, first);
    assert!(chapter(&client, &id, 2).await.starts_with(&begun), "never shorter, never other");
    client.until(&id, |document| has(document, "chapter-3")).await;
    assert_eq!(chapter(&client, &id, 1).await, first, "read while the third is written");
    let second = chapter(&client, &id, 2).await;
    let cancelled = client.call("task_cancel", json!({"task_id": id, "reason": "enough"}), json!({})).await;
    assert_eq!(cancelled.expect("an answer")["structuredContent"]["state"], "cancelled");
    assert_eq!([chapter(&client, &id, 1).await, chapter(&client, &id, 2).await], [first.clone(), second]);
    let arguments = json!({"task_id": id, "name": "chapter-1"});
    let output = client.call("task_output", arguments, json!({})).await.expect("an output");
    let output = &output["structuredContent"];
    assert_eq!((output["text"].as_str(), &output["done"]), (Some(first.as_str()), &json!(true)), "{output}");
}
