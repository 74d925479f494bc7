//! Shared state of real components: written once and in order under `kill -9`, all or nothing, watched over restarts,
//! and only where it is granted.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Dice, Oracle, Server, answer_of, command, guest, scale};

/// A data folder, and the interpreter with a grant of shared state.
struct Place {
    root: tempfile::TempDir,
    tools: Vec<PathBuf>,
}

impl Place {
    fn new(state: &[&str]) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let component = root.path().join("interpreter.wasm");
        fs::copy(guest("interpreter"), &component).expect("a copy");
        let manifest = format!("name = \"interpreter\"\n[capabilities]\nstate = {state:?}\n");
        fs::write(root.path().join("interpreter.toml"), manifest).expect("a manifest");
        Self { root, tools: vec![component] }
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn start(&self) -> Server {
        Server::start(&self.data(), &self.tools)
    }
}

async fn run(client: &Client, program: &[Value]) -> String {
    client.start("run_program", json!({"program": program}), None).await.expect("a link")
}

/// What the task printed by this op, once it has completed.
async fn printed(client: &Client, id: &str, op: &str) -> Vec<String> {
    let document = client.ended(id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{document}");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    let mark = format!(" {op} ");
    log.lines().filter_map(|line| Some(line.split_once(&mark)?.1.to_owned())).collect()
}

async fn entry(client: &Client, namespace: &str, key: &str) -> Value {
    let arguments = json!({"namespace": namespace, "key": key});
    let answer = client.call("state_get", arguments, json!({})).await.expect("an answer");
    answer["structuredContent"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_many_tasks_increment_loses_and_doubles_nothing_under_kills() {
    const TASKS: u64 = 5;
    let (each, kills) = (scale("LONGHAUL_INCREMENTS", 40), scale("LONGHAUL_STATE_KILLS", 12));
    let place = Place::new(&["counters"]);
    let several = |key: &str| json!({"key": key, "value": "x"});
    let program = |task: u64| {
        let mine = format!("counters-of-{task}");
        vec![
            json!({"op": "loop", "times": each, "body": [
                {"op": "state_add", "namespace": "counters", "key": "all", "by": 1},
                {"op": "state_put", "namespace": "counters", "entries":
                    [several(&format!("{mine}/a")), several(&format!("{mine}/b")), several(&format!("{mine}/c"))]},
                {"op": "sleep", "ms": 3},
            ]}),
            json!({"op": "step", "name": "last"}),
        ]
    };
    let server = place.start();
    let client = server.client();
    let mut ids = Vec::new();
    for task in 0..TASKS {
        ids.push(run(&client, &program(task)).await);
    }
    let mut dice = Dice::new(0x57a7e);
    let mut last = 0;
    let mut server = server;
    for _ in 0..kills {
        // The moment of death is what is random here.
        tokio::time::sleep(Duration::from_millis(5 + dice.roll(150))).await;
        server.kill();
        server = place.start();
        let client = server.client();
        let version = entry(&client, "counters", "all").await["version"].as_u64().expect("a version");
        assert!(version >= last, "what was seen stays");
        last = version;
        for task in 0..TASKS {
            let mut versions = BTreeSet::new();
            let keys = ["a", "b", "c"].map(|key| format!("counters-of-{task}/{key}"));
            let listed = json!({"namespace": "counters", "prefix": format!("counters-of-{task}/")});
            let page = client.call("state_list", listed, json!({})).await.expect("a page");
            let entries = page["structuredContent"]["entries"].as_array().expect("a list").clone();
            assert!(entries.is_empty() || entries.len() == keys.len(), "all or none: {entries:?}");
            versions.extend(entries.iter().map(|entry| entry["version"].as_u64()));
            assert!(versions.len() <= 1, "always together: {entries:?}");
        }
    }
    let client = server.client();
    let (mut seen, mut attempts) = (Vec::new(), 0);
    for (task, id) in (0..).zip(&ids) {
        for line in printed(&client, id, "state_add").await {
            let (version, value) = line.split_once(' ').expect("two numbers");
            assert_eq!(version, value, "each write added one");
            seen.push(version.parse::<u64>().expect("a version"));
        }
        let together = printed(&client, id, "state_put").await;
        let expected: Vec<String> =
            (1..=each).map(|version| format!("{version} {version} {version}")).collect();
        assert_eq!(together, expected);
        let result = client.result(id).await.expect("a result");
        assert_eq!(result["acc"], format!("{:016x}", Oracle::of(&program(task)).acc).as_str());
        attempts += client.task(id).await.expect("a task")["attempt"].as_u64().unwrap_or_default();
    }
    seen.sort_unstable();
    let all = TASKS * each;
    assert_eq!(seen, (1..=all).collect::<Vec<_>>(), "no version is missing, none came twice");
    let end = entry(&client, "counters", "all").await;
    assert_eq!((&end["value"], &end["version"]), (&json!(all), &json!(all)));
    println!("{all} increments, {kills} kills, {attempts} attempts of {TASKS} tasks");
    assert!(attempts > TASKS + kills / 2, "the kills must have hit running tasks: {attempts}");
}

/// Killed before the commit, behind it and between: what the guest saw is what is there, each write once.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_made_once_wherever_its_server_dies() {
    let put = |key: &str| json!({"key": key, "value": 1});
    let program = [
        json!({"op": "state_add", "namespace": "n", "key": "count", "by": 2}),
        json!({"op": "state_put", "namespace": "n", "entries": [put("a"), put("b")]}),
        json!({"op": "state_get", "namespace": "n", "key": "count"}),
        json!({"op": "state_delete", "namespace": "n", "key": "a"}),
        json!({"op": "state_add", "namespace": "n", "key": "count", "by": 3}),
    ];
    let mut deaths = 0;
    for (point, times) in [("record", 8), ("state_enqueued", 4), ("state_written", 4)] {
        for number in 1..=times {
            let place = Place::new(&["n"]);
            let crash = format!("{point}:{number}");
            let variables = [("LONGHAUL_CRASH", crash.as_str())];
            let mut server = Server::start_with(&place.data(), &place.tools, &variables).expect("a server");
            let client = server.client();
            let start = async |client: &Client| {
                client.start("run_program", json!({"program": program}), Some("k")).await
            };
            let survived = match start(&client).await {
                Ok(id) => client.ended(&id).await.is_ok(),
                Err(_) => false,
            };
            if !survived {
                server.died().expect("it is dying");
                deaths += 1;
            }
            drop(server);
            let server = place.start();
            let client = server.client();
            let id = start(&client).await.expect("the same task");
            assert_eq!(printed(&client, &id, "state_add").await, ["1 2", "2 5"], "{crash}");
            assert_eq!(printed(&client, &id, "state_put").await, ["1 1"], "{crash}");
            assert_eq!(printed(&client, &id, "state_get").await, ["1 2"], "{crash}");
            assert_eq!(printed(&client, &id, "state_delete").await, ["2"], "{crash}");
            let count = entry(&client, "n", "count").await;
            assert_eq!((&count["value"], &count["version"]), (&json!(5), &json!(2)), "{crash}");
            assert_eq!(entry(&client, "n", "b").await["version"], 1, "{crash}");
            assert_eq!(entry(&client, "n", "a").await, json!({"version": 0}), "{crash}");
        }
    }
    assert!(deaths >= 14, "it must have died at most of these points: {deaths}");
}

async fn until_waiting(client: &Client, id: &str) {
    client.until(id, |task| task["reason"] == "state").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_over_a_restart_and_sees_what_came_meanwhile() {
    let place = Place::new(&["news:read"]);
    let server = place.start();
    let client = server.client();
    let watch = |key: &str, timeout: Option<u64>| {
        vec![
            json!({"op": "state_watch", "namespace": "news", "key": key, "version": 0, "timeout_ms": timeout}),
            json!({"op": "step", "name": "seen"}),
        ]
    };
    let early = run(&client, &watch("early", None)).await;
    let late = run(&client, &watch("late", None)).await;
    let never = run(&client, &watch("never", Some(2_000))).await;
    until_waiting(&client, &early).await;
    until_waiting(&client, &late).await;
    server.kill();
    // While no server runs, as its owner may: it is seen at the next start.
    let put = answer_of(command(&place.data(), &["state", "put", "news", "early", "{\"is\": \"here\"}"]));
    assert_eq!(put, json!({"version": 1}));

    let server = place.start();
    let client = server.client();
    assert_eq!(printed(&client, &early, "state_watch").await, ["1 {\"is\":\"here\"}"]);
    let ttl = json!({"namespace": "news", "key": "late", "value": "x", "ttl_seconds": 1});
    client.call("state_put", ttl, json!({})).await.expect("written");
    assert_eq!(printed(&client, &late, "state_watch").await, ["1 \"x\""]);
    assert_eq!(printed(&client, &never, "state_watch").await, ["timeout"]);
    // Its end is a change like any other.
    let program = [
        json!({"op": "state_watch", "namespace": "news", "key": "late", "version": 1, "timeout_ms": 30_000}),
    ];
    let gone = run(&client, &program).await;
    assert_eq!(printed(&client, &gone, "state_watch").await, ["none"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_touches_what_it_is_granted_and_is_told_what_it_is_not() {
    let place = Place::new(&["open", "seen/a*:read"]);
    let server = place.start();
    let client = server.client();
    let put = |namespace: &str, key: &str, if_version: Option<u64>| {
        let entry = json!({"key": key, "value": 1, "if_version": if_version});
        json!({"op": "state_put", "namespace": namespace, "entries": [entry]})
    };
    let get = |namespace: &str, key: &str| json!({"op": "state_get", "namespace": namespace, "key": key});
    let program = [
        put("open", "k", Some(0)),
        put("open", "k", Some(0)),
        put("seen", "a", None),
        put("shut", "k", None),
        put("Open", "k", None),
        put("open", "k", Some(1)),
        get("open", "k"),
        get("seen", "a"),
        get("seen", "b"),
        get("shut", "k"),
        json!({"op": "state_delete", "namespace": "open", "key": "k"}),
        get("open", "k"),
    ];
    let id = run(&client, &program).await;
    let puts = printed(&client, &id, "state_put").await;
    assert_eq!(puts, ["1", "conflict 1", "not-granted", "not-granted", "not-granted", "2"]);
    let gets = printed(&client, &id, "state_get").await;
    assert_eq!(gets, ["2 1", "none", "not-granted", "not-granted", "none"]);
    assert_eq!(printed(&client, &id, "state_delete").await, ["3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_reads_and_writes_with_and_without_a_server() {
    let place = Place::new(&[]);
    let data = place.data();
    for (round, runs) in [(0u64, true), (1, false)] {
        let server = place.start();
        if !runs {
            assert!(server.stop().success());
        }
        let state = |words: &[&str]| answer_of(command(&data, &[&["state"], words].concat()));
        let base = 3 * round;
        assert_eq!(state(&["put", "trips", "a/b", "{\"price\": 5}"]), json!({"version": base + 1}));
        let version = (base + 1).to_string();
        let next = state(&["put", "trips", "a/b", "plain text", "--if-version", &version]);
        assert_eq!(next, json!({"version": base + 2}));
        let stale = command(&data, &["state", "put", "trips", "a/b", "1", "--if-version", &version]).output();
        assert_eq!(stale.expect("longhaul runs").status.code(), Some(4));
        let entry = state(&["get", "trips", "a/b"]);
        assert_eq!((&entry["value"], &entry["by"]), (&json!("plain text"), &json!("local")));
        let listed = state(&["list", "trips", "--prefix", "a/"]);
        assert_eq!(listed["entries"][0]["version"], base + 2);
        assert_eq!(state(&["delete", "trips", "a/b"]), json!({"version": base + 3}));
        let missing = command(&data, &["state", "get", "trips", "a/b"]).output().expect("longhaul runs");
        assert_eq!(missing.status.code(), Some(3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_on_the_command_line_prints_each_change_and_outlives_its_server() {
    let place = Place::new(&[]);
    let (data, server) = (place.data(), place.start());
    let url = server.url.clone();
    let mut watch = command(&data, &["state", "watch", "trips", "k", "--url", &url])
        .stdout(Stdio::piped())
        .spawn()
        .expect("longhaul runs");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a line").expect("text");
        serde_json::from_str(&line).expect("JSON")
    };
    assert_eq!(next(), json!({"version": 0}));
    answer_of(command(&data, &["state", "put", "trips", "k", "1"]));
    assert_eq!(next()["version"], 1);
    server.kill();
    answer_of(command(&data, &["state", "put", "trips", "k", "2"]));
    let _server = Server::start_at(&url, &data, &place.tools);
    let entry = next();
    assert_eq!((&entry["version"], &entry["value"]), (&json!(2), &json!(2)));
    watch.kill().expect("it watches on");
    watch.wait().expect("it was ours");
}
