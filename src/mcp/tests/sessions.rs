//! Legacy sessions that outlive connections and servers.

use super::raw::{Events, Raw, Session};
use super::*;
use crate::engine::WingSpace;

fn call(stages: u64) -> Value {
    json!({"name": "stages", "arguments": {"stages": stages}, "_meta": {"longhaul/reply": "inline"}})
}

fn report(stage: u64, of: u64) -> String {
    format!("{stage}/{of} stage {stage} is done")
}

/// All that one call of so many stages tells.
fn reports(of: u64) -> Vec<String> {
    (1..=of).map(|stage| report(stage, of)).chain(["no more stages".to_owned()]).collect()
}

/// Whatever of a call's stream was seen before the server went, the rest comes once and in order, then the result.
#[tokio::test]
async fn a_call_goes_on_behind_the_last_event_whoever_serves_it() {
    for seen in 0..=3 {
        let mut world = World::new().await;
        let raw = Raw::new(&world);
        let session = raw.session().await.id;
        world.pass(3);
        let answer = Session::again(&raw, &session).send("tools/call", call(5)).await;
        let mut events = Events::of(answer);
        let mut last = events.next().await.expect("the first event has no message");
        assert_eq!(last.message, Value::Null);
        for stage in 1..=seen {
            last = events.next().await.expect("a report");
            assert_eq!(last.message["params"]["data"], report(stage, 5));
        }
        let id = world.open_tasks(1).await.remove(0);
        world.until(&id, |task| task.progress.as_ref().is_some_and(|progress| progress.done == 3)).await;
        drop(events);
        for restarts in [false, true] {
            if restarts {
                world = world.restarted().await;
                world.pass(2);
            }
            let raw = Raw::new(&world);
            let back = Session::again(&raw, &session);
            let mut events = Events::of(back.get(Some(&last.id)).await);
            if !restarts {
                // What is there is sent again to a client that comes back to the same place.
                for stage in seen + 1..=3 {
                    let heard = events.next().await.expect("a report").message;
                    assert_eq!(heard["params"]["data"], report(stage, 5));
                }
                continue;
            }
            let (heard, answer) = events.rest().await;
            assert_eq!(heard, reports(5)[seen as usize..], "{seen} seen");
            let answer = answer.expect("an answer");
            assert_eq!(
                (&answer["id"], &answer["result"]["structuredContent"]),
                (&json!(8), &json!({"done": 5}))
            );
            assert_eq!(answer["result"]["_meta"]["longhaul/task"], json!(id));
        }
    }
}

#[tokio::test]
async fn progress_by_token_and_an_answer_that_was_there_before_come_as_well() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await.id;
    let mut params = call(2);
    params["_meta"]["progressToken"] = json!("p");
    world.pass(2);
    let mut events = Events::of(Session::again(&raw, &session).send("tools/call", params).await);
    let first = events.next().await.expect("an event");
    drop(events);
    let id = world.open_tasks(1).await;
    if let Some(id) = id.first() {
        world.until(id, TaskDocument::is_terminal).await;
    }
    let world = world.restarted().await;
    let raw = Raw::new(&world);
    let mut events = Events::of(Session::again(&raw, &session).get(Some(&first.id)).await);
    let mut steps = Vec::new();
    let mut last = first.id;
    while let Some(event) = events.next().await {
        if event.message["method"] == "notifications/progress" {
            assert_eq!(event.message["params"]["progressToken"], "p");
            steps.push(event.message["params"]["progress"].as_f64().expect("a number"));
        }
        last = event.id;
    }
    assert_eq!(steps, [1.0, 2.0]);
    // Behind the answer there is nothing.
    let mut after = Events::of(Session::again(&raw, &session).get(Some(&last)).await);
    assert!(after.next().await.is_none());
}

#[tokio::test]
async fn a_link_is_told_to_who_did_not_see_it_and_what_was_not_stored_is_lost() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await.id;
    let params = json!({"name": "stages", "arguments": {"stages": 1}});
    let mut events = Events::of(Session::again(&raw, &session).send("tools/call", params).await);
    let linked = events.next().await.expect("an event").id;
    let id = world.open_tasks(1).await.remove(0);
    let wait = json!({"name": "task_wait", "arguments": {"task_id": id}});
    let mut waiting = Events::of(Session::again(&raw, &session).send("tools/call", wait).await);
    let waiting = waiting.next().await.expect("an event").id;
    let world = world.restarted().await;
    let raw = Raw::new(&world);
    let back = Session::again(&raw, &session);
    let (_, answer) = Events::of(back.get(Some(&linked)).await).rest().await;
    assert_eq!(answer.expect("a link")["result"]["structuredContent"]["task_id"], json!(id));
    let (_, answer) = Events::of(back.get(Some(&waiting)).await).rest().await;
    let error = &answer.expect("an answer")["error"];
    assert!(error["message"].as_str().expect("a message").contains("Send it again"), "{error}");
}

