//! Callers distinguished by tokens: what each may do, and that another's things look like none.

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use super::raw::{Raw, messages};
use super::*;
use crate::engine::{AuditQuery, StateWrite, TokenGrant, Verdict};

impl World {
    pub(super) async fn token(&self, name: &str, tools: &[&str]) -> String {
        let tools = tools.iter().map(|glob| (*glob).to_owned()).collect();
        let grant = TokenGrant { name: name.to_owned(), tools, ..TokenGrant::default() };
        self.engine.new_token(&Principal::local(), grant).await.expect("a token")
    }
}

#[tokio::test]
async fn a_request_is_its_tokens_or_nobodys() {
    let world = World::new().await;
    let token = world.token("ann", &["double"]).await;
    let raw = Raw::new(&world);
    let ask = async |name: &str, value: &str| {
        let request = raw.modern("tools/list", json!({}), json!({})).header(name, value);
        request.send().await.expect("an answer")
    };
    for (name, value) in [
        ("authorization", format!("Bearer {token}x")),
        ("authorization", "Bearer".to_owned()),
        ("authorization", "Bearer local".to_owned()),
        ("authorization", String::new()),
        ("authorization", token.clone()),
        ("authorization", format!("Basic {token}")),
        // What a proxy passes on comes from elsewhere.
        ("x-forwarded-for", "127.0.0.1".to_owned()),
        ("forwarded", "for=127.0.0.1".to_owned()),
    ] {
        let answer = ask(name, &value).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{name}: {value}");
        let challenge = answer.headers()[WWW_AUTHENTICATE].to_str().expect("text").to_owned();
        assert!(challenge.starts_with("Bearer"), "{challenge}");
        assert!(!answer.text().await.expect("a text").contains(&token));
    }
    for method in ["GET", "DELETE"] {
        let request =
            raw.http.request(method.parse().expect("a method"), &raw.url).header(AUTHORIZATION, "Bearer x");
        assert_eq!(request.send().await.expect("an answer").status(), StatusCode::UNAUTHORIZED, "{method}");
    }
    let names = async |answer: reqwest::Response| {
        let listed = messages(answer).await[0]["result"]["tools"].clone();
        let listed = listed
            .as_array()
            .expect("tools")
            .iter()
            .map(|tool| tool["name"].as_str().expect("text").to_owned());
        listed.filter(|name| !name.starts_with("task_")).collect::<Vec<_>>()
    };
    assert_eq!(names(ask("authorization", &format!("Bearer {token}")).await).await, ["double"]);
    let all = names(ask("x-nothing", "1").await).await;
    assert!(all.contains(&"stages".to_owned()), "without a token it is local: {all:?}");
    let refused = AuditQuery { verdict: Some(Verdict::Refused), ..AuditQuery::default() };
    let refused = world.engine.audit(refused).await.expect("a page").rows;
    assert_eq!(refused.iter().map(|row| row.count).sum::<u64>(), 10, "{refused:?}");
}

