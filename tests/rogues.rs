//! Guests that want everything. Each ends with its reason, near its bound; the server's memory stays bounded,
//! and it answers all the while.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, Server, Timing, export, guest, install};

/// How a rogue ends.
struct Rogue {
    tool: &'static str,
    end: End,
    /// Its bound in time, if it is one that ends it: seconds of computing.
    run_seconds: Option<u64>,
}

enum End {
    /// The task fails for this reason, and its error names this.
    Failed(&'static str, &'static str),
    /// The tool's own error, which says this.
    ToolError(&'static str),
    Completed,
}

/// What a rogue gets; see the manifests.
const MEMORY_MIB: u64 = 32;
/// What the server may take for one rogue besides the guest's memory: the bytes of one host call, twice over
/// (as they come and as they are kept), a result, and commits under way.
const HOST_SIDE_MIB: u64 = 64;
/// What it may grow by whatever its guests do: page cache and log of the store, compiled code, threads.
const SERVER_GROWTH_MIB: u64 = 192;
/// What an end may come later than the bound. On an idle machine it is 100 ms; tests share theirs.
const MARGIN: Duration = Duration::from_secs(30);

/// The clock, random numbers and timers of WASI, and the progress of our own world, for a core module.
const WORLD: &str = r#"
    (import "wasi:io/poll@0.2.0" (instance $poll
        (export "pollable" (type $p (sub resource)))
        (export "[method]pollable.ready" (func (param "self" (borrow $p)) (result bool)))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable (type $p))
        (export "now" (func (result u64)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
    (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
    (import "longhaul:tool/progress@0.1.0" (instance $progress
        (export "status" (func (param "message" string)))))
    (core module $libc (memory (export "memory") 1))
    (core instance $libc (instantiate $libc))
    (core func $ready (canon lower (func $poll "[method]pollable.ready")))
    (core func $now (canon lower (func $clock "now")))
    (core func $subscribe (canon lower (func $clock "subscribe-duration")))
    (core func $draw (canon lower (func $random "get-random-u64")))
    (core func $status (canon lower (func $progress "status") (memory $libc "memory")))
"#;

fn with_world(name: &str, body: &str) -> String {
    format!(
        r#"(component {WORLD}
            (core module $m
                (import "libc" "memory" (memory 1))
                (import "host" "ready" (func $ready (param i32) (result i32)))
                (import "host" "now" (func $now (result i64)))
                (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
                (import "host" "draw" (func $draw (result i64)))
                (import "host" "status" (func $status (param i32 i32)))
                {body})
            (core instance $i (instantiate $m (with "libc" (instance $libc)) (with "host" (instance
                (export "ready" (func $ready)) (export "now" (func $now)) (export "subscribe" (func $subscribe))
                (export "draw" (func $draw)) (export "status" (func $status))))))
            (func (export "{name}") (canon lift (core func $i "run"))))"#
    )
}

/// Returns so many bytes of text.
fn huge(name: &str, bytes: u32) -> String {
    let pages = bytes / 65_536 + 2;
    format!(
        r#"(component
            (core module $m
                (memory (export "memory") {pages})
                (func (export "run") (result i32)
                    (i32.store (i32.const 0) (i32.const 1024))
                    (i32.store (i32.const 4) (i32.const {bytes}))
                    i32.const 0))
            (core instance $i (instantiate $m))
            (func (export "{name}") (result string) (canon lift (core func $i "run") (memory $i "memory"))))"#
    )
}

fn table_hog() -> String {
    let tables = "(table 1 funcref)".repeat(8);
    let grow: String = (0..8)
        .map(|table| {
            format!("(loop (br_if 0 (i32.ge_s (table.grow {table} (ref.null func) (i32.const 999)) (i32.const 0))))")
        })
        .collect();
    export("table-hog", "", &format!(r#"{tables} (func (export "run") {grow} unreachable)"#))
}

fn rogues(folder: &Path) -> (Vec<PathBuf>, Vec<Rogue>) {
    let limits = |run_seconds: u64, more: &str| {
        format!("[limits]\nmemory_mib = {MEMORY_MIB}\nrun_seconds = {run_seconds}\n{more}")
    };
    let spin = "(loop br 0)";
    let mut paths = Vec::new();
    for (name, run_seconds) in [("spin", 1), ("memory_hog", 30), ("deep_recursion", 30), ("log_flood", 30)] {
        let path = folder.join(format!("{name}.wasm"));
        fs::copy(guest(name), &path).expect("copied");
        let manifest = format!("name = \"{name}\"\nversion = \"0.1.0\"\n{}\n", limits(run_seconds, ""));
        fs::write(path.with_extension("toml"), manifest).expect("written");
        paths.push(path);
    }
    let mut add =
        |name: &str, wat: String, manifest: String| paths.push(install(folder, name, &wat, &manifest));
    add(
        "start_spin",
        export("start-spin", "", &format!(r#"(func $s {spin}) (start $s) (func (export "run"))"#)),
        limits(1, ""),
    );
    add(
        "bulk_fill",
        export(
            "bulk-fill",
            "",
            r#"(memory 400) (func (export "run")
                (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 26214400)) (br 0)))"#,
        ),
        limits(1, ""),
    );
    // As many tables as there may be, which are less than the memory of the others.
    add("table_hog", table_hog(), "[limits]\nmemory_mib = 4\nrun_seconds = 30\n".to_owned());
    add(
        "handle_hog",
        with_world(
            "handle-hog",
            r#"(func (export "run") (loop (drop (call $subscribe (i64.const 1000000000000))) (br 0)))"#,
        ),
        limits(30, ""),
    );
    add(
        "hostcall_flood",
        with_world(
            "hostcall-flood",
            r#"(func (export "run") (loop (drop (call $now)) (drop (call $draw)) (br 0)))"#,
        ),
        limits(1, ""),
    );
    add(
        "poll_flood",
        with_world(
            "poll-flood",
            r#"(func (export "run") (local $timer i32)
                (local.set $timer (call $subscribe (i64.const 1000000000000000)))
                (loop (drop (call $ready (local.get $timer))) (br 0)))"#,
        ),
        limits(60, "journal_mib = 1"),
    );
    add(
        "progress_flood",
        with_world(
            "progress-flood",
            r#"(func (export "run") (drop (memory.grow (i32.const 20)))
                (loop (call $status (i32.const 0) (i32.const 1000000)) (br 0)))"#,
        ),
        limits(1, ""),
    );
    add(
        "huge_string_arg",
        with_world(
            "huge-string-arg",
            r#"(func (export "run") (drop (memory.grow (i32.const 400)))
                (call $status (i32.const 0) (i32.const 26000000)))"#,
        ),
        limits(30, ""),
    );
    add("huge_result", huge("huge-result", 2_000_000), limits(30, "result_kib = 64"));
    add("enormous_result", huge("enormous-result", 25_000_000), limits(30, "result_kib = 64"));

    let failed = |tool, reason, words| Rogue { tool, end: End::Failed(reason, words), run_seconds: None };
    let spins = |tool| Rogue { tool, end: End::Failed("limit", "run_seconds = 1"), run_seconds: Some(1) };
    let rogues = vec![
        spins("spin"),
        spins("start_spin"),
        spins("bulk_fill"),
        spins("hostcall_flood"),
        spins("progress_flood"),
        failed("memory_hog", "trap", "memory_mib"),
        failed("deep_recursion", "trap", "call stack exhausted"),
        Rogue { tool: "log_flood", end: End::Completed, run_seconds: None },
        failed("table_hog", "trap", "memory_mib"),
        failed("handle_hog", "limit", "MAX_HANDLES"),
        failed("poll_flood", "limit", "journal_mib"),
        failed("huge_string_arg", "limit", "MAX_HOSTCALL_BYTES"),
        Rogue { tool: "huge_result", end: End::ToolError("result_kib = 64"), run_seconds: None },
        failed("enormous_result", "limit", "MAX_HOSTCALL_BYTES"),
    ];
    (paths, rogues)
}

async fn ends(client: &Client, rogue: &Rogue) -> Duration {
    let begun = Instant::now();
    let id = client.start(rogue.tool, json!({}), None).await.expect("a task");
    let document = client.ended(&id).await.expect("an end");
    let took = begun.elapsed();
    let state = document["state"].as_str().unwrap_or_default();
    let name = rogue.tool;
    match rogue.end {
        End::Failed(reason, words) => {
            assert_eq!((state, document["reason"].as_str()), ("failed", Some(reason)), "{name}: {document}");
            let seen = document["error"]["message"].as_str().unwrap_or_default();
            assert!(seen.contains(words), "{name}: {seen}");
        }
        End::ToolError(words) => {
            assert_eq!(state, "completed", "{name}: {document}");
            let result =
                client.call("task_result", json!({"task_id": id}), json!({})).await.expect("a result");
            assert_eq!(result["isError"], true, "{name}: {result}");
            assert!(result["content"][0]["text"].as_str().unwrap_or_default().contains(words), "{result}");
        }
        End::Completed => assert_eq!(state, "completed", "{name}: {document}"),
    }
    assert!(took < Duration::from_secs(rogue.run_seconds.unwrap_or(0)) + MARGIN, "{name} took {took:?}");
    took
}

/// Calls a quick tool again and again until it is asked to stop.
async fn keep_asking(client: Client, stop: Arc<AtomicBool>) -> Timing {
    let mut timing = Timing::default();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let answer: Value = client
            .call("quick", json!({}), json!({"longhaul/reply": "inline"}))
            .await
            .expect("answered beside any rogue");
        timing.add(begun.elapsed());
        assert_eq!(answer["structuredContent"]["result"], 7, "{answer}");
    }
    timing
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rogues_end_at_their_bounds_and_nobody_else_notices() {
    let root = tempfile::tempdir().expect("a folder");
    let (mut paths, rogues) = rogues(root.path());
    let quick = export("quick", "(result u32)", r#"(func (export "run") (result i32) i32.const 7)"#);
    paths.push(install(root.path(), "quick", &quick, ""));
    let server = Arc::new(Server::start(&root.path().join("data"), &paths));
    let client = server.client();
    let base = server.resident_kib();

    let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let asking = tokio::spawn(keep_asking(client.clone(), stop.clone()));
    let watching = {
        let (server, stop, peak) = (server.clone(), stop.clone(), peak.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                peak.fetch_max(server.resident_kib(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        })
    };
    let grown_mib = |peak: &AtomicU64| peak.swap(0, Ordering::Relaxed).saturating_sub(base) / 1024;

    for rogue in &rogues {
        let took = ends(&client, rogue).await;
        let late = rogue.run_seconds.map_or(String::new(), |bound| {
            format!(", {} ms past its bound", took.saturating_sub(Duration::from_secs(bound)).as_millis())
        });
        println!("{}: {} ms{late}, server +{} MiB", rogue.tool, took.as_millis(), {
            let grown = grown_mib(&peak);
            assert!(grown < SERVER_GROWTH_MIB + MEMORY_MIB + HOST_SIDE_MIB, "{}: {grown} MiB", rogue.tool);
            grown
        });
    }

    futures::future::join_all(rogues.iter().map(|rogue| ends(&client, rogue))).await;
    let (together, bound) =
        (grown_mib(&peak), SERVER_GROWTH_MIB + rogues.len() as u64 * (MEMORY_MIB + HOST_SIDE_MIB));
    stop.store(true, Ordering::Relaxed);
    let timing = asking.await.expect("all were answered");
    watching.join().expect("it watched");
    println!("all at once: server +{together} MiB; a neighbour all the while: {timing}");
    assert!(together < bound, "{together} MiB, and {bound} are allowed");
    assert!(timing.count() > rogues.len(), "{timing}");
}
