//! What does a tool pay for a hundred children, compared with a hundred calls that a client makes itself?
//!
//! A closure starts them in one commit and joins them all; the client submits as many at once and waits for each. Both
//! by the same engine, in turn.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longhaul::authority::Principal;
use longhaul::catalog::ToolDefinition;
use longhaul::engine::closures::{Closures, Steps};
use longhaul::engine::{ChildCall, ChildEnd, EngineOptions, TaskEngine};
use longhaul::task::{TaskId, ToolResult};
use serde_json::{Value, json};

use crate::filler::submit_to;
use crate::measure::{Row, median, shown};

const CHILDREN: usize = 100;
const ROUNDS: usize = 11;
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(folder: &Path) -> Vec<Row> {
    let scratch = tempfile::tempdir_in(folder).expect("a folder");
    let (parents, clients) = crate::runtime().block_on(both(scratch.path()));
    let (parents, clients) = (median(parents), median(clients));
    let row = Row::new(
        format!("a tool starts and joins {CHILDREN} children"),
        format!("{} in all", shown(parents)),
        format!("{} where a client calls them ({:.1} times)", shown(clients), parents / clients),
    );
    vec![row]
}

/// Microseconds of each round: by a parent, and by a client.
async fn both(folder: &Path) -> (Vec<f64>, Vec<f64>) {
    let closures = tools();
    let catalog = closures.catalog().expect("a catalog");
    let engine = TaskEngine::open(folder, Arc::new(closures), EngineOptions::default()).await;
    let engine = engine.expect("an engine");
    engine.set_catalog(Arc::new(catalog));
    engine.start().await.expect("a start");
    let (mut parents, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let id = submit_to(&engine, "parent", json!({})).await;
        ended(&engine, id).await;
        parents.push(start.elapsed().as_secs_f64() * 1e6);
        let start = Instant::now();
        let ids =
            futures::future::join_all((0..CHILDREN).map(|_| submit_to(&engine, "child", json!({})))).await;
        futures::future::join_all(ids.into_iter().map(|id| ended(&engine, id))).await;
        clients.push(start.elapsed().as_secs_f64() * 1e6);
    }
    engine.shutdown().await;
    (parents, clients)
}

fn tools() -> Closures {
    let definition = |name: &str| ToolDefinition::new(name, "A bench.", json!({"type": "object"}));
    let child = |_: Steps, _: Value| async { Ok(ToolResult::text("done")) };
    let parent = |steps: Steps, _: Value| async move {
        for calling in steps.call(&vec![ChildCall::new("child", &json!({})); CHILDREN]).await? {
            assert!(matches!(steps.join(calling).await?, ChildEnd::Completed(_)));
        }
        Ok(ToolResult::text("done"))
    };
    Closures::new().tool(definition("child"), "1", child).tool(definition("parent"), "1", parent)
}

async fn ended(engine: &TaskEngine, id: TaskId) {
    let document = engine.wait(&Principal::local(), id, PATIENCE).await.expect("a task");
    assert_eq!(document.state.name(), "completed");
}
