//! What a program that embeds the engine sees: the builder, handles, typed closures and kinds of errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Barrier;

use crate::authority::Principal;
use crate::engine::closures::{Closures, StepError, Steps};
use crate::engine::{EngineError, ErrorKind, NextAction, TaskEngine, TaskHandle};
use crate::limits;

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Sum {
    numbers: Vec<i64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Sign {
    Negative,
    Other { value: i64 },
}

/// A type that is an object, with a member that is called as the one in which other results stand.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Verdict {
    result: bool,
}

async fn add(_: Steps, sum: Sum) -> Result<i64, StepError> {
    Ok(sum.numbers.iter().sum())
}

async fn sign(_: Steps, sum: Sum) -> Result<Sign, StepError> {
    let value = sum.numbers.iter().sum();
    Ok(if value < 0 { Sign::Negative } else { Sign::Other { value } })
}

async fn is_even(_: Steps, sum: Sum) -> Result<Verdict, StepError> {
    match sum.numbers[..] {
        [] => Err(StepError::Tool("there are no numbers".to_owned())),
        _ => Ok(Verdict { result: sum.numbers.iter().sum::<i64>() % 2 == 0 }),
    }
}

async fn rest(steps: Steps, _: Sum) -> Result<(), StepError> {
    steps.sleep(Duration::from_secs(3_600)).await
}

fn closures() -> Closures {
    Closures::new()
        .typed("add", "1", "Adds.", add)
        .typed("sign", "1", "Says whether a sum is negative.", sign)
        .typed("is_even", "1", "Says whether a sum is even.", is_even)
        .typed("rest", "1", "Sleeps for an hour.", rest)
}

async fn call(engine: &TaskEngine, tool: &str, numbers: &[i64]) -> TaskHandle {
    engine.call(tool, &Sum { numbers: numbers.to_vec() }).submit().await.expect("a task")
}

#[tokio::test]
async fn a_typed_closure_takes_and_returns_its_types_and_its_schemas_say_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = TaskEngine::builder(folder.path()).closures(closures()).start().await.expect("an engine");

    assert_eq!(call(&engine, "add", &[40, 2]).await.value::<i64>().await.expect("a sum"), 42);
    let negative = call(&engine, "sign", &[-1]).await;
    assert_eq!(negative.value::<Sign>().await.expect("a sign"), Sign::Negative);
    let other = call(&engine, "sign", &[1]).await;
    assert_eq!(other.value::<Sign>().await.expect("a sign"), Sign::Other { value: 1 });
    let even = call(&engine, "is_even", &[1]).await;
    assert_eq!(even.value::<Verdict>().await.expect("a verdict"), Verdict { result: false });

    // What is returned fits the schema that was announced.
    let catalog = engine.catalog();
    for (task, tool) in [(negative, "sign"), (other, "sign"), (even, "is_even")] {
        let entry = catalog.tool(tool).expect("a tool");
        assert_eq!(entry.tool.definition.output_schema.as_ref().expect("a schema")["type"], "object");
        let result = task.result().await.expect("a result");
        let structured = serde_json::from_str(&result.structured.expect("a document")).expect("JSON");
        entry.validate_result(&structured).expect("it fits");
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn errors_have_kinds_and_say_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = TaskEngine::builder(folder.path()).closures(closures()).start().await.expect("an engine");

    let unknown = engine.call("ad", &json!({})).submit().await.err().expect("no such tool");
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    let unfit = engine.call("add", &json!({ "numbers": "none" })).submit().await.err().expect("no fit");
    assert_eq!(unfit.kind(), ErrorKind::Invalid);
    let no_json = std::collections::HashMap::from([(vec![1], 1)]);
    let unencodable = engine.call("add", &no_json).submit().await.err().expect("no JSON");
    assert_eq!(unencodable.kind(), ErrorKind::Invalid);
    let busy = TaskEngine::builder(folder.path()).open().await.err().expect("this process has it");
    assert_eq!(busy.kind(), ErrorKind::Unavailable);

    let refused = call(&engine, "is_even", &[]).await;
    assert!(refused.result().await.expect("a tool's own error is a result").is_error);
    let no_value = refused.value::<Verdict>().await.expect_err("there is none");
    assert!(matches!(&no_value, EngineError::NoValue { why, .. } if why.contains("there are no numbers")));
    let other_type = call(&engine, "add", &[1]).await.value::<String>().await.expect_err("a number");
    assert_eq!(other_type.kind(), ErrorKind::Outside);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_handle_waits_cancels_and_is_found_again_under_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let builder = || TaskEngine::builder(folder.path()).closures(closures());
    let engine = builder().start().await.expect("an engine");
    let numbers = Sum { numbers: vec![] };
    let task = engine.call("rest", &numbers).key("nap").submit().await.expect("a task");
    assert!(!task.is_existing());
    engine.shutdown().await;

    let engine = builder().start().await.expect("an engine");
    let same = engine.call("rest", &numbers).key("nap").submit().await.expect("the task");
    assert!(same.is_existing() && same.id() == task.id());
    let foreign = Principal::new("other", Vec::new());
    let unseen = engine.handle(&foreign, task.id()).await.err().expect("it is another's");
    assert_eq!(unseen.kind(), ErrorKind::NotFound);

    let waiting = tokio::spawn({
        let same = same.clone();
        async move { same.wait().await }
    });
    same.cancel("enough").await.expect("cancelled");
    assert_eq!(waiting.await.expect("it ended").expect("a view").state.name(), "cancelled");
    let error = same.result().await.expect_err("it has none");
    assert!(error.to_string().ends_with("was cancelled: enough"), "{error}");
    assert_eq!(error.next(), Some(NextAction::RetryTask(task.id())));
    engine.shutdown().await;
}

#[tokio::test]
async fn the_owner_runs_as_many_at_once_as_the_program_asks_for_and_no_more() {
    for count in [1, 2, 8, limits::MAX_LIVE_INSTANCES + 100] {
        let folder = tempfile::tempdir().expect("a folder");
        let meeting = Arc::new(Barrier::new(count + 1));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let meet = {
            let (meeting, running, most) = (meeting.clone(), running.clone(), most.clone());
            move |_: Steps, _: Sum| {
                let (meeting, running, most) = (meeting.clone(), running.clone(), most.clone());
                async move {
                    most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    meeting.wait().await;
                    running.fetch_sub(1, Ordering::Relaxed);
                    Ok::<(), StepError>(())
                }
            }
        };
        let closures = Closures::new().typed("meet", "1", "Waits for as many.", meet);
        let builder = TaskEngine::builder(folder.path()).closures(closures).live_instances(count);
        let engine = builder.start().await.expect("an engine");
        // Twice as many as may run: those of the second half come when the first have met.
        let mut tasks = Vec::new();
        for _ in 0..2 * count {
            tasks.push(call(&engine, "meet", &[]).await);
        }
        for half in ["first", "second"] {
            let met = tokio::time::timeout(Duration::from_secs(60), meeting.wait()).await;
            met.unwrap_or_else(|_| panic!("{count} of the {half} half do not run at once"));
        }
        for task in tasks {
            task.value::<()>().await.expect("it has met");
        }
        assert_eq!(most.load(Ordering::Relaxed), count);
        engine.shutdown().await;
    }
}
