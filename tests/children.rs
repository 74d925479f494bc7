//! Tools that call tools: exactly one child per step, bounded trees, ends that reach both ways, whatever is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use longhaul::api::TaskDocument;
use longhaul::authority::{Grant, Principal};
use longhaul::catalog::{Catalog, Component, Tool};
use longhaul::engine::messages::Outgoing;
use longhaul::engine::{EngineOptions, Submission, TaskEngine, TaskQuery, TreeBounds};
use longhaul::sandbox::{Sandbox, SandboxOptions};
use longhaul::task::{RetryPolicy, TaskId};
use serde_json::{Value, json};

use crate::support::{Client, Oracle, Server, copy_folder, guest, scale};

const PATIENCE: Duration = Duration::from_secs(60);

/// An engine in this process; its tools are the interpreter under several names.
struct House {
    folder: tempfile::TempDir,
    engine: TaskEngine,
    options: fn() -> EngineOptions,
}

impl House {
    async fn open() -> Self {
        Self::with(EngineOptions::default).await
    }

    async fn with(options: fn() -> EngineOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = engine(folder.path(), options()).await;
        let house = Self { folder, engine, options };
        house.start().await;
        house
    }

    async fn start(&self) {
        self.engine.set_catalog(Arc::new(catalog(&self.engine).await));
        self.engine.start().await.expect("a start");
    }

    /// The same store without anything that runs on it; `start` goes on.
    async fn stopped(self) -> Self {
        self.engine.shutdown().await;
        let engine = engine(self.folder.path(), (self.options)()).await;
        Self { engine, ..self }
    }

    async fn submit(&self, program: Value) -> TaskId {
        self.submit_as(Principal::local(), "run_program", program).await
    }

    async fn submit_as(&self, principal: Principal, tool: &str, program: Value) -> TaskId {
        let submission = Submission {
            tool: tool.to_owned(),
            arguments: json!({ "program": program }),
            principal,
            idempotency_key: None,
            trace: None,
        };
        self.engine.submit(submission).await.expect("a task").id
    }

    async fn document(&self, id: TaskId) -> TaskDocument {
        self.engine.task(&Principal::local(), id).await.expect("a task").into()
    }

    async fn until(&self, id: TaskId, wanted: impl Fn(&TaskDocument) -> bool) -> TaskDocument {
        let follower = self.engine.feed().follow(id).expect("a follower");
        loop {
            let document = self.document(id).await;
            if wanted(&document) {
                return document;
            }
            tokio::time::timeout(PATIENCE, follower.next()).await.expect("nothing happens any more");
        }
    }

    async fn until_waiting(&self, id: TaskId) -> TaskDocument {
        self.until(id, |document| document.state == "waiting").await
    }

    async fn ended(&self, id: TaskId) -> TaskDocument {
        let document = self.engine.wait(&Principal::local(), id, PATIENCE).await.expect("a task");
        assert!(document.state.is_terminal(), "{document:?}");
        document.into()
    }

    /// What the program printed, by line, without the number of the op.
    async fn printed(&self, id: TaskId) -> Vec<String> {
        let document = self.ended(id).await;
        assert_eq!(document.state, "completed", "{:?}", document.error);
        self.lines(&Principal::local(), id).await
    }

    async fn lines(&self, principal: &Principal, id: TaskId) -> Vec<String> {
        let log = self.engine.log(principal, id, 0, 1 << 20).await.expect("a log").bytes;
        lines(&String::from_utf8(log).expect("text"))
    }

    async fn send(&self, id: TaskId) {
        let message = Outgoing { name: "go".to_owned(), payload: json!(1), key: None };
        self.engine.send(&Principal::local(), id, message).await.expect("sent");
    }

    async fn children(&self, id: TaskId) -> Vec<TaskDocument> {
        let query = TaskQuery { parent: Some(id), ..TaskQuery::default() };
        let page = self.engine.tasks(&Principal::local(), &query).await.expect("a page");
        page.tasks.into_iter().map(TaskDocument::from).collect()
    }

    async fn all(&self) -> Vec<TaskDocument> {
        let page = self.engine.tasks(&Principal::local(), &TaskQuery::default()).await.expect("a page");
        page.tasks.into_iter().map(TaskDocument::from).collect()
    }
}

fn lines(log: &str) -> Vec<String> {
    let words = |line: &str| line.splitn(3, ' ').nth(2).map(str::to_owned);
    log.lines().filter(|line| line.starts_with("> ")).filter_map(words).collect()
}

