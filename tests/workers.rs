//! Guests of a component that is served by its operator's grant, in a worker process: they do as they do in the server, the
//! process has nothing to lose, and its death is not taken for an end of its guests.

mod kills;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Client, Oracle, Server, Web, guest};

/// The interpreter as a stranger's component with grants, and a web server that it may reach.
struct House {
    root: tempfile::TempDir,
    web: Web,
}

impl House {
    fn new() -> Self {
        let house = Self { root: tempfile::tempdir().expect("a folder"), web: Web::start() };
        fs::create_dir(house.root.path().join("tools")).expect("a folder");
        fs::copy(guest("interpreter"), house.root.path().join("tools/interpreter.wasm")).expect("a copy");
        house
    }

    /// A server with a data folder of its own.
    fn start(&self, isolate: &str) -> Server {
        let config = self.root.path().join(format!("{isolate}.toml"));
        let text = format!(
            "[engine]\nisolate = {isolate:?}\n[grants.interpreter]\nhttp = [{:?}]\nstate = [\"shelf\"]\n\
             tools = [\"run_program\"]\nelicit = true\n[cli]\nanswer_without_terminal = true\n",
            self.web.url("")
        );
        fs::write(&config, text).expect("a configuration");
        let tools: [PathBuf; 1] = [self.root.path().join("tools")];
        let secret = [("LONGHAUL_TEST_SECRET", "of the server alone")];
        Server::start_granted_with(
            &self.root.path().join(format!("{isolate}-data")),
            &tools,
            &config,
            &secret,
        )
    }
}

async fn begun(client: &Client, program: Value) -> String {
    client.start("run_program", json!({"program": program}), None).await.expect("a task")
}

/// The worker of a server, as long as there is one.
fn worker_of(server: &Server) -> Option<Pid> {
    let parent = |pid: u32| -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:\t"))?.parse().ok()
    };
    let is_ours = |pid: u32| {
        let above = std::iter::successors(Some(pid), |pid| parent(*pid));
        above.take_while(|pid| *pid > 1).skip(1).any(|pid| pid == server.pid())
    };
    let is_worker = |pid: u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == b"run-guests")
    };
    let all = fs::read_dir("/proc").expect("there is one");
    let mut pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let found = pids.find(|pid| is_worker(*pid) && is_ours(*pid))?;
    Pid::from_raw(i32::try_from(found).ok()?)
}

fn signal(pid: Pid, signal: Signal) {
    kill_process(pid, signal).expect("it is there");
}

/// Programs whose journals say the same each time, up to the wait for a message at their ends.
fn programs(web: &Web) -> Vec<Value> {
    let url = |path: &str| web.url(path);
    let programs = [
        json!([
            {"op": "step", "name": "one"}, {"op": "clock2"}, {"op": "random", "bytes": 40}, {"op": "sleep", "ms": 30},
            {"op": "nap", "ms": 10}, {"op": "wait_many", "ms": [1, 150]}, {"op": "compute", "rounds": 1000},
            {"op": "progress", "done": 1, "total": 3, "message": "a third"}, {"op": "status", "text": "on"},
            {"op": "log", "text": "a line"}, {"op": "print", "text": "out"}, {"op": "instant"},
            {"op": "output", "name": "o", "text": "whole"}, {"op": "timer", "ms": 5},
            {"op": "loop", "times": 2, "body": [{"op": "step", "name": "again"}]}, {"op": "cancel_requested"},
        ]),
        json!([{"op": "step", "name": "before"}, {"op": "checkpoint"}, {"op": "step", "name": "after"}, {"op": "sleep", "ms": 5}]),
        json!([
            {"op": "state_put", "namespace": "shelf", "entries": [{"key": "k", "value": 1}]},
            {"op": "state_get", "namespace": "shelf", "key": "k"}, {"op": "state_add", "namespace": "shelf", "key": "k", "by": 2},
            {"op": "state_watch", "namespace": "shelf", "key": "k", "version": 1},
            {"op": "state_delete", "namespace": "shelf", "key": "k"},
            {"op": "state_get", "namespace": "secret", "key": "k"},
        ]),
        json!([
            {"op": "http", "request": {"method": "POST", "url": url("/post"), "body": "b"}},
            {"op": "http", "request": {"method": "GET", "url": url("/get")}},
            {"op": "http", "request": {"method": "GET", "url": "http://not-granted.example/"}},
            {"op": "http_drop", "request": {"method": "POST", "url": url("/drop"), "body": "0123456789"}},
            {"op": "http_many", "requests": [
                {"method": "PUT", "url": url("/slow/30/a"), "body": "a"}, {"method": "GET", "url": url("/b")},
            ]},
        ]),
        json!([
            {"op": "granted"},
            {"op": "call", "tool": "run_program", "arguments": {"program": [{"op": "step", "name": "child"}]}},
            {"op": "call", "tool": "another", "arguments": {}},
            {"op": "spawn", "calls": [
                {"tool": "run_program", "arguments": {"program": [{"op": "sleep", "ms": 20}]}},
                {"tool": "run_program", "arguments": {"program": [{"op": "fail", "text": "no"}]}},
            ]},
            {"op": "join_all"},
        ]),
    ];
    let with_end = |program: Value| {
        let mut program = program.as_array().expect("a list").clone();
        program.push(json!({"op": "receive", "names": ["go"]}));
        Value::Array(program)
    };
    programs.into_iter().map(with_end).collect()
}

