//! Ids that clients give to more than one request, which the protocol forbids them: no answer is another request's.

use super::raw::{Events, Raw, Session, messages};
use super::*;

fn inline(tool: &str, arguments: Value) -> Value {
    json!({"name": tool, "arguments": arguments, "_meta": {"longhaul/reply": "inline"}})
}

/// The last message of an answer.
async fn last(answer: reqwest::Response) -> Value {
    messages(answer).await.pop().expect("a message")
}

/// What rmcp says of a call comes behind the answer that its stream was given, and must not reach the next request.
#[tokio::test]
async fn an_id_that_is_used_again_gets_an_answer_of_its_own() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    for round in 0..20 {
        for id in [json!(5), json!("5"), json!("a")] {
            let doubled =
                session.send_as(id.clone(), "tools/call", inline("double", json!({"n": round}))).await;
            assert_eq!(last(doubled).await["result"]["content"][0]["text"], (2 * round).to_string());
            let listed = last(session.send_as(id.clone(), "tools/list", json!({})).await).await;
            assert!(listed["result"]["tools"].is_array() && listed["id"] == id, "{listed}");
            let refused = session.send_as(id.clone(), "tools/call", inline("refuse", json!({}))).await;
            assert_eq!(last(refused).await["result"]["isError"], true);
            let pong = last(session.send_as(id.clone(), "ping", json!({})).await).await;
            assert_eq!(pong, json!({"jsonrpc": "2.0", "id": id, "result": {}}));
        }
    }
}

#[tokio::test]
async fn an_id_in_use_is_refused_and_the_first_request_goes_on() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let (session, other) = (raw.session().await, raw.session().await);
    for id in [json!(5), json!("b")] {
        let mut first = Events::of(
            session.send_as(id.clone(), "tools/call", inline("stages", json!({"stages": 1}))).await,
        );
        first.next().await.expect("an event");
        let task = world.open_tasks(1).await.remove(0);
        for (method, params) in [
            ("tools/list", json!({})),
            ("ping", json!({})),
            ("tools/call", inline("double", json!({"n": 1}))),
            ("tools/call", inline("stages", json!({"stages": 1}))),
        ] {
            let refused = last(session.send_as(id.clone(), method, params).await).await;
            assert_eq!((&refused["error"]["code"], &refused["id"]), (&json!(-32600), &id), "{method}");
            let seen = refused["error"]["message"].as_str().expect("a message");
            assert!(seen.contains(&id.to_string()), "{seen}");
        }
        // Neither another session nor an id of another kind is touched.
        assert!(last(other.send_as(id.clone(), "tools/list", json!({})).await).await["result"].is_object());
        let alike = if id == 5 { json!("5") } else { json!(-5) };
        assert_eq!(last(session.send_as(alike, "ping", json!({})).await).await["result"], json!({}));
        world.pass(1);
        let (_, answer) = first.rest().await;
        let answer = answer.expect("an answer");
        assert_eq!((&answer["id"], &answer["result"]["structuredContent"]), (&id, &json!({"done": 1})));
        world.until(&task, TaskDocument::is_terminal).await;
    }
    // A call that is given up is answered no more, and its id is free.
    let mut given_up =
        Events::of(session.send_as(json!(5), "tools/call", inline("stages", json!({"stages": 1}))).await);
    given_up.next().await.expect("an event");
    let task = world.open_tasks(1).await.remove(0);
    session.notify("notifications/cancelled", json!({"requestId": 5})).await;
    assert!(last(session.send_as(json!(5), "tools/list", json!({})).await).await["result"].is_object());
    assert_eq!(world.until(&task, TaskDocument::is_terminal).await.state, "cancelled");
    assert_eq!(given_up.rest().await, (Vec::new(), None));
}

