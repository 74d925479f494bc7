//! The engine with closures: no WASM, time in the test's hand, restarts by opening the folder again.

mod approvals;
mod at_once;
mod attempts;
mod audit;
mod blocks;
mod children;
mod clocks;
mod commits;
mod deletes;
mod ends;
mod images;
mod library;
mod memory;
mod models;
mod outcomes;
mod polls;
mod powers;
mod probed;
mod questions;
mod refusals;
mod refused;
mod remote;
mod same_call;
mod sampling;
mod shares;
mod sleepers;
mod state;
mod stored;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::closures::{Closures, StepError, Steps};
use super::*;
use crate::authority::Principal;
use crate::catalog::{Catalog, Inspection, ToolDefinition};
use crate::clock::ManualClock;
use crate::limits;
use crate::store::{Moment, Space};
use crate::task::{
    ComponentId, FailedReason, RetryPolicy, State, TaskId, TaskLimits, ToolResult, WaitingReason,
};

const DAY: Duration = Duration::from_secs(86_400);
const START: u64 = 1_800_000_000_000_000_000;

fn definition(name: &str) -> ToolDefinition {
    ToolDefinition::new(name, "a test", json!({"type": "object"}))
}

struct World {
    folder: tempfile::TempDir,
    clock: ManualClock,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), clock: ManualClock::starting_at(START) }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn options(&self) -> EngineOptions {
        EngineOptions { clock: Arc::new(self.clock.clone()), commands: typed, ..EngineOptions::default() }
    }

    async fn open(&self, closures: Closures) -> TaskEngine {
        let catalog = Arc::new(closures.catalog().expect("a catalog"));
        let engine =
            TaskEngine::open(self.path(), Arc::new(closures), self.options()).await.expect("an engine");
        engine.set_catalog(catalog);
        engine
    }

    async fn start(&self, closures: Closures) -> TaskEngine {
        let engine = self.open(closures).await;
        engine.start().await.expect("a start");
        engine
    }
}

/// All rows but those that belong to no task.
fn rows_left(engine: &TaskEngine) -> Vec<(Space, Vec<u8>)> {
    let left = engine.shared.store.read_blocking(|snapshot| {
        let mut left = Vec::new();
        for space in Space::ALL.iter().filter(|space| !matches!(space, Space::Setting | Space::Audit)) {
            snapshot.scan_prefix(*space, &[], false, |key, _| {
                left.push((*space, key.to_vec()));
                std::ops::ControlFlow::Continue(())
            })?;
        }
        Ok(left)
    });
    left.expect("a read")
}

async fn submit(engine: &TaskEngine, tool: &str, arguments: Value) -> TaskId {
    let submission = Submission {
        tool: tool.into(),
        arguments,
        principal: Principal::local(),
        idempotency_key: None,
        trace: None,
    };
    engine.submit(submission).await.expect("a task").id
}

/// The commands of a program that has some.
fn typed(next: &NextAction) -> Option<String> {
    match next {
        NextAction::ListTools => Some("a-program tools".to_owned()),
        NextAction::PinTools { server } => Some(format!("a-program pin {server}")),
        _ => None,
    }
}

async fn ended(engine: &TaskEngine, id: TaskId) -> TaskView {
    engine.wait(&Principal::local(), id, Duration::from_secs(20)).await.expect("a task")
}

