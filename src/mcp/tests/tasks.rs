//! The tasks extension as bare requests: no client of ours declares it.

use std::collections::BTreeSet;

use super::raw::{Raw, messages};
use super::*;

/// Declares the extension, in a request's `_meta`.
fn declared() -> Value {
    json!({"io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}})
}

fn with(mut meta: Value, key: &str, value: Value) -> Value {
    meta[key] = value;
    meta
}

impl Raw {
    /// What one request of a client that takes tasks is answered with, to the result or the error.
    async fn ask_tasks(&self, method: &str, params: Value) -> Value {
        self.ask_modern(method, params, declared()).await.pop().expect("an answer")
    }

    /// A task of `stages`.
    async fn create(&self, stages: u64) -> (String, Value) {
        let params = json!({"name": "stages", "arguments": {"stages": stages}});
        let created = self.ask_tasks("tools/call", params).await["result"].take();
        (created["taskId"].as_str().expect("a task").to_owned(), created)
    }

    async fn get(&self, id: &str) -> Value {
        self.ask_tasks("tasks/get", json!({"taskId": id})).await["result"].take()
    }
}

#[tokio::test]
async fn a_declaring_client_gets_a_task_and_its_result_by_polling() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let found = raw.ask_tasks("server/discover", json!({})).await;
    assert_eq!(found["result"]["capabilities"]["extensions"], json!({"io.modelcontextprotocol/tasks": {}}));

    let (id, created) = raw.create(2).await;
    let retention = crate::limits::DEFAULT_RETENTION_SECONDS * 1_000;
    assert_eq!((&created["resultType"], &created["status"]), (&json!("task"), &json!("working")));
    assert_eq!(created["pollIntervalMs"], crate::limits::POLL_LEAST_MS);
    assert!(created["ttlMs"].as_u64() >= Some(retention), "{created}");
    let meta = &created["_meta"];
    assert_eq!(
        (&meta["longhaul/task"], &meta["longhaul/resource"]),
        (&json!(id), &json!(format!("task://{id}")))
    );
    for foreign in ["content", "structuredContent", "result", "task"] {
        assert_eq!(created.get(foreign), None, "{foreign}");
    }

    world.pass(1);
    world.until(&id, |task| task.progress.is_some()).await;
    let working = raw.get(&id).await;
    assert_eq!((&working["resultType"], &working["status"]), (&json!("complete"), &json!("working")));
    assert_eq!(working["statusMessage"], "1/2 stage 1 is done");
    assert_eq!((working.get("result"), working.get("error")), (None, None));
    assert_eq!(working["createdAt"], created["createdAt"]);

    world.pass(1);
    world.until(&id, TaskDocument::is_terminal).await;
    let completed = raw.get(&id).await;
    assert_eq!(completed["status"], "completed");
    assert_eq!(completed["result"]["structuredContent"], json!({"done": 2}));
    assert_eq!((&completed["result"]["isError"], completed.get("error")), (&json!(false), None));
    assert!(completed["ttlMs"].as_u64() >= working["ttlMs"].as_u64(), "{working} {completed}");
}

#[tokio::test]
async fn the_ways_to_end_are_told_apart() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let ended = async |tool: &str| {
        let meta = with(declared(), "longhaul/reply", json!("task"));
        let got = raw.ask_modern("tools/call", json!({"name": tool, "arguments": {}}), meta).await;
        let id = got[0]["result"]["taskId"].as_str().expect("a task").to_owned();
        world.until(&id, TaskDocument::is_terminal).await;
        raw.get(&id).await
    };
    let refused = ended("refuse").await;
    assert_eq!((&refused["status"], &refused["result"]["isError"]), (&json!("completed"), &json!(true)));
    assert_eq!(refused["result"]["content"][0]["text"], "the ticket is closed");

    let crashed = ended("crash").await;
    assert_eq!((&crashed["status"], crashed.get("result")), (&json!("failed"), None));
    assert_eq!(crashed["error"]["code"], -32603);
    assert_eq!(
        (&crashed["error"]["data"]["reason"], &crashed["statusMessage"]),
        (&json!("trap"), &crashed["error"]["message"])
    );
    assert!(crashed["statusMessage"].as_str().expect("words").contains("out of cheese"), "{crashed}");

    // A tool whose reply is `task` answers a client that takes tasks.
    assert_eq!(ended("needs_tasks").await["result"]["content"][0]["text"], "as a task");

    let (id, _) = raw.create(1).await;
    for _ in 0..2 {
        let ack = raw.ask_tasks("tasks/cancel", json!({"taskId": id})).await;
        assert_eq!(ack["result"]["resultType"], "complete");
    }
    world.until(&id, TaskDocument::is_terminal).await;
    let cancelled = raw.get(&id).await;
    assert_eq!(
        (&cancelled["status"], cancelled.get("result"), cancelled.get("error")),
        (&json!("cancelled"), None, None)
    );

    let (id, _) = raw.create(1).await;
    world.pass(1);
    world.until(&id, TaskDocument::is_terminal).await;
    let ack = raw.ask_tasks("tasks/cancel", json!({"taskId": id})).await;
    assert_eq!(ack["result"]["resultType"], "complete");
    assert_eq!(raw.get(&id).await["status"], "completed", "what has ended stays as it is");
}

