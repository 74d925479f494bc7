//! Calls of closures: deadlines and pauses by the test's own clock.

use tokio::sync::Semaphore;

use super::*;
use crate::engine::family::calling::ChildCall;
use crate::engine::family::calling::ChildEnd;
use crate::engine::memory::task_trees::TreeBounds;
use crate::engine::record::output::call_hash;
use crate::store::No;
use crate::task::WakeOn;

/// `parent` makes the calls that it is given, one after the other is joined, and returns what they came to.
fn family() -> Closures {
    let slow = |steps: Steps, _| async move {
        steps.sleep(DAY).await?;
        Ok(ToolResult::text("slow"))
    };
    let parent = |steps: Steps, arguments: Value| async move {
        let call = |call: &Value| ChildCall {
            alternatives: serde_json::from_value(call["or"].clone()).unwrap_or_default(),
            retries: call["retries"].as_u64().unwrap_or_default() as u32,
            timeout_seconds: call["seconds"].as_u64(),
            ..ChildCall::new(call["tool"].as_str().unwrap_or_default(), &json!({}))
        };
        let calls: Vec<ChildCall> = arguments["calls"].as_array().into_iter().flatten().map(call).collect();
        let mut ends = Vec::new();
        for calling in steps.call(&calls).await? {
            ends.push(match steps.join(calling).await? {
                ChildEnd::Completed(result) if result.is_error => "error".to_owned(),
                ChildEnd::Completed(_) => "completed".to_owned(),
                ChildEnd::TimedOut(_) => "timed out".to_owned(),
                other => format!("{other:?}"),
            });
        }
        Ok(ToolResult::text(ends.join(", ")))
    };
    let bad = |_, _| async { Err::<ToolResult, _>(StepError::Tool("no".to_owned())) };
    let quick = |_, _| async { Ok(ToolResult::text("quick")) };
    Closures::new()
        .tool(definition("parent"), "1", parent)
        .tool(definition("slow"), "1", slow)
        .tool(definition("bad"), "1", bad)
        .tool(definition("quick"), "1", quick)
}

async fn children(engine: &TaskEngine, parent: TaskId) -> Vec<TaskView> {
    let query = TaskQuery { parent: Some(parent), ..TaskQuery::default() };
    engine.tasks(&Principal::local(), &query).await.expect("a page").tasks
}

#[tokio::test]
async fn a_deadline_holds_across_a_restart_and_leads_to_the_alternative() {
    let world = World::new();
    let engine = world.start(family()).await;
    let calls = json!({"calls": [{"tool": "slow", "seconds": 100, "or": ["quick"]}, {"tool": "slow", "seconds": 100}]});
    let id = submit(&engine, "parent", calls).await;
    let waiting = until(&engine, id, |document| document.state.name() == "waiting").await;
    assert_eq!(waiting.state.reason(), Some("child"));
    world.clock.advance(Duration::from_secs(99));
    assert!(children(&engine, id).await.iter().all(|child| !child.state.is_terminal()));
    engine.shutdown().await;

    let engine = world.start(family()).await;
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(ended(&engine, id).await.state.name(), "completed");
    assert_eq!(text(engine.result(&Principal::local(), id).await.expect("a result")), "completed, timed out");
    let states: Vec<&str> = children(&engine, id).await.iter().map(|child| child.state.name()).collect();
    assert_eq!(states, ["failed", "failed", "completed"]);
}

/// The pause before a retry is on disk, and a restart begins no new one.
#[tokio::test]
async fn a_retry_waits_for_its_pause_across_a_restart() {
    let world = World::new();
    let engine = world.start(family()).await;
    let id = submit(&engine, "parent", json!({"calls": [{"tool": "bad", "retries": 1}]})).await;
    until(&engine, id, |document| document.children.len() == 2).await;
    // Both began in the same millisecond of this clock, so that their ids tell no order.
    let open = async |engine: &TaskEngine| {
        children(engine, id).await.into_iter().find(|child| !child.state.is_terminal())
    };
    let again = open(&engine).await.expect("a second try");
    assert_eq!((again.state.name(), again.attempt), ("queued", 1));
    assert!(again.wake_at.is_some());
    engine.shutdown().await;

    let engine = world.start(family()).await;
    assert_eq!(open(&engine).await.expect("the second try").state.name(), "queued");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(ended(&engine, id).await.state.name(), "completed");
    assert_eq!(text(engine.result(&Principal::local(), id).await.expect("a result")), "error");
    assert_eq!(children(&engine, id).await.len(), 2);
}

