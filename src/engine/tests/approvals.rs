//! Approvals at the engine's floor: what a person selects holds for tasks at their next step, and what was given until a
//! time ends then, whatever the clock says later.

use super::*;
use crate::authority::{Grant, NamedCapability, Selector, StatePattern};
use crate::catalog::{Admission, Component, Lock, Selection, Since, Statement, ToolEntry, Unapproved};
use crate::engine::Approving;
use crate::task::Effects;

/// `worker` sleeps for so many days, and reads an entry of shared state.
fn workers() -> Closures {
    let worker = |steps: Steps, arguments: Value| async move {
        steps
            .sleep(DAY * u32::try_from(arguments["days"].as_u64().unwrap_or_default()).expect("few"))
            .await?;
        let seen = steps.recorder().state_get("vault", "k").await?;
        Ok(ToolResult::text(seen.err().map_or("done".to_owned(), |error| error.to_string())))
    };
    let unlimited = TaskLimits { total_seconds: 10_000_000, ..TaskLimits::default() };
    Closures::new().tool_with(definition("worker"), "1", unlimited, RetryPolicy::default(), worker)
}

/// The component as it comes: with nothing, as none that is not approved has anything.
fn component() -> Component {
    let catalog = workers().catalog().expect("a catalog");
    let entry = ToolEntry::clone(catalog.tool("worker").expect("a tool"));
    let id = entry.tool.component.clone();
    Component::of_tools("worker", id, vec![entry.tool]).expect("a tool")
}

/// It requests shared state and questions.
fn statement() -> Statement {
    let requested = Grant {
        state: vec![StatePattern::parse("vault").expect("a pattern")],
        elicit: true,
        ..Grant::default()
    };
    Statement {
        component: component().id,
        version: None,
        imports: Vec::new(),
        tools: [("worker".to_owned(), definition("worker"))].into(),
        requested,
        granted: Grant::default(),
        limits: TaskLimits::default(),
        wanted: Vec::new(),
        retry: RetryPolicy::default(),
        effects: Effects::default(),
        signed: None,
    }
}

fn selected(only: &[&str]) -> Selection {
    let only = only.iter().map(|text| Selector::parse(text).expect("a capability")).collect();
    Selection { only, without: Vec::new() }
}

/// The engine as a start leaves it: the component waits for a person.
async fn open(world: &World) -> TaskEngine {
    let engine =
        TaskEngine::open(world.path(), Arc::new(workers()), world.options()).await.expect("an engine");
    let mut approvals = engine.approvals(Lock::default()).await.expect("approvals");
    let catalog = match approvals.admit("worker", &statement(), &[]) {
        Admission::Waits(reasons) => {
            let waiting = Unapproved { component: component(), statement: statement(), reasons };
            Catalog::default().with_unapproved(waiting)
        }
        Admission::Approved(approval) => {
            Catalog::default().with(component().approved_as(approval)).expect("the only one")
        }
        Admission::Pinned(..) => panic!("it requests something"),
    };
    engine.set_catalog(Arc::new(catalog));
    engine
}

async fn approve(engine: &TaskEngine, selection: Selection, expires_at: Option<u64>) {
    let (name, digest) = ("worker".to_owned(), statement().digest());
    let approving = Approving { name, digest, selection, expires_at, ..Approving::default() };
    let approved = engine.approve(&Principal::local(), approving).await.expect("approved");
    assert_eq!((&*approved.name, approved.expires_at), ("worker", expires_at));
}

async fn said(engine: &TaskEngine, id: TaskId) -> String {
    let ended = ended(engine, id).await;
    assert_eq!(ended.state, State::Completed, "{ended:?}");
    format!("{:?}", engine.result(&Principal::local(), id).await.expect("a result"))
}

async fn refusal(engine: &TaskEngine) -> String {
    let submission = Submission {
        tool: "worker".into(),
        arguments: json!({}),
        principal: Principal::local(),
        idempotency_key: None,
        trace: None,
    };
    let Err(refused) = engine.submit(submission).await else { panic!("it is served") };
    refused.to_string()
}

