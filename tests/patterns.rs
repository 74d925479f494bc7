//! The patterns of docs/agents.md: each tool does what the guide says, and the guide shows the code that runs here.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Client, Server, guest};

async fn start() -> (tempfile::TempDir, Server, Client) {
    let root = tempfile::tempdir().expect("a folder");
    let component = root.path().join("patterns.wasm");
    fs::copy(guest("patterns"), &component).expect("copied");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools-wasm/patterns/patterns.toml");
    fs::copy(manifest, component.with_extension("toml")).expect("copied");
    let server = Server::start(&root.path().join("data"), &[component]);
    let client = server.client();
    (root, server, client)
}

/// Waits until the task asks or has ended.
async fn asks(client: &Client, id: &str) -> Value {
    loop {
        let waited = client.call("task_wait", json!({"task_id": id, "seconds": 30}), json!({})).await;
        let document = waited.expect("a document")["structuredContent"].clone();
        let is_over = !matches!(document["state"].as_str(), Some("queued" | "running" | "waiting"));
        if is_over || document["input_requests"].as_object().is_some_and(|asked| !asked.is_empty()) {
            return document;
        }
    }
}

/// Answers a sample as a client's model would.
async fn says(client: &Client, id: &str, text: &str) {
    let document = asks(client, id).await;
    let content = json!({"role": "assistant", "model": "test", "content": {"type": "text", "text": text}});
    let arguments = json!({"task_id": id, "action": "accept", "content": content});
    let answered = client.call("task_answer", arguments, json!({})).await.expect("an answer");
    assert_ne!(answered["isError"], true, "{answered} to {document}");
}

async fn text(client: &Client, id: &str) -> String {
    client.ended(id).await.expect("an end");
    let result = client.call("task_result", json!({"task_id": id}), json!({})).await.expect("a result");
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {result}")).to_owned()
}

#[tokio::test]
async fn a_person_approves_on_the_command_line_and_a_model_cannot() {
    let (_root, server, client) = start().await;
    let id = client.start("publish", json!({"text": "Hello"}), None).await.expect("a task");
    assert_eq!(asks(&client, &id).await["input_requests"]["publish"]["by"], "person");
    let arguments = json!({"task_id": id, "action": "accept", "content": {"confirm": true}});
    let refused = client.call("task_answer", arguments, json!({})).await.expect("an answer");
    assert_eq!(refused["isError"], true, "{refused}");
    server.longhaul(&["task", "answer", &id, "confirm=true"]);
    assert_eq!(text(&client, &id).await, "published");

    let id = client.start("publish", json!({"text": "Hello"}), None).await.expect("a task");
    asks(&client, &id).await;
    server.longhaul(&["task", "answer", &id, "--decline"]);
    assert_eq!(text(&client, &id).await, "not published: somebody said no");
}

#[tokio::test]
async fn a_model_helps_each_child_and_chooses_for_the_supervisor() {
    let (_root, _server, client) = start().await;
    let id = client.start("survey", json!({"texts": ["One. Two.", "Three."]}), None).await.expect("a task");
    // They are there once the parent waits for them.
    let mut document = client.task(&id).await.expect("a task");
    while document["state"] != "waiting" {
        assert!(matches!(document["state"].as_str(), Some("queued" | "running")), "{document}");
        document = client.task(&id).await.expect("a task");
    }
    let children = document["children"].as_array().expect("children").clone();
    assert_eq!(children.len(), 2);
    for (number, child) in children.iter().enumerate() {
        says(&client, child.as_str().expect("an id"), &format!("summary {number}")).await;
    }
    assert_eq!(text(&client, &id).await, "summary 0\nsummary 1");

    let id = client.start("handle", json!({"text": "one two three"}), None).await.expect("a task");
    says(&client, &id, "count_words").await;
    assert_eq!(text(&client, &id).await, "count_words: 3 words");
}

#[tokio::test]
async fn callers_share_a_count_and_a_listener_hears_what_it_is_sent() {
    let (_root, server, client) = start().await;
    for count in 1..=3 {
        let id = client.start("tally", json!({"item": "tea"}), None).await.expect("a task");
        assert_eq!(text(&client, &id).await, format!("{count} of tea"));
    }
    let id = client.start("listen", json!({}), None).await.expect("a task");
    server.longhaul(&["task", "send", &id, "say", "text=well"]);
    server.longhaul(&["task", "send", &id, "say", "text=heard"]);
    server.longhaul(&["task", "send", &id, "stop"]);
    assert_eq!(text(&client, &id).await, "well heard");

    let id = client.start("collect", json!({"pages": 2}), None).await.expect("a task");
    assert_eq!(text(&client, &id).await, "2 pages");
    assert_eq!(
        client.read(&format!("task://{id}/output/found")).await.expect("an output"),
        "page 1\npage 2\n"
    );
}

#[test]
fn the_guide_shows_the_code_that_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("docs/agents.md")).expect("the guide");
    let mut sources = String::new();
    for file in fs::read_dir(root.join("tools-wasm/patterns/src")).expect("the sources") {
        sources += &fs::read_to_string(file.expect("a file").path()).expect("a source");
    }
    let blocks: Vec<&str> =
        guide.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 7, "{} blocks", blocks.len());
    for block in blocks {
        assert!(sources.contains(block), "no source has this:\n{block}");
    }
}