#[tokio::test]
async fn a_revoked_token_ends_what_it_holds_open_and_cancels_nothing() {
    let world = World::new().await;
    let token = world.token("ann", &["stages"]).await;
    let raw = Raw::with_token(&world, &token);
    let session = raw.session().await;
    let stream = session.get(None).await;
    assert_eq!(stream.status(), StatusCode::OK);
    let listening =
        raw.modern("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}), json!({}));
    let listening = listening.send().await.expect("an answer");
    let meta = json!({"longhaul/reply": "inline", "longhaul/inline-wait-seconds": 0});
    let call = raw.modern("tools/call", json!({"name": "stages", "arguments": {"stages": 1}}), meta);
    let call = tokio::spawn(async move { call.send().await.expect("an answer").text().await.map(drop) });
    let ann = Principal::new("ann", Vec::new());
    let mut watcher = world.engine.feed().watch().expect("room");
    watcher.add(ResourceKey::Tasks("ann".to_owned()));
    let task = loop {
        if let Some(task) = world.engine.tasks(&ann, &Default::default()).await.expect("a page").tasks.pop() {
            break task;
        }
        in_time(watcher.next()).await;
    };
    world.engine.revoke_token(&Principal::local(), "ann").await.expect("revoked");
    let second = Duration::from_secs(1);
    for open in [stream, listening] {
        drop(tokio::time::timeout(second, open.text()).await.expect("it ends within a second"));
    }
    drop(tokio::time::timeout(second, call).await.expect("it ends within a second"));
    assert_eq!(session.send("tools/list", json!({})).await.status(), StatusCode::UNAUTHORIZED);
    // A new token of that name finds what it started, but not its session.
    let raw = Raw::with_token(&world, &world.token("ann", &["stages"]).await);
    let other = raw.session_of(&session.id);
    assert_eq!(other.send("tools/list", json!({})).await.status(), StatusCode::NOT_FOUND);
    let found = raw.ask_modern("resources/read", json!({"uri": task.id.uri()}), json!({})).await;
    let text = found[0]["result"]["contents"][0]["text"].as_str().expect("a document");
    assert!(!text.contains("cancel"), "{text}");
    world.pass(1);
    let ended = in_time(world.engine.wait(&ann, task.id, LIMIT)).await.expect("a task");
    assert_eq!(ended.state.name(), "completed");
}

#[tokio::test]
async fn another_callers_session_looks_like_one_that_is_not_there() {
    let world = World::new().await;
    let (ann, bob) = (world.token("ann", &["*"]).await, world.token("bob", &["*"]).await);
    let (ann, bob, local) = (Raw::with_token(&world, &ann), Raw::with_token(&world, &bob), Raw::new(&world));
    let session = ann.session().await;
    for foreign in [&bob, &local] {
        for (known, unknown) in
            [(foreign.session_of(&session.id), foreign.session_of("11111111-2222-4333-8444-555555555555"))]
        {
            let seen =
                async |answer: reqwest::Response| (answer.status(), answer.text().await.expect("a text"));
            let method = "tools/list";
            assert_eq!(
                seen(known.send(method, json!({})).await).await,
                seen(unknown.send(method, json!({})).await).await
            );
            for event in [None, Some("0/0")] {
                assert_eq!(seen(known.get(event).await).await, seen(unknown.get(event).await).await);
            }
            assert_eq!(seen(known.delete().await).await, seen(unknown.delete().await).await);
        }
    }
    assert_eq!(session.send("tools/list", json!({})).await.status(), StatusCode::OK, "it is still there");
    assert_eq!(session.delete().await.status(), StatusCode::NO_CONTENT);
}

/// Every request that names a task or a tool, in both eras: with another caller's it is answered as with one
/// that does not exist.
#[tokio::test]
async fn every_method_answers_for_a_foreign_thing_as_for_none() {
    let world = World::new().await;
    let ann = Raw::with_token(&world, &world.token("ann", &["stages", "double"]).await);
    let bob = Raw::with_token(&world, &world.token("bob", &["double", "refuse"]).await);
    let link =
        ann.ask_modern("tools/call", json!({"name": "stages", "arguments": {"stages": 2}}), json!({})).await;
    let id = link[0]["result"]["structuredContent"]["task_id"].as_str().expect("an id").to_owned();
    world.pass(1);
    let owner = Principal::new("ann", Vec::new());
    let mut watcher = world.engine.feed().watch().expect("room");
    watcher.add(ResourceKey::Task(id.parse().expect("an id")));
    while world.engine.task(&owner, id.parse().expect("an id")).await.expect("a task").outputs.is_empty() {
        in_time(watcher.next()).await;
    }
    let none =
        TaskId::from_bytes(*b"\x01\x98\x2f\x3e\x7c\x41\x7b\x2a\x9d\x3e\x5f\x6a\x7b\x8c\x9d\x0e").to_string();
    let gold = vec![StateWrite::put("gold", "\"a secret\"")];
    world.engine.state_write(&Principal::local(), "vault", gold).await.expect("written");
    let session = bob.session().await;
    let declared = json!({"io.modelcontextprotocol/clientCapabilities":
        {"extensions": {"io.modelcontextprotocol/tasks": {}}}});
    for (method, params, meta) in methods(&id) {
        let swap = |value: &Value| -> Value {
            let text = value.to_string().replace(&id, &none).replace("\"stages\"", "\"stagez\"");
            let text = text.replace("vault", "vaulz");
            serde_json::from_str(&text).expect("JSON")
        };
        // What the answer repeats of the question is not what it tells.
        let same = |answer: Vec<Value>| {
            let text = json!(answer).to_string();
            let text = text.replace(&id, "ID").replace(&none, "ID").replace("vaulz", "vault");
            text.replace("stages", "TOOL").replace("stagez", "TOOL")
        };
        let all = if method.starts_with("tasks/") { &declared } else { &meta };
        let modern = async |params: Value, meta: &Value| bob.ask_modern(method, params, meta.clone()).await;
        let foreign = same(modern(params.clone(), all).await);
        assert_eq!(foreign, same(modern(swap(&params), all).await), "{method} {params}");
        assert!(
            !foreign.contains("a secret") && !foreign.contains("stage ") && !foreign.contains("story.md"),
            "{foreign}"
        );
        let legacy = async |params: Value| {
            let mut params = params;
            params["_meta"] = meta.clone();
            session.ask(method, params).await
        };
        let foreign = same(legacy(params.clone()).await);
        assert_eq!(foreign, same(legacy(swap(&params)).await), "{method} {params}, legacy");
    }
    // What is listed shows the caller's alone.
    for list in [
        bob.ask_modern("resources/list", json!({}), json!({})).await,
        session.ask("resources/list", json!({})).await,
    ] {
        assert_eq!(list[0]["result"]["resources"], json!([]), "{list:?}");
    }
    let page = bob.ask_modern("tools/call", json!({"name": "task_list", "arguments": {}}), json!({})).await;
    assert_eq!(page[0]["result"]["structuredContent"], json!({"tasks": []}));
    for begun in ["", &id[..4]] {
        let asked = json!({"ref": {"type": "ref/resource", "uri": "task://{id}"}, "argument": {"name": "id", "value": begun}});
        let asked = bob.ask_modern("completion/complete", asked, json!({})).await;
        assert_eq!(asked[0]["result"]["completion"]["values"], json!([]), "{asked:?}");
    }
    // The same key is another call for another caller.
    let meta = json!({"longhaul/idempotency-key": "k", "longhaul/reply": "link"});
    let mut ids = Vec::new();
    for (raw, n) in [(&ann, 1), (&bob, 2), (&ann, 1)] {
        let call = json!({"name": "double", "arguments": {"n": n}});
        let link = raw.ask_modern("tools/call", call, meta.clone()).await;
        ids.push(link[0]["result"]["structuredContent"]["task_id"].as_str().expect("an id").to_owned());
    }
    assert!(ids[0] != ids[1] && ids[0] == ids[2], "{ids:?}");
    // And nothing of all that did anything to it.
    world.pass(1);
    let ended = world.engine.wait(&owner, id.parse().expect("an id"), LIMIT).await.expect("a task");
    assert_eq!((ended.state.name(), ended.attempt), ("completed", 1));
}

/// Method, parameters and `_meta` of every request that a client may aim at a task or a tool.
fn methods(id: &str) -> Vec<(&'static str, Value, Value)> {
    let none = json!({});
    let person = json!({"longhaul/by-person": true});
    let mut all = vec![
        ("tools/call", json!({"name": "stages", "arguments": {"stages": 1}}), none.clone()),
        (
            "tools/call",
            json!({"name": "stages", "arguments": {"stages": 1}}),
            json!({"longhaul/reply": "inline"}),
        ),
        ("tools/call", json!({"name": "stages", "arguments": {"wrong": 1}}), none.clone()),
    ];
    for (tool, more) in [
        ("task_status", json!({})),
        ("task_wait", json!({"seconds": 0})),
        ("task_result", json!({})),
        ("task_output", json!({"name": "story"})),
        ("task_output", json!({"name": "log"})),
        ("task_cancel", json!({"reason": "mine now"})),
        ("task_retry", json!({})),
        ("task_retry", json!({"from_step": 1})),
        ("task_resolve", json!({"step": 0, "resolution": "failed"})),
        ("task_answer", json!({"action": "accept", "content": {}})),
        ("task_send", json!({"name": "redirect", "payload": {}})),
    ] {
        let mut arguments = more;
        arguments["task_id"] = json!(id);
        all.push(("tools/call", json!({"name": tool, "arguments": arguments}), person.clone()));
    }
    for (tool, arguments) in [
        ("token_new", json!({"name": "eve", "tools": ["*"]})),
        ("token_list", json!({})),
        ("token_revoke", json!({"name": "ann"})),
        ("audit_list", json!({})),
    ] {
        all.push(("tools/call", json!({"name": tool, "arguments": arguments}), person.clone()));
    }
    for (tool, arguments) in [
        ("state_get", json!({"namespace": "vault", "key": "gold"})),
        ("state_put", json!({"namespace": "vault", "key": "gold", "value": 1})),
        ("state_put", json!({"namespace": "vault", "key": "gold", "value": 1, "if_version": 1})),
        ("state_list", json!({"namespace": "vault"})),
        ("state_delete", json!({"namespace": "vault", "key": "gold"})),
    ] {
        all.push(("tools/call", json!({"name": tool, "arguments": arguments}), none.clone()));
    }
    for method in ["resources/read", "resources/subscribe", "resources/unsubscribe"] {
        all.push((method, json!({"uri": "state://vault/gold"}), none.clone()));
    }
    for rest in ["", "/result", "/output/story", "/output/none", "/log", "/journal"] {
        let uri = json!({ "uri": format!("task://{id}{rest}") });
        for method in ["resources/read", "resources/subscribe", "resources/unsubscribe"] {
            all.push((method, uri.clone(), none.clone()));
        }
    }
    for method in ["tasks/get", "tasks/cancel", "tasks/update", "tasks/result"] {
        all.push((method, json!({"taskId": id, "inputResponses": {}}), none.clone()));
    }
    let complete = json!({"ref": {"type": "ref/resource", "uri": "task://{id}/output/{name}"},
        "argument": {"name": "name", "value": ""}, "context": {"arguments": {"id": id}}});
    all.push(("completion/complete", complete, none));
    all
}

#[tokio::test]
async fn listening_to_a_foreign_task_is_listening_to_none() {
    let world = World::new().await;
    let ann = Raw::with_token(&world, &world.token("ann", &["*"]).await);
    let bob = Raw::with_token(&world, &world.token("bob", &["*"]).await);
    let link =
        ann.ask_modern("tools/call", json!({"name": "stages", "arguments": {"stages": 1}}), json!({})).await;
    let id = link[0]["result"]["structuredContent"]["task_id"].as_str().expect("an id").to_owned();
    let declared = json!({"io.modelcontextprotocol/clientCapabilities":
        {"extensions": {"io.modelcontextprotocol/tasks": {}}}});
    let filter = json!({"notifications": {"resourceSubscriptions": [format!("task://{id}")], "taskIds": [id],
        "resourcesListChanged": true}});
    let mut listening = bob.modern("subscriptions/listen", filter, declared).send().await.expect("an answer");
    let acknowledged = in_time(listening.chunk()).await.expect("a chunk").expect("an acknowledgment");
    let text = String::from_utf8_lossy(&acknowledged).into_owned();
    assert!(text.contains("acknowledged") && !text.contains(&id), "{text}");
    world.pass(1);
    let owner = Principal::new("ann", Vec::new());
    world.engine.wait(&owner, id.parse().expect("an id"), LIMIT).await.expect("a task");
    // What it hears next is of its own call, though the other task ended before.
    bob.ask_modern("tools/call", json!({"name": "double", "arguments": {"n": 1}}), json!({})).await;
    let mut heard = String::new();
    while !heard.contains("list_changed") {
        let chunk = in_time(listening.chunk()).await.expect("a chunk").expect("more");
        heard.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(!heard.contains(&id), "{heard}");
}

#[tokio::test]
async fn the_owner_makes_tokens_and_reads_the_audit_and_nobody_else() {
    let world = World::new().await;
    let token = world.token("ann", &["*"]).await;
    let (ann, same_user, owner) =
        (Raw::with_token(&world, &token), Raw::new(&world), Raw::with_token(&world, KEY));
    let person = json!({"longhaul/by-person": true});
    let call = json!({"name": "token_new", "arguments": {"name": "eve", "tools": ["double"]}});
    let unknown =
        ann.ask_modern("tools/call", json!({"name": "token_nix", "arguments": {}}), person.clone()).await;
    // Many programs of the owner's user reach the port; what only the owner does wants the key of the folder.
    for (raw, meta) in [(&ann, &person), (&same_user, &person), (&owner, &json!({}))] {
        let refused = raw.ask_modern("tools/call", call.clone(), meta.clone()).await;
        assert_eq!(refused[0]["error"]["code"], unknown[0]["error"]["code"], "{refused:?}");
    }
    let made = owner.ask_modern("tools/call", call, person.clone()).await;
    let token = made[0]["result"]["structuredContent"]["token"].as_str().expect("a token").to_owned();
    assert!(world.engine.bearer(&token).is_some_and(|bearer| bearer.principal.name() == "eve"));
    let audit = json!({"name": "audit_list", "arguments": {}});
    let rows = owner.ask_modern("tools/call", audit, person).await;
    let rows = &rows[0]["result"]["structuredContent"]["rows"];
    let made = rows.as_array().expect("rows").iter().find(|row| row["reason"] == "eve").expect("a row");
    assert_eq!(
        (&made["deed"], &made["client"], &made["principal"]),
        (&json!("token_new"), &json!("by hand/1"), &json!("local"))
    );
    assert!(!rows.to_string().contains(&token));
}

#[tokio::test]
async fn a_session_of_the_key_is_not_the_same_users_without_it() {
    let world = World::new().await;
    let (owner, same_user) = (Raw::with_token(&world, KEY), Raw::new(&world));
    let (with_key, without) = (owner.session().await, same_user.session().await);
    let status = async |raw: &Raw, id: &str| raw.session_of(id).send("tools/list", json!({})).await.status();
    assert_eq!(status(&owner, &with_key.id).await, StatusCode::OK);
    assert_eq!(status(&same_user, &without.id).await, StatusCode::OK);
    assert_eq!(status(&same_user, &with_key.id).await, StatusCode::NOT_FOUND);
    assert_eq!(status(&owner, &without.id).await, StatusCode::NOT_FOUND);
}

/// How a server listens, and whether a program of its own user is the owner there without a key.
#[tokio::test]
async fn where_others_are_let_in_a_connection_says_nothing_of_who_calls() {
    let open = |options: Options| Options { open_loopback: true, ..options };
    let host = |name: &str| Options { allowed_hosts: vec![name.to_owned()], ..Options::new(loopback()) };
    let page =
        Options { allowed_origins: vec!["https://app.example".to_owned()], ..Options::new(loopback()) };
    let beyond = Options::new(SocketAddr::from(([0, 0, 0, 0], 0)));
    for (options, is_owner) in [
        (Options::new(loopback()), true),
        (host("tools.example"), false),
        (host("127.0.0.1"), false),
        (page.clone(), false),
        (beyond.clone(), false),
        (open(Options::new(loopback())), true),
        (open(page), true),
    ] {
        let shown = format!("{options:?}");
        let world = World::new().await;
        let token = world.token("ann", &["double"]).await;
        let world = world.listening(options).await;
        let port = world.http.address().port();
        let at_loopback = |raw: Raw| Raw { url: format!("http://127.0.0.1:{port}/mcp"), ..raw };
        let status = async |raw: Raw| {
            let raw = at_loopback(raw);
            raw.modern("tools/list", json!({}), json!({})).send().await.expect("an answer").status()
        };
        let expected = if is_owner { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(status(Raw::new(&world)).await, expected, "{shown}");
        assert_eq!(status(Raw::with_token(&world, KEY)).await, StatusCode::OK, "{shown}, with the key");
        assert_eq!(status(Raw::with_token(&world, &token)).await, StatusCode::OK, "{shown}, with a token");
        assert_eq!(
            status(Raw::with_token(&world, "lhk_wrong")).await,
            StatusCode::UNAUTHORIZED,
            "{shown}, a wrong key"
        );
    }
}