fn id(document: &TaskDocument) -> TaskId {
    document.id.parse().expect("an id")
}

async fn engine(folder: &Path, options: EngineOptions) -> TaskEngine {
    let sandbox = Sandbox::new(SandboxOptions::default()).expect("a sandbox");
    TaskEngine::open(folder, Arc::new(sandbox), options).await.expect("the store opens")
}

/// `run_program`, `other` and `stubborn` (which is tried twice) may call all tools, `bare` none.
async fn catalog(engine: &TaskEngine) -> Catalog {
    let bytes: Arc<[u8]> = fs::read(guest("interpreter")).expect("a component").into();
    let inspected = engine.inspect(bytes.clone()).await.expect("it is one").tools.remove(0);
    let component = engine.store_component(bytes, "interpreter").await.expect("stored");
    let tool = |name: &str| {
        let mut definition = inspected.definition.clone();
        definition.name = name.to_owned();
        let mut tool = Tool::new(definition, component.clone(), name);
        tool.binding.clone_from(&inspected.binding);
        tool.grant = Grant { tools: vec!["*".to_owned()], ..Grant::default() };
        tool
    };
    let bare = Tool { grant: Grant::default(), ..tool("bare") };
    let retry = RetryPolicy { attempts: 2, backoff: Duration::from_millis(10) };
    let stubborn = Tool { retry, ..tool("stubborn") };
    let tools = vec![tool("run_program"), tool("other"), bare, stubborn];
    let component = Component::of_tools("interpreter", component.clone(), tools).expect("a component");
    Catalog::default().with(component).expect("a catalog")
}

fn call(tool: &str, program: Value) -> Value {
    json!({"tool": tool, "arguments": {"program": program}})
}

fn with(mut call: Value, more: Value) -> Value {
    call.as_object_mut().expect("a call").extend(more.as_object().expect("fields").clone());
    call
}

fn spawn(calls: &[Value]) -> Value {
    json!({"op": "spawn", "calls": calls})
}

fn op(call: Value) -> Value {
    with(call, json!({"op": "call"}))
}

const DAY_MS: u64 = 86_400_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_waits_out_of_memory_and_is_told_what_each_child_came_to() {
    let house = House::open().await;
    let receive = json!([{"op": "receive", "names": ["go"]}]);
    let parent = house
        .submit(json!([
            spawn(&[
                call("run_program", json!([{"op": "step", "name": "a"}])),
                call("other", json!([{"op": "fail", "text": "no"}])),
                call("run_program", json!([{"op": "trap"}])),
                call("run_program", json!([{"op": "protocol_error", "code": -7, "message": "no"}])),
                call("run_program", receive),
            ]),
            {"op": "join_all"},
        ]))
        .await;
    let waiting = house.until_waiting(parent).await;
    assert_eq!(waiting.reason.as_deref(), Some("child"));
    assert_eq!(waiting.children.len(), 5);
    let children = house.children(parent).await;
    assert_eq!(
        children.iter().map(|child| &child.id).collect::<Vec<_>>(),
        waiting.children.iter().collect::<Vec<_>>()
    );
    for child in &children {
        assert_eq!((child.parent.as_ref(), child.root.as_ref()), (Some(&waiting.id), Some(&waiting.id)));
    }
    let last = children.iter().find(|child| !child.is_terminal()).expect("one is open");
    house.send(id(last)).await;
    let printed = house.printed(parent).await;
    assert_eq!(printed[0], "spawn 5");
    let ends: Vec<&str> = printed[1]
        .split([' ', ','])
        .filter(|word| word.starts_with(char::is_alphabetic) && word.len() < 13)
        .collect();
    assert_eq!(ends, ["join_all", "ok", "tool_error", "failed", "protocol", "ok"]);
}

