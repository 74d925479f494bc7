//! What one principal may hold of sessions and of listeners, what is left for others, and JSON that would become large.

use super::raw::{Events, Raw, messages};
use super::*;
use crate::limits;
use crate::shares::{Account, Bound, Bounds, Pool};

fn bounds(pool: Pool, process: u64, share: u64) -> Bounds {
    let mut bounds = Bounds::default();
    bounds[pool] = Bound { process, share, reserve: 1 };
    bounds
}

impl World {
    async fn sharing(bounds: Bounds) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let gate = Arc::new(Semaphore::new(0));
        let options = EngineOptions { shares: Some(Account::new(bounds)), ..EngineOptions::default() };
        let engine = engine_with(folder.path(), &gate, options).await;
        let server = McpServer::new(engine.clone(), McpOptions::default());
        let http = HttpServer::bind(server, keyed(Options::new(loopback()))).await.expect("a server");
        Self { folder, engine, http, gate }
    }
}

/// Its status, and whether it says when to come again; its words.
async fn seen(answer: reqwest::Response) -> (u16, bool, String) {
    let after = answer.headers().contains_key("retry-after");
    (answer.status().as_u16(), after, answer.text().await.expect("text"))
}

async fn initialize(raw: &Raw) -> (u16, bool, String) {
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "by hand", "version": "1"}});
    let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
    seen(raw.post().body(body.to_string()).send().await.expect("an answer")).await
}

#[tokio::test]
async fn one_principal_leaves_sessions_for_the_others_and_its_own_end_makes_room() {
    let world = World::sharing(bounds(Pool::Sessions, 4, 2)).await;
    let tokens = [world.token("ann", &[]).await, world.token("bob", &[]).await];
    let [ann, bob] = tokens.map(|token| Raw::with_token(&world, &token));
    let first = ann.session().await;
    let _second = ann.session().await;
    let (status, after, words) = initialize(&ann).await;
    assert_eq!((status, after), (429, true), "{words}");
    assert!(words.contains("the share of ann is 2 sessions (sessions)"), "{words}");
    let _bobs = bob.session().await;
    let (status, after, words) = initialize(&bob).await;
    assert_eq!((status, after), (503, true), "{words}");
    assert!(words.contains("this server has at most 3 sessions"), "{words}");
    let owner = Raw::new(&world);
    let _owners = owner.session().await;
    assert_eq!(initialize(&owner).await.0, 503, "the reserve is used up, and all the rest");
    assert_eq!(first.delete().await.status(), 204);
    ann.session().await;
}

#[tokio::test]
async fn a_session_that_comes_back_finds_its_principals_share_used_up() {
    let world = World::sharing(bounds(Pool::Sessions, 4, 1)).await;
    let ann = Raw::with_token(&world, &world.token("ann", &[]).await);
    let first = ann.session().await;
    world.http.sessions().end_idle(Duration::ZERO);
    let second = ann.session().await;
    let (status, after, words) = seen(first.send("tools/list", json!({})).await).await;
    assert_eq!((status, after), (429, true), "{words}");
    assert_eq!(second.delete().await.status(), 204);
    let (status, _, words) = seen(first.send("tools/list", json!({})).await).await;
    assert_eq!(status, 200, "{words}");
}

#[tokio::test]
async fn one_principal_leaves_listeners_for_the_others_and_its_own_end_makes_room() {
    let world = World::sharing(bounds(Pool::Subscribers, 3, 1)).await;
    let ann = Raw::with_token(&world, &world.token("ann", &[]).await);
    let listen = |raw: &Raw| {
        let params = json!({"notifications": {"toolsListChanged": true}});
        raw.modern("subscriptions/listen", params, json!({})).send()
    };
    let first = listen(&ann).await.expect("an answer");
    assert_eq!(first.status(), 200);
    assert_eq!(world.engine.shares().used_by(Pool::Subscribers, "ann"), 1);
    let (status, after, words) = seen(listen(&ann).await.expect("an answer")).await;
    assert_eq!((status, after), (429, true), "{words}");
    assert!(words.contains("the share of ann is 1 listeners"), "{words}");
    assert_eq!(listen(&Raw::new(&world)).await.expect("an answer").status(), 200, "the owner listens");
    let account = world.engine.shares().clone();
    let mut freed = std::pin::pin!(account.freed(Pool::Subscribers));
    freed.as_mut().enable();
    drop(first);
    in_time(freed).await;
    assert_eq!(listen(&ann).await.expect("an answer").status(), 200);
}

