//! Components that are blocked: their tasks stand still wherever they are, and go on there.

use tokio::sync::Semaphore;

use super::*;
use crate::engine::record::output::call_hash;
use crate::task::WakeOn;

/// Where a task is when its component is blocked.
const PLACES: [&str; 4] = ["live", "timer", "message", "queued"];

/// When the process ends meanwhile, so that it comes back as it does after a kill: what is on disk is the row of the
/// block, or its end, and the tasks as they were.
const ENDS: [&str; 4] = ["never", "before its tasks stand still", "blocked", "before its tasks go on"];

/// `worker` counts a step, waits for as long as its arguments say, and counts another; `caller` calls it.
fn workers(gate: &Arc<Semaphore>, done: &Arc<AtomicU64>) -> Closures {
    let (gate, done) = (gate.clone(), done.clone());
    let worker = move |steps: Steps, arguments: Value| {
        let (gate, done) = (gate.clone(), done.clone());
        async move {
            let count = || async { Ok(done.fetch_add(1, Ordering::SeqCst)) };
            let first: u64 = steps.step("first", count).await?;
            match arguments["waits"].as_str().unwrap_or_default() {
                "timer" => steps.sleep(DAY).await?,
                "message" => receive(&steps).await?,
                _ => drop(gate.acquire().await.expect("open")),
            }
            let second: u64 = steps.step("second", count).await?;
            Ok(ToolResult::text(format!("{first} {second}")))
        }
    };
    let caller = |steps: Steps, _| async move {
        match steps.call(&[ChildCall::new("worker", &json!({}))]).await {
            Ok(_) => Ok(ToolResult::text("called")),
            Err(StepError::Tool(why)) => Ok(ToolResult::text(why)),
            Err(error) => Err(error),
        }
    };
    let brief = TaskLimits { total_seconds: 2 * 86_400, ..TaskLimits::default() };
    Closures::new().tool_with(definition("worker"), "1", brief, RetryPolicy::default(), worker).tool(
        definition("caller"),
        "1",
        caller,
    )
}

async fn receive(steps: &Steps) -> Result<(), StepError> {
    let recorder = steps.recorder();
    let (op, hash) = (recorder.begin_op()?, call_hash("receive", &[]));
    let on = vec![WakeOn::Message(Vec::new())];
    if !matches!(recorder.op(op)?, Some(Op::Done { .. }))
        && recorder.take_message(op, hash, &[]).await?.is_none()
    {
        return Err(StepError::suspend(Suspension { reason: WaitingReason::Message, until: None, on }));
    }
    Ok(())
}

fn is_at(place: &str, task: &TaskView) -> bool {
    match place {
        "live" => task.state == State::Running && task.steps > 0,
        "timer" => task.state == State::Waiting(WaitingReason::Timer),
        "message" => task.state == State::Waiting(WaitingReason::Message),
        _ => matches!(task.state, State::Queued(_)),
    }
}

