use super::*;

const VERSION: &str = "2025-11-25";

/// A session of bare requests: unlike the other tests' it leaves even its beginning to the recorder.
struct Session<'a> {
    raw: &'a Raw,
    id: String,
    next: std::cell::Cell<u64>,
}

impl Session<'_> {
    fn with_headers(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.header("mcp-session-id", &self.id).header("mcp-protocol-version", VERSION)
    }

    fn ask(&self, method: &str, params: Value) -> reqwest::RequestBuilder {
        self.next.set(self.next.get() + 1);
        let body = json!({"jsonrpc": "2.0", "id": self.next.get(), "method": method, "params": params});
        self.with_headers(self.raw.post()).body(body.to_string())
    }

    fn say(&self, message: &Value) -> reqwest::RequestBuilder {
        self.with_headers(self.raw.post()).body(message.to_string())
    }

    fn get(&self) -> reqwest::RequestBuilder {
        self.with_headers(self.raw.http.get(&self.raw.url)).header("accept", "text/event-stream")
    }

    fn delete(&self) -> reqwest::RequestBuilder {
        self.with_headers(self.raw.http.delete(&self.raw.url))
    }
}

fn initialize(raw: &Raw, version: &str) -> reqwest::RequestBuilder {
    let params = json!({
        "protocolVersion": version,
        "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "by hand", "version": "1"},
    });
    raw.post().body(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string())
}

async fn begin<'a>(raw: &'a Raw, record: &mut Recorder) -> Session<'a> {
    let answer = record.send("A session begins", initialize(raw, VERSION)).await;
    let id = answer.response.headers()["mcp-session-id"].to_str().expect("text").to_owned();
    record.rest(answer).await;
    let session = Session { raw, id, next: Default::default() };
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    record.exchange("…", session.say(&initialized)).await;
    session
}

#[tokio::test]
async fn sessions() {
    let world = wire_world().await;
    let raw = Raw::new(&world);
    let mut record = Recorder::new(&raw, "2025-11-25: how sessions begin and end, and what they refuse");
    let session = begin(&raw, &mut record).await;
    record.exchange("ping", session.ask("ping", json!({}))).await;
    record.exchange("The list of tools", session.ask("tools/list", json!({}))).await;
    record
        .exchange("The list of resource templates", session.ask("resources/templates/list", json!({})))
        .await;
    record.exchange("No task, no resource", session.ask("resources/list", json!({}))).await;
    record
        .exchange("The level of log messages", session.ask("logging/setLevel", json!({"level": "info"})))
        .await;

    let mut stream = record.send("The session's stream", session.get()).await;
    record.exchange("A task", session.ask("tools/call", call("double", json!({"n": 1})))).await;
    record.text.push_str("\n## … and what the stream says to it\n\n");
    record.until(&mut stream, method("notifications/resources/list_changed")).await;
    drop(stream);
    let unknown = "task://01a1fe2a-c38d-7781-a35c-e8e62c9d7db1";
    for (title, method, params) in [
        ("A method that is unknown", "tools/guess", json!({})),
        ("One that is not offered", "prompts/list", json!({})),
        ("A tool that is unknown", "tools/call", call("nobody", json!({}))),
        ("A tool that only makes tasks", "tools/call", call("needs_tasks", json!({}))),
        ("Arguments that are none", "tools/call", call("double", json!([1]))),
        ("A resource that is unknown", "resources/read", json!({"uri": unknown})),
        ("One to subscribe to", "resources/subscribe", json!({"uri": unknown})),
        ("The tasks extension, which is of another era", "tasks/get", json!({"taskId": "x"})),
    ] {
        record.exchange(title, session.ask(method, params)).await;
    }
    let other = Session { raw: &raw, id: "nonsense".to_owned(), next: Default::default() };
    record.exchange("A session that is unknown", other.ask("tools/list", json!({}))).await;
    record.exchange("… and its stream", other.get()).await;
    record.exchange("… and its end", other.delete()).await;
    let none = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    record.exchange("No session", raw.post().body(none.clone())).await;
    let version =
        raw.post().header("mcp-session-id", &session.id).header("mcp-protocol-version", "1999-01-01");
    record.exchange("A version that is unknown", version.body(none.clone())).await;
    record.exchange("No JSON", raw.post().body("{")).await;
    record.exchange("No JSON-RPC", raw.post().body("{\"a\": 1}")).await;
    let page = raw.post().header("origin", "https://evil.example").body(none.clone());
    record.exchange("A page from elsewhere", page).await;
    let plain = raw.http.post(&raw.url).header("accept", "application/json, text/event-stream");
    record
        .exchange("A body of another type", plain.header("content-type", "text/plain").body(none.clone()))
        .await;
    let accept = raw.http.post(&raw.url).header("content-type", "application/json");
    record
        .exchange("A client that takes no streams", accept.header("accept", "application/json").body(none))
        .await;

    record.exchange("The session ends", session.delete()).await;
    record.exchange("… and is unknown", session.ask("tools/list", json!({}))).await;
    record.exchange("An older version", initialize(&raw, "2025-06-18")).await;
    record.exchange("A version that nobody knows", initialize(&raw, "1999-01-01")).await;
    compare("legacy-sessions.txt", &record.text);
}

