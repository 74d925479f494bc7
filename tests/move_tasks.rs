//! A mended component reaches tasks that are under way: those whose journals it replays go on with it and end right, the
//! others are named with the step that differs and stay.

mod killed;
mod models;
mod served;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::corpus::frozen::{Set, Situation};
use crate::corpus::{check, make_move, tasks};
use crate::support::{Client, Clocks, Server, Web, command, guest};

/// So many tasks of each kind.
const COPIES: usize = 9;
const DAY: i64 = 86_400;
/// What touches shared state by names of its own is there once.
const ONCE: [&str; 4] = ["state", "watch", "watch-late", "wrote"];
/// Never still, soon over, or with a request that the corpus' own server held.
const LEFT_OUT: [&str; 3] = ["busy", "session", "timer-short"];
/// Those that ask, and so differ from a version that asks in other words.
const ASKING: [&str; 5] = ["ask", "ask-late", "ask-many", "asked", "child-asks"];

/// The same component with one more custom section: another digest, and nothing else.
pub fn alike(component: &[u8]) -> Vec<u8> {
    [component, b"\x00\x05\x04more"].concat()
}

/// One that asks in other words.
pub fn other_words(component: &[u8]) -> Vec<u8> {
    with_text(component, b"What is ", b"Tell me ")
}

/// One that sends its keys under another name.
pub fn other_header(component: &[u8]) -> Vec<u8> {
    with_text(component, b"idempotency-key", b"idempotency-kex")
}

/// With another text of the same length in the place of each that is there.
fn with_text(component: &[u8], text: &[u8], other: &[u8]) -> Vec<u8> {
    let mut changed = component.to_vec();
    let found: Vec<usize> = component
        .windows(text.len())
        .enumerate()
        .filter(|(_, there)| *there == text)
        .map(|(at, _)| at)
        .collect();
    assert!(!found.is_empty(), "it has no such text");
    for at in found {
        changed[at..at + other.len()].copy_from_slice(other);
    }
    changed
}

/// What a command came to: its exit status, its JSON and what it said on stderr.
pub fn done(mut command: Command) -> (Option<i32>, Value, String) {
    let output = command.output().expect("longhaul runs");
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), answer, String::from_utf8_lossy(&output.stderr).into_owned())
}

pub fn count(answer: &Value, verdict: &str) -> u64 {
    answer["counts"][verdict].as_u64().unwrap_or_default()
}

/// What was brought about before the store was frozen.
fn before(key: &str) -> Vec<Value> {
    let send = |name: &str, payload: Value| json!({"send": name, "payload": payload});
    match key {
        "ask-many" => vec![json!({"answer": "x", "n": 1})],
        "asked" => vec![json!({"answer": "early", "n": 5})],
        "inbox" => vec![send("note", json!({"n": 1})), send("note", json!("two"))],
        "inbox-late" => vec![send("other", json!(1))],
        "received" => vec![send("go", json!(1)), send("go", json!(2))],
        _ => Vec::new(),
    }
}

/// A data folder whose server died with tasks in every situation.
struct Place {
    root: tempfile::TempDir,
    clocks: Clocks,
    web: Web,
    /// Each with its task.
    begun: Vec<(String, Situation)>,
    /// Tasks with a request under way.
    paying: Vec<String>,
}