/// For clients that show an error's message alone.
#[tokio::test]
async fn why_a_tool_trapped_is_in_the_message_of_every_error_that_tells_of_it() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let meta = with(declared(), "longhaul/reply", json!("task"));
    let ended = async |tool: &str, arguments: Value| {
        let params = json!({"name": tool, "arguments": arguments});
        let got = raw.ask_modern("tools/call", params, meta.clone()).await;
        let id = got[0]["result"]["taskId"].as_str().expect("a task").to_owned();
        world.until(&id, TaskDocument::is_terminal).await;
        (raw.get(&id).await, id)
    };
    for says in ["no bolts is left", "ValueError: kaputt\n  at ship", "在庫がない"] {
        let (crashed, id) = ended("crash", json!({"says": says})).await;
        let read = raw.ask_tasks("resources/read", json!({"uri": format!("task://{id}/result")})).await;
        let words = [&crashed["error"]["message"], &crashed["statusMessage"], &read["error"]["message"]];
        let log = format!("task://{id}/log");
        for words in words.map(|words| words.as_str().expect("words")) {
            for part in says.lines().chain(["out of cheese", "task_output", &log]) {
                assert!(words.contains(part), "{part:?} in {words}");
            }
        }
        let (caller, _) = ended("calls", json!({"tool": "crash", "arguments": {"says": says}})).await;
        let caller = caller["result"]["content"][0]["text"].as_str().expect("words").to_owned();
        assert!(says.lines().all(|line| caller.contains(line)), "{caller}");
    }
}

#[tokio::test]
async fn a_client_that_cannot_be_asked_sees_what_its_task_waits_for() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let meta = with(declared(), "longhaul/reply", json!("task"));
    let asking = json!({"name": "asks", "arguments": {}});
    let got = raw.ask_modern("tools/call", asking, meta).await;
    let id = got[0]["result"]["taskId"].as_str().expect("a task").to_owned();
    world.until(&id, |task| !task.input_requests.is_empty()).await;
    let task = raw.get(&id).await;
    assert_eq!(task["status"], "working");
    let words = task["statusMessage"].as_str().expect("words");
    for part in ["Waiting for an answer", "Question 1?", "question q1", "A person answers it"] {
        assert!(words.contains(part), "{part:?} in {words}");
    }
    let mut listening = Listening::to(&raw, json!({"taskIds": [id]})).await;
    assert_eq!(listening.next().await["method"], "notifications/subscriptions/acknowledged");
    let seen = listening.next().await["params"].take();
    assert_eq!((&seen["status"], &seen["statusMessage"]), (&json!("working"), &task["statusMessage"]));
    let mut asked = declared();
    asked["io.modelcontextprotocol/clientCapabilities"]["elicitation"] = json!({"form": {}});
    let task = raw.ask_modern("tasks/get", json!({"taskId": id}), asked).await[0]["result"].take();
    assert_eq!((&task["status"], task.get("statusMessage")), (&json!("input_required"), None), "{task}");
}

#[tokio::test]
async fn answers_to_what_was_not_asked_are_ignored() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let (id, _) = raw.create(1).await;
    let responses = json!({"guess": {"action": "accept", "content": {"input": "?"}}});
    let ack = raw.ask_tasks("tasks/update", json!({"taskId": id, "inputResponses": responses})).await;
    assert_eq!(ack["result"]["resultType"], "complete");
    assert_eq!(raw.get(&id).await["status"], "working");
}

