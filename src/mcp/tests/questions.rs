//! Questions of a task over every way that a client has.

mod below;
mod outlived;

use super::raw::{Raw, Session, messages};
use super::*;
use crate::engine::questions::{Answer, Ask, Given};
use crate::engine::{ChildCall, ChildEnd, EngineError};
use crate::task::By;

const DAY: Duration = Duration::from_secs(86_400);
/// Lets `asks_both` go on from its first question to its second.
static SECOND: tokio::sync::Notify = tokio::sync::Notify::const_new();

/// Tools that ask; the last names its answer.
pub fn tools(closures: Closures) -> Closures {
    let anything = json!({"type": "object"});
    let endless = |name: &str, reply: Reply, ask_first: bool| {
        let mut definition = definition(name, reply, anything.clone(), None);
        (definition.inline_wait_seconds, definition.ask_first) = (Some(0), ask_first);
        definition
    };
    let ask = |steps: Steps, arguments: Value| async move {
        let schema = json!({
            "type": "object", "properties": {"confirm": {"type": "boolean"}}, "required": ["confirm"],
        });
        let mut seen = Vec::new();
        for number in 1..=arguments["questions"].as_u64().unwrap_or(1) {
            let form = Ask::Form { message: format!("Question {number}?"), schema: schema.to_string() };
            let asking = steps.ask(Some(&format!("q{number}")), By::Person, form, DAY)?;
            seen.push(words(steps.answer(asking).await?));
        }
        Ok(ToolResult::text(seen.join(" ")))
    };
    closures
        .tool(endless("asks", Reply::Inline, false), "1", ask)
        .tool(endless("asks_first", Reply::Link, true), "1", ask)
        .tool(endless("calls", Reply::Inline, false), "1", |steps: Steps, arguments: Value| async move {
            let tool = arguments["tool"].as_str().unwrap_or_default();
            let given = arguments.get("arguments").cloned().unwrap_or_else(|| json!({}));
            let mut seen = Vec::new();
            for calling in steps.call(&[ChildCall::new(tool, &given)]).await? {
                match steps.join(calling).await? {
                    ChildEnd::Completed(result) => seen.push(result),
                    other => return Err(StepError::Tool(format!("{other:?}"))),
                }
            }
            Ok(seen.pop().unwrap_or_default())
        })
        .tool(endless("asks_both", Reply::Inline, false), "1", |steps: Steps, _: Value| async move {
            let form = Ask::Form { message: "Who?".to_owned(), schema: json!({"type": "object"}).to_string() };
            steps.ask(Some("who"), By::Person, form, DAY)?;
            // What it has asked so far is on disk with this step.
            let () = steps.step("between", || async { Ok(()) }).await?;
            let gate = || async {
                SECOND.notified().await;
                Ok(())
            };
            let () = steps.step("gate", gate).await?;
            let request = json!({"messages": [{"role": "user", "content": {"type": "text", "text": "hi"}}], "maxTokens": 9});
            let ask = Ask::Sample { request: request.to_string(), max_tokens: 9 };
            let asking = steps.ask(None, By::Any, ask, Duration::from_secs(60))?;
            Ok(ToolResult::text(words(steps.answer(asking).await?)))
        })
        .tool(endless("samples", Reply::Inline, false), "1", |steps: Steps, arguments: Value| async move {
            let mut request = json!({"messages": [{"role": "user", "content": {"type": "text", "text": "hi"}}], "maxTokens": 9});
            if arguments["tools"] == true {
                request["tools"] = json!([{"name": "look", "inputSchema": {"type": "object", "properties": {}}}]);
            }
            let ask = match arguments["roots"] == true {
                true => Ask::Roots,
                false => Ask::Sample { request: request.to_string(), max_tokens: 9 },
            };
            let asking = steps.ask(None, By::Any, ask, Duration::from_secs(60))?;
            Ok(ToolResult::text(words(steps.answer(asking).await?)))
        })
}

fn words(answer: Answer) -> String {
    match answer {
        Answer::Accept(content) => content,
        Answer::Unavailable(why) => format!("unavailable: {why}"),
        other => format!("{other:?}"),
    }
}

fn accepted(confirm: bool) -> Value {
    json!({"action": "accept", "content": {"confirm": confirm}})
}

/// The messages of a stream, one by one.
struct Stream {
    response: reqwest::Response,
    held: String,
}

impl Stream {
    async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.held.find("\n\n") {
                let event: String = self.held.drain(..end + 2).collect();
                let data =
                    event.lines().find_map(|line| line.strip_prefix("data:")).unwrap_or_default().trim();
                if !data.is_empty() {
                    return serde_json::from_str(data).expect("JSON");
                }
                continue;
            }
            let chunk = in_time(self.response.chunk()).await.expect("a chunk").expect("more");
            self.held.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }
}