impl Place {
    fn new() -> (Self, Vec<Situation>) {
        let root = tempfile::tempdir().expect("a folder");
        let set = Set::unpack("1527bc9", root.path());
        let (web, folder) = (Web::start(), root.path().join("clock"));
        let here = format!("127.0.0.1:{}", web.port);
        let mut situations: Vec<Situation> =
            set.stores["killed"].tasks.iter().rev().filter_map(|task| task.situation.clone()).collect();
        for situation in &mut situations {
            let text = situation.arguments.to_string().replace(&set.web, &here);
            situation.arguments = serde_json::from_str(&text).expect("JSON");
        }
        let manifest = fs::read_to_string(set.folder.join("tools/interpreter.toml")).expect("a manifest");
        fs::create_dir(&folder).expect("a folder");
        let place = Self { clocks: Clocks::new(&folder), web, root, begun: Vec::new(), paying: Vec::new() };
        fs::create_dir(place.tools()).expect("a folder");
        fs::write(place.tools().join("interpreter.toml"), manifest.replace(&set.web, &here))
            .expect("written");
        place.install(&fs::read(guest("interpreter")).expect("read"));
        (place, situations)
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn tools(&self) -> PathBuf {
        self.root.path().join("plugins")
    }

    fn install(&self, component: &[u8]) {
        fs::write(self.tools().join("interpreter.wasm"), component).expect("written");
    }

    fn start(&self) -> Server {
        Server::start_with(&self.data(), &[self.tools()], &self.clocks.environment()).expect("a server")
    }

    /// `longhaul tool update interpreter …`, where no server runs.
    fn update(&self, words: &[&str]) -> (Option<i32>, Value, String) {
        let tools = self.tools();
        let all = [&["tool", "update", "interpreter"], words].concat();
        let mut command = command(&self.data(), &all);
        command.arg("--tools").arg(&tools).env("LONGHAUL_TRUST", "true").envs(self.clocks.environment());
        done(command)
    }

    async fn begin(&mut self, server: &Server, situations: &[Situation]) {
        let client = server.owner();
        for copy in 0..COPIES {
            for situation in situations {
                let key = situation.key.as_str();
                let is_open =
                    ["waiting", "queued"].contains(&situation.until["state"].as_str().unwrap_or_default());
                let is_wanted = is_open || ["state", "detached"].contains(&key);
                let is_left = LEFT_OUT.contains(&key) || copy > 0 && ONCE.contains(&key);
                if situation.tool != "run_program" || !is_wanted || is_left {
                    continue;
                }
                let named = format!("{key}-{copy}");
                let id = client.start("run_program", situation.arguments.clone(), Some(&named)).await;
                let id = id.expect("a task");
                if key == "state" {
                    // Others watch what it writes.
                    client.ended(&id).await.expect("a task");
                }
                self.begun.push((id, situation.clone()));
            }
            let paths = format!("/never/pay-{copy}");
            let request = json!({"method": "POST", "url": self.web.url(&paths), "body": "100"});
            let program = json!([{"op": "step", "name": "a"}, {"op": "http", "request": request}]);
            let id = client.start("run_program", json!({ "program": program }), None).await.expect("a task");
            self.paying.push(id);
            self.web.asked_for(&paths).await;
        }
        for (id, situation) in &self.begun {
            for action in before(&situation.key) {
                make_move(server, &client, id, &action).await;
            }
        }
        for (id, situation) in &self.begun {
            let until = &situation.until;
            let stands = |task: &Value| task["state"] == until["state"];
            client
                .until(id, |task| {
                    stands(task) && (until["reason"].is_null() || task["reason"] == until["reason"])
                })
                .await;
        }
    }

    /// Until all has ended: a day at a time.
    async fn await_ends(&mut self, client: &Client) {
        for (id, _) in &self.begun {
            let is_over = async || {
                let waited = client.call("task_wait", json!({"task_id": id, "seconds": 2}), json!({})).await;
                let state = waited.expect("an answer")["structuredContent"]["state"].clone();
                matches!(state.as_str(), Some("completed" | "failed" | "cancelled"))
            };
            let mut days = 0;
            while !is_over().await {
                days += 1;
                assert!(days < 20, "{}", client.task(id).await.expect("a task"));
                self.clocks.pass(DAY);
            }
        }
    }
}

fn ids(tasks: &[Value], of: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let named = |task: &Value| task["id"].as_str().or(task["task_id"].as_str()).expect("an id").to_owned();
    tasks.iter().filter(|task| of(task)).map(named).collect()
}

fn is_open(task: &Value) -> bool {
    !matches!(task["state"].as_str(), Some("completed" | "failed" | "cancelled"))
}

/// More than 300 tasks in all waits that there are; a version that asks in other words reaches those that have not asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_fit_go_on_with_another_version_and_the_others_are_named() {
    let (mut place, situations) = Place::new();
    let server = place.start();
    place.begin(&server, &situations).await;
    let client = server.owner();
    let before = tasks(&client).await;
    let open = ids(&before, is_open);
    assert!(open.len() > 300, "{}", open.len());
    let old = before[0]["component"].clone();
    server.kill();

