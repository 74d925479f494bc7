//! What a task did and when is kept: over a kill, evictions, retries and its end, within a bound, and it goes with the
//! task.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longhaul::StoreOptions;
use longhaul::api::{StepsDocument, TraceEntry};
use longhaul::authority::Principal;
use longhaul::catalog::ToolDefinition;
use longhaul::clock::ManualClock;
use longhaul::engine::closures::{Closures, Steps};
use longhaul::engine::{EngineError, EngineOptions, ResourceKey, StateWrite, Submission, TaskEngine};
use longhaul::limits;
use longhaul::rows_on_disk::{Batch, Space, Store};
use longhaul::task::{TaskId, ToolResult};
use serde_json::{Value, json};

use crate::support::{Server, Web, guest};

/// The interpreter that may talk to one web server and call tools.
fn tools(root: &std::path::Path, web: &Web) -> Vec<PathBuf> {
    let component = root.join("interpreter.wasm");
    fs::copy(guest("interpreter"), &component).expect("a copy");
    let manifest =
        format!("name = \"interpreter\"\n[capabilities]\nhttp = [{:?}]\ntools = [\"*\"]\n", web.url(""));
    fs::write(root.join("interpreter.toml"), manifest).expect("a manifest");
    vec![component]
}

fn steps_of(server: &Server, id: &str) -> StepsDocument {
    let shown = server.longhaul(&["task", "show", id, "--steps"]);
    serde_json::from_value(shown).expect("steps")
}

/// `kind label` of each step, `- kind about` of each mark.
fn shown(steps: &StepsDocument) -> Vec<String> {
    let shown = |entry: &TraceEntry| match entry {
        TraceEntry::Step { kind, label, state, .. } if state == "done" => format!("{kind} {label}"),
        TraceEntry::Step { kind, label, state, .. } => format!("{kind} {label} ({state})"),
        TraceEntry::Mark { kind, about, .. } => format!("- {kind} {}", about.as_deref().unwrap_or_default()),
    };
    steps.entries.iter().map(shown).collect()
}

/// How long each step of this kind took.
fn took(steps: &StepsDocument, wanted: &str) -> Vec<f64> {
    let of = |entry: &TraceEntry| match entry {
        TraceEntry::Step { kind, took_ms, .. } if kind == wanted => *took_ms,
        _ => None,
    };
    steps.entries.iter().filter_map(of).collect()
}

