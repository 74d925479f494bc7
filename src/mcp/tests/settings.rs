//! What a client sets by its address, and what the operator sets for all: waits, links and names.

use super::raw::{Events, Raw, Session, messages};
use super::*;

const ENDLESS: &str = r#"{"longhaul/reply": "inline", "longhaul/inline-wait-seconds": 0}"#;

fn endless() -> Value {
    serde_json::from_str(ENDLESS).expect("JSON")
}

fn stages() -> Value {
    json!({"name": "stages", "arguments": {"stages": 1}})
}

impl Raw {
    /// The same server by an address that goes on so behind `/mcp`.
    fn at(world: &World, rest: &str) -> Self {
        let raw = Self::new(world);
        Self { url: format!("{}{rest}", raw.url), ..raw }
    }

    /// The answer of one call, of 2026-07-28 and in a session.
    async fn in_both(&self, params: &Value, meta: Value) -> [Value; 2] {
        let modern = self.ask_modern("tools/call", params.clone(), meta.clone()).await.pop();
        let session = self.session().await;
        let mut params = params.clone();
        params["_meta"] = meta;
        let legacy = session.ask("tools/call", params).await.pop();
        [modern, legacy].map(|answer| answer.expect("an answer")["result"].take())
    }
}

fn blocks(result: &Value) -> Vec<&str> {
    result["content"].as_array().expect("blocks").iter().filter_map(|block| block["type"].as_str()).collect()
}

fn text(result: &Value, at: usize) -> &str {
    result["content"][at]["text"].as_str().expect("text")
}

/// Its second block stands for its structure.
fn is_said_in_text(result: &Value) -> bool {
    serde_json::from_str::<Value>(text(result, 1)).is_ok_and(|value| value == result["structuredContent"])
}