/// The client hears of its call before the call's task is there.
#[cfg(debug_assertions)]
#[tokio::test]
async fn a_call_that_is_given_up_while_its_task_is_made_ends_that_task() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    let mut watcher = world.engine.feed().watch().expect("room");
    watcher.add(ResourceKey::Tasks("local".to_owned()));
    let held = world.engine.hold_commits();
    let mut call =
        Events::of(session.send_as(json!(5), "tools/call", inline("stages", json!({"stages": 1}))).await);
    call.next().await.expect("an event");
    session.notify("notifications/cancelled", json!({"requestId": 5})).await;
    drop(held);
    let made = async {
        loop {
            let page = world.engine.tasks(&Principal::local(), &Default::default()).await.expect("a page");
            if let Some(task) = page.tasks.first() {
                return task.id.to_string();
            }
            watcher.next().await;
        }
    };
    let task = in_time(made).await;
    assert_eq!(world.until(&task, TaskDocument::is_terminal).await.state, "cancelled");
    assert_eq!(call.rest().await, (Vec::new(), None));
}

#[tokio::test]
async fn of_two_at_once_each_gets_its_own_answer_or_is_refused() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await;
    for round in 0..20 {
        let (list, double) = tokio::join!(
            async { last(session.send_as(json!(7), "tools/list", json!({})).await).await },
            async {
                let call = inline("double", json!({"n": round}));
                last(session.send_as(json!(7), "tools/call", call).await).await
            },
        );
        let refused = |answer: &Value| answer["error"]["code"] == -32600;
        assert!(refused(&list) || list["result"]["tools"].is_array(), "{list}");
        let doubled = (2 * round).to_string();
        assert!(refused(&double) || double["result"]["content"][0]["text"] == doubled, "{double}");
        assert!(!(refused(&list) && refused(&double)), "one of them is served");
    }
}

#[tokio::test]
async fn a_stream_that_is_resumed_answers_the_request_that_it_began_with() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session().await.id;
    let mine = Session::again(&raw, &session);
    let mut first = Events::of(mine.send("tools/call", inline("stages", json!({"stages": 1}))).await);
    let place = first.next().await.expect("an event").id;
    drop(first);
    let task = world.open_tasks(1).await.remove(0);
    world.pass(1);
    world.until(&task, TaskDocument::is_terminal).await;
    // The call is answered a moment after its task has ended; until then its id is its own.
    while last(mine.send("ping", json!({})).await).await["error"]["code"] == -32600 {}
    // Its stream has not been read to the end, and the id is used by others: the newest call made a task as well.
    let resumed = async |raw: &Raw| {
        let back = Session::again(raw, &session);
        let doubled = last(back.send("tools/call", inline("double", json!({"n": 4}))).await).await;
        assert_eq!(doubled["result"]["content"][0]["text"], "8");
        assert!(last(back.send("tools/list", json!({})).await).await["result"]["tools"].is_array());
        let (_, answer) = Events::of(back.get(Some(&place)).await).rest().await;
        let answer = answer.expect("an answer");
        assert_eq!((&answer["id"], &answer["result"]["structuredContent"]), (&json!(8), &json!({"done": 1})));
    };
    resumed(&raw).await;
    let world = world.restarted().await;
    resumed(&Raw::new(&world)).await;
    resumed(&Raw::new(&world)).await;
}

/// 2026-07-28 has no sessions: each request stands by itself.
#[tokio::test]
async fn requests_without_a_session_may_have_one_id() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let meta = json!({"longhaul/reply": "inline"});
    let stages = raw.modern("tools/call", inline("stages", json!({"stages": 1})), meta).send();
    let others = async {
        world.open_tasks(1).await;
        assert!(raw.ask_modern("tools/list", json!({}), json!({})).await[0]["result"]["tools"].is_array());
        for n in 1..4 {
            let doubled = raw.ask_modern("tools/call", inline("double", json!({"n": n})), json!({})).await;
            let doubled = &doubled.last().expect("an answer")["result"];
            assert_eq!(doubled["content"][0]["text"], (2 * n).to_string());
        }
        world.pass(1);
    };
    let (answer, ()) = tokio::join!(async { last(stages.await.expect("an answer")).await }, others);
    assert_eq!(answer["result"]["structuredContent"], json!({"done": 1}));
}
