//! An engine with one tool of closures, and many finished tasks on disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use longhaul::authority::Principal;
use longhaul::catalog::{Catalog, ToolDefinition};
use longhaul::engine::closures::Closures;
use longhaul::engine::{EngineOptions, Submission, TaskEngine};
use longhaul::task::{TaskId, ToolResult};
use serde_json::{Value, json};

/// Enough to keep the disk busy all the time.
const SUBMITTERS: u64 = 256;

/// Opened and not started.
pub async fn open(folder: &Path) -> TaskEngine {
    let definition = ToolDefinition::new("fill", "Returns so many bytes.", json!({"type": "object"}));
    let closures = Closures::new().tool(definition, "1", |_, arguments: Value| async move {
        let bytes = arguments["bytes"].as_u64().unwrap_or_default();
        Ok(ToolResult::text("x".repeat(bytes as usize)))
    });
    let catalog: Catalog = closures.catalog().expect("a catalog");
    let engine =
        TaskEngine::open(folder, Arc::new(closures), EngineOptions::default()).await.expect("an engine");
    engine.set_catalog(Arc::new(catalog));
    engine
}

/// Durable when it returns.
pub async fn submit(engine: &TaskEngine, bytes: u64) -> TaskId {
    submit_to(engine, "fill", json!({ "bytes": bytes })).await
}

/// The same, to any tool.
pub async fn submit_to(engine: &TaskEngine, tool: &str, arguments: Value) -> TaskId {
    let submission = Submission {
        tool: tool.to_owned(),
        arguments,
        principal: Principal::local(),
        idempotency_key: None,
        trace: None,
    };
    engine.submit(submission).await.expect("submitted").id
}

/// Runs `tasks` tasks to their end, each with a result of so many bytes.
pub async fn fill(engine: &TaskEngine, tasks: u64, bytes: u64) {
    let left = Arc::new(AtomicU64::new(tasks));
    let submitters: Vec<_> = (0..SUBMITTERS.min(tasks))
        .map(|_| {
            let (engine, left) = (engine.clone(), left.clone());
            tokio::spawn(async move {
                let take = |left: u64| left.checked_sub(1);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                    let id = submit(&engine, bytes).await;
                    let patience = Duration::from_secs(60);
                    engine.wait(&Principal::local(), id, patience).await.expect("ended");
                }
            })
        })
        .collect();
    for submitter in submitters {
        submitter.await.expect("a submitter");
    }
}
