use super::*;

fn capabilities(capabilities: Value) -> Value {
    json!({"io.modelcontextprotocol/clientCapabilities": capabilities})
}

/// Declares the tasks extension.
fn tasks() -> Value {
    capabilities(json!({"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}))
}

#[tokio::test]
async fn requests() {
    let world = wire_world().await;
    let raw = Raw::new(&world);
    let none = || json!({});
    let mut record = Recorder::new(&raw, "2026-07-28: what is offered, and what is refused");
    for (title, method) in [
        ("Who answers", "server/discover"),
        ("The list of tools", "tools/list"),
        ("The list of resource templates", "resources/templates/list"),
        ("No task, no resource", "resources/list"),
    ] {
        record.exchange(title, raw.modern(method, json!({}), none())).await;
    }
    let unknown = "task://01a1fe2a-c38d-7781-a35c-e8e62c9d7db1";
    for (title, method, params) in [
        ("A method that is unknown", "tools/guess", json!({})),
        ("One of sessions", "ping", json!({})),
        ("One that is not offered", "prompts/list", json!({})),
        ("A tool that is unknown", "tools/call", call("nobody", json!({}))),
        ("A tool that only makes tasks, without the extension", "tools/call", call("needs_tasks", json!({}))),
        ("A task, without the extension", "tasks/get", json!({"taskId": "x"})),
        ("Arguments that are none", "tools/call", call("double", json!([1]))),
        ("A resource that is unknown", "resources/read", json!({"uri": unknown})),
    ] {
        record.exchange(title, raw.modern(method, params, none())).await;
    }
    record.exchange("A task that is unknown", raw.modern("tasks/get", json!({"taskId": "x"}), tasks())).await;

    let version = json!({"io.modelcontextprotocol/protocolVersion": "2030-01-01"});
    let other = raw.modern("tools/list", json!({}), version.clone());
    record.exchange("Another version in the header than in the body", other).await;
    let body = |meta: Value| {
        json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {"_meta": meta}}).to_string()
    };
    let headers =
        |version: &str| raw.post().header("mcp-protocol-version", version).header("mcp-method", "tools/list");
    let meta = with(
        with(version, "io.modelcontextprotocol/clientCapabilities", json!({})),
        "io.modelcontextprotocol/clientInfo",
        json!({"name": "by hand", "version": "1"}),
    );
    record.exchange("A version that is unknown", headers("2030-01-01").body(body(meta.clone()))).await;
    let meta = with(meta, "io.modelcontextprotocol/protocolVersion", json!("2026-07-28"));
    let bare = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
    record.exchange("No capabilities", headers("2026-07-28").body(body(bare))).await;
    let method = raw.post().header("mcp-protocol-version", "2026-07-28");
    record.exchange("No method in the headers", method.body(body(meta.clone()))).await;
    let method = raw.post().header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tools/call");
    record.exchange("Another method in the headers", method.body(body(meta))).await;
    let named = raw.modern("resources/read", json!({"uri": unknown}), none()).build().expect("a request");
    let mut unnamed = raw.http.post(&raw.url);
    for (name, value) in named.headers().iter().filter(|(name, _)| *name != "mcp-name") {
        unnamed = unnamed.header(name, value);
    }
    let body = named.body().and_then(reqwest::Body::as_bytes).expect("a body").to_vec();
    record.exchange("No name in the headers", unnamed.body(body)).await;
    let page = raw.modern("tools/list", json!({}), none()).header("origin", "https://evil.example");
    record.exchange("A page from elsewhere", page).await;
    for (title, request) in [("GET", raw.http.get(&raw.url)), ("DELETE", raw.http.delete(&raw.url))] {
        let request = request.header("mcp-protocol-version", "2026-07-28");
        record.exchange(title, request.header("accept", "text/event-stream")).await;
    }
    compare("modern-requests.txt", &record.text);
}

#[tokio::test]
async fn calls() {
    let world = wire_world().await;
    let raw = Raw::new(&world);
    let none = || json!({});
    let mut record = Recorder::new(&raw, "2026-07-28: calls, rounds, resources, subscriptions");
    let call_of = |params: Value, meta: Value| raw.modern("tools/call", params, meta);
    record.exchange("A result inline", call_of(call("double", json!({"n": 21})), none())).await;
    record.exchange("A tool's own error", call_of(call("refuse", json!({})), none())).await;
    let stages = || call("stages", json!({"stages": 2}));
    world.pass(2);
    let meta = json!({"longhaul/reply": "inline", "progressToken": "p"});
    record.exchange("Progress", call_of(stages(), meta)).await;
    world.pass(2);
    let meta = json!({"longhaul/reply": "inline", "io.modelcontextprotocol/logLevel": "info"});
    record.exchange("Log messages that were asked for", call_of(stages(), meta)).await;

    let asks = call("asks", json!({}));
    let elicits = || capabilities(json!({"elicitation": {}}));
    let asked = record.exchange("A question", call_of(asks.clone(), elicits())).await;
    let state = asked["result"]["requestState"].clone();
    let answers = json!({"sure": {"action": "accept", "content": {"confirm": true}}});
    let round = with(with(asks.clone(), "inputResponses", answers), "requestState", state);
    record.exchange("… its answer", call_of(round.clone(), elicits())).await;
    let forged = with(round, "requestState", json!("forged"));
    record.exchange("A state of somebody else's making", call_of(forged, elicits())).await;
    record.exchange("A client that cannot be asked", call_of(asks, none())).await;

    let link = record.exchange("A link", call_of(stages(), none())).await;
    let id = link["result"]["structuredContent"]["task_id"].as_str().expect("a task").to_owned();
    let uri = format!("task://{id}");
    world.pass(1);
    world.until(&id, |task| task.progress.is_some()).await;
    let result = json!({"uri": format!("{uri}/result")});
    let filter = json!({"notifications": {
        "resourceSubscriptions": [result["uri"]], "toolsListChanged": true, "promptsListChanged": true,
    }});
    let mut listening =
        record.send("A subscription", raw.modern("subscriptions/listen", filter, none())).await;
    record.until(&mut listening, method("notifications/subscriptions/acknowledged")).await;
    world.pass(1);
    record.text.push_str("\n## … and what it was told\n\n");
    record.until(&mut listening, method("notifications/resources/updated")).await;
    world.until(&id, TaskDocument::is_terminal).await;
    record.exchange("What it was about", raw.modern("resources/read", result, none())).await;
    record.exchange("The task", raw.modern("resources/read", json!({"uri": uri}), none())).await;
    let complete = json!({
        "ref": {"type": "ref/resource", "uri": "task://{id}/output/{name}"},
        "argument": {"name": "name", "value": "st"},
        "context": {"arguments": {"id": id}},
    });
    record.exchange("A completion", raw.modern("completion/complete", complete, none())).await;
    record.text.push_str("\n## The server ends, and with it the subscription\n\n");
    let World { http, .. } = world;
    let (_, last) = tokio::join!(in_time(http.shutdown()), record.rest(listening));
    assert_eq!(last["result"]["resultType"], "complete");
    compare("modern-calls.txt", &record.text);
}

#[tokio::test]
async fn tasks_extension() {
    let world = wire_world().await;
    let raw = Raw::new(&world);
    let mut record = Recorder::new(&raw, "2026-07-28: the tasks extension");
    let of_task = |method: &str, id: &Value, more: Value| {
        let mut params = json!({"taskId": id});
        for (key, value) in more.as_object().expect("an object") {
            params[key] = value.clone();
        }
        raw.modern(method, params, tasks())
    };
    let stages = call("stages", json!({"stages": 1}));
    let created =
        record.exchange("A call becomes a task", raw.modern("tools/call", stages.clone(), tasks())).await;
    let id = created["result"]["taskId"].clone();
    let filter = json!({"notifications": {"taskIds": [id]}});
    let mut listening =
        record.send("A subscription to it", raw.modern("subscriptions/listen", filter, tasks())).await;
    record.until(&mut listening, method("notifications/subscriptions/acknowledged")).await;
    record.until(&mut listening, method("notifications/tasks")).await;
    record.exchange("It is looked at", of_task("tasks/get", &id, json!({}))).await;
    let unknown = json!({"inputResponses": {"guess": {"action": "decline"}}});
    record.exchange("An answer to no question", of_task("tasks/update", &id, unknown)).await;
    world.pass(1);
    let text = |id: &Value| id.as_str().expect("an id").to_owned();
    world.until(&text(&id), TaskDocument::is_terminal).await;
    record.exchange("It is done", of_task("tasks/get", &id, json!({}))).await;
    record.text.push_str("\n## … and what the subscription was told last\n\n");
    // How many notifications there are in between depends on how fast they are read.
    let written = record.text.len();
    loop {
        record.text.truncate(written);
        if record.until(&mut listening, |_| true).await["params"]["status"] == "completed" {
            break;
        }
    }
    record.exchange("What is done is not cancelled", of_task("tasks/cancel", &id, json!({}))).await;

    let created = record.exchange("Another", raw.modern("tools/call", stages, tasks())).await;
    let id = created["result"]["taskId"].clone();
    record.exchange("It is cancelled", of_task("tasks/cancel", &id, json!({}))).await;
    world.until(&text(&id), TaskDocument::is_terminal).await;
    record.exchange("… and was", of_task("tasks/get", &id, json!({}))).await;

    let meta = with(tasks(), "longhaul/reply", json!("task"));
    let asks = raw.modern("tools/call", call("asks", json!({})), meta.clone());
    let id = record.exchange("One that asks", asks).await["result"]["taskId"].clone();
    world.until(&text(&id), |task| !task.input_requests.is_empty()).await;
    record.exchange("… says what", of_task("tasks/get", &id, json!({}))).await;
    let answers = json!({"inputResponses": {"sure": {"action": "accept", "content": {"confirm": true}}}});
    record.exchange("… is answered", of_task("tasks/update", &id, answers)).await;
    world.until(&text(&id), TaskDocument::is_terminal).await;
    record.exchange("… and is done", of_task("tasks/get", &id, json!({}))).await;

    let refuse = raw.modern("tools/call", call("refuse", json!({})), meta.clone());
    let id = record.exchange("One whose tool refuses", refuse).await["result"]["taskId"].clone();
    world.until(&text(&id), TaskDocument::is_terminal).await;
    record.exchange("… has completed all the same", of_task("tasks/get", &id, json!({}))).await;
    let crash = raw.modern("tools/call", call("crash", json!({})), meta);
    let id = record.exchange("One whose tool crashes", crash).await["result"]["taskId"].clone();
    world.until(&text(&id), TaskDocument::is_terminal).await;
    record.exchange("… has failed", of_task("tasks/get", &id, json!({}))).await;
    let needs = raw.modern("tools/call", call("needs_tasks", json!({})), tasks());
    record.exchange("A tool that only makes tasks", needs).await;
    compare("modern-tasks.txt", &record.text);
}
