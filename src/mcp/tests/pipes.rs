//! Hosts that write lines and close their end, over every way that lines have into the server.

use std::pin::Pin;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::bridge::{Socket, bridged};
use super::stdio::served;
use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Private,
    Socket,
    Bridge,
}

const WAYS: [Way; 3] = [Way::Private, Way::Socket, Way::Bridge];

/// The host's end, and what ends in good order once the host has closed its own.
async fn host(world: &World, way: Way) -> (UnixStream, Pin<Box<dyn Future<Output = bool>>>) {
    let socket = Socket::new(world);
    match way {
        Way::Private => {
            let (stream, serving) = served(world, CancellationToken::new());
            (stream, Box::pin(async move { serving.await.expect("no panic").is_ok() }))
        }
        // The server stays as long as this.
        Way::Socket => {
            let stream = socket.connect().await.expect("a connection");
            (stream, Box::pin(async move { Arc::strong_count(&socket) > 0 }))
        }
        Way::Bridge => {
            let (stream, ended) = bridged(&socket);
            (stream, Box::pin(async move { ended.await.expect("no panic") }))
        }
    }
}

fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

fn call(id: u64, tool: &str, arguments: Value) -> Value {
    let meta = json!({"longhaul/reply": "inline"});
    request(id, "tools/call", json!({"name": tool, "arguments": arguments, "_meta": meta}))
}

fn legacy(capabilities: Value) -> Vec<Value> {
    let params = json!({
        "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {"name": "by hand", "version": "1"},
    });
    vec![request(0, "initialize", params), json!({"jsonrpc": "2.0", "method": "notifications/initialized"})]
}

fn modern(mut request: Value) -> Value {
    for (key, value) in [
        ("protocolVersion", json!("2026-07-28")),
        ("clientCapabilities", json!({"elicitation": {}})),
        ("clientInfo", json!({"name": "by hand", "version": "1"})),
    ] {
        request["params"]["_meta"][format!("io.modelcontextprotocol/{key}")] = value;
    }
    request
}

fn lines(messages: &[Value]) -> Vec<u8> {
    messages.iter().flat_map(|message| format!("{message}\n").into_bytes()).collect()
}

/// Writes all of it and nothing more.
async fn write(stream: &mut UnixStream, text: &[u8]) {
    stream.write_all(text).await.expect("written");
    stream.shutdown().await.expect("closed");
}