/// Waits until the task fits, as a subscriber would.
async fn until(engine: &TaskEngine, id: TaskId, fits: impl Fn(&TaskView) -> bool) -> TaskView {
    let mut watcher = engine.feed().watch().expect("room");
    watcher.add(ResourceKey::Task(id));
    let waiting = async {
        loop {
            let document = engine.task(&Principal::local(), id).await.expect("a task");
            if fits(&document) {
                return document;
            }
            watcher.next().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("in time")
}

async fn until_true(is_it: impl Fn() -> bool) {
    until_it_holds(async || is_it()).await;
}

async fn until_it_holds(holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("in time");
}

/// Waits until every instance has given its permit back.
async fn nothing_lives(engine: &TaskEngine) {
    let all = engine.shared.live_bound as u32;
    let permits = tokio::time::timeout(Duration::from_secs(20), engine.shared.live.acquire_many(all)).await;
    drop(permits.expect("in time").expect("open"));
}

fn text(end: TaskEnd) -> String {
    match end {
        TaskEnd::Completed(result) => match &result.content[..] {
            [crate::task::Content::Text(text)] => text.clone(),
            other => panic!("not one text: {other:?}"),
        },
        other => panic!("not completed: {other:?}"),
    }
}

/// Counts, sleeps a day in the middle, counts again.
fn two_steps(done: &Arc<AtomicU64>) -> Closures {
    let done = done.clone();
    Closures::new().tool(definition("two_steps"), "1", move |steps: Steps, _| {
        let done = done.clone();
        async move {
            let count = || async { Ok(done.fetch_add(1, Ordering::SeqCst)) };
            let first: u64 = steps.step("first", count).await?;
            steps.log("between")?;
            steps.progress(1, Some(2), Some("half"))?;
            steps.sleep(DAY).await?;
            let second: u64 = steps.step("second", count).await?;
            let now = steps.now()?.as_secs();
            Ok(ToolResult::text(format!("{first} {second} after {now}")))
        }
    })
}

#[tokio::test]
async fn a_task_sleeps_a_day_across_a_restart_and_repeats_nothing() {
    let world = World::new();
    let done = Arc::new(AtomicU64::new(0));
    let engine = world.start(two_steps(&done)).await;
    let id = submit(&engine, "two_steps", json!({})).await;
    let document = until(&engine, id, |document| document.state.name() == "waiting").await;
    assert_eq!(document.state.reason(), Some("timer"));
    assert_eq!(document.progress.map(|p| (p.done, p.total)), Some((1, Some(2))));
    nothing_lives(&engine).await;
    engine.shutdown().await;

    let engine = world.start(two_steps(&done)).await;
    let document = engine.task(&Principal::local(), id).await.expect("a task");
    assert_eq!((document.state.name(), document.attempt), ("waiting", 1));
    world.clock.advance(DAY / 2);
    assert_eq!(engine.task(&Principal::local(), id).await.expect("a task").state.name(), "waiting");
    world.clock.advance(DAY / 2);
    let document = ended(&engine, id).await;
    assert_eq!((document.state.name(), document.attempt), ("completed", 1));
    assert_eq!(text(engine.result(&Principal::local(), id).await.expect("an end")), "0 1 after 86400");
    assert_eq!(done.load(Ordering::SeqCst), 2);
    let log = engine.log(&Principal::local(), id, 0, 100).await.expect("a log");
    assert_eq!((log.bytes.as_slice(), log.done), (&b"between\n"[..], true));
    assert!(engine.journal(&Principal::local(), id).await.expect("a journal").records.is_empty());
}

/// A wall clock that a dead battery sets back ten years must not turn what is left of a sleep into ten years.
#[tokio::test]
async fn a_clock_set_back_between_two_lives_stretches_no_sleep() {
    let world = World::new();
    let done = Arc::new(AtomicU64::new(0));
    let engine = world.start(two_steps(&done)).await;
    let id = submit(&engine, "two_steps", json!({})).await;
    until(&engine, id, |document| document.state.name() == "waiting").await;
    engine.shutdown().await;
    world.clock.set_wall(START - 3_650 * DAY.as_nanos() as u64);
    let engine = world.start(two_steps(&done)).await;
    world.clock.advance(DAY);
    assert_eq!(ended(&engine, id).await.state.name(), "completed");
    assert_eq!(text(engine.result(&Principal::local(), id).await.expect("an end")), "0 1 after 86400");
}

/// A crash: the process is gone without a word. Nothing that was acknowledged may be done again.
#[tokio::test]
async fn what_was_running_is_interrupted_and_goes_on_from_its_journal() {
    let world = World::new();
    let done = Arc::new(AtomicU64::new(0));
    let closures = |gate: &Arc<tokio::sync::Semaphore>| {
        let (done, gate) = (done.clone(), gate.clone());
        Closures::new().tool(definition("gated"), "1", move |steps: Steps, _| {
            let (done, gate) = (done.clone(), gate.clone());
            async move {
                let before: u64 =
                    steps.step("a", || async { Ok(done.fetch_add(1, Ordering::SeqCst)) }).await?;
                steps.progress(1, Some(2), None)?;
                gate.acquire().await.map_err(|error| StepError::Tool(error.to_string()))?.forget();
                steps.progress(2, Some(2), None)?;
                Ok(ToolResult::text(format!("{before}")))
            }
        })
    };
    let [shut, gate] = [0; 2].map(|permits| Arc::new(tokio::sync::Semaphore::new(permits)));
    let engine = world.start(closures(&shut)).await;
    let id = submit(&engine, "gated", json!({})).await;
    until(&engine, id, |document| document.progress.is_some()).await;
    // The row says running; it must not be shown so once its process is gone.
    engine.shared.store.clone().close().await.expect("closed");
    drop(engine);

    let offline = world.open(closures(&shut)).await;
    let document = offline.task(&Principal::local(), id).await.expect("a task");
    assert_eq!((document.state.name(), document.state.reason()), ("queued", Some("interrupted")));
    offline.shutdown().await;

    let engine = world.start(closures(&gate)).await;
    let follower = engine.feed().follow(id).expect("room");
    gate.add_permits(1);
    let document = ended(&engine, id).await;
    assert_eq!((document.state.name(), document.attempt), ("completed", 2));
    assert_eq!(text(engine.result(&Principal::local(), id).await.expect("an end")), "0");
    assert_eq!(done.load(Ordering::SeqCst), 1);
    let mut reports = Vec::new();
    loop {
        match follower.next().await {
            TaskChange::Progress { number, .. } => reports.push(number),
            TaskChange::State(crate::task::State::Completed) => break,
            _ => {}
        }
    }
    assert_eq!(reports, [2], "the first report was told before the crash");
}

/// A reader at the time of a task's end sees what was before it or what came of it, and never a crash that was none.
#[tokio::test]
async fn a_task_that_ends_while_it_is_looked_at_is_not_interrupted() {
    let world = World::new();
    let stuck = Closures::new().tool(definition("stuck"), "1", |_steps, _| async {
        std::future::pending::<()>().await;
        Ok(ToolResult::default())
    });
    let engine = world.start(stuck).await;
    let local = Principal::local();
    let id = submit(&engine, "stuck", json!({})).await;
    until(&engine, id, |document| document.state.name() == "running").await;
    let (looks, looking) = tokio::sync::oneshot::channel();
    let reader = engine.clone();
    let reading = tokio::task::spawn_blocking(move || {
        reader.shared.store.read_blocking(|snapshot| {
            looks.send(()).expect("awaited");
            // The instance leaves memory before the commit that says so.
            while reader.shared.entry(id).is_some_and(|entry| entry.lock().live.is_some()) {
                std::thread::yield_now();
            }
            reader.view(snapshot, &Principal::local(), id, reader.held_if_free(id))
        })
    });
    looking.await.expect("a snapshot");
    engine.cancel(&local, id, None).await.expect("cancelled");
    let (document, ..) = reading.await.expect("read").expect("a read").expect("a task");
    assert_eq!((document.state, document.is_replaying), (State::Running, false));
    assert_eq!(engine.task(&local, id).await.expect("a task").state.name(), "cancelled");
}

/// A holder of a task's locks may be waiting for a read of the store, behind a commit that waits for the reads before
/// it: a read that waited for the locks would wait for ever.
#[tokio::test]
async fn a_read_of_the_store_waits_for_no_task() {
    let world = World::new();
    let stuck = Closures::new().tool(definition("stuck"), "1", |_steps, _| async {
        std::future::pending::<()>().await;
        Ok(ToolResult::default())
    });
    let engine = world.start(stuck).await;
    let id = submit(&engine, "stuck", json!({})).await;
    until(&engine, id, |document| document.state.name() == "running").await;
    let entry = engine.shared.entry(id).expect("it is open");
    let (state, children) = (entry.lock(), entry.children());
    let reader = engine.clone();
    let (done, listed) = std::sync::mpsc::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let listed = runtime.block_on(reader.tasks(&Principal::local(), &TaskQuery::default()));
        let log = runtime.block_on(reader.log(&Principal::local(), id, 0, 10));
        done.send((listed.expect("a page").tasks.len(), log.expect("a log").total))
    });
    assert_eq!(listed.recv_timeout(Duration::from_secs(30)), Ok((1, 0)));
    drop((children, state));
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_task_and_one_set_of_arguments() {
    let world = World::new();
    let engine = world.start(two_steps(&Arc::default())).await;
    let call = |arguments: Value, principal: &str| Submission {
        tool: "two_steps".into(),
        arguments,
        principal: Principal::new(principal, vec!["*".into()]),
        idempotency_key: Some("k".into()),
        trace: None,
    };
    let first = engine.submit(call(json!({"a": 1}), "ann")).await.expect("a task");
    let (again, same) = tokio::join!(
        engine.submit(call(json!({"a": 1}), "ann")),
        engine.submit(call(json!({"a": 1}), "ann"))
    );
    for repeated in [again.expect("a task"), same.expect("a task")] {
        assert!(repeated.existing);
        assert_eq!(repeated.id, first.id);
    }
    let error = engine.submit(call(json!({"a": 2}), "ann")).await.err().expect("a conflict");
    assert!(matches!(error, EngineError::IdempotencyConflict { .. }), "{error}");
    let other = engine.submit(call(json!({"a": 1}), "bob")).await.expect("a task");
    assert!(!other.existing);
    let ann = Principal::new("ann", vec!["*".into()]);
    assert!(matches!(engine.task(&ann, other.id).await, Err(EngineError::NoSuchTask(_))));
    assert_eq!(engine.tasks(&ann, &TaskQuery::default()).await.expect("a page").tasks.len(), 1);
}

#[tokio::test]
async fn concurrent_calls_with_one_key_make_one_task() {
    let world = World::new();
    let engine = world.start(two_steps(&Arc::default())).await;
    let calls = (0..32).map(|_| {
        engine.submit(Submission {
            tool: "two_steps".into(),
            arguments: json!({}),
            principal: Principal::local(),
            idempotency_key: Some("same".into()),
            trace: None,
        })
    });
    let ids: std::collections::BTreeSet<TaskId> =
        futures::future::join_all(calls).await.into_iter().map(|made| made.expect("a task").id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(engine.metrics().submitted, 1);
}

#[tokio::test]
async fn another_program_on_an_old_journal_is_a_divergence() {
    let world = World::new();
    let engine = world.start(two_steps(&Arc::default())).await;
    let id = submit(&engine, "two_steps", json!({})).await;
    until(&engine, id, |document| document.state.name() == "waiting").await;
    engine.shutdown().await;
    let other = Closures::new().tool(definition("two_steps"), "1", |steps: Steps, _| async move {
        steps.step("another", || async { Ok(1u64) }).await?;
        Ok(ToolResult::default())
    });
    let engine = world.start(other).await;
    world.clock.advance(DAY);
    let document = ended(&engine, id).await;
    assert_eq!(document.state.reason(), Some("diverged"));
    assert!(document.error.expect("an error").message.contains("record 0"));
    assert!(!engine.journal(&Principal::local(), id).await.expect("kept").records.is_empty());
    engine.shutdown().await;
    let none = Closures::new().tool(definition("two_steps"), "2", |_, _| async { Ok(ToolResult::default()) });
    let engine = world.start(none).await;
    engine.retry(&Principal::local(), id, None).await.expect("a retry");
    assert_eq!(ended(&engine, id).await.state.reason(), Some(FailedReason::MissingComponent.as_str()));
}

#[tokio::test]
async fn wrong_calls_make_no_task() {
    let world = World::new();
    let mut strict = definition("strict");
    strict.input_schema =
        json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let engine =
        world.start(Closures::new().tool(strict, "1", |_, _| async { Ok(ToolResult::default()) })).await;
    let call = |tool: &str, arguments: Value, principal: Principal| {
        engine.submit(Submission {
            tool: tool.into(),
            arguments,
            principal,
            idempotency_key: None,
            trace: None,
        })
    };
    let local = Principal::local;
    let error = call("strikt", json!({}), local()).await.err().expect("unknown").to_string();
    assert!(error.contains("no tool 'strikt'"), "{error}");
    let error = call("strict_", json!({}), local()).await.err().expect("unknown").to_string();
    assert!(error.contains("did you mean 'strict'"), "{error}");
    let error = call("strict", json!({"n": "x"}), local()).await.err().expect("wrong").to_string();
    assert!(error.contains("/n"), "{error}");
    let stranger = Principal::new("stranger", vec!["other_*".into()]);
    assert!(matches!(call("strict", json!({"n": 1}), stranger).await, Err(EngineError::NoSuchTool { .. })));
    let huge = json!({"n": 1, "pad": "x".repeat(limits::MAX_ARGUMENTS_BYTES)});
    assert!(matches!(call("strict", huge, local()).await, Err(EngineError::ArgumentsTooLarge { .. })));
    let metrics = engine.metrics();
    assert_eq!(metrics, Metrics { store_reads: metrics.store_reads, ..Metrics::default() });
    assert!(engine.tasks(&local(), &TaskQuery::default()).await.expect("a page").tasks.is_empty());
}

#[tokio::test]
async fn lists_come_newest_first_in_pages() {
    let world = World::new();
    let quick = Closures::new().tool(definition("quick"), "1", |_, _| async { Ok(ToolResult::default()) });
    let engine = world.start(quick).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        world.clock.advance(Duration::from_millis(2));
        ids.push(submit(&engine, "quick", json!({})).await);
        ended(&engine, ids[ids.len() - 1]).await;
    }
    ids.reverse();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let query = TaskQuery { limit: 2, cursor, state: Some("completed".into()), ..TaskQuery::default() };
        let page = engine.tasks(&Principal::local(), &query).await.expect("a page");
        assert!(page.tasks.len() <= 2);
        seen.extend(page.tasks.into_iter().map(|document| document.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);
    let all = |limit| TaskQuery { limit, ..TaskQuery::default() };
    let first = engine.tasks(&Principal::local(), &all(2)).await.expect("a page").next_cursor;
    let given = async |cursor: &str, query: TaskQuery, by: &Principal| {
        engine
            .tasks(by, &TaskQuery { cursor: Some(cursor.to_owned()), ..query })
            .await
            .map(|page| page.tasks.len())
    };
    let (cursor, local) = (first.expect("a second page"), Principal::local());
    assert!(matches!(given(&cursor, all(0), &local).await, Ok(3)), "how many are wanted is no filter");
    let filtered = [
        TaskQuery { tool: Some("quick".into()), ..all(2) },
        TaskQuery { state: Some("completed".into()), ..all(2) },
        TaskQuery { parent: Some(ids[0]), ..all(2) },
    ];
    for query in filtered {
        assert!(matches!(given(&cursor, query, &local).await, Err(EngineError::BadCursor)));
    }
    let bob = Principal::new("bob", vec!["*".into()]);
    assert!(matches!(given(&cursor, all(2), &bob).await, Err(EngineError::BadCursor)), "another's list");
    for none in ["", "null", &ids[0].to_string(), "no-page-gave-this"] {
        assert!(matches!(given(none, all(2), &local).await, Err(EngineError::BadCursor)), "{none:?}");
    }
    engine.shutdown().await;
    drop(engine);
    let quick = Closures::new().tool(definition("quick"), "1", |_, _| async { Ok(ToolResult::default()) });
    let engine = world.start(quick).await;
    let query = TaskQuery { cursor: Some(cursor), ..all(0) };
    assert_eq!(engine.tasks(&local, &query).await.expect("a page").tasks.len(), 3, "it outlives a restart");
    let none = TaskQuery { state: Some("failed".into()), ..TaskQuery::default() };
    assert!(engine.tasks(&Principal::local(), &none).await.expect("a page").tasks.is_empty());
}
