//! Who sees where a task stands can act on it at once, whether memory has still to follow the disk or the disk memory.

use tokio::task::JoinHandle;

use super::*;
use crate::engine::family::messages::Outgoing;

/// Does it on a task of its own, as another caller would.
pub fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    engine: &TaskEngine,
    act: impl FnOnce(TaskEngine) -> F,
) -> JoinHandle<T> {
    tokio::spawn(act(engine.clone()))
}

/// Whatever can go on has gone on as far as it can, on this thread and on those that may block.
pub async fn others_run() {
    for _ in 0..30 {
        tokio::task::yield_now().await;
        tokio::task::spawn_blocking(|| ()).await.expect("a thread");
    }
}

/// Waits until the disk has the task in this state, for one who asks again and again.
pub async fn until_seen(engine: &TaskEngine, id: TaskId, state: &str) {
    let seen = async {
        while engine.task(&Principal::local(), id).await.expect("a task").state.name() != state {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("in time");
}

fn sleeper() -> Closures {
    Closures::new().tool(definition("sleeper"), "1", |steps: Steps, _| async move {
        steps.sleep(DAY).await?;
        Ok(ToolResult::text("awake"))
    })
}

async fn cancel(engine: TaskEngine, id: TaskId) -> Result<TaskView, EngineError> {
    engine.cancel(&Principal::local(), id, None).await
}

async fn retry(engine: TaskEngine, id: TaskId) -> Result<TaskView, EngineError> {
    engine.retry(&Principal::local(), id, None).await
}

async fn send(engine: TaskEngine, id: TaskId, key: Option<&str>) -> Result<u64, EngineError> {
    let message = Outgoing { name: "news".into(), payload: json!(1), key: key.map(str::to_owned) };
    engine.send(&Principal::local(), id, message).await
}

/// An engine with a task that sleeps.
async fn with_a_sleeper(world: &World) -> (TaskEngine, TaskId) {
    let engine = world.start(sleeper()).await;
    let id = submit(&engine, "sleeper", json!({})).await;
    until(&engine, id, |document| document.state.name() == "waiting").await;
    nothing_lives(&engine).await;
    (engine, id)
}

/// It has a day to sleep, again.
async fn sleeps_again(world: &World, engine: &TaskEngine, id: TaskId) {
    until(engine, id, |document| document.state.name() == "waiting").await;
    world.clock.advance(DAY);
    assert_eq!(ended(engine, id).await.state.name(), "completed");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_task_that_is_seen_to_have_ended_can_be_retried_at_once() {
    let world = World::new();
    let (engine, id) = with_a_sleeper(&world).await;
    let held = engine.shared.store.hold(Moment::BeforeTelling);
    let cancelling = at_once(&engine, |engine| cancel(engine, id));
    until_seen(&engine, id, "cancelled").await;
    let retrying = at_once(&engine, |engine| retry(engine, id));
    others_run().await;
    drop(held);
    cancelling.await.expect("no panic").expect("cancelled");
    assert_eq!(retrying.await.expect("no panic").expect("retried").state.name(), "queued");
    sleeps_again(&world, &engine, id).await;
}

#[tokio::test]
async fn a_retry_behind_a_cancellation_that_is_on_its_way_finds_it() {
    let world = World::new();
    let (engine, id) = with_a_sleeper(&world).await;
    let entry = engine.shared.entry(id).expect("open");
    let held = engine.shared.store.hold(Moment::BeforeCommit);
    let cancelling = at_once(&engine, |engine| cancel(engine, id));
    until_true(|| entry.lock().status.state.is_terminal()).await;
    let retrying = at_once(&engine, |engine| retry(engine, id));
    others_run().await;
    drop(held);
    cancelling.await.expect("no panic").expect("cancelled");
    retrying.await.expect("no panic").expect("retried");
    sleeps_again(&world, &engine, id).await;
}

#[tokio::test]
async fn a_task_that_is_seen_to_be_open_again_takes_messages_and_cancellations_at_once() {
    let world = World::new();
    let (engine, id) = with_a_sleeper(&world).await;
    cancel(engine.clone(), id).await.expect("cancelled");
    let held = engine.shared.store.hold(Moment::BeforeTelling);
    let retrying = at_once(&engine, |engine| retry(engine, id));
    until_seen(&engine, id, "queued").await;
    let sending = at_once(&engine, |engine| send(engine, id, None));
    others_run().await;
    let cancelling = at_once(&engine, |engine| cancel(engine, id));
    others_run().await;
    drop(held);
    retrying.await.expect("no panic").expect("retried");
    assert_eq!(sending.await.expect("no panic").expect("sent"), 1);
    assert_eq!(cancelling.await.expect("no panic").expect("cancelled").state.name(), "cancelled");
    engine.shutdown().await;
}

#[tokio::test]
async fn the_same_message_sent_twice_at_once_is_one_and_is_one_after_the_tasks_end_too() {
    let world = World::new();
    let (engine, id) = with_a_sleeper(&world).await;
    let held = engine.shared.store.hold(Moment::BeforeCommit);
    let first = at_once(&engine, |engine| send(engine, id, Some("k")));
    let second = at_once(&engine, |engine| send(engine, id, Some("k")));
    others_run().await;
    assert!(!first.is_finished() && !second.is_finished(), "neither is answered before it is on disk");
    drop(held);
    for sent in [first, second] {
        assert_eq!(sent.await.expect("no panic").expect("sent"), 1);
    }
    assert_eq!(send(engine.clone(), id, Some("other")).await.expect("sent"), 2);
    cancel(engine.clone(), id).await.expect("cancelled");
    assert_eq!(send(engine.clone(), id, Some("k")).await.expect("sent before"), 1);
    assert!(matches!(send(engine.clone(), id, Some("new")).await, Err(EngineError::WrongState { .. })));
    engine.shutdown().await;
}
