//! Several servers: a component calls tools of another one, and clients are shown some of them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Server, guest};

/// A configuration whose server `up` is another Longhaul on stdio, with the tools of `text_stats`.
fn configure(data: &Path, beyond: &str) {
    fs::create_dir_all(data.join("longhaul")).expect("a folder");
    let other = data.join("other");
    let text = format!(
        "[servers.up]\ncommand = {:?}\nargs = [\"serve\", \"--stdio\", \"--private\", \"--data\", {other:?}, \"--tools\", {:?}]\n\
         expose = [\"analyze\"]\n{beyond}",
        env!("CARGO_BIN_EXE_longhaul"),
        guest("text_stats"),
    );
    fs::write(data.join("longhaul/longhaul.toml"), text).expect("a file");
}

#[tokio::test]
async fn a_guest_calls_a_tool_of_another_server_and_a_client_sees_what_is_exposed() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    configure(&data, "[grants.interpreter]\ntools = [\"up/*\"]\n");
    let server = Server::start(&data, &[guest("interpreter")]);
    let client = server.client();
    let listed = client.request("tools/list", None, json!({})).await.expect("a list");
    let tools = listed["tools"].as_array().expect("tools");
    let of_up: Vec<&Value> = tools
        .iter()
        .filter(|tool| tool["name"].as_str().is_some_and(|name| name.starts_with("up")))
        .collect();
    assert_eq!(of_up.len(), 1, "{of_up:?}");
    let description = of_up[0]["description"].as_str().expect("text");
    assert!(of_up[0]["name"] == "up_analyze" && description.contains("sandbox"), "{description}");

    let id = client.start("up_analyze", json!({"text": "one two"}), None).await.expect("a task");
    let task = client.ended(&id).await.expect("an end");
    assert_eq!(task["state"], "completed", "{task}");
    assert!(task["component"].as_str().is_some_and(|component| component.starts_with("mcp:up/")), "{task}");
    assert_eq!(client.result(&id).await.expect("a result")["words"], 2);

    // One that no client is shown, called by a guest that is granted it: a child of its task.
    let call = json!({"op": "call", "tool": "up/top_words", "arguments": {"text": "a b a", "n": 1, "min_length": 1}});
    let id = client.start("run_program", json!({ "program": [call] }), None).await.expect("a task");
    let task = client.ended(&id).await.expect("an end");
    assert_eq!(task["state"], "completed", "{task}");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    assert!(log.contains("call ok"), "{log}");
    let child = task["children"][0].as_str().map(|uri| uri.trim_start_matches("task://").to_owned());
    let child = client.task(&child.expect("a child")).await.expect("a task");
    assert_eq!((&child["tool"], &child["state"]), (&json!("up/top_words"), &json!("completed")));
    server.stop();
}