/// Neither a request that does not declare the extension, whatever others did, nor any session.
#[tokio::test]
async fn who_does_not_declare_the_extension_gets_no_task() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let (id, _) = raw.create(1).await;
    let call = json!({"name": "stages", "arguments": {"stages": 1}});
    let get = json!({"taskId": id});
    let plain = &raw.ask_modern("tools/call", call.clone(), json!({})).await[0]["result"];
    assert_eq!(
        (&plain["resultType"], &plain["content"][1]["type"]),
        (&json!("complete"), &json!("resource_link"))
    );
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let params = with(get.clone(), "inputResponses", json!({}));
        let refused = &raw.ask_modern(method, params, json!({})).await[0]["error"];
        assert_eq!(refused["code"], -32021, "{method}");
        assert!(refused["data"].to_string().contains("io.modelcontextprotocol/tasks"), "{refused}");
    }

    let capabilities = declared()["io.modelcontextprotocol/clientCapabilities"].take();
    let session = raw.session_with(capabilities).await;
    let linked = &session.ask("tools/call", with(call, "_meta", declared())).await[0]["result"];
    assert_eq!((linked.get("resultType"), &linked["content"][1]["type"]), (None, &json!("resource_link")));
    let unknown = session.ask("tasks/get", with(get, "_meta", declared())).await;
    assert_eq!(unknown[0]["error"]["code"], -32601);
    let needs = json!({"name": "needs_tasks", "arguments": {}});
    assert_eq!(session.ask("tools/call", needs).await[0]["error"]["code"], -32021);
}

#[tokio::test]
async fn somebody_elses_task_no_task_and_no_id_look_alike() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let foreign = world.foreign_task().await.to_string();
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let mut errors = BTreeSet::new();
        for id in [&foreign, &TaskId::new(1, &[1; 10]).to_string(), "nonsense"] {
            let params = json!({"taskId": id, "inputResponses": {}});
            let error = raw.ask_tasks(method, params).await["error"].take();
            assert_eq!(error["code"], -32602, "{method} {id}");
            errors.insert(error.to_string().replace(id, "ID"));
        }
        assert_eq!(errors.len(), 1, "{errors:?}");
    }
    let theirs = Principal::new("somebody", vec!["*".to_owned()]);
    let task = world.engine.task(&theirs, foreign.parse().expect("an id")).await.expect("a task");
    assert!(!task.state.is_terminal(), "nobody else cancels it");
}

#[tokio::test]
async fn an_inline_call_turns_into_a_task_only_past_its_time() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let meta =
        with(with(declared(), "longhaul/reply", json!("inline")), "longhaul/inline-wait-seconds", json!(1));
    let params = json!({"name": "stages", "arguments": {"stages": 1}});
    let late = &raw.ask_modern("tools/call", params.clone(), meta.clone()).await[0]["result"];
    assert_eq!((&late["resultType"], &late["status"]), (&json!("task"), &json!("working")));
    let id = late["taskId"].as_str().expect("a task");
    world.pass(1);
    assert_eq!(world.until(id, TaskDocument::is_terminal).await.state, "completed");
    world.pass(1);
    let in_time = &raw.ask_modern("tools/call", params, meta).await[0]["result"];
    assert_eq!(
        (&in_time["resultType"], &in_time["structuredContent"]),
        (&json!("complete"), &json!({"done": 1}))
    );
}

#[tokio::test]
async fn a_task_is_found_again_after_a_restart() {
    let world = World::new().await;
    let (id, created) = Raw::new(&world).create(2).await;
    world.pass(1);
    world.until(&id, |task| task.progress.is_some()).await;
    let World { folder, engine, http, .. } = world;
    in_time(http.shutdown()).await;
    in_time(engine.shutdown()).await;
    drop(engine);
    let gate = Arc::new(Semaphore::new(0));
    let engine = self::engine(folder.path(), &gate).await;
    let server = McpServer::new(engine.clone(), McpOptions::default());
    let http = HttpServer::bind(server, Options::new(loopback())).await.expect("a server");
    let world = World { folder, engine, http, gate };
    let raw = Raw::new(&world);
    let again = raw.get(&id).await;
    assert_eq!((&again["status"], &again["createdAt"]), (&json!("working"), &created["createdAt"]));
    world.pass(1);
    world.until(&id, TaskDocument::is_terminal).await;
    assert_eq!(raw.get(&id).await["result"]["structuredContent"], json!({"done": 2}));
}

