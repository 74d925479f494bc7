//! What revocation reaches, with the real program: tasks of a token that is revoked, what its owner may do about them,
//! and components that are blocked, also where the process dies in between.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Client, Server, Web, answer_of, command, guest};

/// A data folder, the interpreter with every grant, and a web server that it may reach.
struct Place {
    root: tempfile::TempDir,
    tools: Vec<PathBuf>,
    web: Web,
}

impl Place {
    fn new() -> Self {
        let (root, web) = (tempfile::tempdir().expect("a folder"), Web::start());
        let component = root.path().join("interpreter.wasm");
        fs::copy(guest("interpreter"), &component).expect("a copy");
        let place = Self { root, tools: vec![component, guest("text_stats")], web };
        place.grant(&place.everything());
        place
    }

    fn everything(&self) -> String {
        format!(
            "http = [{:?}]\nstate = [\"vault\"]\ntools = [\"*\"]\nelicit = true\nsample = true\n",
            self.web.url("").trim_end_matches('/')
        )
    }

    /// What the interpreter is granted from the next start on.
    fn grant(&self, capabilities: &str) {
        let manifest = format!("name = \"interpreter\"\n[capabilities]\n{capabilities}");
        fs::write(self.root.path().join("interpreter.toml"), manifest).expect("a manifest");
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn start(&self) -> Server {
        Server::start(&self.data(), &self.tools)
    }

    /// Where its operator grants the interpreter this, whatever it asks for.
    fn start_granted(&self, capabilities: &str) -> Server {
        let configuration = self.root.path().join("longhaul.toml");
        fs::write(&configuration, format!("[grants.interpreter]\n{capabilities}")).expect("a configuration");
        Server::start_granted(&self.data(), &self.tools, &configuration)
    }

    /// `longhaul …`, by the server where one runs.
    fn run(&self, words: &[&str]) -> Value {
        answer_of(command(&self.data(), words))
    }

    fn fails(&self, words: &[&str], token: Option<&str>) -> Output {
        let mut command = command(&self.data(), words);
        command.envs(token.map(|token| ("LONGHAUL_TOKEN", token)));
        command.output().expect("longhaul runs")
    }

    fn token(&self, name: &str) -> String {
        let made = self.run(&["token", "new", name, "--tools", "*", "--state", "vault"]);
        made["token"].as_str().expect("a token").to_owned()
    }

    /// Each kind of effect: a word for it, and the step.
    fn effects(&self) -> Vec<(&'static str, Value)> {
        let get = json!({"op": "http", "request": {"method": "GET", "url": self.web.url("/get")}});
        let post =
            json!({"op": "http", "request": {"method": "POST", "url": self.web.url("/post"), "body": "b"}});
        let put = json!({"op": "state_put", "namespace": "vault", "entries": [{"key": "put", "value": 1}]});
        let call = json!({"op": "call", "tool": "analyze", "arguments": {"text": "a"}});
        let ask = json!({"op": "ask", "key": "q"});
        let sample = json!({"op": "sample", "prompt": "p", "max_tokens": 1});
        vec![("get", get), ("post", post), ("put", put), ("call", call), ("ask", ask), ("sample", sample)]
    }
}

/// Starts a task for each kind, each of which waits for an entry of shared state before it does anything.
async fn start_all(place: &Place, client: &Client) -> Vec<(&'static str, String)> {
    let mut tasks = Vec::new();
    for (kind, effect) in place.effects() {
        let gate = json!({"op": "state_watch", "namespace": "vault", "key": "go", "version": 0});
        let program = json!([{"op": "step", "name": "first"}, gate, effect]);
        // One of them as a child of another.
        let program = match kind {
            "put" => json!([{"op": "call", "tool": "run_program", "arguments": {"program": program}}]),
            _ => program,
        };
        let id = client.start("run_program", json!({ "program": program }), None).await.expect("a task");
        client.until(&id, |task| task["state"] == "waiting").await;
        tasks.push((kind, id));
    }
    tasks
}

/// What happened in the name of the task's owner.
async fn happened(place: &Place, owner: &Client, tasks: &[(&'static str, String)]) -> Vec<&'static str> {
    let listed = place.run(&["task", "list", "--principal", "ann"]);
    let of_tool = |tool: &str| {
        listed["tasks"].as_array().expect("tasks").iter().filter(|task| task["tool"] == tool).count()
    };
    let entry = owner.structured("state_get", json!({"namespace": "vault", "key": "put"})).await;
    let mut seen = Vec::new();
    for (kind, id) in tasks {
        let task = place.run(&["task", "show", id]);
        let has_asked = !task["input_requests"].is_null();
        seen.extend(
            match *kind {
                "get" => place.web.count("/get") > 0,
                "post" => place.web.count("/post") > 0,
                "put" => entry["version"] != 0,
                "call" => of_tool("analyze") > 0,
                _ => has_asked,
            }
            .then_some(*kind),
        );
    }
    seen
}

/// Waits until each has ended, or asks.
async fn settled(place: &Place, tasks: &[(&'static str, String)]) -> Vec<Value> {
    let mut ends = Vec::new();
    for (_, id) in tasks {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            let task = place.run(&["task", "show", id]);
            let stands = task["state"].as_str().unwrap_or_default();
            if ["completed", "failed", "cancelled"].contains(&stands) || !task["input_requests"].is_null() {
                ends.push(task);
                break;
            }
            assert!(std::time::Instant::now() < until, "{task}");
        }
    }
    ends
}

/// What reading and calls need.
const LESS: &str = "state = [\"vault:read\"]\ntools = [\"run_program\", \"analyze\"]\n";
const ALL: [&str; 6] = ["get", "post", "put", "call", "ask", "sample"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_tokens_tasks_act_no_more_wherever_they_stand() {
    for (place_of_task, expected) in [
        ("not revoked", &ALL[..]),
        ("suspended", &[]),
        ("killed after it", &[]),
        ("revoked offline", &[]),
        ("asks for less", &["call"]),
        ("is granted less", &["call"]),
    ] {
        let place = Place::new();
        let mut server = match place_of_task {
            "is granted less" => place.start_granted(&place.everything()),
            _ => place.start(),
        };
        let token = place.token("ann");
        let ann = server.client().with_key(&token);
        let tasks = start_all(&place, &ann).await;
        match place_of_task {
            "not revoked" => {}
            "asks for less" => {
                server.kill();
                place.grant(LESS);
                server = place.start();
            }
            "is granted less" => {
                server.kill();
                server = place.start_granted(LESS);
            }
            "revoked offline" => {
                server.kill();
                place.run(&["token", "revoke", "ann"]);
                server = place.start();
            }
            _ => drop(place.run(&["token", "revoke", "ann"])),
        }
        if place_of_task == "killed after it" {
            server.kill();
            server = place.start();
        }
        let owner = server.owner();
        let go = json!({"namespace": "vault", "key": "go", "value": 1});
        owner.structured("state_put", go).await;
        let ends = settled(&place, &tasks).await;
        assert_eq!(happened(&place, &owner, &tasks).await, expected, "{place_of_task}: {ends:?}");
        for end in &ends {
            assert_ne!(end["error"]["reason"], "diverged", "{place_of_task}: {end}");
        }
        assert!(server.stop().success());
    }
}

/// What is only read is left where it is; what changes something may have arrived, and its answer is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_on_its_way_that_only_reads_is_called_back_when_its_owners_token_goes() {
    let place = Place::new();
    let server = place.start();
    let ann = server.client().with_key(&place.token("ann"));
    let mut tasks = Vec::new();
    for (kind, method, path) in [("get", "GET", "/never/get"), ("post", "POST", "/slow/1500/post")] {
        let request = json!({"method": method, "url": place.web.url(path), "body": ""});
        let program = json!([{"op": "http", "request": request}]);
        let id = ann.start("run_program", json!({ "program": program }), None).await.expect("a task");
        tasks.push((kind, id));
        place.web.asked_for(path).await;
    }
    place.run(&["token", "revoke", "ann"]);
    let mut answers = Vec::new();
    for (end, (_, id)) in settled(&place, &tasks).await.iter().zip(&tasks) {
        assert_eq!(end["state"], "completed", "{end}");
        let log = place.run(&["task", "output", id, "log"])["text"].as_str().expect("text").to_owned();
        answers.extend(log.lines().filter_map(|line| Some(line.split_once(" http ")?.1.to_owned())));
    }
    assert_eq!(answers, ["error HttpRequestDenied".to_owned(), Web::answer("POST", "/slow/1500/post", "")]);
    let rows = place.run(&["audit", "list", "--principal", "ann", "--verdict", "refused"]);
    let lost = rows["rows"].as_array().expect("rows").iter().filter(|row| row["reason"] == "token_revoked");
    assert_eq!(lost.map(|row| &row["task"]).collect::<Vec<_>>(), [&json!(tasks[0].1)], "{rows}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_sees_and_ends_the_tasks_of_all_and_others_their_own() {
    let place = Place::new();
    let server = place.start();
    let (ann, bob) = (place.token("ann"), place.token("bob"));
    let client = server.client().with_key(&ann);
    let sleep = json!({"program": [{"op": "step", "name": "first"}, {"op": "sleep", "ms": 3_600_000}]});
    let mut ids = Vec::new();
    for _ in 0..2 {
        let id = client.start("run_program", sleep.clone(), None).await.expect("a task");
        client.until(&id, |task| task["state"] == "waiting").await;
        ids.push(id);
    }
    let listed = |words: &[&str]| {
        let listed = place.run(&[&["task", "list"], words].concat());
        let tasks = listed["tasks"].as_array().expect("tasks").iter();
        tasks.map(|task| (task["principal"].clone(), task["id"].clone())).collect::<Vec<_>>()
    };
    let anns: Vec<(Value, Value)> = ids.iter().rev().map(|id| (json!("ann"), json!(id))).collect();
    assert!(listed(&[]).is_empty(), "without a word, its own");
    let look = || {
        assert_eq!(listed(&["--all"]), anns);
        assert_eq!(listed(&["--principal", "ann"]), anns);
        assert!(listed(&["--principal", "bob"]).is_empty());
        assert_eq!(place.run(&["task", "show", &ids[0]])["id"], json!(ids[0]));
        assert!(!place.run(&["task", "journal", &ids[0]])["records"].as_array().expect("records").is_empty());
        let steps = place.run(&["task", "show", &ids[0], "--steps"]);
        assert!(!steps["entries"].as_array().expect("entries").is_empty(), "{steps}");
    };
    look();
    // A model, and another caller, see nothing of it: neither without the owner's key, nor by its mark alone.
    let by_person = json!({"longhaul/by-person": true});
    for (who, meta) in [(server.client(), by_person), (server.owner(), json!({}))] {
        let status =
            who.call("task_status", json!({"task_id": ids[0]}), meta.clone()).await.expect("an answer");
        assert_eq!(status["isError"], true, "{status}");
        assert!(who.call("task_list_all", json!({}), meta).await.is_err());
    }
    for words in [["task", "show"], ["task", "cancel"], ["task", "delete"]] {
        let refused = place.fails(&[words[0], words[1], &ids[0]], Some(&bob));
        assert_eq!(refused.status.code(), Some(3), "{words:?}");
    }
    assert_eq!(place.fails(&["task", "list", "--all"], Some(&bob)).status.code(), Some(4));
    assert_eq!(place.run(&["task", "cancel", &ids[0]])["state"], "cancelled");
    assert_eq!(place.run(&["task", "delete", &ids[0]])["deleted"], 1);
    server.kill();

    // And where no server runs.
    let (ids, anns) = (&ids[1..], &anns[..1]);
    assert_eq!(listed(&["--all"]), anns);
    assert_eq!(place.run(&["task", "show", &ids[0]])["id"], json!(ids[0]));
    assert!(!place.run(&["task", "journal", &ids[0]])["records"].as_array().expect("records").is_empty());
    assert_eq!(place.run(&["task", "cancel", &ids[0]])["state"], "cancelled");
    assert_eq!(place.run(&["task", "delete", &ids[0]])["deleted"], 1);
    let rows = place.run(&["audit", "list", "--principal", "local"]);
    let count = |deed: &str| {
        let rows = rows["rows"].as_array().expect("rows").iter();
        rows.filter(|row| row["deed"] == deed && row["verdict"] == "admitted").count()
    };
    assert_eq!((count("cancel"), count("delete")), (2, 2), "{rows}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_does_for_the_tasks_of_others_what_they_could_and_the_audit_says_whose() {
    let place = Place::new();
    let server = place.start();
    let (ann, bob) = (place.token("ann"), place.token("bob"));
    let client = server.client().with_key(&ann);
    let pay = json!({"method": "POST", "url": place.web.url("/never/pay"), "body": "b"});
    let program = json!([
        {"op": "receive", "names": ["go"]}, {"op": "ask", "key": "q"}, {"op": "http", "request": pay},
    ]);
    let id = client.start("run_program", json!({ "program": program }), None).await.expect("a task");
    let until = async |client: &Client, state: &str, reason: &str| {
        client.until(&id, |task| task["state"] == state && task["reason"] == reason).await
    };
    until(&client, "waiting", "message").await;
    for words in [&["send", &id, "go"][..], &["answer", &id, "n=1"], &["retry", &id]] {
        let refused = place.fails(&[&["task"], words].concat(), Some(&bob));
        assert_eq!(refused.status.code(), Some(3), "{words:?}: {refused:?}");
    }
    place.run(&["task", "send", &id, "go"]);
    until(&client, "waiting", "input").await;
    let by_model = json!({"task_id": id, "action": "accept", "content": {"n": 1}});
    let unseen = server.owner().call("task_answer", by_model, json!({})).await.expect("an answer");
    assert!(unseen["isError"] == true && unseen.to_string().contains("there is no task"), "{unseen}");
    place.run(&["task", "answer", &id, "n=7"]);
    place.web.asked_for("/never/pay").await;
    let answered = client.task(&id).await.expect("a task")["questions_answered"][0]["answered_by"].clone();
    assert_eq!(answered, json!({"principal": "local", "channel": "cli"}));
    server.kill();
    let server = place.start();
    let client = server.client().with_key(&ann);
    until(&client, "failed", "unknown_outcome").await;
    server.kill();
    // Without a server, and with one.
    place.run(&["task", "resolve", &id, "--step", "2", "--failed"]);
    let server = place.start();
    let client = server.client().with_key(&ann);
    client.ended(&id).await.expect("an end");
    let other = client.start("run_program", json!({"program": [{"op": "sleep", "ms": 3_600_000}]}), None);
    let other = other.await.expect("a task");
    place.run(&["task", "cancel", &other]);
    place.run(&["task", "retry", &other]);
    client.until(&other, |task| task["state"] == "waiting").await;
    place.run(&["task", "cancel", &other]);
    // In the name of a principal that may not call it, it is not called.
    place.run(&["token", "revoke", "ann"]);
    let refused = place.fails(&["task", "retry", &other], None);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("which may not call run_program now"), "{words}");
    let rows = place.run(&["audit", "list", "--principal", "local", "--verdict", "admitted"]);
    let rows = rows["rows"].as_array().expect("rows").iter();
    let mut acts: Vec<(&str, &str)> = rows
        .filter(|row| !row["task"].is_null())
        .map(|row| (row["deed"].as_str().unwrap_or_default(), row["reason"].as_str().unwrap_or_default()))
        .collect();
    acts.sort_unstable();
    acts.dedup();
    let expected = [
        ("answer", "cli, task of ann"),
        ("cancel", "task of ann"),
        ("resolve", "task of ann"),
        ("retry", "task of ann"),
        ("send", "task of ann"),
    ];
    assert_eq!(acts, expected);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_goes_with_its_tasks_also_where_the_process_dies_half_way() {
    for crash in ["none:1", "revoking:1", "revoking:2"] {
        let place = Place::new();
        let server =
            Server::start_with(&place.data(), &place.tools, &[("LONGHAUL_CRASH", crash)]).expect("a server");
        let ann = server.client().with_key(&place.token("ann"));
        let sleep = json!({"program": [{"op": "sleep", "ms": 3_600_000}]});
        for _ in 0..3 {
            let id = ann.start("run_program", sleep.clone(), None).await.expect("a task");
            ann.until(&id, |task| task["state"] == "waiting").await;
        }
        let revoke = ["token", "revoke", "ann", "--cancel-tasks"];
        let first = place.fails(&revoke, None);
        assert_eq!(first.status.success(), crash == "none:1", "{crash}");
        if crash != "none:1" {
            server.kill();
            // The token is gone already, and the rest of its tasks go by the same command.
            place.run(&revoke);
        }
        let listed = place.run(&["task", "list", "--principal", "ann"]);
        let states: Vec<&Value> =
            listed["tasks"].as_array().expect("tasks").iter().map(|task| &task["state"]).collect();
        assert_eq!(states, ["cancelled"; 3], "{crash}");
        assert_eq!(place.fails(&revoke, None).status.code(), Some(3), "{crash}: there is nothing left");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_component_stands_still_and_goes_on_also_under_kills() {
    for (block_crash, unblock_crash) in
        [("none:1", "none:1"), ("blocked:1", "none:1"), ("none:1", "unblocked:1")]
    {
        let place = Place::new();
        let start = |crash| {
            Server::start_with(&place.data(), &place.tools, &[("LONGHAUL_CRASH", crash)]).expect("a server")
        };
        let mut server = start(block_crash);
        let gate = json!({"op": "state_watch", "namespace": "vault", "key": "go", "version": 0});
        let program = json!([{"op": "step", "name": "first"}, gate, {"op": "step", "name": "second"}]);
        let client = server.client();
        let id = client.start("run_program", json!({ "program": program }), None).await.expect("a task");
        client.until(&id, |task| task["state"] == "waiting").await;
        let blocked = place.fails(&["tool", "block", "run_program"], None);
        assert_eq!(blocked.status.success(), block_crash == "none:1");
        if block_crash != "none:1" || unblock_crash != "none:1" {
            server.kill();
            server = start(unblock_crash);
        }
        let client = server.client();
        let task = client.until(&id, |task| task["reason"] == "blocked").await;
        assert_eq!(task["state"], "waiting", "{task}");
        let name = &place.run(&["tool", "block"])["blocked"][0]["name"];
        assert_eq!(*name, "interpreter", "named by a tool of it");
        let extension = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
        let knowing = server.client().declaring(extension);
        let shown = knowing.request("tasks/get", Some(&id), json!({"taskId": id})).await.expect("a task");
        assert_eq!(shown["status"], "working", "{shown}");
        assert!(shown["statusMessage"].as_str().is_some_and(|words| words.contains("blocked")), "{shown}");
        let refused = client.call("run_program", json!({"program": []}), json!({})).await.expect("an answer");
        assert!(refused["isError"] == true && refused.to_string().contains("is blocked"), "{refused}");
        server.owner().structured("state_put", json!({"namespace": "vault", "key": "go", "value": 1})).await;
        assert_eq!(client.task(&id).await.expect("a task")["reason"], "blocked");

        let unblocked = place.fails(&["component", "unblock", "interpreter"], None);
        assert_eq!(unblocked.status.success(), unblock_crash == "none:1");
        if unblock_crash != "none:1" {
            server.kill();
            server = start("none:1");
        }
        let client = server.client();
        let task = client.ended(&id).await.expect("an end");
        assert_eq!((&task["state"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}");
        assert_eq!(client.result(&id).await.expect("a result")["steps"], 2);
        assert_eq!(place.run(&["tool", "block"])["blocked"], json!([]));
        assert!(server.stop().success());
    }
}