    place.install(&other_words(&fs::read(guest("interpreter")).expect("read")));
    let (exit, tried, said) = place.update(&["--try"]);
    assert_eq!(exit, Some(1), "{said}");
    let differing = differ(&place, &tried, &open, "goes_on");
    let (exit, moved, said) = place.update(&["--move-tasks"]);
    assert_eq!(exit, Some(1), "{said}");
    assert_eq!(differ(&place, &moved, &open, "moved"), differing, "the trial said so");
    let new = moved["component"].clone();
    assert_ne!(new, old);

    let server = place.start();
    let client = server.owner();
    for task in tasks(&client).await {
        let id = task["id"].as_str().expect("an id");
        let has = &client.task(id).await.expect("a task")["component"];
        let expected = if open.contains(id) && !differing.contains(id) { &new } else { &old };
        assert_eq!(has, expected, "{task}");
    }
    for (id, situation) in &place.begun {
        for action in &situation.moves {
            make_move(&server, &client, id, action).await;
        }
    }
    place.clocks.pass(4 * DAY);
    place.await_ends(&client).await;
    for (id, situation) in &place.begun {
        check::end(&client, id, situation).await;
    }
    for path in ["/paid", "/seen", "/after"] {
        assert_eq!(place.web.count(path), COPIES, "{path}");
    }
    for (copy, id) in place.paying.iter().enumerate() {
        let task = client.ended(id).await.expect("a task");
        assert_eq!(task["reason"], "unknown_outcome", "{task}");
        assert_eq!(place.web.count(&format!("/never/pay-{copy}")), 1);
    }
    audited(&server, open.len() - differing.len());
    assert!(server.stop().success());
}

/// Checks that all but those that ask came to `verdict`; gives those.
fn differ(place: &Place, answer: &Value, open: &BTreeSet<String>, verdict: &str) -> BTreeSet<String> {
    let found = answer["tasks"].as_array().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(ids(found, |_| true), *open);
    let differing = ids(found, |task| task["verdict"] == "differs");
    let well = ids(found, |task| task["verdict"] == verdict);
    // Children that trapped, and would with any version.
    let trapping = ids(found, |task| task["verdict"] == "fails");
    assert_eq!(trapping.len(), COPIES, "{}", answer["groups"]);
    assert_eq!(differing.len() + well.len() + trapping.len(), open.len(), "{}", answer["groups"]);
    for (id, situation) in &place.begun {
        // The child is the one that asks.
        let asks = ASKING.contains(&situation.key.as_str()) && situation.key != "child-asks";
        assert_eq!(
            differing.contains(id),
            asks && open.contains(id),
            "{}: {}",
            situation.key,
            answer["groups"]
        );
    }
    assert_eq!(differing.len(), ASKING.len() * COPIES);
    for task in found.iter().filter(|task| task["verdict"] == "differs") {
        let words = (task["journal"].as_str(), task["guest"].as_str());
        let (Some(journal), Some(guest)) = words else { panic!("{task}") };
        assert!(journal.contains("operation") && guest.contains("elicit"), "{task}");
        assert!(task["step"].as_u64() <= task["steps"].as_u64(), "{task}");
    }
    assert_eq!(count(answer, verdict) as usize, well.len());
    differing.union(&trapping).cloned().collect()
}

fn audited(server: &Server, count: usize) {
    let audit = server.longhaul(&["audit", "list", "--limit", "1000"]);
    let rows = audit["rows"].as_array().expect("rows");
    let moves: Vec<&Value> = rows.iter().filter(|row| row["deed"] == "task_move").collect();
    assert_eq!(moves.len(), count);
    assert!(
        moves.iter().all(|row| row["principal"] == "local" && row["verdict"] == "admitted"),
        "{:?}",
        moves[0]
    );
    assert!(moves[0].to_string().contains("from blake3:"), "{}", moves[0]);
}

/// A copy of a component at a path, changed.
pub fn changed(from: &Path, to: &Path, change: impl Fn(&[u8]) -> Vec<u8>) {
    fs::write(to, change(&fs::read(from).expect("read"))).expect("written");
}