impl Session<'_> {
    async fn call(&self, tool: &str, arguments: Value) -> Stream {
        let response = self.send("tools/call", json!({"name": tool, "arguments": arguments})).await;
        Stream { response, held: String::new() }
    }

    async fn reply(&self, request: &Value, result: Value) {
        let body = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
        let answer = self.post().body(body.to_string()).send().await.expect("an answer");
        assert_eq!(answer.status(), 202);
    }
}

fn text(message: &Value) -> &str {
    message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {message}"))
}

async fn channel(world: &World, message: &Value) -> String {
    let id = message["result"]["_meta"]["longhaul/task"].as_str().expect("a task").parse().expect("an id");
    let task = world.engine.task(&Principal::local(), id).await.expect("a task");
    task.answered[0].by.channel.clone()
}

#[tokio::test]
async fn a_session_is_asked_on_its_calls_own_stream() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session_with(json!({"elicitation": {}, "sampling": {}})).await;
    let mut stream = session.call("asks", json!({})).await;
    let asked = stream.next().await;
    assert_eq!(asked["method"], "elicitation/create");
    let message = asked["params"]["message"].as_str().expect("text");
    assert_eq!(message, "Question 1?\n\n[asks, asks@1]");
    // What does not fit is asked for again, in the same place.
    session.reply(&asked, json!({"action": "accept", "content": {"confirm": "perhaps"}})).await;
    let again = stream.next().await;
    assert_ne!(again["id"], asked["id"]);
    session.reply(&again, accepted(true)).await;
    let answer = stream.next().await;
    assert_eq!((text(&answer), channel(&world, &answer).await.as_str()), ("{\"confirm\":true}", "mcp"));

    let mut stream = session.call("samples", json!({})).await;
    let asked = stream.next().await;
    assert_eq!(
        (&asked["method"], &asked["params"]["maxTokens"]),
        (&json!("sampling/createMessage"), &json!(9))
    );
    let said = json!({"model": "m", "role": "assistant", "content": {"type": "text", "text": "hello"}});
    session.reply(&asked, said).await;
    assert!(text(&stream.next().await).contains("hello"));
}

/// Whether a message gives a model the command that only a person may type.
fn hands_over(message: &Value) -> bool {
    let text = message.to_string();
    ["task answer", "task resolve", "--key"].iter().any(|words| text.contains(words))
}

#[tokio::test]
async fn a_question_that_is_answered_elsewhere_is_taken_back() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session_with(json!({"elicitation": {}})).await;
    let mut stream = session.call("asks", json!({})).await;
    let asked = stream.next().await;
    let id = world.open_tasks(1).await.remove(0);
    let params =
        json!({"name": "task_answer", "arguments": {"task_id": id, "action": "decline"}, "_meta": {}});
    let refused = raw.ask_modern("tools/call", params.clone(), json!({})).await;
    assert_eq!(refused[0]["result"]["isError"], true);
    assert!(text(&refused[0]).contains("asked of a person") && !hands_over(&refused[0]), "{refused:?}");
    let owner = Raw::with_token(&world, KEY);
    let by_person = json!({"longhaul/by-person": true});
    let refused = raw.ask_modern("tools/call", params.clone(), by_person.clone()).await;
    assert_eq!(refused[0]["result"]["isError"], true, "the mark alone is no person's hand");
    let taken = owner.ask_modern("tools/call", params, by_person).await;
    assert_eq!(taken[0]["result"]["isError"], false, "{taken:?}");
    let mut seen = [stream.next().await, stream.next().await];
    seen.sort_by_key(|message| message.get("method").is_none());
    assert_eq!(seen[0]["method"], "notifications/cancelled");
    assert_eq!(seen[0]["params"]["requestId"], asked["id"]);
    assert_eq!((text(&seen[1]), channel(&world, &seen[1]).await.as_str()), ("Decline", "cli"));
}

#[tokio::test]
async fn who_cannot_be_asked_gets_a_link_that_says_what_is_asked() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    let of_session = session.ask("tools/call", json!({"name": "asks", "arguments": {}})).await.pop();
    let of_modern =
        raw.ask_modern("tools/call", json!({"name": "asks", "arguments": {}}), json!({})).await.pop();
    for answer in [of_session, of_modern].map(|answer| answer.expect("an answer")) {
        assert_eq!(answer["result"]["content"][1]["type"], "resource_link", "{answer}");
        let words = answer["result"]["content"][0]["text"].as_str().expect("text");
        assert!(words.contains("It asks a person: Question 1?"), "{words}");
        assert!(!hands_over(&answer), "{answer}");
    }
}

