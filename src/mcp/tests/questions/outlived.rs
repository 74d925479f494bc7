//! Questions to clients with sessions that outlive the server that asked them, or the session's stay in memory.

use super::*;
use crate::mcp::tests::raw::{Event, Events};

/// All that these clients can be asked.
fn capabilities() -> Value {
    json!({"elicitation": {}, "sampling": {}, "roots": {}})
}

/// A call whose client has heard a question and is not connected any more.
struct Left {
    session: String,
    /// The first event of the call, and the one that asked.
    begun: String,
    read: String,
    asked: Value,
}

impl Left {
    async fn alone(world: &World, tool: &str, arguments: Value) -> Self {
        let raw = Raw::new(world);
        let session = raw.session_with(capabilities()).await;
        let call = json!({"name": tool, "arguments": arguments});
        let mut events = Events::of(session.send("tools/call", call).await);
        let begun = events.next().await.expect("an event").id;
        let Event { id: read, message: asked } = events.next().await.expect("a question");
        assert!(asked["id"].is_string() && asked["method"].is_string(), "{asked}");
        Self { session: session.id, begun, read, asked }
    }

    /// The rest of the call's stream behind an event: what is asked and cancelled there, and the answer.
    async fn rest(&self, world: &World, event: &str) -> (Vec<Value>, Value) {
        let raw = Raw::new(world);
        rest(&mut Events::of(Session::again(&raw, &self.session).get(Some(event)).await)).await
    }

    async fn says(&self, world: &World, mut message: Value) {
        let raw = Raw::new(world);
        message["jsonrpc"] = json!("2.0");
        message["id"] = self.asked["id"].clone();
        let post = Session::again(&raw, &self.session).post().body(message.to_string());
        assert_eq!(post.send().await.expect("an answer").status(), 202);
    }
}

async fn rest(events: &mut Events) -> (Vec<Value>, Value) {
    let mut seen = Vec::new();
    while let Some(Event { message, .. }) = events.next().await {
        match message.get("method") {
            Some(_) => seen.push(message),
            None if message.get("id").is_some() => return (seen, message),
            None => {}
        }
    }
    panic!("no answer behind {seen:?}")
}

async fn given(world: &World, answer: &Value) -> Vec<(String, String)> {
    let id = answer["result"]["_meta"]["longhaul/task"].as_str().expect("a task").parse().expect("an id");
    let task = world.engine.task(&Principal::local(), id).await.expect("a task");
    let answered = task.answered.into_iter();
    answered.map(|answered| (answered.key, answered.by.channel)).collect()
}