/// Everything that comes, to the end.
async fn rest(mut stream: UnixStream) -> Vec<Value> {
    let mut text = String::new();
    in_time(stream.read_to_string(&mut text)).await.expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The one answer to a request.
fn answer(messages: &[Value], id: impl Into<Value>) -> &Value {
    let id = id.into();
    let mut found = messages.iter().filter(|message| message["id"] == id && message.get("method").is_none());
    let ids = || messages.iter().map(|message| message["id"].to_string()).collect::<Vec<_>>();
    let answer = found.next().unwrap_or_else(|| panic!("no answer to {id}, but to {:?}", ids()));
    assert_eq!(found.next(), None, "one answer to each");
    answer
}

#[tokio::test]
async fn each_request_is_answered_after_the_end_of_the_input() {
    for way in WAYS {
        let world = World::new().await;
        let (mut stream, ended) = host(&world, way).await;
        let mut asked = legacy(json!({}));
        asked.extend([
            call(1, "stages", json!({"stages": 3})),
            call(2, "chatty", json!({})),
            request("3", "tools/list", json!({})),
            request(4, "resources/read", json!({"uri": "task://nonsense"})),
            call(5, "refuse", json!({})),
            request(6, "no/such/method", json!({})),
        ]);
        let mut text = lines(&asked);
        // The last line has no end.
        text.pop();
        write(&mut stream, &text).await;
        // All of it waits for this.
        let id = world.open_tasks(1).await.remove(0);
        world.until(&id, |task| task.state == "running").await;
        world.pass(3);
        let seen = rest(stream).await;
        assert_eq!(answer(&seen, 1)["result"]["structuredContent"], json!({"done": 3}), "{way:?}");
        assert_eq!(answer(&seen, 2)["result"]["content"][0]["text"], "said", "{way:?}");
        assert!(answer(&seen, "3")["result"]["tools"].is_array(), "{way:?}");
        assert_eq!(answer(&seen, 4)["error"]["code"], -32002, "{way:?}");
        assert_eq!(answer(&seen, 5)["result"]["isError"], true, "{way:?}");
        assert_eq!(answer(&seen, 6)["error"]["code"], -32601, "{way:?}");
        // What they report is sent as ever.
        let logged = |data| seen.iter().any(|message| message["params"]["data"] == data);
        assert!(logged("burnt") && logged("3/3 stage 3 is done"), "{way:?}: {seen:#?}");
        assert!(in_time(ended).await, "{way:?}");
    }
}

/// The host is there all the while, and could be asked if it had said so.
#[tokio::test]
async fn a_tool_hears_at_once_that_its_host_cannot_sample() {
    for way in WAYS {
        let world = World::new().await;
        let (stream, _ended) = host(&world, way).await;
        let mut stream = BufReader::new(stream);
        let mut asked = legacy(json!({"sampling": {}}));
        asked
            .extend([call(1, "samples", json!({"tools": true})), call(2, "samples", json!({"roots": true}))]);
        stream.write_all(&lines(&asked)).await.expect("written");
        let mut seen = Vec::new();
        let is_answered = |seen: &[Value], id: u64| seen.iter().any(|message| message["id"] == id);
        while !(is_answered(&seen, 1) && is_answered(&seen, 2)) {
            let mut line = String::new();
            in_time(stream.read_line(&mut line)).await.expect("a line");
            seen.push(serde_json::from_str(&line).expect("JSON"));
        }
        for (id, what) in [(1u64, "(sample with tools)"), (2, "(roots)")] {
            let text = answer(&seen, id)["result"]["content"][0]["text"].as_str().expect("text").to_owned();
            assert!(text.starts_with("unavailable: ") && text.ends_with(what), "{way:?}: {text}");
        }
    }
}

#[tokio::test]
async fn under_2026_07_28_each_request_is_answered_as_well() {
    for way in WAYS {
        let world = World::new().await;
        let (mut stream, ended) = host(&world, way).await;
        let filter = json!({"notifications": {"toolsListChanged": true}});
        let asked = [
            modern(request(1, "server/discover", json!({}))),
            modern(call(2, "stages", json!({"stages": 2}))),
            modern(request("listens", "subscriptions/listen", filter)),
            modern(call(3, "asks", json!({}))),
            modern(request(4, "tools/list", json!({}))),
        ];
        write(&mut stream, &lines(&asked)).await;
        world.open_tasks(2).await;
        world.pass(2);
        let seen = rest(stream).await;
        assert!(answer(&seen, 1)["result"]["supportedVersions"].is_array(), "{way:?}");
        assert_eq!(answer(&seen, 2)["result"]["structuredContent"], json!({"done": 2}), "{way:?}");
        assert_eq!(answer(&seen, "listens")["result"]["resultType"], "complete", "{way:?}");
        assert_eq!(answer(&seen, 3)["result"]["resultType"], "input_required", "{way:?}");
        assert!(answer(&seen, 4)["result"]["tools"].is_array(), "{way:?}");
        assert!(in_time(ended).await, "{way:?}");
    }
}

/// They are answered no more; the tasks wait for the next client.
#[tokio::test]
async fn a_call_whose_task_asks_is_answered_with_a_link() {
    for way in WAYS {
        for tool in ["asks", "asks_first", "samples"] {
            let world = World::new().await;
            let (stream, ended) = host(&world, way).await;
            let (read, mut write) = stream.into_split();
            let mut read = BufReader::new(read).lines();
            let mut asked = legacy(json!({"elicitation": {}, "sampling": {}}));
            asked.push(request(1, "tools/call", json!({"name": tool, "arguments": {}})));
            write.write_all(&lines(&asked)).await.expect("written");
            let mut next = async || {
                let line = in_time(read.next_line()).await.expect("read").expect("more");
                serde_json::from_str::<Value>(&line).expect("JSON")
            };
            // It was asked, and never says what.
            let is_told = |method: &str| method.starts_with("notifications/");
            while next().await["method"].as_str().is_none_or(is_told) {}
            drop(write);
            let seen = loop {
                let message = next().await;
                if message["id"] == 1 && message.get("method").is_none() {
                    break message;
                }
            };
            let id = seen["result"]["structuredContent"]["task_id"].as_str().expect("a link").to_owned();
            assert!(!world.until(&id, |_| true).await.is_terminal(), "{way:?} {tool}");
            assert!(in_time(ended).await, "{way:?} {tool}");
        }
    }
}

#[tokio::test]
async fn a_line_that_cannot_be_read_is_answered_and_the_next_is_served() {
    for way in WAYS {
        let world = World::new().await;
        let (mut stream, ended) = host(&world, way).await;
        let mut text = b"what is this\n\n".to_vec();
        text.extend(lines(&legacy(json!({}))));
        text.extend_from_slice(
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"a\":\"\\udc00\"}}\r\n",
        );
        text.extend_from_slice(b"{\"method\":\"a\",\"params\":\"\xff\",\"id\":\"bytes\"}\n");
        text.extend_from_slice(
            format!("{{\"method\":\"a\",\"params\":\"{}\",\"id\":2}}\n", "x".repeat(9 << 20)).as_bytes(),
        );
        text.extend(lines(&[
            json!([]),
            json!({"id": 3, "method": "ping"}),
            request(json!([4]), "ping", json!({})),
        ]));
        text.extend(lines(&[request(5, "ping", json!({}))]));
        text.extend_from_slice(b"{\"id\":6,\"method\":\"pi");
        let (reading, mut writing) = stream.split();
        let mut reading = BufReader::new(reading).lines();
        let mut seen = Vec::new();
        let both = async {
            let write = async {
                writing.write_all(&text).await.expect("written");
                writing.shutdown().await.expect("closed");
            };
            let read = async {
                while let Some(line) = reading.next_line().await.expect("read") {
                    seen.push(serde_json::from_str::<Value>(&line).expect("JSON"));
                }
            };
            tokio::join!(write, read)
        };
        in_time(both).await;
        for (id, code) in [
            (json!(1), -32700),
            (json!("bytes"), -32700),
            (json!(2), -32600),
            (json!(3), -32600),
            (json!(6), -32700),
        ] {
            assert_eq!(answer(&seen, id)["error"]["code"], code, "{way:?}");
        }
        assert_eq!(answer(&seen, 5)["result"], json!({}), "{way:?}");
        let unnamed: Vec<&Value> =
            seen.iter().filter(|seen| seen["id"].is_null() && seen.get("error").is_some()).collect();
        let codes: Vec<&Value> = unnamed.iter().map(|seen| &seen["error"]["code"]).collect();
        assert_eq!(codes, [-32700, -32600, -32600], "{way:?}");
        assert!(unnamed.iter().all(|seen| seen.get("id").is_some()), "{way:?}: null is an id");
        assert!(in_time(ended).await, "{way:?}");
    }
}

#[tokio::test]
async fn an_id_is_that_of_one_request_at_a_time() {
    for way in WAYS {
        let world = World::new().await;
        let (mut stream, _ended) = host(&world, way).await;
        let (read, mut write) = stream.split();
        let mut read = BufReader::new(read).lines();
        let mut asked = legacy(json!({}));
        asked.extend([call(1, "stages", json!({"stages": 1})), request(1, "tools/list", json!({}))]);
        // Another id, though it reads alike.
        asked.push(request("1", "ping", json!({})));
        write.write_all(&lines(&asked)).await.expect("written");
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let line = in_time(read.next_line()).await.expect("read").expect("more");
            let message: Value = serde_json::from_str(&line).expect("JSON");
            seen.extend(message.get("method").is_none().then_some(message));
        }
        assert_eq!(answer(&seen, 1)["error"]["code"], -32600, "{way:?}");
        assert_eq!(answer(&seen, "1")["result"], json!({}), "{way:?}");
        let mut next = async || loop {
            let line = in_time(read.next_line()).await.expect("read").expect("more");
            let message: Value = serde_json::from_str(&line).expect("JSON");
            if message.get("method").is_none() {
                return message;
            }
        };
        world.pass(1);
        assert_eq!(next().await["result"]["structuredContent"], json!({"done": 1}), "{way:?}");
        // What was answered may be asked again, by another request; and what was given up is not answered late.
        write.write_all(&lines(&[request(1, "tools/list", json!({}))])).await.expect("written");
        assert!(next().await["result"]["tools"].is_array(), "{way:?}");
        let id = {
            write.write_all(&lines(&[call(1, "stages", json!({"stages": 1}))])).await.expect("written");
            world.open_tasks(1).await.remove(0)
        };
        let cancelled =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
        write.write_all(&lines(&[cancelled, request(1, "ping", json!({}))])).await.expect("written");
        assert_eq!(next().await, json!({"jsonrpc": "2.0", "id": 1, "result": {}}), "{way:?}");
        assert_eq!(world.until(&id, TaskDocument::is_terminal).await.state, "cancelled");
    }
}