/// No call waits a minute for what the one client cannot do, in whichever era it speaks.
#[tokio::test]
async fn a_tool_is_told_at_once_what_its_client_cannot_do() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let declares = |capabilities: &Value| json!({"io.modelcontextprotocol/clientCapabilities": capabilities});
    let through_child = |arguments: Value| call("calls", json!({"tool": "samples", "arguments": arguments}));
    for (capabilities, params, what) in [
        (json!({}), call("samples", json!({})), "(sample)"),
        (json!({"elicitation": {}}), call("samples", json!({})), "(sample)"),
        (json!({"elicitation": {}}), call("samples", json!({"tools": true})), "(sample)"),
        (json!({"sampling": {}}), call("samples", json!({"tools": true})), "(sample with tools)"),
        (json!({"sampling": {}}), call("samples", json!({"roots": true})), "(roots)"),
        (json!({"elicitation": {}}), through_child(json!({})), "(sample)"),
        (json!({"sampling": {}}), through_child(json!({"tools": true})), "(sample with tools)"),
    ] {
        let session = raw.session_with(capabilities.clone()).await;
        let of_session = in_time(session.ask("tools/call", params.clone())).await.pop();
        let of_modern =
            in_time(raw.ask_modern("tools/call", params.clone(), declares(&capabilities))).await.pop();
        for answer in [of_session, of_modern].map(|answer| answer.expect("an answer")) {
            let seen = text(&answer);
            assert!(
                seen.starts_with("unavailable: ") && seen.ends_with(what),
                "{capabilities} {params}: {answer}"
            );
        }
    }
    let session = raw.session_with(json!({"sampling": {"tools": {}}})).await;
    let mut stream = session.call("samples", json!({"tools": true})).await;
    let asked = stream.next().await;
    assert_eq!(asked["params"]["tools"][0]["name"], "look", "{asked}");
    session
        .reply(
            &asked,
            json!({"model": "m", "role": "assistant", "content": {"type": "text", "text": "seen"}}),
        )
        .await;
    assert!(text(&stream.next().await).contains("seen"));
}

#[tokio::test]
async fn a_client_that_cannot_sample_takes_no_sample_from_one_that_can() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let able = raw.session_with(json!({"sampling": {}})).await;
    let unable = raw.session_with(json!({"elicitation": {}})).await;
    let params = json!({"name": "samples", "arguments": {}, "_meta": {"longhaul/idempotency-key": "both"}});
    let stream = |response| Stream { response, held: String::new() };
    let mut first = stream(able.send("tools/call", params.clone()).await);
    let asked = first.next().await;
    assert_eq!(asked["method"], "sampling/createMessage", "{asked}");
    let more_than = async |count: usize| {
        let counting = async {
            while world.engine.feed().subscribers() <= count {
                tokio::task::yield_now().await;
            }
        };
        in_time(counting).await;
    };
    let one = world.engine.feed().subscribers();
    let mut second = stream(unable.send("tools/call", params.clone()).await);
    more_than(one).await;
    let two = world.engine.feed().subscribers();
    let mut meta = elicits();
    meta["longhaul/idempotency-key"] = json!("both");
    let of_modern = raw.ask_modern("tools/call", call("samples", json!({})), meta);
    let answers = async {
        more_than(two).await;
        able.reply(
            &asked,
            json!({"model": "m", "role": "assistant", "content": {"type": "text", "text": "hello"}}),
        )
        .await;
    };
    let (of_modern, ()) = tokio::join!(of_modern, answers);
    for answer in [first.next().await, second.next().await, of_modern.last().expect("an answer").clone()] {
        assert!(text(&answer).contains("hello"), "{answer}");
    }
}

#[tokio::test]
async fn a_guest_at_work_may_yet_ask_what_its_client_can_answer() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let samples = json!({"io.modelcontextprotocol/clientCapabilities": {"sampling": {}}});
    let asked = raw.ask_modern("tools/call", call("asks_both", json!({})), samples);
    let second = async {
        let id = world.open_tasks(1).await.pop().expect("a task");
        world.until(&id, |task| !task.input_requests.is_empty()).await;
        // Time enough for the call to look at it too.
        for _ in 0..100 {
            world.until(&id, |task| !task.is_terminal()).await;
        }
        SECOND.notify_one();
    };
    let (asked, ()) = tokio::join!(asked, second);
    let result = &asked.last().expect("an answer")["result"];
    assert_eq!(result["resultType"], "input_required", "{result}");
    let methods: Vec<&Value> = result["inputRequests"]
        .as_object()
        .expect("requests")
        .values()
        .map(|asked| &asked["method"])
        .collect();
    assert_eq!(methods, [&json!("sampling/createMessage")]);
}

