//! `kill -9` while ended tasks are swept or deleted: each is there with all that belongs to it, or gone without a trace.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longhaul::authority::Principal;
use longhaul::catalog::ToolDefinition;
use longhaul::clock::ManualClock;
use longhaul::engine::closures::{Closures, Steps};
use longhaul::engine::{
    ChildCall, EngineError, EngineOptions, OutputOp, Submission, TaskEnd, TaskEngine, TaskQuery,
};
use longhaul::limits;
use longhaul::task::{TaskId, ToolResult};
use serde_json::{Value, json};

use crate::support::{Server, answer_of, command, copy_folder, guest};

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
        assert_eq!(ended.state.name(), "completed");
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
    let listed = engine.tasks(&me, &TaskQuery::default()).await.expect("a page").tasks;
    let listed: BTreeSet<TaskId> = listed.into_iter().map(|document| document.id).collect();
    let mut there = BTreeSet::new();
    for (number, id) in (0..).zip(ids) {
        match engine.task(&me, *id).await {
            Err(EngineError::NoSuchTask(_)) => assert!(!listed.contains(id), "{id} is a ghost"),
            Err(error) => panic!("{id} is neither whole nor gone: {error}"),
            Ok(document) => {
                assert_eq!((document.state.name(), document.outputs.len()), ("completed", 1));
                assert!(listed.contains(id));
                let TaskEnd::Completed(result) = engine.result(&me, *id).await.expect("a result") else {
                    panic!("{id} has lost its result")
                };
                assert_eq!(result, ToolResult::text(text(number)));
                let copy = engine.output(&me, *id, "copy", 0, 1 << 20).await.expect("an output");
                assert_eq!(copy.bytes, text(number).into_bytes());
                assert_eq!(engine.log(&me, *id, 0, 100).await.expect("a log").bytes, b"kept\n");
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

/// A task and three that it called, all of them ended.
async fn a_tree(data: &Path) -> Vec<TaskId> {
    let parent = |steps: Steps, _| async move {
        let call = |number| ChildCall::new("keep", &json!({ "text": text(number) }));
        for calling in steps.call(&[call(0), call(1), call(2)]).await? {
            steps.join(calling).await?;
        }
        Ok(ToolResult::text("all"))
    };
    let definition = ToolDefinition::new("parent", "Calls three.", json!({"type": "object"}));
    let closures = tools().tool(definition, "1", parent);
    let catalog = Arc::new(closures.catalog().expect("a catalog"));
    let engine = TaskEngine::open(data, Arc::new(closures), EngineOptions::default()).await.expect("opens");
    engine.set_catalog(catalog);
    engine.start().await.expect("a start");
    let me = Principal::local();
    let submission = Submission {
        tool: "parent".to_owned(),
        arguments: json!({}),
        principal: me.clone(),
        idempotency_key: None,
        trace: None,
    };
    let id = engine.submit(submission).await.expect("a task").id;
    let ended = engine.wait(&me, id, Duration::from_secs(60)).await.expect("an end");
    assert_eq!(ended.state.name(), "completed");
    engine.shutdown().await;
    ended.children.into_iter().chain([id]).collect()
}

/// `longhaul task delete`, where no server runs.
fn delete(data: &Path, id: TaskId) -> Command {
    command(data, &["task", "delete", &id.to_string()])
}

#[tokio::test]
async fn a_kill_while_a_tree_is_deleted_leaves_whole_tasks_and_the_rest_goes_with_the_next_deletion() {
    let root = tempfile::tempdir().expect("a folder");
    let template = root.path().join("template");
    let ids = a_tree(&template).await;
    let (children, parent) = (&ids[..3], ids[3]);
    for point in ["deleting", "deleted"] {
        for passing in 1..=4 {
            let data = root.path().join(format!("{point}-{passing}"));
            copy_folder(&template, &data);
            let mut deletion = delete(&data, parent);
            let killed = deletion.env("LONGHAUL_CRASH", format!("{point}:{passing}")).output().expect("runs");
            assert_eq!(killed.status.code(), None, "killed, not ended: {killed:?}");

            let there = answer_of(command(&data, &["task", "list"]));
            let there = there["tasks"].as_array().expect("a list").len() as u64;
            // At `deleting` the commit of that passing may or may not have been made.
            let gone = if point == "deleted" { passing..=passing } else { passing - 1..=passing };
            assert!(gone.contains(&(4 - there)), "{point}:{passing}: {there} are there");
            for child in children {
                let shown = command(&data, &["task", "result", &child.to_string()]).output().expect("runs");
                assert!(matches!(shown.status.code(), Some(0 | 3)), "whole or gone: {shown:?}");
            }
            // The one that was named goes last.
            let again = delete(&data, parent).output().expect("runs");
            match there {
                0 => assert_eq!(again.status.code(), Some(3), "{again:?}"),
                _ => {
                    let said: Value = serde_json::from_slice(&again.stdout).expect("JSON");
                    assert_eq!((again.status.code(), &said), (Some(0), &json!({ "deleted": there })));
                }
            }
            assert_eq!(answer_of(command(&data, &["task", "list"])), json!({ "tasks": [] }));
            let audit = answer_of(command(&data, &["audit", "list"]));
            let rows = audit["rows"].as_array().expect("rows").iter();
            assert_eq!(rows.filter(|row| row["deed"] == "delete" && row["verdict"] == "admitted").count(), 4);
        }
    }
}

/// With and without a server the same words end alike.
#[tokio::test]
async fn a_deletion_is_refused_or_done_alike_with_and_without_a_server() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let ids = a_tree(&data).await;
    let unknown = TaskId::from_bytes([7; 16]);
    let code = |id| delete(&data, id).output().expect("runs").status.code();
    assert_eq!(code(unknown), Some(3));
    assert_eq!(answer_of(delete(&data, ids[0])), json!({ "deleted": 1 }));
    let server = Server::start_with(&data, &[guest("travel_agent")], &[]).expect("a server");
    assert_eq!(code(unknown), Some(3));
    let open = server.client().start("travel_agent", json!({}), None).await.expect("a task");
    server.client().asks(&open).await;
    let open: TaskId = open.parse().expect("an id");
    assert_eq!(code(open), Some(4), "it is open");
    assert_eq!(server.longhaul(&["task", "delete", &ids[3].to_string()]), json!({ "deleted": 3 }));
    assert!(server.stop().success());
    assert_eq!(code(open), Some(4), "it is open");
    server_less_cancel(&data, open);
    assert_eq!(code(open), Some(0));
    assert_eq!(answer_of(command(&data, &["task", "list"])), json!({ "tasks": [] }));
}

fn server_less_cancel(data: &Path, id: TaskId) {
    assert_eq!(answer_of(command(data, &["task", "cancel", &id.to_string()]))["state"], "cancelled");
}