#[tokio::test]
async fn what_a_person_selects_holds_for_tasks_at_their_next_step() {
    let world = World::new();
    let engine = open(&world).await;
    engine.start().await.expect("a start");
    assert!(refusal(&engine).await.contains("it was never approved"));
    approve(&engine, selected(&["state"]), None).await;
    let now = submit(&engine, "worker", json!({})).await;
    assert!(said(&engine, now).await.contains("done"));
    let later = submit(&engine, "worker", json!({"days": 1})).await;
    until(&engine, later, |task| task.state == State::Waiting(WaitingReason::Timer)).await;
    // Approved again, with less: also for the one that has begun.
    approve(&engine, selected(&["elicit"]), None).await;
    assert_eq!(engine.approved()[0].capabilities, [NamedCapability::Elicit]);
    world.clock.advance(DAY);
    assert!(said(&engine, later).await.contains("component is not granted that any more"));
    engine.shutdown().await;
    // It is what a start finds, too.
    let engine = open(&world).await;
    assert_eq!(engine.approved()[0].capabilities, [NamedCapability::Elicit]);
    let beyond = Approving {
        name: "worker".to_owned(),
        digest: statement().digest(),
        selection: selected(&["sample"]),
        ..Approving::default()
    };
    let error = engine.approve(&Principal::local(), beyond).await.expect_err("it is not requested");
    assert!(error.to_string().contains("nothing that it may be given"), "{error}");
    engine.shutdown().await;
}

#[tokio::test]
async fn an_approval_until_a_time_ends_then_and_no_clock_brings_it_back() {
    let world = World::new();
    let engine = open(&world).await;
    engine.start().await.expect("a start");
    approve(&engine, selected(&[]), Some(START + DAY.as_nanos() as u64)).await;
    let soon = submit(&engine, "worker", json!({})).await;
    assert!(said(&engine, soon).await.contains("done"));
    let later = submit(&engine, "worker", json!({"days": 2})).await;
    until(&engine, later, |task| task.state == State::Waiting(WaitingReason::Timer)).await;
    world.clock.advance(DAY - Duration::from_secs(1));
    let before = submit(&engine, "worker", json!({})).await;
    assert!(said(&engine, before).await.contains("done"));
    world.clock.advance(Duration::from_secs(1));
    until_true(|| engine.unapproved().first().is_some_and(|it| it.reasons.since == Since::Expired)).await;
    assert!(refusal(&engine).await.contains("its approval has expired"));
    world.clock.advance(DAY);
    assert!(said(&engine, later).await.contains("component is not granted that any more"));
    let row_is_there = async || {
        let row = engine.setting("approval/worker").await.expect("a read").expect("a row");
        String::from_utf8_lossy(&row).contains("\"is_expired\":true")
    };
    until_it_holds(row_is_there).await;
    engine.shutdown().await;

    world.clock.set_wall(START);
    let engine = open(&world).await;
    assert_eq!(engine.unapproved()[0].reasons.since, Since::Expired);
    // A person may approve it again, as what it is.
    approve(&engine, selected(&[]), None).await;
    engine.shutdown().await;
    let engine = open(&world).await;
    assert_eq!(engine.approved().len(), 1);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_start_after_the_end_serves_nothing_by_it() {
    let world = World::new();
    let engine = open(&world).await;
    approve(&engine, selected(&[]), Some(START + 1_000)).await;
    engine.shutdown().await;
    world.clock.advance(Duration::from_nanos(1_000));
    let engine = open(&world).await;
    assert_eq!(engine.unapproved()[0].reasons.since, Since::Expired);
    engine.shutdown().await;
    // Long before it was given: nothing is known of when it ends.
    world.clock.set_wall(START - 2 * DAY.as_nanos() as u64);
    let engine = open(&world).await;
    assert_eq!(engine.unapproved()[0].reasons.since, Since::Expired);
    engine.shutdown().await;
}

#[tokio::test]
async fn tasks_of_a_changed_component_lose_what_an_approval_gave_them_when_it_ends() {
    let world = World::new();
    let engine = open(&world).await;
    engine.start().await.expect("a start");
    let until_then = Some(START + DAY.as_nanos() as u64);
    approve(&engine, selected(&[]), until_then).await;
    let task = submit(&engine, "worker", json!({"days": 2})).await;
    until(&engine, task, |task| task.state == State::Waiting(WaitingReason::Timer)).await;
    // As a start leaves it that finds another file.
    let mut approvals = engine.approvals(Lock::default()).await.expect("approvals");
    let changed = Statement { version: Some("2".to_owned()), ..statement() };
    let Admission::Waits(reasons) = approvals.admit("worker", &changed, &[]) else {
        panic!("it has changed")
    };
    assert_eq!((reasons.since, reasons.kept.until), (Since::Changed, until_then));
    assert_eq!(reasons.kept.grant, statement().requested);
    let waiting = Unapproved { component: component(), statement: changed, reasons };
    engine.set_catalog(Arc::new(Catalog::default().with_unapproved(waiting)));
    world.clock.advance(DAY);
    until_true(|| engine.unapproved()[0].reasons.since == Since::Expired).await;
    world.clock.advance(DAY);
    assert!(said(&engine, task).await.contains("component is not granted that any more"));
    engine.shutdown().await;
}