/// Each task has another.
fn without_ids(about: &str) -> String {
    let is_id =
        |word: &str| word.len() == 36 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    about.split(", ").map(|word| if is_id(word) { "ID" } else { word }).collect::<Vec<_>>().join(", ")
}

/// What a program left, without what time and chance decide.
async fn left(server: &Server, program: &Value) -> Value {
    let client = server.client();
    let id = begun(&client, program.clone()).await;
    client.until(&id, |document| document["reason"] == "message" || document["error"].is_object()).await;
    let journal = server.longhaul(&["task", "journal", &id]);
    let records = journal["records"].as_array().expect("records").iter();
    let kinds: Vec<Value> = records
        .filter(|record| record["kind"] != "time")
        .map(|record| json!([record["kind"], without_ids(record["about"].as_str().unwrap_or_default())]))
        .collect();
    client
        .call("task_send", json!({"task_id": id, "name": "go", "payload": 1}), json!({}))
        .await
        .expect("sent");
    let document = client.ended(&id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{program} {document} {}", server.said());
    let result = client.result(&id).await.expect("a result");
    let oracle = Oracle::of(program.as_array().expect("a list"));
    assert_eq!(result["acc"], format!("{:016x}", oracle.acc), "{program}");
    let outputs: Vec<&Value> =
        document["outputs"].as_array().into_iter().flatten().map(|output| &output["name"]).collect();
    json!({
        "kinds": kinds, "epoch": journal["epoch"], "steps": result["steps"], "lines": result["printed_lines"],
        "progress": document["progress"], "outputs": outputs, "attempt": document["attempt"],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_in_a_worker_does_as_one_in_the_server() {
    let house = House::new();
    let (here, apart) = (house.start("none"), house.start("process"));
    for program in programs(&house.web) {
        let (one, other) = (left(&here, &program).await, left(&apart, &program).await);
        assert_eq!(one, other, "{program}");
        assert!(one["kinds"].as_array().is_some_and(|kinds| !kinds.is_empty()), "{one}");
    }
    assert!(worker_of(&apart).is_some(), "it ran there");
    assert_eq!(worker_of(&here), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_answers_and_a_client_cancels_a_guest_in_a_worker() {
    let house = House::new();
    let server = house.start("process");
    let client = server.client();
    let asks = begun(&client, json!([{"op": "ask", "key": "n"}, {"op": "step", "name": "answered"}])).await;
    client.asks(&asks).await;
    server.answer(&asks, &["n=7"]);
    assert_eq!(client.ended(&asks).await.expect("an end")["state"], "completed");
    let log = client.read(&format!("task://{asks}/log")).await.expect("a log");
    assert!(log.contains("> 1 ask 7"), "{log}");

    let waits = begun(&client, json!([{"op": "progress", "done": 1}, {"op": "await_cancel"}])).await;
    client.until(&waits, |document| document["progress"]["done"] == 1).await;
    client.call("task_cancel", json!({"task_id": waits}), json!({})).await.expect("asked to end");
    assert_eq!(client.ended(&waits).await.expect("an end")["state"], "cancelled");
    let cleanup = client.read(&format!("task://{waits}/output/cleanup")).await;
    assert!(cleanup.is_ok(), "it heard of it: {cleanup:?}");

    // One that hears nothing of it is taken off its thread.
    let spins = begun(
        &client,
        json!([{"op": "progress", "done": 1}, {"op": "compute", "rounds": 1_000_000_000_000u64}]),
    )
    .await;
    client.until(&spins, |document| document["progress"]["done"] == 1).await;
    client.call("task_cancel", json!({"task_id": spins}), json!({})).await.expect("asked to end");
    assert_eq!(client.ended(&spins).await.expect("an end")["state"], "cancelled");
    let next = begun(&client, json!([{"op": "step", "name": "there is room"}])).await;
    assert_eq!(client.ended(&next).await.expect("an end")["state"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_has_nothing_of_the_environment_no_file_and_no_way_to_open_one() {
    let house = House::new();
    let server = house.start("process");
    let client = server.client();
    let id = begun(&client, json!([{"op": "receive", "names": ["go"], "timeout_ms": 2000}])).await;
    client.until(&id, |document| document["reason"] == "message").await;
    let worker = worker_of(&server).expect("it runs there").as_raw_nonzero();
    let of = |name: &str| fs::read_to_string(format!("/proc/{worker}/{name}")).expect("it lives");
    // But what its allocator is to keep to.
    let variables = of("environ");
    assert!(
        variables.split_terminator('\0').all(|variable| variable.starts_with("MIMALLOC_ARENA_")),
        "{variables}"
    );
    assert!(of("status").contains("Seccomp:\t2\n"), "it runs without walls");
    let bounds = of("limits");
    let open_files = bounds.lines().find(|line| line.starts_with("Max open files")).expect("a bound");
    assert_eq!(open_files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["0", "0"], "{bounds}");
    for bound in ["Max core file size", "Max file size"] {
        let line = bounds.lines().find(|line| line.starts_with(bound)).expect("a bound");
        assert!(line.contains(" 0 "), "{line}");
    }
    assert!(
        !bounds.lines().any(|line| line.starts_with("Max data size") && line.contains("unlimited")),
        "{bounds}"
    );
    assert_eq!(fs::read_link(format!("/proc/{worker}/cwd")).expect("a folder"), PathBuf::from("/"));
    let its = open_files_of(&worker.to_string());
    // What this test was itself started with, its children have too.
    let inherited = open_files_of("self");
    for to in its.iter().filter(|to| !inherited.contains(to)) {
        let is_harmless =
            ["pipe:", "anon_inode:", "/memfd:", "socket:"].iter().any(|kind| to.starts_with(kind));
        assert!(is_harmless, "{to}");
    }
    assert!(its.len() >= 3, "it has its pipes");
    let store = server.data().to_string_lossy().into_owned();
    let servers = open_files_of(&server.pid().to_string());
    assert!(servers.iter().any(|to| to.starts_with(&store)), "the server has its store open: {servers:?}");
}

fn open_files_of(process: &str) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{process}/fd")).expect("it lives");
    let to = |file: std::io::Result<fs::DirEntry>| fs::read_link(file.expect("a descriptor").path());
    open.filter_map(|file| Some(to(file).ok()?.to_string_lossy().into_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_ends_with_its_server() {
    let house = House::new();
    let server = house.start("process");
    let client = server.client();
    let id = begun(&client, json!([{"op": "receive", "names": ["go"], "timeout_ms": 60_000}])).await;
    client.until(&id, |document| document["reason"] == "message").await;
    let worker = worker_of(&server).expect("it runs there");
    let watched =
        rustix::process::pidfd_open(worker, rustix::process::PidfdFlags::empty()).expect("it lives");
    server.kill();
    let mut poll = [rustix::event::PollFd::new(&watched, rustix::event::PollFlags::IN)];
    let time = rustix::time::Timespec { tv_sec: 30, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut poll, Some(&time)).expect("polled"), 1, "it has ended");
}

/// Until the task's attempt runs in a worker.
async fn running(server: &Server, client: &Client, id: &str) -> Pid {
    client.until(id, |document| document["progress"]["done"] == 1).await;
    for _ in 0..1_000 {
        if let Some(worker) = worker_of(server) {
            return worker;
        }
        // There is no event for another process's child.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("no worker runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_worker_is_a_trap_of_its_task_and_the_next_gets_another_worker() {
    let house = House::new();
    let server = house.start("process");
    let client = server.client();
    let program = json!([{"op": "progress", "done": 1}, {"op": "compute", "rounds": 1_000_000_000_000u64}]);
    for (how, name) in [(Signal::ABORT, "SIGABRT"), (Signal::TRAP, "SIGTRAP"), (Signal::SYS, "SIGSYS")] {
        let id = begun(&client, program.clone()).await;
        let worker = running(&server, &client, &id).await;
        signal(worker, how);
        let document = client.ended(&id).await.expect("an end");
        assert_eq!(
            (&document["state"], &document["error"]["reason"]),
            (&json!("failed"), &json!("trap")),
            "{document}"
        );
        assert!(
            document["error"]["message"].as_str().is_some_and(|words| words.contains(name)),
            "{document}"
        );
    }
    let next = begun(&client, json!([{"op": "step", "name": "fine"}])).await;
    assert_eq!(client.ended(&next).await.expect("an end")["state"], "completed");
}