/// To a stranger an event and a session are as if they were not there: the same words, whatever is wrong.
#[tokio::test]
async fn a_foreign_a_forged_and_an_unknown_id_look_alike() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let (mine, other) = (raw.session().await, raw.session().await);
    let mut events = Events::of(mine.send("tools/list", json!({})).await);
    let event = events.next().await.expect("an event").id;
    let mut forged = event.clone().into_bytes();
    forged[3] = if forged[3] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("ASCII");
    let unknown = Session::again(&raw, "00000000000000000000000000000000");
    let look = async |answer: reqwest::Response| {
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("a text"))
    };
    let expected = look(unknown.get(None).await).await;
    assert_eq!(expected.0, 404);
    for (session, event) in [
        (&unknown, Some(event.as_str())),
        (&other, Some(&event)),
        (&mine, Some(&forged)),
        (&mine, Some("0")),
        (&mine, Some("")),
    ] {
        assert_eq!(look(session.get(event).await).await, expected, "{event:?}");
    }
    assert_eq!(look(unknown.send("tools/list", json!({})).await).await, expected);
    let delete = |id: &str| raw.http.delete(&raw.url).header("mcp-session-id", id).send();
    assert_eq!(look(delete(&unknown.id).await.expect("an answer")).await, expected);
    // All that did the sessions no harm; what ends one, ends it for good.
    assert!(mine.ask("tools/list", json!({})).await[0]["result"]["tools"].is_array());
    assert_eq!(delete(&mine.id).await.expect("an answer").status(), 204);
    assert_eq!(look(mine.send("tools/list", json!({})).await).await, expected);
    let (world, ended) = (world.restarted().await, mine.id);
    let raw = Raw::new(&world);
    assert_eq!(look(Session::again(&raw, &ended).get(None).await).await, expected);
    assert!(
        world.engine.wing_rows(WingSpace::Session, ended.as_bytes(), None, 9).await.expect("rows").is_empty()
    );
}

#[tokio::test]
async fn another_principals_session_is_as_good_as_none() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    let [(key, row)] = &world.engine.wing_rows(WingSpace::Session, b"", None, 9).await.expect("rows")[..]
    else {
        panic!("one session")
    };
    // As if another principal had begun it.
    let mut theirs = row.clone();
    let at = row.windows(5).position(|part| part == b"local").expect("the owner");
    theirs[at] = b'L';
    let put = crate::engine::WingWrite::Put(WingSpace::Session, key.clone(), theirs);
    world.engine.put_wing_rows(vec![put]).await.expect("written");
    let id = session.id;
    let world = world.restarted().await;
    let raw = Raw::new(&world);
    assert_eq!(Session::again(&raw, &id).get(None).await.status(), 404);
}

#[tokio::test]
async fn subscriptions_and_the_log_level_survive_and_nothing_is_missed() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    let call_by_link = json!({"name": "stages", "arguments": {"stages": 2}});
    let answer = session.ask("tools/call", call_by_link).await;
    let link = answer[0]["result"]["structuredContent"].clone();
    let (uri, id) = (link["uri"].as_str().expect("a URI"), link["task_id"].as_str().expect("an id"));
    session.ask("logging/setLevel", json!({"level": "error"})).await;
    session.ask("resources/subscribe", json!({"uri": uri})).await;
    let mut events = Events::of(session.get(None).await);
    world.pass(1);
    let updated = |message: &Value| message["params"]["uri"] == *uri;
    let last = loop {
        let event = events.next().await.expect("an update");
        if updated(&event.message) {
            break event.id;
        }
    };
    world.until(id, |task| task.progress.is_some()).await;
    drop(events);
    let id_of_session = session.id;
    let world = world.restarted().await;
    // No client has come back yet, and the task goes on.
    world.pass(1);
    world.until(id, TaskDocument::is_terminal).await;
    let raw = Raw::new(&world);
    let back = Session::again(&raw, &id_of_session);
    let mut events = Events::of(back.get(Some(&last)).await);
    while !updated(&events.next().await.expect("an update").message) {}
    // The level holds: no log messages.
    world.pass(1);
    let (heard, answer) = Events::of(back.send("tools/call", call(1)).await).rest().await;
    assert!(heard.is_empty() && answer.is_some(), "{heard:?}");
}