/// Closed before the answer is read: the task goes on, and nothing waits for it.
#[tokio::test]
async fn a_host_that_reads_nothing_more_is_not_waited_for() {
    for way in WAYS {
        let world = World::new().await;
        let (mut stream, ended) = host(&world, way).await;
        let mut asked = legacy(json!({}));
        asked.push(call(1, "stages", json!({"stages": 1})));
        stream.write_all(&lines(&asked)).await.expect("written");
        let id = world.open_tasks(1).await.remove(0);
        drop(stream);
        assert!(in_time(ended).await, "{way:?}");
        world.pass(1);
        assert_eq!(world.until(&id, TaskDocument::is_terminal).await.state, "completed");
    }
}

/// What can be asked again is, of the next server; of the rest the host hears.
#[tokio::test]
async fn a_server_that_is_lost_after_the_end_of_the_input_leaves_no_request_without_an_answer() {
    let world = World::new().await;
    let socket = Socket::new(&world);
    let (mut stream, ended) = bridged(&socket);
    let foreseen = world.engine.submit(Submission {
        tool: "stages".to_owned(),
        arguments: json!({"stages": 1}),
        principal: Principal::local(),
        idempotency_key: None,
        trace: None,
    });
    let id = foreseen.await.expect("a task").id.to_string();
    let mut asked = legacy(json!({}));
    asked.push(call(1, "stages", json!({"stages": 2})));
    asked.push(request(2, "tools/call", json!({"name": "task_wait", "arguments": {"task_id": id}})));
    write(&mut stream, &lines(&asked)).await;
    world.open_tasks(2).await;
    socket.kill();
    let (reading, _writing) = stream.split();
    let mut reading = BufReader::new(reading).lines();
    let mut seen: Vec<Value> = Vec::new();
    let mut passed = false;
    while let Some(line) = in_time(reading.next_line()).await.expect("read") {
        seen.push(serde_json::from_str(&line).expect("JSON"));
        if !passed && seen.iter().any(|message| message["id"] == 1) {
            world.pass(3);
            passed = true;
        }
    }
    assert_eq!(answer(&seen, 1)["error"]["data"]["reason"], "server_restarted");
    assert_eq!(answer(&seen, 2)["result"]["structuredContent"]["state"], "completed");
    assert!(in_time(ended).await.expect("no panic"));
}