/// A client's answer to a question has no answer of the protocol's.
#[cfg(debug_assertions)]
#[tokio::test]
async fn an_answer_that_a_full_disk_has_no_room_for_is_refused_with_the_time_to_wait() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let session = raw.session_with(json!({"elicitation": {}})).await;
    let call = json!({"name": "asks", "arguments": {}});
    let mut events = Events::of(session.send("tools/call", call).await);
    let asked = loop {
        let message = events.next().await.expect("a question").message;
        if message["method"] == "elicitation/create" {
            break message["id"].clone();
        }
    };
    let answer = || {
        let result = json!({"action": "accept", "content": {"confirm": true}});
        session.post().body(json!({"jsonrpc": "2.0", "id": asked, "result": result}).to_string()).send()
    };
    world.engine.set_full(true);
    let (status, after, words) = seen(answer().await.expect("an answer")).await;
    assert_eq!((status, after), (503, true), "{words}");
    assert!(words.contains("no room"), "{words}");
    // A call's answer is the protocol's, with the time to wait in it.
    let call = json!({"name": "double", "arguments": {"n": 1}});
    let refused =
        messages(session.send_as(json!(9), "tools/call", call).await).await.pop().expect("an answer");
    assert_eq!(refused["result"]["_meta"]["longhaul/error"], "no_space", "{refused}");
    assert!(refused["result"]["_meta"]["longhaul/retry-after-seconds"].as_u64() > Some(0), "{refused}");
    world.engine.set_full(false);
    assert_eq!(answer().await.expect("an answer").status(), 202);
    let (_, ended) = events.rest().await;
    let text = &ended.expect("an answer")["result"]["content"][0]["text"];
    assert_eq!(*text, r#"{"confirm":true}"#);
}

#[tokio::test]
async fn a_message_of_too_many_values_is_refused_before_any_is_built() {
    let world = World::new().await;
    let raw = Raw::new(&world);
    let values = |count: usize| {
        let list = vec!["{}"; count].join(",");
        let params = format!(r#"{{"name":"double","arguments":{{"n":4,"list":[{list}]}}}}"#);
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{params}}}"#)
    };
    let (status, _, words) =
        seen(raw.post().body(values(limits::MAX_MESSAGE_VALUES)).send().await.expect("an answer")).await;
    assert_eq!(status, 400, "{words}");
    assert!(words.contains("more than 100000 keys and values"), "{words}");
    assert!(words.contains("\"id\":7"), "{words}");
    let session = raw.session().await;
    let body: Value = serde_json::from_str(&values(10_000)).expect("JSON");
    let answer = messages(session.send("tools/call", body["params"].clone()).await).await;
    assert_eq!(answer[0]["result"]["structuredContent"]["result"], json!(8), "{answer:?}");
}

#[tokio::test]
async fn a_poll_that_is_due_does_not_count_for_its_callers_rate() {
    let rate = 2;
    let world = World::sharing(bounds(Pool::Rate, u64::MAX, rate)).await;
    let raw = Raw::with_token(&world, &world.token("ann", &["*"]).await);
    let poll = async |id: &str| {
        let declared = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
        let meta = json!({"io.modelcontextprotocol/clientCapabilities": declared});
        let answer = raw.modern("tasks/get", json!({"taskId": id}), meta).send().await.expect("an answer");
        answer.status().as_u16()
    };
    let mut ids = Vec::new();
    for _ in 0..5 * rate * limits::REQUEST_BURST_SECONDS {
        let submission = Submission {
            tool: "stages".to_owned(),
            arguments: json!({"stages": 1}),
            principal: Principal::new("ann", vec!["*".to_owned()]),
            idempotency_key: None,
            trace: None,
        };
        ids.push(world.engine.submit(submission).await.expect("a task").id.to_string());
    }
    for id in &ids {
        assert_eq!(poll(id).await, 200, "as often as each says");
    }
    let mut early = Vec::new();
    for _ in 0..20 {
        early.push(poll(&ids[0]).await);
    }
    assert!(early.contains(&429), "{early:?}");
}