fn elicits() -> Value {
    json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}})
}

fn call(tool: &str, arguments: Value) -> Value {
    json!({"name": tool, "arguments": arguments})
}

/// The next round of a call: its answers, and the state of the round before.
fn round(call: &Value, before: &Value, responses: Value) -> Value {
    let mut call = call.clone();
    call["inputResponses"] = responses;
    call["requestState"] = before["result"]["requestState"].clone();
    call
}

impl Raw {
    async fn one(&self, params: Value) -> Value {
        self.ask_modern("tools/call", params, elicits()).await.pop().expect("an answer")
    }
}

#[tokio::test]
async fn a_call_goes_on_in_rounds_with_the_same_task() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let asks = call("asks", json!({"questions": 2}));
    let first = raw.one(asks.clone()).await;
    assert_eq!(first["result"]["resultType"], "input_required", "{first}");
    assert_eq!(first["result"]["inputRequests"]["q1"]["method"], "elicitation/create");
    let task = first["result"]["_meta"]["longhaul/task"].clone();

    // Wrong keys and no keys are asked for again, of the same task.
    let again = raw.one(round(&asks, &first, json!({"other": accepted(true)}))).await;
    assert!(again["result"]["inputRequests"]["q1"].is_object(), "{again}");
    assert_eq!(again["result"]["_meta"]["longhaul/task"], task);
    let wrong = raw.one(round(&asks, &first, json!({"q1": 12345}))).await;
    assert_eq!(wrong["error"]["code"], -32602, "{wrong}");

    let second = raw.one(round(&asks, &first, json!({"q1": accepted(true), "extra": 1}))).await;
    assert!(second["result"]["inputRequests"]["q2"].is_object(), "{second}");
    let last = raw.one(round(&asks, &second, json!({"q2": accepted(false)}))).await;
    assert_eq!(text(&last), "{\"confirm\":true} {\"confirm\":false}");
    assert_eq!(
        (channel(&world, &last).await.as_str(), &last["result"]["_meta"]["longhaul/task"]),
        ("mcp", &task)
    );

    // A lost response strands no client: the same again is the present answer. Another comes too late.
    let repeated = raw.one(round(&asks, &second, json!({"q2": accepted(false)}))).await;
    assert_eq!(text(&repeated), text(&last));
    let other = raw.one(round(&asks, &second, json!({"q2": accepted(true)}))).await;
    assert_eq!(other["error"]["code"], -32602, "{other}");
}

#[tokio::test]
async fn state_that_is_altered_or_of_another_call_is_refused_alike() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let asks = call("asks", json!({"b": 1, "a": {"d": 2, "c": 3}}));
    let first = raw.one(asks.clone()).await;
    let answer = json!({"q1": accepted(true)});
    let mut altered = round(&asks, &first, answer.clone());
    altered["requestState"] = json!(format!("{}x", first["result"]["requestState"].as_str().expect("state")));
    let other_arguments = round(&call("asks", json!({"b": 2})), &first, answer.clone());
    let other_tool =
        round(&call("asks_first", json!({"b": 1, "a": {"d": 2, "c": 3}})), &first, answer.clone());
    let mut seen = Vec::new();
    for wrong in [altered, other_arguments, other_tool] {
        seen.push(raw.one(wrong).await["error"].clone());
    }
    assert!(seen.iter().all(|error| error["code"] == -32602 && *error == seen[0]), "{seen:?}");
    // The same arguments in another order are the same.
    let same = call("asks", json!({"a": {"c": 3, "d": 2}, "b": 1}));
    assert_eq!(text(&raw.one(round(&same, &first, answer)).await), "{\"confirm\":true}");
}

#[tokio::test]
async fn a_round_goes_on_behind_a_restart() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let asks = call("asks", json!({}));
    let first = raw.one(asks.clone()).await;
    let World { folder, engine: old, http, gate } = world;
    http.shutdown().await;
    old.shutdown().await;
    drop(old);
    let engine = engine(folder.path(), &gate).await;
    let server = McpServer::new(engine.clone(), McpOptions::default());
    let http = HttpServer::bind(server, Options::new(loopback())).await.expect("a server");
    let world = World { folder, engine, http, gate };
    let raw = Raw::new(&world);
    let last = raw.one(round(&asks, &first, json!({"q1": accepted(true)}))).await;
    assert_eq!(text(&last), "{\"confirm\":true}", "{last}");
}