/// Within an attempt they stand in the order in which they began, and none took less than no time.
fn check_times(steps: &StepsDocument) {
    let mut last = String::new();
    for entry in &steps.entries {
        let (at, took, is_new) = match entry {
            TraceEntry::Step { started_at, took_ms, .. } => (started_at, *took_ms, false),
            TraceEntry::Mark { kind, at, took_ms, .. } => {
                (at, *took_ms, kind == "crashed" || kind == "attempt")
            }
        };
        assert!(is_new || *at >= last, "{at} stands behind {last}: {steps:?}");
        assert!(took.is_none_or(|took| took >= 0.0), "{steps:?}");
        last.clone_from(at);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_task_did_is_shown_over_a_kill_an_eviction_a_retry_and_its_end() {
    const SLEEP_MS: u64 = 1_500;
    let (web, root) = (Web::start(), tempfile::tempdir().expect("a folder"));
    let (tools, data) = (tools(root.path(), &web), root.path().join("data"));
    let request = |path: &str| json!({"method": "PUT", "url": web.url(path), "body": "b"});
    let program = json!([
        {"op": "http", "request": request("/first")},
        {"op": "call", "tool": "run_program", "arguments": {"program": []}},
        {"op": "step", "name": "half"},
        {"op": "http", "request": request("/slow/2000/killed")},
        {"op": "sleep", "ms": SLEEP_MS},
        {"op": "trap"},
    ]);

    fs::create_dir_all(data.join("longhaul")).expect("a folder");
    fs::write(data.join("longhaul/longhaul.toml"), "[engine]\nsuspend_grace_ms = 200\n")
        .expect("a configuration");
    let server = Server::start(&data, &tools);
    let id = server.client().start("run_program", json!({"program": program}), None).await.expect("a task");
    web.asked_for("/slow/2000/killed").await;
    server.kill();

    let server = Server::start(&data, &tools);
    assert_eq!(server.client().ended(&id).await.expect("an end")["state"], "failed");
    let first = steps_of(&server, &id);
    // A path may be made of arguments, or be a secret.
    let put = format!("http PUT {}", web.url(""));
    let until_trap = [
        "- attempt first",
        &put,
        "call run_program",
        "output open output \"trace\"",
        "output append to output \"trace\"",
        &put,
        "- crashed ",
        "- attempt after a crash",
        "- replayed ",
        "sleep timers.sleep",
        "- evicted timer",
        "- attempt woken",
        "- replayed ",
        "- ended failed (trap)",
    ];
    let without_waits = |steps: &StepsDocument| -> Vec<String> {
        shown(steps).into_iter().filter(|line| !line.starts_with("wait ")).collect()
    };
    assert_eq!(without_waits(&first), until_trap, "{first:?}");
    check_times(&first);
    let requests = took(&first, "http");
    assert!(requests[0] < 2_000.0 && requests[1] >= 2_000.0, "from before the kill to after it: {first:?}");
    assert!(took(&first, "sleep")[0] >= SLEEP_MS as f64, "over the eviction: {first:?}");

    // The sleep is the last record, and its time is over: it traps again at once.
    let step = first.entries.iter().find_map(|entry| match entry {
        TraceEntry::Step { kind, record, .. } if kind == "sleep" => *record,
        _ => None,
    });
    let step = step.expect("its record").to_string();
    server.longhaul(&["task", "retry", &id, "--from", &step]);
    assert_eq!(server.client().ended(&id).await.expect("an end")["state"], "failed");
    let again = steps_of(&server, &id);
    let mut expected: Vec<&str> = until_trap.to_vec();
    expected.extend([
        "- reopened retry",
        "- attempt taken up by its owner",
        "- replayed ",
        "sleep timers.sleep",
        "- ended failed (trap)",
    ]);
    assert_eq!(without_waits(&again), expected, "{again:?}");
    check_times(&again);
    assert_eq!(took(&again, "sleep").len(), 2);
    let replayed: Vec<u64> = again
        .entries
        .iter()
        .filter_map(|entry| if let TraceEntry::Mark { records, .. } = entry { *records } else { None })
        .collect();
    assert!(replayed.len() == 3 && replayed.iter().all(|records| *records > 0), "{replayed:?}");

    // The same over MCP, and from the store alone.
    let resource = server.client().read(&format!("task://{id}/steps")).await.expect("a resource");
    assert_eq!(serde_json::from_str::<StepsDocument>(&resource).expect("steps"), again);
    assert!(server.stop().success());
    let shown = crate::support::answer_of(crate::support::command(&data, &["task", "show", &id, "--steps"]));
    assert_eq!(serde_json::from_value::<StepsDocument>(shown).expect("steps"), again);
}

/// As many steps as its arguments say, each a write of shared state.
fn counting() -> Closures {
    let definition = ToolDefinition::new("count", "Counts.", json!({"type": "object"}));
    let naps = ToolDefinition::new("naps", "Naps.", json!({"type": "object"}));
    Closures::new()
        .tool(definition, "1", |steps: Steps, arguments: Value| async move {
            for number in 0..arguments["steps"].as_u64().unwrap_or_default() {
                let write = StateWrite {
                    key: (number % 7).to_string(),
                    value: Some("1".to_owned()),
                    if_version: None,
                    ttl_seconds: None,
                };
                steps.state_write("counts", &[write]).await?.expect("no condition");
            }
            Ok(ToolResult::text("counted"))
        })
        .tool(naps, "1", |steps: Steps, _: Value| async move {
            for number in 0..2 {
                steps.step(&format!("nap {number}"), || async { Ok(number) }).await?;
                steps.sleep(Duration::from_secs(60)).await?;
            }
            Ok(ToolResult::text("rested"))
        })
}

async fn engine(data: &std::path::Path, options: EngineOptions) -> TaskEngine {
    let engine = TaskEngine::open(data, Arc::new(counting()), options).await.expect("the store opens");
    engine.set_catalog(Arc::new(counting().catalog().expect("a catalog")));
    engine.start().await.expect("a start");
    engine
}

async fn submit(engine: &TaskEngine, tool: &str, arguments: Value) -> TaskId {
    let submission = Submission {
        tool: tool.to_owned(),
        arguments,
        principal: Principal::local(),
        idempotency_key: None,
        trace: None,
    };
    engine.submit(submission).await.expect("a task").id
}

#[tokio::test(flavor = "multi_thread")]
async fn of_thousands_of_steps_the_oldest_are_folded_and_all_are_counted() {
    const STEPS: u64 = 12_000;
    let data = tempfile::tempdir().expect("a folder");
    let (engine, me) = (engine(data.path(), EngineOptions::default()).await, Principal::local());
    let id = submit(&engine, "count", json!({ "steps": STEPS })).await;
    let ended = engine.wait(&me, id, Duration::from_secs(120)).await.expect("an end");
    assert_eq!(ended.state.name(), "completed");

    let steps = StepsDocument::from(engine.steps(&me, id).await.expect("steps"));
    let folded = steps.folded.as_ref().expect("more than fits");
    let kept = steps.entries.iter().filter(|entry| matches!(entry, TraceEntry::Step { .. })).count() as u64;
    assert_eq!(folded.steps + kept, STEPS);
    assert_eq!(folded.by_kind, [("state".to_owned(), folded.steps)].into());
    assert!(kept > 500, "{kept} are kept");
    assert!(folded.from < folded.to, "{folded:?}");
    check_times(&steps);
    assert_eq!(shown(&steps).last().map(String::as_str), Some("- ended completed"));

    // Its rows stay within the bound, and go with the task.
    let bytes = trace_bytes(data.path(), engine, id).await;
    assert!(bytes > 0 && bytes as u64 <= limits::DEFAULT_TRACE_KIB * 1024, "{bytes} bytes");
    let options = EngineOptions { retention: Some(Duration::ZERO), ..EngineOptions::default() };
    let engine = self::engine(data.path(), options).await;
    engine.sweep().await.expect("a sweep");
    assert!(matches!(engine.steps(&me, id).await, Err(EngineError::NoSuchTask(_))));
    assert_eq!(trace_bytes(data.path(), engine, id).await, 0);
}

/// Of the rows of a task's trace, keys included, once the engine is gone.
async fn trace_bytes(data: &std::path::Path, engine: TaskEngine, id: TaskId) -> usize {
    engine.shutdown().await;
    drop(engine);
    let store = Store::open(data, StoreOptions::default()).expect("the store opens");
    let bytes = store.read(move |snapshot| {
        let mut bytes = 0;
        snapshot.scan_prefix(Space::Trace, id.as_bytes(), false, |key, row| {
            bytes += key.len() + row.len();
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(bytes)
    });
    bytes.await.expect("rows")
}

/// Waits until it holds, which is looked at after each change of the task.
async fn until(engine: &TaskEngine, id: TaskId, holds: impl AsyncFn(&TaskEngine) -> bool) {
    let mut watcher = engine.feed().watch().expect("room");
    watcher.add(ResourceKey::Task(id));
    let waiting = async {
        while !holds(engine).await {
            watcher.next().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("in time");
}

/// The wall clock is set back by a year while no server runs, and again while one does.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_makes_no_time_negative() {
    const YEAR: u64 = 365 * 86_400 * 1_000_000_000;
    let data = tempfile::tempdir().expect("a folder");
    let (clock, me) = (ManualClock::starting_at(3 * YEAR), Principal::local());
    let options =
        |clock: &ManualClock| EngineOptions { clock: Arc::new(clock.clone()), ..EngineOptions::default() };
    let engine = engine(data.path(), options(&clock)).await;
    let id = submit(&engine, "naps", json!({})).await;
    let is_asleep = async |engine: &TaskEngine| {
        engine.task(&Principal::local(), id).await.expect("a task").state.name() == "waiting"
    };
    until(&engine, id, is_asleep).await;
    clock.set_wall(2 * YEAR);
    engine.shutdown().await;
    drop(engine);
    let clock = ManualClock::starting_at(2 * YEAR);
    let engine = self::engine(data.path(), options(&clock)).await;
    clock.advance(Duration::from_secs(61));
    let has_slept = async |engine: &TaskEngine| {
        engine.steps(&Principal::local(), id).await.expect("steps").entries.len() > 6
            && is_asleep(engine).await
    };
    until(&engine, id, has_slept).await;
    clock.set_wall(YEAR);
    clock.advance(Duration::from_secs(61));
    let ended = engine.wait(&me, id, Duration::from_secs(60)).await.expect("an end");
    assert_eq!(ended.state.name(), "completed");
    let steps = StepsDocument::from(engine.steps(&me, id).await.expect("steps"));
    check_times(&StepsDocument {
        entries: steps.entries[..steps.entries.len() - 1].to_vec(),
        ..steps.clone()
    });
    let naps = took(&steps, "sleep");
    assert!(naps.len() == 2 && naps.iter().all(|took| (60_000.0..70_000.0).contains(took)), "{steps:?}");
}

/// As an earlier version left it.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_without_a_trace_shows_none() {
    let data = tempfile::tempdir().expect("a folder");
    let (engine, me) = (engine(data.path(), EngineOptions::default()).await, Principal::local());
    let id = submit(&engine, "count", json!({ "steps": 3 })).await;
    engine.wait(&me, id, Duration::from_secs(60)).await.expect("an end");
    engine.shutdown().await;
    drop(engine);
    let store = Store::open(data.path(), StoreOptions::default()).expect("the store opens");
    let batch = Batch::new().delete_prefix(Space::Trace, id.as_bytes());
    store.commit_blocking(batch).expect("a commit");
    drop(store);
    let engine = self::engine(data.path(), EngineOptions::default()).await;
    let steps = StepsDocument::from(engine.steps(&me, id).await.expect("steps"));
    assert_eq!(shown(&steps), ["- ended completed"]);
    assert_eq!(steps.folded, None);
}
