//! The durable engine inside another program, without WASM and MCP:
//!
//!     cargo run --no-default-features --example library
//!
//! Interrupt it (Ctrl-C, or `kill -9`) while the task sleeps and run it again: it goes on with the same task, and
//! the step that was done is not done again. Remove the folder that it names to begin anew.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use longhaul::authority::Principal;
use longhaul::catalog::ToolDefinition;
use longhaul::engine::closures::{Closures, StepError, Steps};
use longhaul::engine::{EngineOptions, OutputOp, Submission, TaskChange, TaskEnd, TaskEngine, TaskQuery};
use longhaul::task::ToolResult;
use serde_json::{Value, json};

/// A tool. What stands between its steps is run again after a crash, so it must come out the same each time.
async fn count_words(steps: Steps, arguments: Value) -> Result<ToolResult, StepError> {
    let text = arguments["text"].as_str().unwrap_or_default().to_owned();
    let count = || async move {
        println!("  (the step itself: counting)");
        Ok(text.split_whitespace().count())
    };
    let words: usize = steps.step("count", count).await?;
    let line = format!("{words}\n");
    steps.output(OutputOp::Write { name: "words", mime_type: "text/plain", data: line.as_bytes() }).await?;
    steps.progress(1, Some(2), Some("counted; now a rest"))?;
    steps.sleep(Duration::from_secs(3)).await?;
    steps.progress(2, Some(2), None)?;
    Ok(ToolResult::text(format!("{words} words")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    run(&std::env::temp_dir().join("longhaul-library-example")).await
}

async fn run(folder: &Path) -> Result<(), Box<dyn Error>> {
    println!("the store is in {}", folder.display());

    let mut definition = ToolDefinition::new("count_words", "Counts words.", json!({ "type": "object" }));
    definition.input_schema["required"] = json!(["text"]);
    // Change the version when the order of the steps changes: open tasks keep to the one they began with.
    let closures = Closures::new().tool(definition, "1", count_words);
    let catalog = Arc::new(closures.catalog()?);

    // One process owns the folder. Open tasks go on with `start`.
    let engine = TaskEngine::open(folder, Arc::new(closures), EngineOptions::default()).await?;
    engine.set_catalog(catalog);
    engine.start().await?;

    // The task is on disk when this returns. With its key, a second run of this program finds the first one's.
    let me = Principal::local();
    let call = |key: &str| Submission {
        tool: "count_words".to_owned(),
        arguments: json!({ "text": "the tide waits for nobody" }),
        principal: me.clone(),
        idempotency_key: Some(key.to_owned()),
        trace: None,
    };
    let (submitted, follower) = engine.submit_followed(call("first")).await?;
    let id = submitted.id;
    println!("task {id}, {}", if submitted.existing { "from an earlier run" } else { "new" });

    // Subscribe: each change comes after the commit that made it.
    let watching = follower.map(|follower| {
        tokio::spawn(async move {
            loop {
                match follower.next().await {
                    TaskChange::Progress { progress, message, .. } => println!("  {progress:?} {message:?}"),
                    TaskChange::State(state) => println!("  {state}"),
                    other => println!("  {other:?}"),
                }
            }
        })
    });

    // Wait; a task that has ended already is there at once.
    let task = engine.wait(&me, id, Duration::from_secs(60)).await?;
    if let TaskEnd::Completed(result) = engine.result(&me, id)? {
        println!("{}: {:?}", task.state, result.content);
    }
    let output = engine.output(&me, id, "words", 0, 1024)?;
    println!("output words: {}", String::from_utf8_lossy(&output.bytes).trim());

    // Cancel another one.
    let second = engine.submit(call("second")).await?.id;
    engine.cancel(&me, second, Some("not needed".to_owned())).await?;

    for task in engine.tasks(&me, &TaskQuery::default())?.tasks {
        println!("{} {} {}", task.id, task.tool, task.state);
    }
    if let Some(watching) = watching {
        watching.abort();
    }
    // Lets running tasks reach a commit and closes the store; without it the next start repairs the file.
    engine.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn it_runs_and_then_runs_again_on_what_it_left() {
        let folder = tempfile::tempdir().expect("a folder");
        super::run(folder.path()).await.expect("a first run");
        super::run(folder.path()).await.expect("the first task is there already");
    }
}
