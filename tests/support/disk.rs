use std::path::Path;
use std::sync::Arc;

use longhaul::api::TaskDocument;
use longhaul::authority::Principal;
use longhaul::engine::closures::Closures;
use longhaul::engine::{EngineOptions, TaskEngine, TaskQuery};

/// The one task of a data folder whose server is gone, and its log, as they stand on disk: nothing is run.
pub async fn on_disk(data: &Path) -> (TaskDocument, String) {
    let runner = Arc::new(Closures::new());
    let engine = TaskEngine::open(data, runner, EngineOptions::default()).await.expect("the store opens");
    let local = Principal::local();
    let tasks = engine.tasks(&local, &TaskQuery::default()).await.expect("a list").tasks;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    let id = tasks[0].id;
    let document = engine.task(&local, id).await.expect("the link resolves");
    let log = engine.log(&local, id, 0, 1 << 20).await.expect("a log");
    engine.shutdown().await;
    (document.into(), String::from_utf8(log.bytes).expect("text"))
}
