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

/// Says that it is there; records what nothing has written yet, and sleeps, once it is let.
fn sleeper_behind(gate: &Arc<tokio::sync::Notify>, there: &Arc<AtomicU64>) -> Closures {
    let (gate, there) = (gate.clone(), there.clone());
    Closures::new().tool(definition("sleeper"), "1", move |steps: Steps, _| {
        let (gate, there) = (gate.clone(), there.clone());
        async move {
            there.fetch_add(1, Ordering::SeqCst);
            gate.notified().await;
            steps.log("a line\n")?;
            steps.sleep(DAY).await?;
            Ok(ToolResult::text("awake"))
        }
    })
}

/// What an instance leaves behind is void where it had lost its lease, and so is what was changed on top of that: it is
/// made once more, on top of what the disk says.
#[tokio::test]
async fn what_is_changed_while_an_instance_leaves_that_lost_its_lease_is_not_built_on_what_it_left() {
    let (world, gate, there) = (World::new(), Arc::new(tokio::sync::Notify::new()), Arc::default());
    let engine = world.start(sleeper_behind(&gate, &there)).await;
    let id = submit(&engine, "sleeper", json!({})).await;
    let entry = engine.shared.entry(id).expect("open");
    until_true(|| there.load(Ordering::SeqCst) == 1).await;
    engine.shared.store.refuse(Some((1, crate::store::No::Lease)));
    let held = engine.shared.store.hold(Moment::BeforeCommit);
    gate.notify_one();
    until_true(|| entry.lock().live.is_none()).await;
    let sending = at_once(&engine, |engine| send(engine, id, None));
    others_run().await;
    let cancelling = at_once(&engine, |engine| cancel(engine, id));
    others_run().await;
    drop(held);
    assert_eq!(sending.await.expect("no panic").expect("sent"), 1);
    let document = cancelling.await.expect("no panic").expect("cancelled");
    assert_eq!(document.state, State::Cancelled);
    let status = engine.shared.store.read_blocking(|snapshot| crate::engine::rows::read_status(snapshot, id));
    let log = engine.log(&Principal::local(), id, 0, 100).await.expect("a log").bytes;
    let said = status.expect("a read").expect("a status").log_bytes;
    assert_eq!(said, log.len() as u64, "the bytes of its log, and the log");
    engine.shutdown().await;
}