#[tokio::test]
async fn answers_may_come_along_with_the_call() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let mut asks = call("asks", json!({"questions": 2}));
    asks["inputResponses"] = json!({"q1": accepted(true), "q2": 7, "never": accepted(true)});
    let asked = raw.one(asks.clone()).await;
    let requests = asked["result"]["inputRequests"].as_object().expect("requests");
    assert_eq!(requests.keys().collect::<Vec<_>>(), ["q2"], "what does not fit is asked for");
    asks["inputResponses"] = json!({"q1": accepted(true), "q2": accepted(false)});
    assert_eq!(text(&raw.one(asks).await), "{\"confirm\":true} {\"confirm\":false}");
}

#[tokio::test]
async fn a_link_that_asks_first_is_given_once_it_is_answered() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let asks = call("asks_first", json!({"questions": 2}));
    let first = raw.one(asks.clone()).await;
    assert!(first["result"]["inputRequests"]["q1"].is_object(), "{first}");
    let link = raw.one(round(&asks, &first, json!({"q1": accepted(true)}))).await;
    assert_eq!(link["result"]["content"][1]["type"], "resource_link", "{link}");

    let session = raw.session_with(json!({"elicitation": {}})).await;
    let mut stream = session.call("asks_first", json!({"questions": 2})).await;
    let asked = stream.next().await;
    session.reply(&asked, accepted(true)).await;
    loop {
        let message = stream.next().await;
        if message.get("result").is_some() {
            assert_eq!(message["result"]["content"][1]["type"], "resource_link", "{message}");
            break;
        }
        // The second question may go out before the link does; it is taken back then.
        assert!(message["method"].is_string(), "{message}");
    }
}

#[tokio::test]
async fn a_task_says_what_it_asks_and_takes_answers_until_none_is_open() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let capabilities = json!({"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}});
    let mut meta =
        json!({"io.modelcontextprotocol/clientCapabilities": capabilities, "longhaul/reply": "task"});
    meta["longhaul/idempotency-key"] = json!("once");
    let ask = async |method: &str, params: Value| {
        let mut answer = raw.ask_modern(method, params, meta.clone()).await.pop().expect("an answer");
        assert_eq!(answer.get("error"), None, "{answer}");
        answer["result"].take()
    };
    let created = ask("tools/call", call("asks", json!({}))).await;
    assert_eq!(created["status"], "working");
    let id = created["taskId"].as_str().expect("a task").to_owned();
    world.until(&id, |task| !task.input_requests.is_empty()).await;
    let task = ask("tasks/get", json!({"taskId": id})).await;
    assert_eq!(task["status"], "input_required");
    let repeated = ask("tools/call", call("asks", json!({}))).await;
    assert_eq!((&repeated["taskId"], &repeated["status"]), (&json!(id), &task["status"]));
    assert_eq!(task["inputRequests"]["q1"]["params"]["requestedSchema"]["required"], json!(["confirm"]));
    let none = raw.ask_modern("tasks/get", json!({"taskId": id}), json!({
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}},
    })).await;
    assert_eq!(none[0]["result"]["status"], "working", "who cannot be asked is not");

    let update = json!({"taskId": id, "inputResponses": {"q1": accepted(true), "unknown": accepted(true)}});
    for _ in 0..2 {
        assert_eq!(ask("tasks/update", update.clone()).await["resultType"], "complete");
    }
    world.until(&id, TaskDocument::is_terminal).await;
    let done = ask("tasks/get", json!({"taskId": id})).await;
    assert_eq!(done["result"]["content"][0]["text"], "{\"confirm\":true}");
    assert_eq!(ask("tasks/update", update).await["resultType"], "complete");
}

#[tokio::test]
async fn a_wait_ends_as_soon_as_the_task_asks() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let params = call("asks", json!({}));
    let link = messages(
        raw.modern("tools/call", params, json!({"longhaul/reply": "link"})).send().await.expect("sent"),
    )
    .await;
    let id = link[0]["result"]["structuredContent"]["task_id"].clone();
    let wait = call("task_wait", json!({"task_id": id, "seconds": 50}));
    for _ in 0..2 {
        let waited = raw.one(wait.clone()).await;
        let document = &waited["result"]["structuredContent"];
        assert_eq!(document["input_requests"]["q1"]["message"], "Question 1?", "{waited}");
        assert_eq!(
            (&document["state"], &document["reason"]),
            (&json!("waiting"), &json!("input")),
            "{waited}"
        );
    }
}
