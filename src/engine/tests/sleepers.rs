//! Waiting costs nothing: ten thousand tasks that sleep, and what they take of the process meanwhile.

use std::time::Instant;

use futures::StreamExt;

use super::*;
use crate::shares::Pool;

const SLEEPERS: usize = 10_000;
const HOUR: Duration = Duration::from_secs(3_600);

fn sleeper() -> Closures {
    Closures::new().tool(definition("sleeper"), "1", |steps: Steps, arguments| async move {
        steps.sleep(HOUR).await?;
        Ok(ToolResult::text(arguments["number"].to_string()))
    })
}

/// Resident memory of this process, KiB; other tests of the process are in it.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

/// Waits until so many tasks wait for their timers and none has an instance.
async fn all_asleep(engine: &TaskEngine) {
    let asleep = async {
        loop {
            let metrics = engine.metrics();
            if metrics.timers as usize == SLEEPERS && metrics.live_instances == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), asleep).await.expect("all fall asleep");
}

#[tokio::test]
async fn ten_thousand_sleepers_have_no_instances_and_all_wake_after_a_restart() {
    let world = World::new();
    let engine = world.start(sleeper()).await;
    let (begun, before) = (Instant::now(), resident_kib());
    let ids: Vec<TaskId> = futures::stream::iter(0..SLEEPERS)
        .map(|number| {
            let engine = &engine;
            async move { submit(engine, "sleeper", json!({ "number": number })).await }
        })
        .buffered(256)
        .collect()
        .await;
    all_asleep(&engine).await;
    let (asleep, grown) = (begun.elapsed(), resident_kib().saturating_sub(before));
    let rest = async {
        while engine.metrics().resting as usize != SLEEPERS {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), rest).await.expect("all leave memory");
    let shares = engine.shares();
    let held = [Pool::OpenTasks, Pool::TaskMemory].map(|pool| shares.used(pool));
    assert_eq!(held, [SLEEPERS as u64, SLEEPERS as u64 * limits::RESTING_TASK_BYTES]);
    engine.shutdown().await;
    drop(engine);

    let (begun, before) = (Instant::now(), resident_kib());
    let engine = world.start(sleeper()).await;
    let (started, again) = (begun.elapsed(), resident_kib().saturating_sub(before));
    let metrics = engine.metrics();
    assert_eq!((metrics.open as usize, metrics.live_instances), (SLEEPERS, 0), "a start wakes nobody");
    assert!(engine.shared.open_tasks().entries().is_empty(), "and reads none of them");
    let shares = engine.shares();
    let held_again = [Pool::OpenTasks, Pool::TaskMemory].map(|pool| shares.used(pool));
    assert_eq!(held_again, held);
    let begun = Instant::now();
    world.clock.advance(HOUR);
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(ended(&engine, *id).await.state.name(), "completed");
        let end = engine.result(&Principal::local(), *id).await.expect("an end");
        assert_eq!(text(end), number.to_string());
    }
    println!(
        "{SLEEPERS} sleepers: asleep after {asleep:?} with {grown} KiB more, restarted in {started:?} with {again} \
         KiB more, all awake and done {:?} later",
        begun.elapsed()
    );
    engine.shutdown().await;
}