/// What would be past a bound is not begun at all, not even the calls before it.
#[tokio::test]
async fn a_start_is_all_or_nothing() {
    let world = World::new();
    let tree = TreeBounds { open_children: 2, ..TreeBounds::default() };
    let clock = Arc::new(world.clock.clone());
    let options = EngineOptions { clock, tree, ..EngineOptions::default() };
    let engine = TaskEngine::open(world.path(), Arc::new(family()), options).await.expect("an engine");
    engine.set_catalog(Arc::new(family().catalog().expect("a catalog")));
    engine.start().await.expect("a start");
    for (calls, why) in [
        (json!([{"tool": "quick"}, {"tool": "quick"}, {"tool": "quick"}]), "MAX_OPEN_CHILDREN"),
        (json!([{"tool": "quick"}, {"tool": "gone"}]), "'gone'"),
    ] {
        let id = submit(&engine, "parent", json!({ "calls": calls })).await;
        assert_eq!(ended(&engine, id).await.state.name(), "completed");
        let seen = text(engine.result(&Principal::local(), id).await.expect("a result"));
        assert!(seen.contains(why), "{seen}");
        assert!(children(&engine, id).await.is_empty());
    }
}

/// `sender` passes a gate, sends its child a message, and waits for it; `receiver` ends with the message that it gets.
fn correspondents(gate: &Arc<Semaphore>) -> Closures {
    let gate = gate.clone();
    let sender = move |steps: Steps, _| {
        let gate = gate.clone();
        async move {
            let calling = steps.call(&[ChildCall::new("receiver", &json!({}))]).await?[0];
            gate.acquire().await.expect("open").forget();
            let sent = steps.recorder().send_message(Addressee::Child(calling.child), "news", "1").await?;
            let end = steps.join(calling).await?;
            Ok(ToolResult::text(format!("{sent:?} {}", matches!(end, ChildEnd::Completed(_)))))
        }
    };
    let receiver = |steps: Steps, _| async move {
        let recorder = steps.recorder();
        let (op, hash) = (recorder.begin_op()?, call_hash("receive", &[]));
        let on = vec![WakeOn::Message(Vec::new())];
        if !matches!(recorder.op(op)?, Some(Op::Done { .. }))
            && recorder.take_message(op, hash, &[]).await?.is_none()
        {
            return Err(StepError::suspend(Suspension { reason: WaitingReason::Message, until: None, on }));
        }
        Ok(ToolResult::text("received"))
    };
    Closures::new().tool(definition("sender"), "1", sender).tool(definition("receiver"), "1", receiver)
}

/// The sender's process ends when its message is on disk and its record of that is not; its child is faster then.
#[tokio::test]
async fn a_message_that_was_delivered_before_a_crash_was_delivered_also_where_its_child_has_ended_since() {
    let (world, gate) = (World::new(), Arc::new(Semaphore::new(0)));
    let engine = world.start(correspondents(&gate)).await;
    let id = submit(&engine, "sender", json!({})).await;
    let local = Principal::local();
    let child = async || children(&engine, id).await.pop().map(|child| child.id);
    until_it_holds(async || match child().await {
        Some(child) => engine.task(&local, child).await.expect("a task").state.name() == "waiting",
        None => false,
    })
    .await;
    let child = child().await.expect("a child");
    let store = &engine.shared.store;
    let sent =
        || store.read_blocking(|snapshot| messages::first(snapshot, child, &[])).expect("rows").is_some();
    let held = engine.shared.store.hold(Moment::BeforeTelling);
    gate.add_permits(1);
    until_true(sent).await;
    engine.shared.store.refuse(Some((1, No::Latched)));
    drop(held);
    engine.failed().await;
    engine.shutdown().await;

    let engine = world.start(correspondents(&gate)).await;
    assert_eq!(ended(&engine, child).await.state.name(), "completed");
    gate.add_permits(1);
    ended(&engine, id).await;
    assert_eq!(text(engine.result(&Principal::local(), id).await.expect("a result")), "Ok(1) true");
    engine.shutdown().await;
}
