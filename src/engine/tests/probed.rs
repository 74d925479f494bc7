//! An engine that tries one task: interrupted after each of its records, the task comes to the same end.

use super::*;

const STEPS: u64 = 6;

/// Counts how often each step was done.
fn counting(done: &Arc<[AtomicU64; STEPS as usize]>) -> Closures {
    let done = done.clone();
    Closures::new().tool(definition("counting"), "1", move |steps: Steps, _| {
        let done = done.clone();
        async move {
            let mut sum = 0;
            for (number, count) in done.iter().enumerate() {
                let act = || async {
                    count.fetch_add(1, Ordering::SeqCst);
                    Ok(number as u64 + 1)
                };
                sum += steps.step(&format!("step {number}"), act).await?;
                steps.log(&format!("sum {sum}"))?;
            }
            steps.sleep(DAY).await?;
            Ok(ToolResult::text(sum.to_string()))
        }
    })
}

async fn run(plan: Plan) -> (TaskView, ToolResult, Vec<u64>, Arc<Probe>) {
    let world = World::new();
    let done = Arc::new([const { AtomicU64::new(0) }; STEPS as usize]);
    let (closures, probe) = (counting(&done), Arc::new(Probe::new(plan)));
    let catalog = Arc::new(closures.catalog().expect("a catalog"));
    let options = EngineOptions { probe: Some(probe.clone()), ..world.options() };
    let engine = TaskEngine::open(world.path(), Arc::new(closures), options).await.expect("an engine");
    engine.set_catalog(catalog);
    let id = submit(&engine, "counting", json!({})).await;
    engine.start().await.expect("a start");
    until_true(|| engine.shared.memory.timers.len() == 1).await;
    world.clock.advance(DAY);
    let view = ended(&engine, id).await;
    let TaskEnd::Completed(result) = engine.result(&Principal::local(), id).await.expect("a result") else {
        panic!("{view:?}")
    };
    let log = engine.log(&Principal::local(), id, 0, 1_000).await.expect("a log");
    assert_eq!(String::from_utf8_lossy(&log.bytes).lines().count() as u64, STEPS);
    engine.shutdown().await;
    (view, result, done.iter().map(|count| count.load(Ordering::SeqCst)).collect(), probe)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_interrupted_after_any_record_comes_to_the_same_end() {
    let (view, result, done, probe) = run(Plan::Watch).await;
    assert_eq!((view.attempt, done), (1, vec![1; STEPS as usize]));
    let taken = probe.taken();
    assert!(taken.records >= STEPS && taken.journal_bytes > 0 && !probe.is_over());
    for after in 1..=STEPS {
        let (view, same, done, interrupted) = run(Plan::InterruptAfter(after)).await;
        assert_eq!((view.attempt, &same), (2, &result), "after record {after}");
        assert!(interrupted.is_over());
        // The record was lost with the attempt, and with it that its step was done.
        let again = done.iter().filter(|count| **count == 2).count();
        assert!(
            again == 1 && done.iter().all(|count| (1..=2).contains(count)),
            "after record {after}: {done:?}"
        );
        assert_eq!(interrupted.calls(), probe.calls(), "after record {after}");
    }
}

#[tokio::test]
async fn what_is_no_component_is_not_exported() {
    let world = World::new();
    let done = Arc::new([const { AtomicU64::new(0) }; STEPS as usize]);
    let engine = world.open(counting(&done)).await;
    let id = submit(&engine, "counting", json!({})).await;
    let refused = engine.export(&Principal::local(), id).await.expect_err("no component");
    assert!(refused.to_string().contains("no component"), "{refused}");
    engine.shutdown().await;
}