/// To a process that never had the session in memory, while no stream is open.
#[tokio::test]
async fn every_answer_counts_at_the_next_server_under_the_id_that_was_asked() {
    let said = json!({"model": "m", "role": "assistant", "content": {"type": "text", "text": "hello"}});
    for (tool, arguments, says, expected) in [
        ("asks", json!({}), json!({"result": accepted(true)}), "{\"confirm\":true}"),
        ("asks", json!({}), json!({"result": {"action": "decline"}}), "Decline"),
        ("asks", json!({}), json!({"result": {"action": "cancel"}}), "Cancel"),
        ("samples", json!({}), json!({"result": said}), "hello"),
        (
            "samples",
            json!({}),
            json!({"error": {"code": -1, "message": "rejected"}}),
            "unavailable: the client answered: rejected",
        ),
        (
            "samples",
            json!({"roots": true}),
            json!({"result": {"roots": [{"uri": "file:///r"}]}}),
            "file:///r",
        ),
        ("calls", json!({"tool": "asks"}), json!({"result": accepted(false)}), "{\"confirm\":false}"),
    ] {
        let world = World::new().await;
        let left = Left::alone(&world, tool, arguments).await;
        let world = world.restarted().await;
        left.says(&world, says.clone()).await;
        // The same again does no harm, nor does another.
        left.says(&world, says).await;
        left.says(&world, json!({"result": {"action": "decline"}})).await;
        let (seen, answer) = left.rest(&world, &left.read).await;
        assert!(seen.is_empty(), "{tool}: asked again: {seen:?}");
        assert!(text(&answer).contains(expected), "{tool}: {answer}");
        if tool != "calls" {
            assert_eq!(given(&world, &answer).await.len(), 1, "{tool}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_taken_up_before_the_question_tells_it_under_the_same_id() {
    let world = World::new().await;
    let left = Left::alone(&world, "asks", json!({"questions": 2})).await;
    let world = world.restarted().await;
    let raw = Raw::new(&world);
    let session = Session::again(&raw, &left.session);
    let mut events = Events::of(session.get(Some(&left.begun)).await);
    assert_eq!(events.next().await.expect("the question").message, left.asked);
    left.says(&world, json!({"result": accepted(true)})).await;
    let Event { id: read, message: second } = events.next().await.expect("the second");
    assert_eq!(second["params"]["message"], "Question 2?\n\n[asks, asks@1]");
    assert_ne!(second["id"], left.asked["id"]);
    drop(events);
    let world = world.restarted().await;
    // Neither has to be heard again: the first is answered, the second by a client that knows its id.
    let raw = Raw::new(&world);
    let session = Session::again(&raw, &left.session);
    session.reply(&second, accepted(false)).await;
    let (seen, answer) = left.rest(&world, &read).await;
    assert!(seen.is_empty(), "{seen:?}");
    assert_eq!(text(&answer), "{\"confirm\":true} {\"confirm\":false}");
    assert_eq!(given(&world, &answer).await.len(), 2);
}

/// The client has heard it, and its answer may have been lost: after a while it hears it once more.
#[tokio::test]
async fn a_stream_that_is_taken_up_behind_the_question_repeats_it_late_and_under_the_same_id() {
    let world = World::new().await;
    let left = Left::alone(&world, "asks", json!({})).await;
    let raw = Raw::new(&world);
    // To the same server it does not.
    let mut same = Events::of(Session::again(&raw, &left.session).get(Some(&left.read)).await);
    let world = world.restarted().await;
    assert!(same.next().await.is_none());
    let (raw, reopened) = (Raw::new(&world), tokio::time::Instant::now());
    let mut events = Events::of(Session::again(&raw, &left.session).get(Some(&left.read)).await);
    assert_eq!(events.next().await.expect("the question").message, left.asked);
    assert!(reopened.elapsed() >= Duration::from_millis(crate::limits::QUESTION_REMINDER_MS));
    left.says(&world, json!({"result": accepted(true)})).await;
    let (seen, answer) = rest(&mut events).await;
    assert!(seen.is_empty() && text(&answer) == "{\"confirm\":true}", "{seen:?} {answer}");
}

#[tokio::test]
async fn what_does_not_fit_is_asked_again_and_what_is_refused_is_not() {
    let world = World::new().await;
    let left = Left::alone(&world, "asks", json!({})).await;
    let world = world.restarted().await;
    left.says(&world, json!({"result": accepted_badly()})).await;
    let raw = Raw::new(&world);
    let session = Session::again(&raw, &left.session);
    let mut events = Events::of(session.get(Some(&left.read)).await);
    let again = events.next().await.expect("the question").message;
    assert_eq!(again["params"], left.asked["params"]);
    assert_ne!(again["id"], left.asked["id"], "an id is answered once");
    session.reply(&again, accepted(true)).await;
    assert_eq!(text(&rest(&mut events).await.1), "{\"confirm\":true}");

    let left = Left::alone(&world, "asks", json!({})).await;
    let world = world.restarted().await;
    left.says(&world, json!({"error": {"code": -32601, "message": "no window"}})).await;
    let (seen, answer) = left.rest(&world, &left.read).await;
    assert!(seen.is_empty(), "{seen:?}");
    assert_eq!(answer["result"]["content"][1]["type"], "resource_link", "as one that cannot be asked");
}

fn accepted_badly() -> Value {
    json!({"action": "accept", "content": {"confirm": "perhaps"}})
}

/// Another session has its own ids, and nothing says whether one is right.
#[tokio::test]
async fn no_id_is_of_use_to_another_session() {
    let world = World::new().await;
    let left = Left::alone(&world, "asks", json!({})).await;
    let id = world.open_tasks(1).await.remove(0);
    let raw = Raw::new(&world);
    let other = raw.session_with(capabilities()).await;
    other.reply(&left.asked, accepted(true)).await;
    let own = Session::again(&raw, &left.session);
    let known = left.asked["id"].as_str().expect("text");
    let other_letter = if known.as_bytes()[20] == b'A' { 'B' } else { 'A' };
    let changed = format!("{}{other_letter}{}", &known[..20], &known[21..]);
    for forged in [json!("question-"), json!(changed), json!(&known[..40]), json!(0), json!(left.read)] {
        own.reply(&json!({"id": forged}), accepted(true)).await;
    }
    let open = world.until(&id, |task| !task.input_requests.is_empty()).await;
    assert!(open.questions_answered.is_empty());
    left.says(&world, json!({"result": {"action": "decline"}})).await;
    assert_eq!(world.until(&id, TaskDocument::is_terminal).await.questions_answered.len(), 1);
}

#[tokio::test]
async fn a_client_is_told_which_of_its_questions_are_over() {
    let world = World::new().await;
    let left = Left::alone(&world, "asks", json!({"questions": 2})).await;
    let id = world.open_tasks(1).await.remove(0);
    let world = world.restarted().await;
    let by_hand = json!({
        "name": "task_answer", "arguments": {"task_id": id, "action": "decline", "key": "q1"},
        "_meta": {"longhaul/by-person": true},
    });
    let raw = Raw::new(&world);
    let owner = Raw::with_token(&world, KEY);
    let taken = owner.ask_modern("tools/call", by_hand, json!({"longhaul/by-person": true})).await;
    assert_eq!(taken[0]["result"]["isError"], false, "{taken:?}");
    let session = Session::again(&raw, &left.session);
    let mut events = Events::of(session.get(Some(&left.read)).await);
    let over = events.next().await.expect("a word of its end").message;
    assert_eq!(
        (&over["method"], &over["params"]["requestId"]),
        (&json!("notifications/cancelled"), &left.asked["id"],)
    );
    let second = events.next().await.expect("the second").message;
    // Too late, and of no harm to the other.
    left.says(&world, json!({"result": accepted(true)})).await;
    session.reply(&second, accepted(true)).await;
    let (seen, answer) = rest(&mut events).await;
    assert!(seen.is_empty() && text(&answer) == "Decline {\"confirm\":true}", "{seen:?} {answer}");
    let channels: Vec<String> =
        given(&world, &answer).await.into_iter().map(|(_, channel)| channel).collect();
    assert_eq!(channels, ["cli", "mcp"]);
}

/// The call gets its link when the server stops in good order, and its client keeps the question.
#[tokio::test]
async fn a_server_that_stops_takes_no_question_back() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session_with(capabilities()).await;
    let call = json!({"name": "asks", "arguments": {}});
    let mut events = Events::of(session.send("tools/call", call).await);
    events.next().await.expect("an event");
    let Event { id: read, message: asked } = events.next().await.expect("a question");
    let (begun, session) = (read.clone(), session.id);
    let World { folder, engine: old, http, gate } = world;
    http.shutdown().await;
    let (seen, answer) = rest(&mut events).await;
    assert!(seen.is_empty(), "{seen:?}");
    assert_eq!(answer["result"]["content"][1]["type"], "resource_link", "{answer}");
    old.shutdown().await;
    drop(old);
    let engine = engine(folder.path(), &gate).await;
    let server = McpServer::new(engine.clone(), McpOptions::default());
    let http = HttpServer::bind(server, Options::new(loopback())).await.expect("a server");
    let world = World { folder, engine, http, gate };
    let left = Left { session, begun, read, asked };
    left.says(&world, json!({"result": accepted(true)})).await;
    let (seen, answer) = left.rest(&world, &left.read).await;
    assert!(seen.is_empty() && text(&answer) == "{\"confirm\":true}", "{seen:?} {answer}");
}

#[tokio::test]
async fn an_answer_counts_when_its_session_has_left_memory() {
    let world = World::new().await;
    let left = Left::alone(&world, "asks", json!({})).await;
    let leaves = async {
        while world.http.sessions().count() > 0 {
            // The end of its connection is seen in its own time.
            tokio::task::yield_now().await;
            world.http.sessions().end_idle(Duration::ZERO);
        }
    };
    in_time(leaves).await;
    left.says(&world, json!({"result": accepted(true)})).await;
    let (seen, answer) = left.rest(&world, &left.read).await;
    assert!(seen.is_empty() && text(&answer) == "{\"confirm\":true}", "{seen:?} {answer}");
}

/// A call that is repeated in its session asks what is asked already, under the same id.
#[tokio::test]
async fn two_calls_of_a_session_ask_one_question() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session_with(capabilities()).await;
    let keyed = json!({"name": "asks", "arguments": {}, "_meta": {"longhaul/idempotency-key": "k"}});
    let (mut asked, mut streams) = (Vec::new(), Vec::new());
    for id in [8, 9] {
        let mut events = Events::of(session.send_as(json!(id), "tools/call", keyed.clone()).await);
        events.next().await.expect("an event");
        asked.push(events.next().await.expect("a question").message);
        streams.push(events);
    }
    assert_eq!(asked[0], asked[1]);
    session.reply(&asked[1], accepted(true)).await;
    for mut events in streams {
        let (seen, answer) = rest(&mut events).await;
        assert!(seen.is_empty() && text(&answer) == "{\"confirm\":true}", "{seen:?} {answer}");
    }
}
