//! Calls that have nothing to tell, and what a connection that ends means to them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::raw::{Raw, messages};
use super::*;

/// A `tools/call` of 2026-07-28 as it goes over a connection that a test may treat as it likes.
async fn call(world: &World, tool: &str, meta: Value) -> TcpStream {
    let raw = Raw::new(world);
    let mut all = json!({"longhaul/reply": "inline"});
    all.as_object_mut().expect("an object").extend(meta.as_object().expect("an object").clone());
    let params = json!({"name": tool, "arguments": {"stages": 1}});
    let request = raw.modern("tools/call", params, all).build().expect("a request");
    let mut text = "POST /mcp HTTP/1.1\r\nhost: localhost\r\n".to_owned();
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().expect("text")));
    }
    let body = request.body().and_then(|body| body.as_bytes()).expect("a body");
    text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut stream = TcpStream::connect(world.http.address()).await.expect("a connection");
    stream.write_all(&[text.as_bytes(), body].concat()).await.expect("sent");
    stream
}

/// Reads the head, and the comment behind it.
async fn head(stream: &mut TcpStream) -> String {
    let mut read = String::new();
    while !read.ends_with(":\n\n\r\n") {
        read.push(in_time(stream.read_u8()).await.expect("more") as char);
    }
    read
}

/// Once the call waits no longer for its task.
async fn nobody_follows(world: &World) {
    in_time(async {
        while world.engine.metrics().subscribers > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_call_that_has_nothing_to_tell_has_its_head_soon_and_its_answer_later() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let begun = json!({"name": "stages", "arguments": {"stages": 1}});
    let begun = &raw.ask_modern("tools/call", begun, json!({})).await[0]["result"]["structuredContent"];
    let id = begun["task_id"].as_str().expect("a task");
    let inline = json!({"longhaul/reply": "inline"});
    let calls = [
        (json!({"name": "stages", "arguments": {"stages": 1}}), &inline),
        (json!({"name": "task_wait", "arguments": {"task_id": id, "seconds": 20}}), &json!({})),
        (json!({"name": "calls", "arguments": {"tool": "stages", "arguments": {"stages": 1}}}), &json!({})),
    ];
    let asked = calls.map(|(params, meta)| raw.modern("tools/call", params, meta.clone()).send());
    let answers = in_time(futures::future::try_join_all(asked)).await.expect("heads");
    for answer in &answers {
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"text/event-stream".parse().expect("a value"))
        );
    }
    // Only now is there anything to answer.
    world.pass(3);
    for answer in answers {
        let got = messages(answer).await;
        assert_eq!(got.last().expect("an answer")["result"]["isError"], json!(false), "{got:?}");
    }
}

#[tokio::test]
async fn a_call_is_given_up_by_closing_it_and_not_by_losing_it() {
    for (tool, key, head_first, resets, state) in [
        ("stages", None, true, false, "cancelled"),
        ("stages", None, false, false, "cancelled"),
        ("stages", Some("k"), true, false, "completed"),
        ("stages", None, true, true, "completed"),
        ("stages", None, false, true, "completed"),
        ("impatient", None, true, true, "cancelled"),
        ("impatient", Some("k"), true, true, "completed"),
    ] {
        let shown = format!("{tool} {key:?}, head: {head_first}, reset: {resets}");
        let world = World::new().await;
        let meta = key.map_or(json!({}), |key| json!({"longhaul/idempotency-key": key}));
        let mut stream = call(&world, tool, meta).await;
        let id = world.open_tasks(1).await.remove(0);
        if head_first {
            assert!(head(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"), "{shown}");
        }
        if resets {
            stream.set_zero_linger().expect("lingers no time");
        }
        drop(stream);
        if state == "completed" {
            nobody_follows(&world).await;
            world.pass(1);
        }
        let task = world.until(&id, TaskDocument::is_terminal).await;
        assert_eq!(task.state, state, "{shown}");
    }
}
