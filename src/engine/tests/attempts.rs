//! A task has one attempt at a time, from before it reads what is on disk until all that it did is there.

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn sleeper() -> Closures {
    Closures::new().tool(definition("sleeper"), "1", |steps: Steps, _| async move {
        steps.sleep(HOUR).await?;
        Ok(ToolResult::text("awake"))
    })
}

/// An attempt that began while another one was on its way out would read a journal without that one's last steps, take
/// its place, and wait for what was taken already.
#[tokio::test]
async fn no_attempt_begins_before_the_last_one_is_over_and_what_came_meanwhile_is_looked_for() {
    let world = World::new();
    let engine = world.start(sleeper()).await;
    let id = submit(&engine, "sleeper", json!({})).await;
    let (shared, entry) = (&engine.shared, engine.shared.entry(id).expect("open"));
    let memory = &shared.memory;
    until_true(|| memory.timers.len() == 1 && !entry.lock().is_driven).await;

    entry.lock().is_driven = true;
    world.clock.advance(HOUR);
    until_true(|| memory.timers.len() == 0).await;
    memory.ready.push(entry.clone());
    until_true(|| memory.ready.is_empty() && engine.metrics().live_instances == 0).await;
    assert_eq!(engine.metrics().attempts, 1, "neither its timer nor its place in the queue began another");
    assert_eq!(engine.task(&Principal::local(), id).await.expect("a task").state.name(), "waiting");

    lifecycle::attempt::release(shared, &entry, true);
    assert_eq!(ended(&engine, id).await.state.name(), "completed");
    assert_eq!(engine.metrics().attempts, 2);
    engine.shutdown().await;
}
