//! Polls of tasks: what has not changed is answered from memory, what has changed is seen at once.

use super::*;
use crate::engine::family::calling::ChildCall;
use crate::engine::questions::answer::{AnsweredVia, Given};
use crate::engine::questions::asked::Ask;
use crate::task::By;

/// Sleeps, asks a person, or has a child that asks.
fn waiting_tools() -> Closures {
    let ask = |steps: &Steps| {
        let schema = json!({"type": "object", "properties": {"yes": {"type": "boolean"}}}).to_string();
        let ask = Ask::Form { message: "Yes?".to_owned(), schema };
        steps.ask(Some("sure"), By::Person, ask, DAY)
    };
    Closures::new()
        .tool(definition("sleeps"), "1", |steps: Steps, _| async move {
            steps.sleep(DAY).await?;
            Ok(ToolResult::text("awake"))
        })
        .tool(definition("asks"), "1", move |steps: Steps, _| async move {
            let asking = ask(&steps)?;
            steps.answer(asking).await?;
            Ok(ToolResult::text("answered"))
        })
        .tool(definition("calls"), "1", |steps: Steps, _| async move {
            let calling = steps.call(&[ChildCall::new("asks", &json!({}))]).await?[0];
            steps.join(calling).await?;
            Ok(ToolResult::text("called"))
        })
}

/// The task, and how often the store was read for it.
async fn poll(engine: &TaskEngine, id: TaskId) -> (TaskView, u64) {
    let before = engine.shared.store.reads();
    let view = engine.task(&Principal::local(), id).await.expect("a task");
    (view, engine.shared.store.reads() - before)
}

/// A poll that reads nothing, once the task rests.
async fn unread(engine: &TaskEngine, id: TaskId) -> TaskView {
    until_it_holds(async || poll(engine, id).await.1 == 0).await;
    poll(engine, id).await.0
}

fn answer(yes: bool) -> (Given, AnsweredVia) {
    (Given::Accept(json!({"yes": yes})), AnsweredVia { channel: "test", is_person: true })
}

#[tokio::test]
async fn what_rests_is_read_once_and_says_when_to_ask_again() {
    let world = World::new();
    let engine = world.start(waiting_tools()).await;
    let id = submit(&engine, "sleeps", json!({})).await;
    until(&engine, id, |task| task.state == State::Waiting(WaitingReason::Timer)).await;
    let resting = unread(&engine, id).await;
    assert_eq!(resting.poll_after, Some(Duration::from_secs(60)));
    world.clock.advance(DAY - Duration::from_secs(100));
    let (later, reads) = poll(&engine, id).await;
    assert_eq!((later.poll_after, reads), (Some(Duration::from_secs(10)), 0), "a tenth of what is left");
    assert_eq!(TaskView { poll_after: resting.poll_after, ..later }, resting, "nothing else is another");

    world.clock.advance(Duration::from_secs(100));
    let over = ended(&engine, id).await;
    assert_eq!((over.state, over.poll_after), (State::Completed, None));
    assert_eq!(unread(&engine, id).await, over);
    assert_eq!(text(engine.result(&Principal::local(), id).await.expect("a result")), "awake");
    engine.shutdown().await;
}

#[tokio::test]
async fn an_answer_is_seen_by_the_poll_that_follows_it() {
    let world = World::new();
    let engine = world.start(waiting_tools()).await;
    let id = submit(&engine, "asks", json!({})).await;
    until(&engine, id, |task| !task.questions.is_empty()).await;
    let asking = unread(&engine, id).await;
    assert_eq!((asking.questions.len(), asking.poll_after), (1, Some(Duration::from_secs(5))));
    world.clock.advance(Duration::from_secs(120));
    assert_eq!(unread(&engine, id).await.poll_after, Some(Duration::from_secs(12)), "it is open for longer");
    let (given, via) = answer(true);
    engine.answer(&Principal::local(), id, Some("sure"), given, via).await.expect("answered");
    assert_eq!(poll(&engine, id).await.0.questions, []);
    ended(&engine, id).await;
    engine.shutdown().await;
}

