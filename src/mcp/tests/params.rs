//! Params that do not fit: -32602 and what is wrong, for each method that the protocol has.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio_util::sync::CancellationToken;

use super::raw::Raw;
use super::*;
use crate::mcp::transport::stdio::serve_pipes;

/// Method, params, and what the words have to name.
fn in_both() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("tools/call", json!({"name": 5}), "name"),
        ("tools/call", json!({"arguments": {}}), "name"),
        ("tools/call", json!({"name": "double", "arguments": [1]}), "arguments"),
        ("resources/read", json!({"uri": ["task://1"]}), "uri"),
        ("resources/read", json!({}), "uri"),
        ("completion/complete", json!({"ref": {"type": "ref/none"}}), "params"),
    ]
}

fn of_sessions() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("logging/setLevel", json!({"level": "loud"}), "loud"),
        ("logging/setLevel", json!({"level": 3}), "level"),
        ("resources/subscribe", json!({"uri": null}), "uri"),
        ("resources/unsubscribe", json!({"url": "task://1"}), "uri"),
    ]
}

fn of_2026() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("tasks/get", json!({"taskId": [1]}), "taskId"),
        ("tasks/update", json!({"taskId": "x", "inputResponses": []}), "inputResponses"),
        ("tasks/cancel", json!({}), "taskId"),
        ("subscriptions/listen", json!({"notifications": true}), "notifications"),
    ]
}

fn check(answer: &Value, code: i64, part: &str, shown: &str) {
    let error = &answer["error"];
    assert_eq!(error["code"], code, "{shown}: {answer}");
    assert!(error["message"].as_str().expect("a message").contains(part), "{shown}: {error}");
}

#[tokio::test]
async fn over_http_bad_params_are_told_from_unknown_methods() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    let listed =
        [("tools/call", json!(["double"]), "no object"), ("logging/setLevel", json!("info"), "no object")];
    for (method, params, part) in in_both().into_iter().chain(of_sessions()).chain(listed) {
        let shown = format!("2025-11-25 {method} {params}");
        check(&session.ask(method, params).await[0], -32602, part, &shown);
    }
    let tasks = json!({"io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}});
    for (method, params, part) in in_both().into_iter().chain(of_2026()) {
        let shown = format!("2026-07-28 {method} {params}");
        check(&raw.ask_modern(method, params, tasks.clone()).await[0], -32602, part, &shown);
    }
    // What the other protocol has is no method of this one.
    for method in ["foo/bar", "subscriptions/listen", "server/discovery"] {
        check(&session.ask(method, json!({"a": 1})).await[0], -32601, method, method);
    }
    check(
        &raw.ask_modern("logging/setLevels", json!({}), json!({})).await[0],
        -32601,
        "logging",
        "2026-07-28",
    );
}

#[tokio::test]
async fn a_handshake_that_does_not_fit_is_told_so_and_may_be_tried_again() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let bad = [
        (json!({}), "protocolVersion"),
        (
            json!({"protocolVersion": 7, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}),
            "protocolVersion",
        ),
        (json!({"protocolVersion": "2025-11-25", "capabilities": {}}), "clientInfo"),
    ];
    let (ours, theirs) = tokio::net::UnixStream::pair().expect("a pair of sockets");
    let server = McpServer::new(world.engine.clone(), McpOptions::default());
    let reader = Reader::of(&ours);
    tokio::spawn(serve_pipes(server, ours.into_split(), reader, CancellationToken::new()));
    let (reads, mut writes) = tokio::io::split(theirs);
    let mut lines = BufReader::new(reads).lines();
    let mut ask = async |method: &str, params: Value| -> Value {
        let request = match method.starts_with("notifications/") {
            true => json!({"jsonrpc": "2.0", "method": method, "params": params}),
            false => json!({"jsonrpc": "2.0", "id": "a", "method": method, "params": params}),
        };
        writes.write_all(format!("{request}\n").as_bytes()).await.expect("sent");
        if request.get("id").is_none() {
            return Value::Null;
        }
        let line = in_time(lines.next_line()).await.expect("read").expect("a line");
        serde_json::from_str(&line).expect("JSON")
    };
    for (params, part) in bad {
        let body = json!({"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": params});
        let answer = raw.post().body(body.to_string()).send().await.expect("an answer");
        assert_eq!(answer.status(), 400);
        for answer in [&super::raw::messages(answer).await[0], &ask("initialize", params.clone()).await] {
            check(answer, -32602, part, &params.to_string());
            assert_eq!(answer["id"], "a");
        }
    }
    let good = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    assert_eq!(ask("initialize", good).await["result"]["protocolVersion"], "2025-11-25");
    for (method, params, part) in in_both().into_iter().chain(of_sessions()) {
        check(&ask(method, params).await, -32602, part, method);
    }
    for (method, params) in [("tools/list", json!([])), ("tools/call", json!("x")), ("ping", json!([1]))] {
        let answer = ask(method, params).await;
        check(&answer, -32602, "no object", method);
        assert_eq!(answer["id"], "a");
    }
    // What is wrong with a notification is not answered: the next line is the answer to the next request.
    for params in [json!([]), json!("x"), json!({"requestId": {}})] {
        ask("notifications/cancelled", params).await;
    }
    for params in [json!({}), json!([]), json!(5)] {
        check(&ask("foo/bar", params).await, -32601, "foo/bar", "over pipes");
    }
}