#[tokio::test]
async fn a_name_missing_in_the_headers_is_forgiven_and_a_wrong_one_is_not() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let (id, _) = raw.create(1).await;
    let params = json!({"taskId": id, "_meta": with(
        with(declared(), "io.modelcontextprotocol/protocolVersion", json!("2026-07-28")),
        "io.modelcontextprotocol/clientInfo",
        json!({"name": "by hand", "version": "1"}),
    )});
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "tasks/get", "params": params}).to_string();
    let request = || {
        raw.post()
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tasks/get")
            .body(body.clone())
    };
    let forgiven = messages(request().send().await.expect("an answer")).await;
    assert_eq!(forgiven[0]["result"]["taskId"], json!(id));
    let refused = request().header("mcp-name", "other").send().await.expect("an answer");
    assert_eq!(refused.status(), 400);
    assert_eq!(messages(refused).await[0]["error"]["code"], -32020);
}

/// What a listener gets, message by message.
struct Listening {
    stream: reqwest::Response,
    text: String,
}

impl Listening {
    async fn to(raw: &Raw, filter: Value) -> Self {
        let params = json!({"notifications": filter});
        let stream = raw.modern("subscriptions/listen", params, declared()).send().await.expect("an answer");
        assert_eq!(stream.status(), 200);
        Self { stream, text: String::new() }
    }

    async fn next(&mut self) -> Value {
        // Comments keep the stream alive, and are no messages.
        in_time(self.message()).await
    }

    async fn message(&mut self) -> Value {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:")).map(str::to_owned);
                self.text = rest.to_owned();
                match data.filter(|data| !data.trim().is_empty()) {
                    Some(data) => return serde_json::from_str(&data).expect("JSON"),
                    None => continue,
                }
            }
            let chunk = self.stream.chunk().await.expect("a stream").expect("more");
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

#[tokio::test]
async fn a_listener_is_told_of_its_tasks_to_the_end() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let (id, _) = raw.create(400).await;
    let foreign = world.foreign_task().await.to_string();
    let filter = json!({"taskIds": [foreign, "nonsense", id, id], "resourcesListChanged": true});
    let mut listening = Listening::to(&raw, filter).await;
    let ack = listening.next().await;
    assert_eq!(ack["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(ack["params"]["notifications"], json!({"resourcesListChanged": true, "taskIds": [id]}));
    // Where it stands, without any change.
    let first = listening.next().await;
    assert_eq!(
        (&first["method"], &first["params"]["status"]),
        (&json!("notifications/tasks"), &json!("working"))
    );
    assert_eq!(first["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
    // One stage is another principal's.
    world.pass(401);
    let last = loop {
        let seen = listening.next().await["params"].take();
        if seen["taskId"].is_string() {
            assert_eq!(seen["taskId"], json!(id));
        }
        if seen["status"] == "completed" {
            break seen;
        }
    };
    let mut got = raw.get(&id).await;
    for field in ["resultType", "_meta"] {
        got.as_object_mut().expect("an object").remove(field);
    }
    for (field, value) in got.as_object().expect("an object") {
        assert_eq!(&last[field], value, "{field}");
    }
    // One that listens too late gets it all the same.
    let mut late = Listening::to(&raw, json!({"taskIds": [id]})).await;
    late.next().await;
    assert_eq!(late.next().await["params"]["result"], last["result"]);
}

#[tokio::test]
async fn to_listen_to_tasks_without_declaring_them_is_refused() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let (id, _) = raw.create(1).await;
    let params = json!({"notifications": {"taskIds": [id]}});
    let refused = raw.modern("subscriptions/listen", params, json!({})).send().await.expect("an answer");
    assert_eq!(refused.status(), 400);
    let refused = &messages(refused).await[0];
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(7), &json!(-32021)));
    // Without tasks it may listen as before.
    let params = json!({"notifications": {"toolsListChanged": true}});
    let listening = raw.modern("subscriptions/listen", params, json!({})).send().await.expect("an answer");
    assert_eq!(listening.status(), 200);
}