/// A task that goes on until the end of the test.
async fn unfinished(world: &World) -> String {
    let mut link = Raw::new(world).ask_modern("tools/call", stages(), json!({})).await.remove(0);
    link["result"]["structuredContent"]["task_id"].take().as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn an_address_bounds_every_wait_of_its_client() {
    let world = World::new().await;
    let id = unfinished(&world).await;
    for rest in ["?wait=1", "/?wait=1", "?session=a&wait=%31"] {
        let raw = Raw::at(&world, rest);
        let call = stages();
        let wait = json!({"name": "task_wait", "arguments": {"task_id": id, "seconds": 50}});
        let inline = raw.in_both(&call, endless());
        let waits = raw.in_both(&wait, json!({}));
        let (inline, waits) = in_time(async { tokio::join!(inline, waits) }).await;
        for link in inline {
            let next = link["structuredContent"]["next"].as_str().expect("a sentence");
            assert!(text(&link, 0).starts_with("Started stages") && text(&link, 0).contains(next), "{link}");
            assert_eq!(blocks(&link), ["text", "resource_link"], "{rest}");
        }
        for waited in waits {
            let next = format!("Still running: call task_wait {{\"task_id\":\"{id}\"}} again.");
            assert_eq!((text(&waited, 0), &waited["structuredContent"]["next"]), (&*next, &json!(next)));
            assert!(is_said_in_text(&waited), "{waited}");
            assert_eq!(waited["isError"], false);
        }
    }
}

#[tokio::test]
async fn of_the_servers_bound_and_a_clients_the_lower_holds() {
    let second = Some(Duration::from_secs(1));
    let world = World::with(McpOptions { wait: second, ..McpOptions::default() }).await;
    let id = unfinished(&world).await;
    let wait = json!({"name": "task_wait", "arguments": {"task_id": id, "seconds": 50}});
    for rest in ["", "?wait=0", "?wait=45"] {
        let raw = Raw::at(&world, rest);
        let waits = raw.in_both(&wait, json!({}));
        let call = stages();
        let calls = raw.in_both(&call, endless());
        let (waits, calls) = in_time(async { tokio::join!(waits, calls) }).await;
        assert!(waits.iter().all(|waited| text(waited, 0).starts_with("Still running")), "{waits:?}");
        assert!(calls.iter().all(|link| link["structuredContent"]["task_id"].is_string()), "{calls:?}");
    }
}

/// The seconds that a person takes are none of the wait's.
#[tokio::test]
async fn a_wait_that_is_bounded_stands_still_while_its_own_question_is_open() {
    let world = World::new().await;
    let raw = Raw::at(&world, "?wait=1");
    let session = raw.session_with(json!({"elicitation": {}})).await;
    let asks = json!({"name": "asks", "arguments": {}});
    let mut asking = Events::of(session.send_as(json!(1), "tools/call", asks).await);
    let question = loop {
        let event = asking.next().await.expect("a question");
        if event.message["method"] == "elicitation/create" {
            break event.message;
        }
    };
    // One that is not asked has its second over.
    let other = Raw::at(&world, "?wait=1").ask_modern("tools/call", stages(), endless()).await;
    assert!(other[0]["result"]["structuredContent"]["task_id"].is_string(), "{other:?}");
    let answer = json!({"action": "accept", "content": {"confirm": true}});
    let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": answer});
    session.post().body(body.to_string()).send().await.expect("taken");
    let (_, answer) = asking.rest().await;
    let result = &answer.expect("an answer")["result"];
    assert_eq!(result["structuredContent"], Value::Null, "no link: {result}");
}

#[tokio::test]
async fn a_bad_address_is_refused_by_the_name_of_what_is_wrong_in_it() {
    let world = World::new().await;
    for (rest, parts) in [
        ("?wait=abc", ["'wait'", "whole number of seconds"]),
        ("?wait=-1", ["'wait'", "whole number of seconds"]),
        ("?wait=1e9", ["'wait'", "whole number of seconds"]),
        ("?wait=86401", ["'wait'", "up to 86400"]),
        ("/?links=maybe", ["'links'", "block or text"]),
        ("?links=text&links=text", ["'links'", "once"]),
    ] {
        let raw = Raw::at(&world, rest);
        let answer = raw.modern("tools/list", json!({}), json!({})).send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{rest}");
        let error = messages(answer).await.remove(0);
        assert_eq!((&error["id"], &error["error"]["code"]), (&json!(7), &json!(-32602)));
        let message = error["error"]["message"].as_str().expect("a message");
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        let stream = raw.http.get(&raw.url).header("accept", "text/event-stream").send().await;
        assert_eq!(stream.expect("an answer").status(), 400, "{rest}");
    }
    // Proxies and hosts add parameters of their own.
    let list = async |rest| {
        Raw::at(&world, rest).ask_modern("tools/list", json!({}), json!({})).await.remove(0)["result"].take()
    };
    let plain = list("").await;
    assert!(plain["tools"].is_array());
    for rest in ["?wait=4&links=text", "?sessionId=abc", "/?WAIT=x&"] {
        assert_eq!(list(rest).await, plain, "what is listed is the same by every address");
    }
}

#[tokio::test]
async fn links_are_texts_where_the_client_or_the_server_says_so() {
    let by_server = McpOptions { links: Links::Text, ..McpOptions::default() };
    for (options, rest, as_text) in [
        (McpOptions::default(), "", false),
        (McpOptions::default(), "?links=text", true),
        (McpOptions::default(), "?links=block", false),
        (by_server.clone(), "", true),
        (by_server.clone(), "?links=text", true),
        (by_server, "?links=block", false),
    ] {
        let world = World::with(options).await;
        let raw = Raw::at(&world, rest);
        for link in raw.in_both(&stages(), json!({})).await {
            let second = if as_text { "text" } else { "resource_link" };
            assert_eq!(blocks(&link), ["text", second], "{rest}");
            assert!(!as_text || is_said_in_text(&link), "{link}");
        }
        for failed in raw.in_both(&json!({"name": "crash", "arguments": {}}), json!({})).await {
            assert_eq!(failed["isError"], true);
            assert_eq!(blocks(&failed).len(), if as_text { 2 } else { 1 }, "{failed}");
            assert!(!as_text || is_said_in_text(&failed), "{failed}");
        }
        // However it is shown, another Longhaul and the command line know it.
        let url = format!("{}{rest}", world.http.url());
        let client = Client::connect(url).await.expect("a client");
        let outcome = client.call("stages", json!({"stages": 1}), &CallOptions::default()).await;
        let link = outcome.expect("an answer").link().expect("a link");
        assert_eq!(client.task(&link.uri).await.expect("a task").tool, "stages");
        client.close().await;
    }
}

#[tokio::test]
async fn a_request_says_it_for_itself_where_there_is_no_address() {
    let world = World::new().await;
    let raw = Raw::at(&world, "?links=block");
    let meta = json!({
        "longhaul/reply": "inline", "longhaul/wait-bound-seconds": 1, "longhaul/links": "text",
    });
    for link in raw.in_both(&stages(), meta).await {
        assert!(blocks(&link) == ["text", "text"] && is_said_in_text(&link), "{link}");
    }
    for (name, value) in [
        ("longhaul/wait-bound-seconds", json!("soon")),
        ("longhaul/wait-bound-seconds", json!(-4)),
        ("longhaul/links", json!("none")),
    ] {
        for params in [stages(), json!({"name": "task_list", "arguments": {}})] {
            let error = raw.ask_modern("tools/call", params, json!({name: value})).await[0]["error"].take();
            assert_eq!(error["code"], -32602);
            assert!(error["message"].as_str().expect("text").contains(name), "{error}");
        }
    }
}

/// What the address said when the call came is stored with it.
#[tokio::test]
async fn a_call_that_outlives_its_server_is_answered_as_its_address_said() {
    for (rest, second) in [("?wait=1&links=text", "text"), ("?wait=1", "resource_link")] {
        let world = World::new().await;
        let raw = Raw::at(&world, rest);
        let session = raw.session().await.id;
        let mut call = stages();
        call["_meta"] = endless();
        let mut events = Events::of(Session::again(&raw, &session).send("tools/call", call).await);
        let first = events.next().await.expect("an event");
        drop(events);
        world.open_tasks(1).await;
        let world = world.restarted().await;
        let raw = Raw::new(&world);
        let mut events = Events::of(Session::again(&raw, &session).get(Some(&first.id)).await);
        let (_, answer) = in_time(events.rest()).await;
        let link = &answer.expect("an answer")["result"];
        assert_eq!(blocks(link), ["text", second], "{link}");
    }
}

#[tokio::test]
async fn texts_and_descriptions_name_own_tools_as_clients_have_them() {
    let names = OwnNames::of_hint("lh-task-wait").expect("a name");
    let world = World::with(McpOptions { names, ..McpOptions::default() }).await;
    let raw = Raw::new(&world);
    let says_none = |value: &Value| {
        let text = value.to_string();
        crate::api::names().all(|name| !text.contains(name))
    };
    let instructions = raw.ask_modern("server/discover", json!({}), json!({})).await[0]["result"].take();
    assert!(instructions.to_string().contains("lh-task-wait") && says_none(&instructions), "{instructions}");
    let mut listed = raw.ask_modern("tools/list", json!({}), json!({})).await[0]["result"]["tools"].take();
    for tool in listed.as_array_mut().expect("tools") {
        tool["name"].take();
        assert!(says_none(tool), "{tool}");
    }
    let id = unfinished(&world).await;
    let failed = raw.in_both(&json!({"name": "crash", "arguments": {}}), json!({})).await;
    let own = async |tool: &str, arguments: Value| {
        raw.in_both(&json!({"name": tool, "arguments": arguments}), json!({})).await
    };
    let mut said = Vec::from(failed);
    said.extend(raw.in_both(&stages(), json!({})).await);
    said.extend(raw.in_both(&json!({"name": "asks", "arguments": {}}), json!({})).await);
    said.extend(own("task_result", json!({"task_id": id})).await);
    said.extend(own("task_status", json!({"task_id": id})).await);
    said.extend(own("task_wait", json!({"task_id": id, "seconds": 0})).await);
    for result in said {
        assert!(result.to_string().contains("lh-task-") && says_none(&result), "{result}");
    }
}
