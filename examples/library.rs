//! The durable engine inside another program, without WASM and MCP:
//!
//!     cargo run --package longhaul --no-default-features --example library
//!
//! Interrupt it (Ctrl-C, or `kill -9`) while the task sleeps and run it again: it goes on with the same task, and
//! the step that was done is not done again. Remove the folder that it names to begin again.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use longhaul::{Closures, OutputOp, Principal, StepError, Steps, TaskChange, TaskEngine, TaskQuery};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
struct Text {
    /// What is counted.
    text: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Count {
    words: usize,
}

/// A tool. What stands between its steps is run again after a crash, so it must come out the same each time.
async fn count_words(steps: Steps, arguments: Text) -> Result<Count, StepError> {
    let count = || async move {
        println!("  (the step itself: counting)");
        Ok(arguments.text.split_whitespace().count())
    };
    let words: usize = steps.step("count", count).await?;
    let line = format!("{words}\n");
    steps.output(OutputOp::Write { name: "words", mime_type: "text/plain", data: line.as_bytes() }).await?;
    steps.progress(1, Some(2), Some("counted; now a rest"))?;
    steps.sleep(Duration::from_secs(3)).await?;
    steps.progress(2, Some(2), None)?;
    Ok(Count { words })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    run(&std::env::temp_dir().join("longhaul-library-example")).await
}

async fn run(folder: &Path) -> Result<(), Box<dyn Error>> {
    println!("the store is in {}", folder.display());

    // Change the version when the order of the steps changes: open tasks keep to the one they began with.
    let closures = Closures::new().typed("count_words", "1", "Counts words.", count_words);
    // One process owns the folder. Open tasks go on from here.
    let engine = TaskEngine::builder(folder).closures(closures).start().await?;

    // The task is on disk when this returns. With its key, a second run of this program finds the first one's.
    let text = Text { text: "the tide waits for no one".to_owned() };
    let task = engine.call("count_words", &text).key("first").submit().await?;
    println!("task {}, {}", task.id(), if task.is_existing() { "from an earlier run" } else { "new" });

    // Subscribe: each change comes after the commit that made it.
    let watching = task.follow().map(|follower| {
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
    let count: Count = task.value().await?;
    println!("{} words", count.words);
    let output = task.output("words", 0, 1024).await?;
    println!("output words: {}", String::from_utf8_lossy(&output.bytes).trim());

    // Cancel another one.
    engine.call("count_words", &text).key("second").submit().await?.cancel("not needed").await?;

    for task in engine.tasks(&Principal::local(), &TaskQuery::default()).await?.tasks {
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