#[tokio::test]
async fn an_explicit_cancellation_cancels_the_task_of_an_inline_call_also_after_a_restart() {
    for (restarts, keyed) in [(false, false), (true, false), (false, true)] {
        let mut world = World::new().await;
        let raw = Raw::new(&world);
        let session = raw.session().await.id;
        let mut params = call(1);
        if keyed {
            params["_meta"]["longhaul/idempotency-key"] = json!("back-soon");
        }
        let mut events = Events::of(Session::again(&raw, &session).send("tools/call", params).await);
        let id = world.open_tasks(1).await.remove(0);
        world.until(&id, |task| task.state == "running").await;
        if restarts {
            world = world.restarted().await;
        }
        let raw = Raw::new(&world);
        let back = Session::again(&raw, &session);
        assert_eq!(back.notify("notifications/cancelled", json!({"requestId": 8})).await, 202);
        if keyed {
            world.pass(1);
        }
        let task = world.until(&id, TaskDocument::is_terminal).await;
        assert_eq!(task.state, if keyed { "completed" } else { "cancelled" });
        if !restarts {
            // The stream ends, and nothing answers.
            assert_eq!(events.rest().await, (Vec::new(), None));
        }
    }
}

/// There are clients that cancel every call behind its answer.
#[tokio::test]
async fn a_cancellation_behind_the_answer_cancels_nothing_also_after_a_restart() {
    let asks = || json!({"name": "asks", "arguments": {}});
    let linked = || json!({"name": "stages", "arguments": {"stages": 1}});
    for (params, restarts) in [(asks(), false), (asks(), true), (linked(), false), (linked(), true)] {
        let mut world = World::new().await;
        let raw = Raw::new(&world);
        // It cannot be asked: an inline call that comes to a question is answered with a link.
        let session = raw.session().await.id;
        let called = Session::again(&raw, &session).send("tools/call", params.clone()).await;
        let (_, answer) = Events::of(called).rest().await;
        let answer = answer.expect("an answer");
        let id = answer["result"]["structuredContent"]["task_id"]
            .as_str()
            .expect("a link")
            .parse()
            .expect("an id");
        if restarts {
            world = world.restarted().await;
        }
        let raw = Raw::new(&world);
        let back = Session::again(&raw, &session);
        assert_eq!(back.notify("notifications/cancelled", json!({"requestId": answer["id"]})).await, 202);
        let task = world.engine.task(&Principal::local(), id).await.expect("a task");
        assert!(!task.state.is_terminal() && task.cancel.is_none(), "{params} {restarts}: {}", task.state);
    }
    // What ended before stays as it ended.
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    world.pass(1);
    let (_, answer) = Events::of(session.send("tools/call", call(1)).await).rest().await;
    let answer = answer.expect("an answer");
    assert_eq!(session.notify("notifications/cancelled", json!({"requestId": answer["id"]})).await, 202);
    let id = answer["result"]["_meta"]["longhaul/task"].as_str().expect("a task").parse().expect("an id");
    assert_eq!(world.engine.task(&Principal::local(), id).await.expect("a task").state.name(), "completed");
}

/// Some clients cancel every request of theirs once its time is up or their run is over, also those that were answered.
#[tokio::test]
async fn a_cancellation_that_comes_after_the_answer_leaves_the_task_that_its_link_names() {
    let waits = [
        json!({"longhaul/reply": "inline", "longhaul/inline-wait-seconds": 1}),
        json!({"longhaul/reply": "inline", "longhaul/inline-wait-seconds": 1, "progressToken": "p"}),
        json!({"longhaul/reply": "link"}),
    ];
    for (meta, restarts) in waits.iter().flat_map(|meta| [(meta, false), (meta, true)]) {
        let mut world = World::new().await;
        let raw = Raw::new(&world);
        let session = raw.session().await.id;
        let mut params = call(1);
        params["_meta"] = meta.clone();
        let mut events = Events::of(Session::again(&raw, &session).send("tools/call", params).await);
        let id = world.open_tasks(1).await.remove(0);
        let (_, answer) = events.rest().await;
        let linked = answer.expect("a link")["result"]["structuredContent"]["task_id"].clone();
        assert_eq!(linked, json!(id), "{meta}");
        if restarts {
            world = world.restarted().await;
        }
        let raw = Raw::new(&world);
        let back = Session::again(&raw, &session);
        assert_eq!(back.notify("notifications/cancelled", json!({"requestId": 8})).await, 202);
        world.pass(1);
        let task = world.until(&id, TaskDocument::is_terminal).await;
        assert_eq!(task.state, "completed", "{meta}, after a restart: {restarts}");
    }
}