#[tokio::test]
async fn calls() {
    let world = wire_world().await;
    let raw = Raw::new(&world);
    let mut record = Recorder::new(&raw, "2025-11-25: calls, questions, resources, subscriptions");
    let session = begin(&raw, &mut record).await;
    let double = session.ask("tools/call", call("double", json!({"n": 21})));
    record.exchange("A result inline", double).await;
    record.exchange("A tool's own error", session.ask("tools/call", call("refuse", json!({})))).await;
    world.pass(2);
    let inline = with(call("stages", json!({"stages": 2})), "_meta", json!({"longhaul/reply": "inline"}));
    record.exchange("Progress of a call without a token", session.ask("tools/call", inline.clone())).await;
    world.pass(2);
    let inline = with(inline, "_meta", json!({"longhaul/reply": "inline", "progressToken": "p"}));
    record.exchange("Progress of one with a token", session.ask("tools/call", inline)).await;

    let mut asking = record.send("A question", session.ask("tools/call", call("asks", json!({})))).await;
    let asked = record.until(&mut asking, method("elicitation/create")).await;
    let accepted = json!({"action": "accept", "content": {"confirm": true}});
    let reply = json!({"jsonrpc": "2.0", "id": asked["id"], "result": accepted});
    record.exchange("… its answer", session.say(&reply)).await;
    record.text.push_str("\n## … and what the call then says\n\n");
    record.rest(asking).await;

    world.pass(1);
    let lost = with(call("stages", json!({"stages": 2})), "_meta", json!({"longhaul/reply": "inline"}));
    let mut stream = record.send("A call whose connection is lost", session.ask("tools/call", lost)).await;
    record.until(&mut stream, method("notifications/message")).await;
    let seen = stream.last_id.clone();
    drop(stream);
    world.pass(1);
    record.exchange("… and what was missed", session.get().header("last-event-id", seen)).await;
    let stranger = session.get().header("last-event-id", "nonsense");
    record.exchange("An event that is unknown", stranger).await;

    let link =
        record.exchange("A link", session.ask("tools/call", call("stages", json!({"stages": 2})))).await;
    let id = link["result"]["structuredContent"]["task_id"].as_str().expect("a task").to_owned();
    let uri = format!("task://{id}");
    world.pass(1);
    world.until(&id, |task| task.progress.is_some()).await;
    let story = json!({"uri": format!("{uri}/output/story")});
    record.exchange("A partial result", session.ask("resources/read", story.clone())).await;
    let template = "task://{id}/output/{name}";
    let complete = json!({
        "ref": {"type": "ref/resource", "uri": template},
        "argument": {"name": "name", "value": "st"},
        "context": {"arguments": {"id": id}},
    });
    record.exchange("A completion", session.ask("completion/complete", complete)).await;
    let result = json!({"uri": format!("{uri}/result")});
    record.exchange("A subscription", session.ask("resources/subscribe", result.clone())).await;
    record.passes_over = "notifications/resources/list_changed";
    let mut stream = record.send("The session's stream", session.get()).await;
    world.pass(1);
    record.until(&mut stream, method("notifications/resources/updated")).await;
    world.until(&id, TaskDocument::is_terminal).await;
    record.exchange("What it was about", session.ask("resources/read", result.clone())).await;
    record.exchange("The task", session.ask("resources/read", json!({"uri": uri}))).await;
    record.exchange("The end of a subscription", session.ask("resources/unsubscribe", result)).await;
    record.exchange("All tasks", session.ask("resources/list", json!({}))).await;
    compare("legacy-calls.txt", &record.text);
}