/// With room for one instance alone, parents make room for the children that they wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_never_holds_the_last_instance_that_its_child_needs() {
    let house = House::with(|| EngineOptions { live_instances: 1, ..EngineOptions::default() }).await;
    let leaf = json!([{"op": "step", "name": "leaf"}]);
    let middle = json!([spawn(&[call("other", leaf.clone()), call("other", leaf)]), {"op": "join_all"}]);
    let parent = house.submit(json!([{"op": "compute", "rounds": 1000}, op(call("other", middle))])).await;
    assert!(house.printed(parent).await[0].starts_with("call ok"));
    assert_eq!(house.all().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_and_then_otherwise() {
    let house = House::open().await;
    let bad = call("run_program", json!([{"op": "trap"}]));
    let slow = json!([{"op": "sleep", "ms": DAY_MS}]);
    let parent = house
        .submit(json!([
            op(with(bad.clone(), json!({"alternatives": ["gone", "other"], "retries": 1}))),
            op(with(call("gone", json!([])), json!({"alternatives": ["other"]}))),
            op(with(call("run_program", slow), json!({"timeout_seconds": 1, "alternatives": ["other"]}))),
            op(call("gone", json!([]))),
            op(json!({"tool": "other", "arguments": {"wrong": 1}})),
        ]))
        .await;
    let printed = house.printed(parent).await;
    assert_eq!(printed[0], "call failed");
    assert!(printed[1].starts_with("call ok"), "{printed:?}");
    assert_eq!(printed[2..], ["call timed_out", "call refused not_found", "call refused invalid"]);
    let tries: Vec<(String, String)> =
        house.children(parent).await.into_iter().map(|child| (child.tool, child.state)).collect();
    let tries: Vec<(&str, &str)> = tries.iter().map(|(tool, state)| (&tool[..], &state[..])).collect();
    let failed = |tool| (tool, "failed");
    assert_eq!(
        tries,
        [
            failed("run_program"),
            failed("run_program"),
            failed("other"),
            failed("other"),
            ("other", "completed"),
            failed("run_program"),
            failed("other"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_takes_its_children_along_but_not_the_detached() {
    let house = House::open().await;
    let wait = json!([{"op": "sleep", "ms": DAY_MS}]);
    let receive = json!([{"op": "receive", "names": []}]);
    let middle = json!([op(call("other", wait))]);
    let detached = with(call("other", receive), json!({"detached": true}));
    let parent = house.submit(json!([spawn(&[call("other", middle), detached]), {"op": "join_all"}])).await;
    house.until_waiting(parent).await;
    let children = house.children(parent).await;
    house.until_waiting(id(&children[0])).await;
    let leaf = house.children(id(&children[0])).await.remove(0);
    house.engine.cancel(&Principal::local(), parent, None).await.expect("cancelled");
    for gone in [parent, id(&children[0]), id(&leaf)] {
        assert_eq!(house.ended(gone).await.state, "cancelled");
    }
    assert!(
        house.document(id(&leaf)).await.error.expect("a reason").message.contains("the task that called it")
    );
    house.send(id(&children[1])).await;
    assert_eq!(house.ended(id(&children[1])).await.state, "completed");
}

/// The parent's end was committed, and nothing ran that could tell its children.
#[tokio::test(flavor = "multi_thread")]
async fn children_that_lost_their_parent_while_nothing_ran_are_cancelled_by_the_next_start() {
    let house = House::open().await;
    let wait = json!([{"op": "sleep", "ms": DAY_MS}]);
    let middle = json!([op(call("other", wait))]);
    let parent = house.submit(json!([op(call("other", middle))])).await;
    house.until_waiting(parent).await;
    let child = id(&house.children(parent).await[0]);
    house.until_waiting(child).await;
    let leaf = id(&house.children(child).await[0]);
    house.until_waiting(leaf).await;
    let house = house.stopped().await;
    house.engine.cancel(&Principal::local(), parent, None).await.expect("cancelled");
    assert_eq!(house.document(child).await.state, "waiting");
    house.start().await;
    assert_eq!(house.ended(child).await.state, "cancelled");
    assert_eq!(house.ended(leaf).await.state, "cancelled");
}

/// One that is to clean up first hears of it at once, not when its wait of a day is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_listens_and_lost_its_parent_while_nothing_ran_cleans_up_at_the_next_start() {
    let house = House::open().await;
    let listens = json!([{"op": "await_cancel", "timeout_ms": DAY_MS}]);
    let parent = house.submit(json!([op(call("other", listens))])).await;
    house.until_waiting(parent).await;
    let child = id(&house.children(parent).await[0]);
    house.until_waiting(child).await;
    let house = house.stopped().await;
    house.engine.cancel(&Principal::local(), parent, None).await.expect("cancelled");
    assert_eq!(house.document(child).await.state, "waiting");
    house.start().await;
    assert_eq!(house.ended(child).await.state, "cancelled");
    let outputs = house.document(child).await.outputs;
    assert!(outputs.iter().any(|output| output.name == "cleanup"), "{outputs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_given_up_or_left_by_a_retry_is_cancelled() {
    let house = House::open().await;
    let wait = call("other", json!([{"op": "sleep", "ms": DAY_MS}]));
    let parent = house
        .submit(json!([spawn(std::slice::from_ref(&wait)), {"op": "cancel_children"}, op(call("other", json!([])))]))
        .await;
    assert_eq!(house.printed(parent).await[0], "spawn 1");
    assert_eq!(house.ended(id(&house.children(parent).await[0])).await.state, "cancelled");

    let parent = house
        .submit_as(
            Principal::local(),
            "stubborn",
            json!([spawn(&[wait]), {"op": "step", "name": "s"}, {"op": "trap"}]),
        )
        .await;
    assert_eq!(house.ended(parent).await.state, "failed");
    let children = house.children(parent).await;
    assert_eq!(children.len(), 2, "one for each try");
    for child in &children {
        assert_eq!(house.ended(id(child)).await.state, "cancelled");
    }
}

/// A retry that keeps the calls makes those again whose children were cancelled with it, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_from_a_step_calls_again_what_went_with_it() {
    let house = House::open().await;
    let receive = call("other", json!([{"op": "receive", "names": []}]));
    let quick = call("other", json!([{"op": "step", "name": "quick"}]));
    let parent = house
        .submit(json!([spawn(&[quick, receive]), {"op": "join_any"}, {"op": "receive", "names": []}, {"op": "join_all"}]))
        .await;
    house.until(parent, |document| document.reason.as_deref() == Some("message")).await;
    let before = house.children(parent).await;
    house.engine.cancel(&Principal::local(), parent, None).await.expect("cancelled");
    assert_eq!(house.ended(id(&before[1])).await.state, "cancelled");
    house.engine.retry(&Principal::local(), parent, Some(1)).await.expect("again");
    let children = house.children(parent).await;
    let states: Vec<&str> = children.iter().map(|child| child.state.as_str()).collect();
    assert_eq!(states[..2], ["completed", "cancelled"]);
    assert_eq!(children.len(), 3, "{states:?}");
    house.send(id(&children[2])).await;
    house.send(parent).await;
    let printed = house.printed(parent).await;
    assert!(printed[1].starts_with("join_any ok") && printed[3].starts_with("join_all ok"), "{printed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_component_and_principal_are_granted_is_called() {
    let house = House::open().await;
    let calls = json!([op(call("other", json!([]))), {"op": "granted"}]);
    let bare = house.submit_as(Principal::local(), "bare", calls.clone()).await;
    assert_eq!(house.printed(bare).await, ["call refused not_granted", "granted "]);
    let all = house.submit(calls.clone()).await;
    assert_eq!(house.printed(all).await[1], "granted bare other run_program stubborn");
    let ann = Principal::new("ann", vec!["run_*".to_owned()]);
    let task = house.submit_as(ann.clone(), "run_program", calls).await;
    house.engine.wait(&ann, task, PATIENCE).await.expect("a task");
    assert_eq!(house.lines(&ann, task).await, ["call refused not_found", "granted run_program"]);
}

fn small_tree() -> EngineOptions {
    let tree = TreeBounds { depth: 3, open_children: 4, tasks: 20 };
    EngineOptions { tree, ..EngineOptions::default() }
}

/// Each level starts four more, much deeper than it may; a second one goes on calling over a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_ends_at_its_bounds_also_over_a_restart() {
    let house = House::with(small_tree).await;
    let bomb = (0..6).fold(json!([]), |inner, _| {
        let again = call("run_program", inner);
        json!([spawn(&[again.clone(), again.clone(), again.clone(), again]), {"op": "join_all"}])
    });
    let root = house.submit(bomb).await;
    assert_eq!(house.ended(root).await.state, "completed");
    assert_eq!(house.all().await.len(), 21, "the root and 20 under it");

    let house = House::with(small_tree).await;
    let one = call("other", json!([]));
    let five = spawn(&vec![one.clone(); 5]);
    let pass = json!({"op": "loop", "times": 15, "body": [op(one.clone())]});
    let root = house.submit(json!([five, pass, {"op": "receive", "names": []}, pass])).await;
    house.until_waiting(root).await;
    assert_eq!(house.all().await.len(), 16);
    let house = house.stopped().await;
    house.start().await;
    house.send(root).await;
    let printed = house.printed(root).await;
    assert_eq!(printed[0], "spawn refused limit");
    let refused = printed.iter().filter(|line| *line == "call refused limit").count();
    assert_eq!(refused, 10, "{printed:?}");
    assert_eq!(house.all().await.len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn parent_and_child_send_each_other_messages() {
    let house = House::open().await;
    let child = json!([
        {"op": "receive", "names": ["down"]},
        {"op": "send", "to": "parent", "name": "up", "payload": 2},
    ]);
    let parent = house
        .submit(json!([
            {"op": "send", "to": "parent", "name": "up", "payload": 0},
            spawn(&[call("other", child)]),
            {"op": "send", "to": "child", "name": "down", "payload": 1},
            {"op": "receive", "names": ["up"]},
            {"op": "join_all"},
        ]))
        .await;
    let printed = house.printed(parent).await;
    assert_eq!(printed[0], "send not_found");
    assert_eq!(printed[2], "send 1");
    let child = &house.children(parent).await[0];
    assert!(printed[3].starts_with("receive 1 up 2"), "{printed:?}");
    assert!(house.lines(&Principal::local(), id(child)).await[0].starts_with("receive 1 down 1"));
}

/// Retention is over for the child, but its parent may still ask what it came to.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_child_is_kept_as_long_as_its_parent_is_open() {
    let house =
        House::with(|| EngineOptions { retention: Some(Duration::ZERO), ..EngineOptions::default() }).await;
    let parent = house
        .submit(
            json!([spawn(&[call("other", json!([]))]), {"op": "receive", "names": []}, {"op": "join_all"}]),
        )
        .await;
    house.until_waiting(parent).await;
    let child = id(&house.children(parent).await[0]);
    house.ended(child).await;
    assert_eq!(house.engine.sweep().await.expect("a sweep").tasks, 0);
    house.send(parent).await;
    assert!(house.printed(parent).await[2].starts_with("join_all ok"));
    house.engine.sweep().await.expect("a sweep");
    assert!(house.all().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn parents_that_wait_for_children_that_wait_cost_no_instances() {
    let house = House::open().await;
    let program = json!([op(call("other", json!([{"op": "receive", "names": []}])))]);
    let mut parents = Vec::new();
    for _ in 0..scale("LONGHAUL_PARENTS", 100) {
        parents.push(house.submit(program.clone()).await);
    }
    for parent in &parents {
        assert_eq!(house.until_waiting(*parent).await.reason.as_deref(), Some("child"));
        house.until_waiting(id(&house.children(*parent).await[0])).await;
    }
    // A task is seen to wait a moment before its instance is gone.
    let left = async {
        while house.engine.metrics().live_instances > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, left).await.expect("no instance is left");
    assert_eq!(house.engine.metrics().waiting, 2 * parents.len() as u64);
    for parent in &parents {
        house.send(id(&house.children(*parent).await[0])).await;
    }
    for parent in &parents {
        assert!(house.printed(*parent).await[0].starts_with("call ok"));
    }
}

/// The interpreter with a grant for all tools, compiled once, in a server.
struct Place {
    root: tempfile::TempDir,
    tools: Vec<PathBuf>,
    copies: u64,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let component = root.path().join("interpreter.wasm");
        fs::copy(guest("interpreter"), &component).expect("a copy");
        let manifest = "name = \"interpreter\"\n[capabilities]\ntools = [\"*\"]\n";
        fs::write(root.path().join("interpreter.toml"), manifest).expect("a manifest");
        let tools = vec![component];
        let server = Server::start(&root.path().join("template"), &tools);
        assert!(server.stop().success());
        Self { root, tools, copies: 0 }
    }

    fn data(&mut self) -> PathBuf {
        self.copies += 1;
        let data = self.root.path().join(format!("run-{}", self.copies));
        copy_folder(&self.root.path().join("template"), &data);
        data
    }

    /// Dies at this point, is started again, and comes to its end; whether it died.
    async fn crashed(&mut self, program: &[Value], crash: &str) -> bool {
        let data = self.data();
        let mut server =
            Server::start_with(&data, &self.tools, &[("LONGHAUL_CRASH", crash)]).expect("a server");
        let arguments = json!({ "program": program });
        let client = server.client();
        let died = match client.start("run_program", arguments.clone(), Some("k")).await {
            Ok(id) => client.ended(&id).await.is_err(),
            Err(_) => true,
        };
        if died {
            assert_eq!(server.died().expect("it is dying").code(), None, "{}", server.said());
        }
        drop(server);
        let server = Server::start(&data, &self.tools);
        let client = server.client();
        let id = client.start("run_program", arguments, Some("k")).await.expect("a link");
        check(&client, &id, program, crash).await;
        died
    }
}

/// One child for each call, each with the end that its parent saw.
async fn check(client: &Client, id: &str, program: &[Value], crash: &str) {
    let document = client.ended(id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{crash}: {document}");
    let result = client.result(id).await.expect("a result");
    let oracle = Oracle::of(program);
    assert_eq!(result["acc"], json!(format!("{:016x}", oracle.acc)), "{crash}");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    let observed: String =
        log.lines().filter(|line| line.starts_with("> ")).map(|line| format!("{line}\n")).collect();
    assert_eq!(result["observed"], json!(format!("{:016x}", Oracle::hash(observed.as_bytes()))), "{crash}");

    let listed = client.call("task_list", json!({ "parent": id }), json!({})).await.expect("a list");
    let children = listed["structuredContent"]["tasks"].as_array().expect("tasks").clone();
    assert_eq!(children.len(), 4, "{crash}: {children:?}");
    let mut ends = Vec::new();
    for child in &children {
        let child = child["id"].as_str().expect("an id");
        assert_eq!(client.task(child).await.expect("a task")["parent"], json!(id));
        let text = client.result(child).await.expect("a result").to_string();
        ends.push(format!("ok {:016x}", Oracle::hash(text.as_bytes())));
    }
    let printed = lines(&log);
    assert_eq!(printed[1], format!("join_all {}", ends[..3].join(", ")), "{crash}");
    assert_eq!(printed[2], format!("call {}", ends[3]), "{crash}");
    let all = client.call("task_list", json!({}), json!({})).await.expect("a list");
    assert_eq!(all["structuredContent"]["tasks"].as_array().map(Vec::len), Some(5), "{crash}");
}

fn family() -> Vec<Value> {
    let child =
        |ms: u64| call("run_program", json!([{"op": "step", "name": "c"}, {"op": "sleep", "ms": ms}]));
    vec![
        json!({"op": "step", "name": "first"}),
        spawn(&[child(1), child(30), child(2)]),
        json!({"op": "join_all"}),
        op(child(1)),
        json!({"op": "step", "name": "last"}),
    ]
}

/// Every record of the parent and of its children, and both sides of the commit that starts them.
#[tokio::test(flavor = "multi_thread")]
async fn one_child_per_step_whatever_record_is_the_last() {
    let (mut place, program) = (Place::new(), family());
    let mut kills = 0;
    for point in ["calling:1", "called:1", "calling:2", "called:2", "settled:1", "settled:3"] {
        kills += u64::from(place.crashed(&program, point).await);
    }
    for number in 1.. {
        if !place.crashed(&program, &format!("record:{number}")).await {
            break;
        }
        kills += 1;
    }
    println!("killed {kills} times");
    assert!(kills > 15, "too few points were reached: {kills}");
}

/// Killed while its children sleep, a supervisor goes on with those children, where they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_goes_on_with_its_children_where_they_are() {
    let mut place = Place::new();
    let data = place.data();
    let child = json!([{"op": "step", "name": "before"}, {"op": "receive", "names": []}, {"op": "step", "name": "after"}]);
    let program = vec![spawn(&vec![call("run_program", child); 3]), json!({"op": "join_all"})];
    let server = Server::start(&data, &place.tools);
    let client = server.client();
    let id = client.start("run_program", json!({"program": program}), None).await.expect("a link");
    let is_waiting = |document: &Value| document["state"] == "waiting";
    let before = client.until(&id, is_waiting).await;
    let children: Vec<String> = before["children"]
        .as_array()
        .expect("children")
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    assert_eq!(children.len(), 3);
    for child in &children {
        client.until(child, is_waiting).await;
    }
    server.kill();
    let server = Server::start(&data, &place.tools);
    let client = server.client();
    assert_eq!(client.until(&id, is_waiting).await["children"], before["children"]);
    for child in &children {
        let sent =
            client.call("task_send", json!({"task_id": child, "name": "go", "payload": 1}), json!({})).await;
        assert_eq!(sent.expect("sent")["structuredContent"], json!({"seq": 1}));
    }
    let document = client.ended(&id).await.expect("an end");
    assert_eq!((&document["state"], &document["children"]), (&json!("completed"), &before["children"]));
    for child in &children {
        let trace = client.read(&format!("task://{child}/output/trace")).await.expect("an output");
        assert_eq!(trace, "1 before\n2 after\n");
    }
}
