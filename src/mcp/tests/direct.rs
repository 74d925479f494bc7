//! Calls that are answered without a service of rmcp's are answered as those that are.

use super::raw::{Raw, messages};
use super::*;

/// What one call was answered with; `None` for a length that was not known before.
struct Seen {
    status: u16,
    heads: Vec<Option<String>>,
    length: Option<String>,
    body: String,
}

/// Sends the request as it is, or with a parameter that no method has, which rmcp passes over.
async fn send(raw: &Raw, method: &str, mut params: Value, meta: Value, is_plain: bool) -> Seen {
    if !is_plain {
        params["of no method"] = json!(1);
    }
    let answer = raw.modern(method, params, meta).send().await.expect("an answer");
    let head = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
    let heads = ["content-type", "cache-control", "x-accel-buffering", "vary"].map(head).to_vec();
    let (status, length) = (answer.status().as_u16(), head("content-length"));
    Seen { status, heads, length, body: answer.text().await.expect("text") }
}

/// With the ids and times of tasks, which differ between two calls, made the same.
fn without_ids(body: &str) -> String {
    let of_id = |c: char| c.is_ascii_hexdigit() || c == '-';
    let is_time = |part: &str| part.len() >= 20 && part.ends_with('Z') && part.starts_with("20");
    let mut before = "";
    let words = body.split('"').map(|part| match std::mem::replace(&mut before, part) {
        "ttlMs" => ":TIME",
        _ if is_time(part) => "TIME",
        _ => part,
    });
    let body: String = words.collect::<Vec<_>>().join("\"");
    let ids = body.split(|c| !of_id(c)).map(|part| part.trim_start_matches('-'));
    let ids: Vec<String> = ids.filter(|part| part.parse::<TaskId>().is_ok()).map(str::to_owned).collect();
    ids.iter().fold(body, |body, id| body.replace(id, "ID"))
}

#[tokio::test]
async fn a_call_is_answered_the_same_whichever_way_it_takes() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let with_tasks = json!({"io.modelcontextprotocol/clientCapabilities":
        {"extensions": {"io.modelcontextprotocol/tasks": {}}}});
    for (name, arguments, meta) in [
        ("double", json!({"n": 4}), json!({})),
        ("refuse", json!({}), json!({})),
        ("crash", json!({"crashes": false, "says": "a line"}), json!({})),
        ("stages", json!({"stages": 1}), json!({})),
        ("stages", json!({"stages": 1}), with_tasks.clone()),
        ("stages", json!({"stages": "many", "more": 1}), json!({})),
        ("no_such_tool", json!({}), json!({})),
        ("needs_tasks", json!({}), json!({})),
        ("double", json!({"n": 4}), json!({"longhaul/reply": "nothing of these"})),
        ("task_list", json!({"of": "nothing"}), json!({})),
        ("double", json!({"n": 5}), json!({"traceparent": "x", "a.b/c": [1]})),
    ] {
        let params = json!({"name": name, "arguments": arguments});
        let direct = send(&raw, "tools/call", params.clone(), meta.clone(), true).await;
        let behind = send(&raw, "tools/call", params.clone(), meta, false).await;
        assert_eq!(direct.status, behind.status, "{params}: {}", direct.body);
        assert_eq!(direct.heads, behind.heads, "{params}");
        assert!(direct.length.is_some(), "{params}: it is one piece");
        let is_stream = behind.heads[0].as_deref() == Some("text/event-stream");
        assert_eq!(behind.length.is_none(), is_stream, "{params}: rmcp knows no length before");
        assert_eq!(without_ids(&direct.body), without_ids(&behind.body), "{params}");
    }
    world.pass(4);
}

#[tokio::test]
async fn a_call_that_asks_for_log_lines_gets_them() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let seen = raw.ask_modern(
        "tools/call",
        json!({"name": "chatty", "arguments": {}}),
        json!({"io.modelcontextprotocol/logLevel": "info"}),
    );
    let seen = seen.await;
    assert!(seen.len() > 1, "{seen:?}");
    assert_eq!(seen[0]["method"], "notifications/message");
    // The same call, which asks for none of that.
    let seen = raw.ask_modern("tools/call", json!({"name": "chatty", "arguments": {}}), json!({})).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[tokio::test]
async fn a_head_that_contradicts_its_call_is_refused() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    for (header, value) in [("mcp-name", "crash"), ("mcp-method", "tools/list")] {
        let params = json!({"name": "double", "arguments": {"n": 1}});
        let mut request = raw.modern("tools/call", params, json!({})).build().expect("a request");
        request.headers_mut().insert(header, value.parse().expect("a value"));
        let answer = raw.http.execute(request).await.expect("an answer");
        assert_eq!(answer.status(), 400, "{header}");
        assert_eq!(messages(answer).await[0]["error"]["code"], -32020, "{header}");
    }
}