#[tokio::test]
async fn what_a_child_asks_is_kept_with_its_parent_and_gone_with_the_answer() {
    let world = World::new();
    let engine = world.start(waiting_tools()).await;
    let id = submit(&engine, "calls", json!({})).await;
    until(&engine, id, |task| {
        task.state == State::Waiting(WaitingReason::Child) && !task.questions.is_empty()
    })
    .await;
    let parent = unread(&engine, id).await;
    assert_eq!(parent.poll_after, Some(Duration::from_secs(5)), "it waits for a person, in the end");
    let (child, key) = (parent.questions[0].task, parent.questions[0].key.clone());
    assert_eq!(parent.children, [child]);
    let (given, via) = answer(true);
    engine.answer(&Principal::local(), id, Some(&key), given, via).await.expect("answered");
    assert_eq!(poll(&engine, id).await.0.questions, []);
    ended(&engine, id).await;
    assert_eq!(unread(&engine, id).await.children, [child]);
    engine.delete(&Principal::local(), child).await.expect("deleted");
    assert_eq!(poll(&engine, id).await.0.children, []);
    engine.shutdown().await;
}

#[tokio::test]
async fn what_no_subscriber_hears_of_is_seen_by_a_poll_all_the_same() {
    let world = World::new();
    let engine = world.start(waiting_tools()).await;
    let id = submit(&engine, "asks", json!({})).await;
    until(&engine, id, |task| !task.questions.is_empty()).await;
    let before = unread(&engine, id).await;
    world.clock.advance(Duration::from_secs(1));
    let message = messages::Outgoing { name: "m".to_owned(), payload: json!(1), key: None };
    engine.send(&Principal::local(), id, message).await.expect("sent");
    let (after, _) = poll(&engine, id).await;
    assert_eq!(after.updated_at, before.updated_at + 1_000_000_000);
    engine.shutdown().await;
}

#[tokio::test]
async fn what_is_kept_is_shown_to_those_who_may_see_it_alone() {
    let world = World::new();
    let engine = world.start(waiting_tools()).await;
    let id = submit(&engine, "sleeps", json!({})).await;
    until(&engine, id, |task| task.state.name() == "waiting").await;
    unread(&engine, id).await;
    let other = Principal::new("other", vec!["*".to_owned()]);
    assert!(matches!(engine.task(&other, id).await, Err(EngineError::NoSuchTask(_))));
    assert!(matches!(engine.result(&other, id).await, Err(EngineError::NoSuchTask(_))));
    let owner = Principal::local().overseeing();
    let before = engine.shared.store.reads();
    assert_eq!(engine.task(&owner, id).await.expect("it sees all").id, id);
    assert_eq!(engine.shared.store.reads(), before, "what another's refused poll read is of no harm");
    engine.cancel(&owner, id, None).await.expect("cancelled");
    assert_eq!(poll(&engine, id).await.0.state, State::Cancelled);
    engine.delete(&owner, id).await.expect("deleted");
    assert!(matches!(engine.task(&owner, id).await, Err(EngineError::NoSuchTask(_))));
    engine.shutdown().await;
}

/// Pollers, some by lists, which read the store each time: none of them sees less than it, or another before it, has seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_poll_goes_back_in_time() {
    const REPORTS: u64 = 300;
    let world = World::new();
    let tools = Closures::new().tool(definition("reports"), "1", |steps: Steps, _| async move {
        for done in 1..=REPORTS {
            steps.progress(done, None, None)?;
            steps.step("next", || async { Ok(done) }).await?;
        }
        Ok(ToolResult::text("done"))
    });
    let engine = world.start(tools).await;
    let id = submit(&engine, "reports", json!({})).await;
    let seen = Arc::new(AtomicU64::new(0));
    let pollers = (0..4).map(|number| {
        let (engine, seen) = (engine.clone(), seen.clone());
        tokio::spawn(async move {
            let local = Principal::local();
            loop {
                let before = seen.load(Ordering::SeqCst);
                let view = if number == 0 {
                    let page = engine.tasks(&local, &TaskQuery::default()).await.expect("a page");
                    page.tasks.into_iter().next().expect("a task")
                } else {
                    engine.task(&local, id).await.expect("a task")
                };
                let done = view.progress.map_or(0, |progress| progress.done);
                assert!(done >= before, "{done} after {before}");
                seen.fetch_max(done, Ordering::SeqCst);
                if view.state.is_terminal() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
    });
    for poller in pollers.collect::<Vec<_>>() {
        tokio::time::timeout(Duration::from_secs(60), poller).await.expect("in time").expect("no panic");
    }
    assert_eq!(poll(&engine, id).await.0.progress.map(|progress| progress.done), Some(REPORTS));
    engine.shutdown().await;
}
