//! `kill -9` while ended tasks are swept: each is there with all that belongs to it, or gone without a trace.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longhaul::authority::Principal;
use longhaul::catalog::ToolDefinition;
use longhaul::clock::ManualClock;
use longhaul::engine::closures::{Closures, Steps};
use longhaul::engine::{EngineError, EngineOptions, OutputOp, Submission, TaskEnd, TaskEngine, TaskQuery};
use longhaul::limits;
use longhaul::task::{TaskId, ToolResult};
use serde_json::{Value, json};

use crate::support::{Server, copy_folder};

const TASKS: u64 = 8;
const DAY: Duration = Duration::from_secs(86_400);

/// Arguments, an output and a result, each a blob of its own.
fn tools() -> Closures {
    let definition = ToolDefinition::new("keep", "Returns what it gets.", json!({"type": "object"}));
    Closures::new().tool(definition, "1", |steps: Steps, arguments: Value| async move {
        let text = arguments["text"].as_str().unwrap_or_default().to_owned();
        let data = text.as_bytes();
        steps.output(OutputOp::Write { name: "copy", mime_type: "text/plain", data }).await?;
        steps.log("kept")?;
        Ok(ToolResult::text(text))
    })
}

fn text(number: u64) -> String {
    format!("{number} ").repeat(limits::MAX_INLINE_PAYLOAD_BYTES)
}

async fn open(data: &Path, clock: Option<ManualClock>) -> TaskEngine {
    let mut options = EngineOptions::default();
    if let Some(clock) = clock {
        options.clock = Arc::new(clock);
    }
    TaskEngine::open(data, Arc::new(tools()), options).await.expect("the store opens")
}

/// A store in which all tasks ended two months ago.
async fn two_months_old(data: &Path) -> Vec<TaskId> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let clock = ManualClock::starting_at(u64::try_from((now - 60 * DAY).as_nanos()).expect("before 2554"));
    let engine = open(data, Some(clock.clone())).await;
    engine.set_catalog(Arc::new(tools().catalog().expect("a catalog")));
    engine.start().await.expect("a start");
    let mut ids = Vec::new();
    for number in 0..TASKS {
        let submission = Submission {
            tool: "keep".to_owned(),
            arguments: json!({ "text": text(number) }),
            principal: Principal::local(),
            idempotency_key: None,
            trace: None,
        };
        let id = engine.submit(submission).await.expect("a task").id;
        let ended = engine.wait(&Principal::local(), id, Duration::from_secs(60)).await.expect("an end");
        assert_eq!(ended.state, "completed");
        clock.advance(Duration::from_secs(1));
        ids.push(id);
    }
    engine.shutdown().await;
    ids
}

/// Which tasks are there. Each that is has to be whole.
async fn whole(data: &Path, ids: &[TaskId]) -> BTreeSet<TaskId> {
    let engine = open(data, None).await;
    let me = Principal::local();
    let listed = engine.tasks(&me, &TaskQuery::default()).expect("a page").tasks;
    let listed: BTreeSet<String> = listed.into_iter().map(|document| document.id).collect();
    let mut there = BTreeSet::new();
    for (number, id) in (0..).zip(ids) {
        match engine.task(&me, *id) {
            Err(EngineError::NoSuchTask(_)) => assert!(!listed.contains(&id.to_string()), "{id} is a ghost"),
            Err(error) => panic!("{id} is neither whole nor gone: {error}"),
            Ok(document) => {
                assert_eq!((document.state.as_str(), document.outputs.len()), ("completed", 1));
                assert!(listed.contains(&id.to_string()));
                let TaskEnd::Completed(result) = engine.result(&me, *id).expect("a result") else {
                    panic!("{id} has lost its result")
                };
                assert_eq!(result, ToolResult::text(text(number)));
                let copy = engine.output(&me, *id, "copy", 0, 1 << 20).expect("an output");
                assert_eq!(copy.bytes, text(number).into_bytes());
                assert_eq!(engine.log(&me, *id, 0, 100).expect("a log").bytes, b"kept\n");
                there.insert(*id);
            }
        }
    }
    engine.shutdown().await;
    there
}

/// Serves the folder until the crash point kills it.
fn killed(data: &Path, crash: &str) {
    match Server::start_with(data, &[], &[("LONGHAUL_CRASH", crash)]) {
        Ok(mut server) => {
            let status = server.died().unwrap_or_else(|| panic!("it lives on: {}", server.said()));
            assert_eq!(status.code(), None, "killed, not ended: {}", server.said());
        }
        // It was dead before it said where it listens.
        Err(words) => assert!(!words.contains("rror"), "{words}"),
    }
}

#[tokio::test]
async fn a_kill_while_sweeping_leaves_whole_tasks_or_none() {
    let root = tempfile::tempdir().expect("a folder");
    let template = root.path().join("template");
    let ids = two_months_old(&template).await;
    assert_eq!(whole(&template, &ids).await.len(), ids.len());

    for point in ["sweeping", "swept"] {
        for passing in [1, 2, TASKS / 2, TASKS] {
            let data = root.path().join(format!("{point}-{passing}"));
            copy_folder(&template, &data);
            killed(&data, &format!("{point}:{passing}"));
            let there = whole(&data, &ids).await;
            let gone = TASKS - there.len() as u64;
            // Oldest first: what is left are the last ones.
            assert!(ids[gone as usize..].iter().all(|id| there.contains(id)), "{there:?} of {ids:?}");
            // At `sweeping` the commit of that passing may or may not have been made.
            let expected = if point == "swept" { passing..=passing } else { passing - 1..=passing };
            assert!(expected.contains(&gone), "{point}:{passing}: {gone} are gone");

            // Killed again on the way through the rest, then left alone.
            if gone + 1 < TASKS {
                killed(&data, "swept:1");
                assert_eq!(whole(&data, &ids).await.len() as u64, TASKS - gone - 1);
            }
        }
    }

    let data = root.path().join("kept");
    copy_folder(&template, &data);
    let server = Server::start_with(&data, &[], &[("LONGHAUL_RETENTION_DAYS", "0")]).expect("a server");
    assert!(server.stop().success());
    assert_eq!(whole(&data, &ids).await.len(), ids.len(), "0 days are for ever");

    let server = Server::start_with(&data, &[], &[]).expect("a server");
    let client = server.client();
    let last = ids[ids.len() - 1].to_string();
    while client.task(&last).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(server.stop().success());
    assert!(whole(&data, &ids).await.is_empty());
}
