//! Tools of another server, over HTTP.

use std::collections::BTreeMap;

use super::*;
use crate::authority::Secret;
use crate::catalog::{Catalog, Operator};
use crate::engine::{RemotePolicy, Remotes, TaskEnd, TaskView, TokenGrant};

/// An engine that has no tools but those of the server at this address, as `up_…`.
async fn downstream(folder: &std::path::Path, url: &str, token: Option<&str>) -> (TaskEngine, Vec<String>) {
    let place = Place::Url(ClientOptions {
        url: url.to_owned(),
        token: token.map(Secret::new),
        ..ClientOptions::default()
    });
    let upstreams = Upstreams::new(BTreeMap::from([("up".to_owned(), place)]));
    let policy = RemotePolicy { expose: vec!["*".to_owned()], ..RemotePolicy::default() };
    let remotes = Remotes::new(Arc::new(upstreams), BTreeMap::from([("up".to_owned(), policy)]));
    let runner = remotes.runner(Arc::new(Closures::new()));
    let engine = TaskEngine::open(folder, runner, EngineOptions::default()).await.expect("an engine");
    let with = engine.with_remotes(Catalog::default(), remotes, Operator::default()).await;
    let (catalog, words) = with.expect("a catalog");
    engine.set_catalog(Arc::new(catalog));
    engine.start().await.expect("a start");
    (engine, words)
}

async fn submit(engine: &TaskEngine, tool: &str, arguments: Value) -> TaskId {
    let principal = Principal::local();
    let submission =
        Submission { tool: tool.to_owned(), arguments, principal, idempotency_key: None, trace: None };
    engine.submit(submission).await.expect("a task").id
}

async fn result(engine: &TaskEngine, id: TaskId) -> ToolResult {
    engine.wait(&Principal::local(), id, LIMIT).await.expect("a task");
    match engine.result(&Principal::local(), id).await.expect("an end") {
        TaskEnd::Completed(result) => result,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_survives_the_restart_of_the_other_server_and_is_one_task_there() {
    let world = World::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, words) = downstream(folder.path(), &world.http.url(), None).await;
    assert_eq!(words, [""; 0]);
    assert!(engine.catalog().tools().all(|entry| !entry.tool.definition.name.starts_with("up_task_")));
    let id = submit(&engine, "up_double", json!({"n": 4})).await;
    let doubled = result(&engine, id).await;
    assert!(!doubled.is_error && doubled.structured.expect("a value").contains('8'));
    let id = submit(&engine, "up_refuse", json!({})).await;
    assert!(result(&engine, id).await.is_error, "its own error is the tool's");

    let id = submit(&engine, "up_stages", json!({"stages": 2})).await;
    let there = world.open_tasks(1).await.remove(0);
    world.pass(1);
    // What it reports there is reported here.
    until(&engine, &id.to_string(), |task| task.progress.as_ref().is_some_and(|p| p.done == 1)).await;
    let World { engine: other, http, gate, .. } = world;
    let address = http.address();
    in_time(http.shutdown()).await;
    let server = McpServer::new(other.clone(), McpOptions::default());
    let http = HttpServer::bind(server, Options::new(address)).await.expect("a server");
    gate.add_permits(1);
    let done = result(&engine, id).await;
    assert_eq!(done.structured.as_deref(), Some("{\"done\":2}"));
    let tasks = other.tasks(&Principal::local(), &Default::default()).await.expect("a page").tasks;
    let stages: Vec<&TaskView> = tasks.iter().filter(|task| task.tool == "stages").collect();
    assert!(stages.len() == 1 && stages[0].id.to_string() == there, "{stages:?}");
    in_time(http.shutdown()).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_cancelled_here_is_cancelled_there() {
    let world = World::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, _) = downstream(folder.path(), &world.http.url(), None).await;
    let id = submit(&engine, "up_stages", json!({"stages": 2})).await;
    let there = world.open_tasks(1).await.remove(0);
    engine.cancel(&Principal::local(), id, None).await.expect("cancelled");
    assert_eq!(world.until(&there, TaskDocument::is_terminal).await.state, "cancelled");
    let tasks = world.engine.tasks(&Principal::local(), &Default::default()).await.expect("a page").tasks;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_is_shown_its_own_token_and_its_refusal_is_told() {
    let world = World::new().await;
    let grant =
        TokenGrant { name: "down".to_owned(), tools: vec!["double".to_owned()], ..TokenGrant::default() };
    let token = world.engine.new_token(&Principal::local(), grant).await.expect("a token");
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, _) = downstream(folder.path(), &world.http.url(), Some(&token)).await;
    let names: Vec<String> =
        engine.catalog().tools().map(|entry| entry.tool.definition.name.clone()).collect();
    assert_eq!(names, ["up_double"], "what it is granted there");
    let id = submit(&engine, "up_double", json!({"n": 1})).await;
    result(&engine, id).await;
    let rows = world.engine.audit(Default::default()).await.expect("a page").rows;
    assert!(
        rows.iter().any(|row| row.principal == "down" && row.tool.as_deref() == Some("double")),
        "{rows:?}"
    );
    world.engine.revoke_token(&Principal::local(), "down").await.expect("revoked");
    let id = submit(&engine, "up_double", json!({"n": 1})).await;
    let refused = result(&engine, id).await;
    let words = format!("{:?}", refused.content);
    assert!(refused.is_error && words.contains("token") && !words.contains(&token), "{words}");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_and_offers_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, words) = downstream(folder.path(), "http://127.0.0.1:9/mcp", None).await;
    assert!(words.len() == 1 && words[0].contains("up does not answer"), "{words:?}");
    assert_eq!(engine.catalog().tools().len(), 0);
    engine.shutdown().await;
}