/// A task at this place whose component is blocked for ten days, with an end of the process in between.
async fn stand_still(place: &str, end: &str) {
    let (world, local) = (World::new(), Principal::local());
    let (gate, done) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
    let reopen = async |engine: TaskEngine| {
        engine.shutdown().await;
        world.open(workers(&gate, &done)).await
    };
    let mut engine = world.open(workers(&gate, &done)).await;
    if place != "queued" {
        engine.start().await.expect("a start");
    }
    let id = submit(&engine, "worker", json!({ "waits": place })).await;
    until_it_holds(async || is_at(place, &engine.task(&local, id).await.expect("a task"))).await;
    // Memory knows of a suspension before the disk does.
    let steps_done = done.load(Ordering::SeqCst);
    if end == "before its tasks stand still" {
        engine = reopen(engine).await;
        engine.block(&local, "worker").await.expect("blocked");
        let task = engine.task(&local, id).await.expect("a task");
        assert_eq!((task.state.name(), task.state.reason()), ("waiting", Some("blocked")), "{place}");
        assert!(task.message.is_some_and(|says| says.contains("blocked")), "as a server would show it");
        let waiting = TaskQuery { state: Some("waiting".to_owned()), ..TaskQuery::default() };
        assert_eq!(engine.tasks(&local, &waiting).await.expect("a page").tasks.len(), 1, "{place}");
        engine.start().await.expect("a start");
    } else {
        engine.block(&local, "worker").await.expect("blocked");
        if place == "queued" {
            engine.start().await.expect("a start");
        }
    }
    let task = until(&engine, id, |task| task.state.blocked().is_some()).await;
    assert_eq!((task.state.name(), task.state.reason()), ("waiting", Some("blocked")), "{place}, {end}");
    let says = task.message.unwrap_or_default();
    assert!(says.contains("blocked") && says.contains("operator"), "{says}");
    nothing_lives(&engine).await;
    assert_eq!(engine.blocked().into_iter().map(|block| block.name).collect::<Vec<_>>(), ["worker"]);

    // What would wake it does not, and its total time, which is two days, is not over.
    gate.add_permits(1);
    engine
        .send(&local, id, messages::Outgoing { name: "go".to_owned(), payload: json!(1), key: None })
        .await
        .expect("sent");
    world.clock.advance(5 * DAY);
    if end == "blocked" {
        engine = reopen(engine).await;
        engine.start().await.expect("a start");
    }
    world.clock.advance(5 * DAY);
    refuse_calls(&engine).await;
    let task = engine.task(&local, id).await.expect("a task");
    assert_eq!(task.state.reason(), Some("blocked"), "{place}, {end}");
    assert_eq!(done.load(Ordering::SeqCst), steps_done, "{place}, {end}: nothing ran");

    if end == "before its tasks go on" {
        engine = reopen(engine).await;
        engine.unblock(&local, "worker").await.expect("unblocked");
        let task = engine.task(&local, id).await.expect("a task");
        assert!(task.state.blocked().is_none() && !task.state.is_terminal(), "{place}: {:?}", task.state);
        engine.start().await.expect("a start");
    } else {
        engine.unblock(&local, "worker").await.expect("unblocked");
    }
    let task = engine.wait(&local, id, Duration::from_secs(20)).await.expect("a task");
    assert_eq!(task.state.name(), "completed", "{place}, {end}: {:?} {:?}", task.state, task.error);
    assert_eq!(text(engine.result(&local, id).await.expect("a result")), "0 1", "each step once");
    assert!(engine.blocked().is_empty());
    engine.shutdown().await;
}

/// New calls are refused, from outside and from a task.
async fn refuse_calls(engine: &TaskEngine) {
    let submission = Submission {
        tool: "worker".to_owned(),
        arguments: json!({}),
        principal: Principal::local(),
        idempotency_key: None,
        trace: None,
    };
    let refused = engine.submit(submission).await.map(|submitted| submitted.id);
    assert!(matches!(refused, Err(EngineError::Blocked { .. })), "{refused:?}");
    let id = submit(engine, "caller", json!({})).await;
    ended(engine, id).await;
    let seen = text(engine.result(&Principal::local(), id).await.expect("a result"));
    assert!(seen.contains("'worker' is blocked"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_tasks_stand_still_wherever_they_are_and_go_on_there() {
    for place in PLACES {
        for end in ENDS {
            stand_still(place, end).await;
        }
    }
}

#[tokio::test]
async fn a_blocked_task_is_cancelled_at_once_and_not_taken_up_again() {
    let (world, local) = (World::new(), Principal::local());
    let (gate, done) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
    let engine = world.start(workers(&gate, &done)).await;
    let id = submit(&engine, "worker", json!({ "waits": "timer" })).await;
    until(&engine, id, |task| is_at("timer", task)).await;
    engine.block(&local, "worker").await.expect("blocked");
    let task = engine.cancel(&local, id, None).await.expect("cancelled");
    assert_eq!(task.state, State::Cancelled);
    let again = engine.retry(&local, id, None).await.map(|task| task.state);
    assert!(matches!(again, Err(EngineError::Blocked { .. })), "{again:?}");
    engine.unblock(&local, "worker").await.expect("unblocked");
    assert!(matches!(engine.unblock(&local, "worker").await, Err(EngineError::NotBlocked(_))));
    assert!(matches!(engine.block(&local, "nothing").await, Err(EngineError::NoComponentNamed(_))));
    engine.retry(&local, id, None).await.expect("taken up again");
    engine.shutdown().await;
    let engine = world.open(workers(&gate, &done)).await;
    assert_eq!(
        audited(&engine, Verdict::Admitted).await,
        ["component_unblock worker", "component_block worker"]
    );
    let mut refused = audited(&engine, Verdict::Refused).await;
    refused.sort();
    assert_eq!(refused, ["component_block no_such_component", "component_unblock no_such_block"]);
}

/// What the audit says of blocks, newest first.
async fn audited(engine: &TaskEngine, verdict: Verdict) -> Vec<String> {
    let query = AuditQuery { verdict: Some(verdict), ..AuditQuery::default() };
    let page = engine.audit(query).await.expect("a page");
    let line = |row: AuditView| format!("{} {}", row.action, row.reason.unwrap_or_default());
    page.rows.into_iter().map(line).filter(|line| line.starts_with("component")).collect()
}