/// A call's stream is not read, nor the session's own, and the session answers all the same.
#[tokio::test]
async fn who_does_not_read_one_stream_gets_all_others() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    let _unread = session.get(None).await;
    let mut calls = Vec::new();
    for id in 101..=104 {
        calls.push(session.send_as(json!(id), "tools/call", call(400)).await);
    }
    world.open_tasks(4).await;
    world.pass(1600);
    let waiting = async {
        loop {
            let page = world.engine.tasks(&Principal::local(), &Default::default()).await.expect("a page");
            if page.tasks.len() == 4 && page.tasks.iter().all(|task| task.state.is_terminal()) {
                return;
            }
            assert!(session.ask("tools/list", json!({})).await[0]["result"].is_object());
        }
    };
    in_time(waiting).await;
    for call in calls {
        let (heard, answer) = Events::of(call).rest().await;
        assert!(heard == reports(400), "{} lines", heard.len());
        assert!(answer.expect("an answer")["result"].is_object());
    }
}

/// 2026-07-28 has no sessions: it leaves nothing in the store and resumes nothing.
#[tokio::test]
async fn the_newer_protocol_has_no_part_in_all_this() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    world.pass(1);
    let got = raw
        .ask_modern(
            "tools/call",
            json!({"name": "stages", "arguments": {"stages": 1}}),
            json!({"longhaul/reply": "inline"}),
        )
        .await;
    assert_eq!(got[0]["result"]["structuredContent"], json!({"done": 1}));
    for space in [WingSpace::Session, WingSpace::Event] {
        assert!(world.engine.wing_rows(space, b"", None, 1).await.expect("rows").is_empty());
    }
    let session = raw.session().await;
    let event = Events::of(session.send("tools/list", json!({})).await).next().await.expect("an event").id;
    let get = raw.http.get(&raw.url).header("accept", "text/event-stream").header("last-event-id", event);
    let get = get.header("mcp-session-id", &session.id).header("mcp-protocol-version", "2026-07-28");
    assert_eq!(get.send().await.expect("an answer").status(), 405);
}

/// Its stream is served without a service of rmcp's, which the next request brings back.
#[tokio::test]
async fn a_session_that_only_listens_rests_and_misses_nothing() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    let answer = session.ask("tools/call", json!({"name": "stages", "arguments": {"stages": 2}})).await;
    let uri = answer[0]["result"]["structuredContent"]["uri"].clone();
    session.ask("resources/subscribe", json!({"uri": uri})).await;
    let mut events = Events::of(session.get(None).await);
    let next_update = async |events: &mut Events| loop {
        if events.next().await.expect("an update").message["params"]["uri"] == uri {
            return;
        }
    };
    for _ in 0..2 {
        world.http.sessions().rest(Duration::ZERO);
        world.pass(1);
        next_update(&mut events).await;
        assert_eq!(world.http.sessions().count(), 1);
        assert!(session.ask("tools/list", json!({})).await[0]["result"]["tools"].is_array());
    }
    // A call that waits keeps it awake.
    let mut call = Events::of(session.send("tools/call", call(1)).await);
    world.open_tasks(1).await;
    world.http.sessions().rest(Duration::ZERO);
    world.pass(1);
    assert_eq!(call.rest().await.0, reports(1));
}

#[tokio::test]
async fn an_unused_session_leaves_memory_and_its_client_comes_back_all_the_same() {
    let world = World::new().await;
    let sessions = Arc::new(
        crate::mcp::sessions::Sessions::open(McpServer::new(world.engine.clone(), McpOptions::default()))
            .await
            .expect("sessions"),
    );
    let raw = Raw::new(&world);
    let session = raw.session().await;
    world.pass(1);
    let mut events = Events::of(session.send("tools/call", call(1)).await);
    assert!(events.rest().await.1.is_some());
    // Another server finds what this one has stored, and nothing of it is old.
    sessions.sweep().await.expect("swept");
    assert_eq!(world.engine.wing_rows(WingSpace::Session, b"", None, 9).await.expect("rows").len(), 1);
    assert_eq!(world.engine.wing_rows(WingSpace::Event, b"", None, 9).await.expect("rows").len(), 1);
    world.http.sessions().end_idle(Duration::ZERO);
    assert_eq!(world.http.sessions().count(), 0);
    assert!(session.ask("tools/list", json!({})).await[0]["result"]["tools"].is_array());
    assert_eq!(world.http.sessions().count(), 1);
}
