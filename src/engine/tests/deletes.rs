//! Deletion by an owner.

use super::*;
use crate::engine::ChildCall;
use crate::engine::audit::AuditAction;

/// `parent` calls `large`, whose result is a blob, and `slow`, which sleeps for a day, and waits for both.
fn family() -> Closures {
    let large =
        |_: Steps, _| async { Ok(ToolResult::text("x".repeat(limits::MAX_INLINE_PAYLOAD_BYTES + 1))) };
    let slow = |steps: Steps, _| async move {
        steps.sleep(DAY).await?;
        Ok(ToolResult::text("slow"))
    };
    let parent = |steps: Steps, _| async move {
        let calls = ["large", "slow"].map(|tool| ChildCall::new(tool, &json!({})));
        for calling in steps.call(&calls).await? {
            steps.join(calling).await?;
        }
        Ok(ToolResult::text("both"))
    };
    Closures::new().tool(definition("large"), "1", large).tool(definition("slow"), "1", slow).tool(
        definition("parent"),
        "1",
        parent,
    )
}

fn call(tool: &str) -> Submission {
    Submission {
        tool: tool.into(),
        arguments: json!({}),
        principal: Principal::local(),
        idempotency_key: Some("once".into()),
        trace: None,
    }
}

async fn children(engine: &TaskEngine, parent: TaskId) -> Vec<TaskId> {
    let query = TaskQuery { parent: Some(parent), ..TaskQuery::default() };
    let page = engine.tasks(&Principal::local(), &query).await.expect("a page");
    page.tasks.iter().map(|child| child.id).collect()
}

fn refused_for(done: Result<u64, EngineError>) -> TaskId {
    match done {
        Err(EngineError::WrongState { task, .. }) => task,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_has_ended_goes_with_those_that_it_called_and_nothing_before_that() {
    let world = World::new();
    let engine = world.start(family()).await;
    let (local, bob) = (Principal::local(), Principal::new("bob", vec!["*".to_owned()]));
    let parent = engine.submit(call("parent")).await.expect("a task").id;
    until(&engine, parent, |document| document.state.name() == "waiting" && document.children.len() == 2)
        .await;
    let [large, slow] = children(&engine, parent).await[..] else { panic!("two children") };
    ended(&engine, large).await;
    assert_eq!(refused_for(engine.delete(&local, parent).await), parent, "it is open");
    assert_eq!(refused_for(engine.delete(&local, slow).await), parent, "so is what called it");
    assert_eq!(refused_for(engine.delete(&local, large).await), parent, "which may still ask for it");
    for (who, what) in [(&bob, parent), (&local, TaskId::from_bytes([7; 16]))] {
        assert!(matches!(engine.delete(who, what).await, Err(EngineError::NoSuchTask(id)) if id == what));
    }
    assert_eq!(children(&engine, parent).await.len(), 2, "nothing is gone");
    world.clock.advance(DAY);
    ended(&engine, parent).await;

    let mut watcher = engine.feed().watch().expect("room");
    watcher.add(ResourceKey::Task(large));
    assert!(matches!(engine.delete(&bob, parent).await, Err(EngineError::NoSuchTask(_))));
    assert_eq!(engine.delete(&local, parent).await.expect("deleted"), 3);
    watcher.next().await;
    for id in [parent, large, slow] {
        assert!(matches!(engine.task(&local, id).await, Err(EngineError::NoSuchTask(_))));
        assert!(matches!(engine.result(&local, id).await, Err(EngineError::NoSuchTask(_))));
    }
    assert!(matches!(engine.delete(&local, parent).await, Err(EngineError::NoSuchTask(_))));
    assert_eq!(super::rows_left(&engine), [], "nothing is left of them");

    let audit = engine.audit(AuditQuery::default()).await.expect("the audit").rows;
    let deleted = |verdict| {
        let rows =
            audit.iter().filter(move |row| row.action == AuditAction::Delete && row.verdict == verdict);
        rows.map(|row| row.count).sum::<u64>()
    };
    assert_eq!((deleted(Verdict::Admitted), deleted(Verdict::Refused)), (3, 7));
    let called = audit.iter().filter(|row| row.action == AuditAction::Call).count();
    assert_eq!(called, 3, "what the audit says of them stays");
    assert!(!engine.submit(call("parent")).await.expect("the key is free").existing);
    engine.shutdown().await;
}

/// A child goes for itself once its parent has ended; a task that was taken up again stays.
#[tokio::test]
async fn a_child_goes_alone_and_a_task_that_is_tried_again_stays() {
    let world = World::new();
    let engine = world.start(family()).await;
    let local = Principal::local();
    let parent = engine.submit(call("parent")).await.expect("a task").id;
    until(&engine, parent, |document| document.state.name() == "waiting" && document.children.len() == 2)
        .await;
    engine.cancel(&local, parent, None).await.expect("cancelled");
    ended(&engine, parent).await;
    let [large, slow] = children(&engine, parent).await[..] else { panic!("two children") };
    ended(&engine, slow).await;
    assert_eq!(engine.delete(&local, large).await.expect("deleted"), 1);
    assert_eq!(children(&engine, parent).await, [slow]);
    engine.retry(&local, parent, None).await.expect("tried again");
    assert_eq!(refused_for(engine.delete(&local, parent).await), parent);
    engine.shutdown().await;
}

/// Of what completed, its submitter reads the result alone.
#[tokio::test]
async fn the_result_of_what_completed_is_its_owners_and_goes_with_the_task() {
    let world = World::new();
    let engine = world.start(family()).await;
    let (local, bob) = (Principal::local(), Principal::new("bob", vec!["*".to_owned()]));
    let large = engine.submit(call("large")).await.expect("a task").id;
    let task = ended(&engine, large).await;
    let reads = engine.shared.store.reads();
    let end = engine.result_of_completed(&local, &task).await.expect("an end");
    assert_eq!(engine.shared.store.reads() - reads, 1);
    assert_eq!(text(end).len(), limits::MAX_INLINE_PAYLOAD_BYTES + 1);
    let others = engine.result_of_completed(&bob, &task).await;
    assert!(matches!(others, Err(EngineError::NoSuchTask(id)) if id == large));

    let slow = engine.submit(call("slow")).await.expect("a task");
    let not_yet = engine.result_of_completed(&local, &slow.task).await.expect("a task");
    assert!(matches!(not_yet, TaskEnd::NotYet(view) if view.id == slow.id));
    engine.delete(&local, large).await.expect("deleted");
    let gone = engine.result_of_completed(&local, &task).await;
    assert!(matches!(gone, Err(EngineError::NoSuchTask(id)) if id == large));
    engine.shutdown().await;
}
