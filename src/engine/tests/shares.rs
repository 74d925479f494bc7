//! One principal takes all that it can of what the engine has, and another still works. What is counted of tasks on
//! disk counts after a restart as well.

use std::collections::BTreeMap;

use tokio::sync::Semaphore;

use super::*;
use crate::catalog::{Rate, ToolBounds};
use crate::engine::family::calling::ChildCall;
use crate::engine::questions::asked::Ask;
use crate::shares::{Account, Bound, Bounds, Pool, Refusal, Whose};
use crate::task::By;

fn named(name: &str) -> Principal {
    if name == "local" { Principal::local() } else { Principal::new(name, vec!["*".to_owned()]) }
}

/// Tasks that hold their instances until there is a permit for each; `quick` needs none.
fn tools(gate: &Arc<Semaphore>) -> Closures {
    let holder = |gate: &Arc<Semaphore>| {
        let gate = gate.clone();
        move |_: Steps, _| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.expect("open").forget();
                Ok(ToolResult::text("held"))
            }
        }
    };
    let parent = |steps: Steps, _| async move {
        let calls = vec![ChildCall::new("quick", &json!({})); 2];
        match steps.call(&calls).await {
            Ok(calling) => {
                for calling in calling {
                    steps.join(calling).await?;
                }
                Ok(ToolResult::text("called"))
            }
            Err(StepError::Tool(why)) => Ok(ToolResult::text(why)),
            Err(error) => Err(error),
        }
    };
    let asker = |steps: Steps, arguments: Value| async move {
        let schema = json!({"type": "object", "properties": {}}).to_string();
        let ask = match arguments["sample"].as_bool() {
            Some(true) => Ask::Sample { request: json!({"messages": []}).to_string(), max_tokens: 1 },
            _ => Ask::Form { message: "Well?".to_owned(), schema },
        };
        match steps.ask(None, By::Any, ask, DAY) {
            Ok(asking) => {
                steps.answer(asking).await?;
                Ok(ToolResult::text("answered"))
            }
            Err(StepError::Tool(why)) => Ok(ToolResult::text(why)),
            Err(error) => Err(error),
        }
    };
    Closures::new()
        .tool(definition("ask"), "1", asker)
        .tool(definition("hold"), "1", holder(gate))
        .tool(definition("bound"), "1", holder(gate))
        .tool(definition("quick"), "1", |_: Steps, _| async { Ok(ToolResult::text("quick")) })
        .tool(definition("parent"), "1", parent)
}

struct Place {
    world: World,
    gate: Arc<Semaphore>,
    bounds: Bounds,
    live: usize,
    tools: BTreeMap<String, ToolBounds>,
}

impl Place {
    fn new(live: usize) -> Self {
        let mut bounds = Bounds::default();
        bounds[Pool::Instances] = Bound::divided(live as u64);
        Self { world: World::new(), gate: Arc::new(Semaphore::new(0)), bounds, live, tools: BTreeMap::new() }
    }

    async fn start(&self) -> TaskEngine {
        let closures = tools(&self.gate);
        let catalog = Arc::new(closures.catalog().expect("a catalog"));
        let options = EngineOptions {
            live_instances: self.live,
            shares: Some(Account::new(self.bounds.clone())),
            tool_bounds: self.tools.clone(),
            ..self.world.options()
        };
        let engine =
            TaskEngine::open(self.world.path(), Arc::new(closures), options).await.expect("an engine");
        engine.set_catalog(catalog);
        engine.start().await.expect("a start");
        engine
    }
}

async fn submit_as(engine: &TaskEngine, who: &str, tool: &str) -> Result<TaskId, EngineError> {
    submit_with(engine, who, tool, json!({})).await
}

async fn submit_with(
    engine: &TaskEngine,
    who: &str,
    tool: &str,
    arguments: Value,
) -> Result<TaskId, EngineError> {
    let (principal, tool) = (named(who), tool.to_owned());
    let submission = Submission { tool, arguments, principal, idempotency_key: None, trace: None };
    engine.submit(submission).await.map(|submitted| submitted.id)
}

async fn ended_as(engine: &TaskEngine, who: &str, id: TaskId) -> TaskView {
    let view = engine.wait(&named(who), id, Duration::from_secs(20)).await.expect("a task");
    assert!(view.state.is_terminal(), "{who} still waits: {view:?}");
    view
}

async fn view_as(engine: &TaskEngine, who: &str, id: TaskId) -> TaskView {
    engine.task(&named(who), id).await.expect("a task")
}

/// Waits until the dispatcher has given all that it can.
async fn until_running(engine: &TaskEngine, count: u64) {
    until_true(|| engine.metrics().running == count).await;
}

fn refusal(refused: Result<TaskId, EngineError>) -> Refusal {
    match refused {
        Err(EngineError::Share(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn who_takes_all_instances_it_can_leaves_some_to_others() {
    // Who takes them, instances, how many others there are, and what the taker gets.
    for (taker, live, others, taken) in [
        ("eve", 2, 1, 1),
        ("eve", 3, 2, 1),
        ("eve", 4, 3, 1),
        ("eve", 8, 4, 1),
        ("eve", 16, 4, 2),
        ("eve", 64, 7, 8),
        ("local", 2, 1, 1),
        ("local", 3, 2, 2),
        ("local", 16, 3, 14),
    ] {
        let place = Place::new(live);
        let engine = place.start().await;
        let mut held = Vec::new();
        for _ in 0..2 * live {
            held.push(submit_as(&engine, taker, "hold").await.expect("a task"));
        }
        until_running(&engine, taken).await;
        let names = ["local", "ann", "bob", "cyd", "dan", "eli", "fay", "gus"];
        for who in names.iter().filter(|who| **who != taker).take(others) {
            let id = submit_as(&engine, who, "quick").await.expect("a task");
            assert_eq!(ended_as(&engine, who, id).await.state.name(), "completed", "{who} of {live}");
        }
        assert_eq!(engine.metrics().running, taken, "{live}");
        // Those that wait say where.
        for (number, id) in held[taken as usize..].iter().enumerate() {
            assert_eq!(view_as(&engine, taker, *id).await.queue_place, Some(number as u64 + 1), "{live}");
        }
        place.gate.add_permits(held.len());
        for id in held {
            let view = ended_as(&engine, taker, id).await;
            assert_eq!((view.state.name(), view.queue_place), ("completed", None));
        }
        engine.shutdown().await;
    }
}

#[tokio::test]
async fn the_next_instance_goes_to_the_principal_that_holds_fewest() {
    let mut place = Place::new(4);
    place.bounds[Pool::Instances] = Bound { process: 4, share: 4, reserve: 0 };
    let engine = place.start().await;
    for who in ["eve", "eve", "eve", "ann"] {
        submit_as(&engine, who, "hold").await.expect("a task");
    }
    until_running(&engine, 4).await;
    let of_eve = submit_as(&engine, "eve", "hold").await.expect("a task");
    let of_ann = submit_as(&engine, "ann", "hold").await.expect("a task");
    let places = async || {
        (view_as(&engine, "ann", of_ann).await.queue_place, view_as(&engine, "eve", of_eve).await.queue_place)
    };
    until_it_holds(async || places().await == (Some(1), Some(2))).await;
    place.gate.add_permits(1);
    until_it_holds(async || places().await == (None, Some(1))).await;
    place.gate.add_permits(5);
    assert_eq!(ended_as(&engine, "eve", of_eve).await.state.name(), "completed");
    engine.shutdown().await;
}

#[tokio::test]
async fn those_that_wait_are_served_in_turn_and_say_their_place_also_after_a_restart() {
    let mut place = Place::new(2);
    place.bounds[Pool::Instances] = Bound { process: 2, share: 2, reserve: 0 };
    let engine = place.start().await;
    let held = [
        submit_as(&engine, "eve", "hold").await.expect("a task"),
        submit_as(&engine, "eve", "hold").await.expect("a task"),
    ];
    until_running(&engine, 2).await;
    let mut waiting = Vec::new();
    for who in ["eve", "eve", "eve", "ann", "bob", "ann"] {
        waiting.push((who, submit_as(&engine, who, "hold").await.expect("a task")));
    }
    let places = async |engine: &TaskEngine| {
        let mut places = Vec::new();
        for (who, id) in &waiting {
            places.push(view_as(engine, who, *id).await.queue_place.unwrap_or_default());
        }
        places
    };
    until_it_holds(async || places(&engine).await == [4, 5, 6, 1, 2, 3]).await;
    engine.shutdown().await;

    let engine = place.start().await;
    until_running(&engine, 2).await;
    until_it_holds(async || {
        let mut places = places(&engine).await;
        for id in held {
            places.push(view_as(&engine, "eve", id).await.queue_place.unwrap_or_default());
        }
        places.sort_unstable();
        places == [0, 0, 1, 2, 3, 4, 5, 6]
    })
    .await;
    place.gate.add_permits(held.len() + waiting.len());
    for (who, id) in waiting {
        assert_eq!(ended_as(&engine, who, id).await.state.name(), "completed");
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn open_tasks_have_a_share_that_a_restart_counts_again() {
    let mut place = Place::new(64);
    place.bounds[Pool::OpenTasks] = Bound { process: 8, share: 3, reserve: 2 };
    let mut engine = place.start().await;
    let mut of_eve = Vec::new();
    for _ in 0..3 {
        of_eve.push(submit_as(&engine, "eve", "hold").await.expect("a task"));
    }
    for _ in 0..2 {
        let refused = refusal(submit_as(&engine, "eve", "hold").await);
        assert_eq!((refused.pool, refused.whose), (Pool::OpenTasks, Whose::Principal("eve".into())));
        let quick = submit_as(&engine, "ann", "quick").await.expect("another works");
        assert_eq!(ended_as(&engine, "ann", quick).await.state.name(), "completed");
        engine.shutdown().await;
        engine = place.start().await;
    }
    // All but the owner's reserve.
    for _ in 0..3 {
        submit_as(&engine, "bob", "hold").await.expect("a task");
    }
    let refused = refusal(submit_as(&engine, "ann", "quick").await);
    assert_eq!((refused.whose.clone(), refused.bound), (Whose::Process, 6));
    let quick = submit_as(&engine, "local", "quick").await.expect("the owner's reserve");
    assert_eq!(ended_as(&engine, "local", quick).await.state.name(), "completed");

    engine.cancel(&named("eve"), of_eve[0], None).await.expect("cancelled");
    let quick = submit_as(&engine, "eve", "quick").await.expect("room again");
    assert_eq!(ended_as(&engine, "eve", quick).await.state.name(), "completed");
    // Taken up again, it counts again.
    engine.retry(&named("eve"), of_eve[0], None).await.expect("taken up again");
    refusal(submit_as(&engine, "eve", "quick").await);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_repeated_call_and_a_call_that_fails_take_no_share() {
    let mut place = Place::new(16);
    place.bounds[Pool::OpenTasks] = Bound { process: 8, share: 1, reserve: 0 };
    let engine = place.start().await;
    let call = || Submission {
        tool: "hold".to_owned(),
        arguments: json!({}),
        principal: named("eve"),
        idempotency_key: Some("once".to_owned()),
        trace: None,
    };
    let first = engine.submit(call()).await.expect("a task");
    let again = engine.submit(call()).await.expect("the same task");
    assert!(again.existing && again.id == first.id);
    assert!(matches!(submit_as(&engine, "ann", "none").await, Err(EngineError::NoSuchTool { .. })));
    assert_eq!(engine.shares().used(Pool::OpenTasks), 1);
    place.gate.add_permits(1);
    ended_as(&engine, "eve", first.id).await;
    until_true(|| engine.shares().used(Pool::OpenTasks) == 0).await;
    engine.shutdown().await;
}

#[tokio::test]
async fn a_task_whose_children_find_no_share_hears_whose_bound_it_is() {
    let mut place = Place::new(16);
    place.bounds[Pool::OpenTasks] = Bound { process: 8, share: 2, reserve: 0 };
    let engine = place.start().await;
    let parent = submit_as(&engine, "eve", "parent").await.expect("a task");
    assert_eq!(ended_as(&engine, "eve", parent).await.state.name(), "completed");
    let said = text(engine.result(&named("eve"), parent).await.expect("a result"));
    assert!(said.contains("the share of eve is 2 open tasks"), "{said}");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_parent_at_its_principals_share_makes_room_for_its_children() {
    let mut place = Place::new(16);
    place.bounds[Pool::Instances] = Bound { process: 16, share: 1, reserve: 0 };
    let engine = place.start().await;
    let parent = submit_as(&engine, "eve", "parent").await.expect("a task");
    assert_eq!(ended_as(&engine, "eve", parent).await.state.name(), "completed");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_tools_concurrency_is_fair_between_principals_and_holds_up_nothing_else() {
    let mut place = Place::new(16);
    place.tools.insert("bound".to_owned(), ToolBounds { concurrency: Some(1), rate: None });
    let engine = place.start().await;
    let mut all = Vec::new();
    for who in ["eve", "eve", "eve", "ann"] {
        all.push((who, submit_as(&engine, who, "bound").await.expect("a task")));
    }
    until_running(&engine, 1).await;
    let quick = submit_as(&engine, "eve", "quick").await.expect("a task");
    assert_eq!(ended_as(&engine, "eve", quick).await.state.name(), "completed");
    let places = async || {
        let mut places = Vec::new();
        for (who, id) in &all {
            places.push(view_as(&engine, who, *id).await.queue_place);
        }
        places
    };
    let (one, two, three) = (Some(1), Some(2), Some(3));
    until_it_holds(async || {
        let places = places().await;
        // Ann waits for one of eve's at most, whose turn is first.
        places == [None, one, three, two] || places == [None, two, three, one]
    })
    .await;
    for left in (0..4).rev() {
        assert_eq!(engine.metrics().running, 1);
        place.gate.add_permits(1);
        until_true(|| engine.metrics().open == left).await;
        until_running(&engine, left.min(1)).await;
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn a_tools_rate_holds_across_a_restart() {
    let mut place = Place::new(16);
    let rate = Rate::new(1, Duration::from_secs(60));
    place.tools.insert("bound".to_owned(), ToolBounds { concurrency: None, rate });
    let mut engine = place.start().await;
    place.gate.add_permits(3);
    let mut all = Vec::new();
    for who in ["eve", "eve", "ann"] {
        all.push((who, submit_as(&engine, who, "bound").await.expect("a task")));
    }
    let completed = async |engine: &TaskEngine| {
        let mut count = 0;
        for (who, id) in &all {
            count += usize::from(view_as(engine, who, *id).await.state.name() == "completed");
        }
        count
    };
    for done in 1..=3 {
        until_it_holds(async || completed(&engine).await == done).await;
        // In the middle between two.
        place.world.clock.advance(Duration::from_secs(30));
        engine.shutdown().await;
        engine = place.start().await;
        at_once::others_run().await;
        assert_eq!((completed(&engine).await, engine.metrics().attempts), (done, 0), "a restart begins none");
        let waiting = engine.metrics().queued;
        assert_eq!(waiting as usize, 3 - done);
        place.world.clock.advance(Duration::from_secs(30));
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn questions_and_samples_have_shares_that_a_restart_counts_again() {
    for (pool, sample) in [(Pool::Questions, false), (Pool::Samples, true)] {
        let mut place = Place::new(16);
        place.bounds[pool] = Bound { process: 3, share: 1, reserve: 1 };
        let mut engine = place.start().await;
        let ask = async |engine: &TaskEngine, who: &str| {
            submit_with(engine, who, "ask", json!({ "sample": sample })).await.expect("a task")
        };
        let refused = async |engine: &TaskEngine, who: &str| {
            let id = ask(engine, who).await;
            assert_eq!(ended_as(engine, who, id).await.state.name(), "completed");
            text(engine.result(&named(who), id).await.expect("a result"))
        };
        let open = ask(&engine, "eve").await;
        until_it_holds(async || !view_as(&engine, "eve", open).await.questions.is_empty()).await;
        for _ in 0..2 {
            let why = refused(&engine, "eve").await;
            assert!(why.contains("the share of eve is 1 open"), "{why}");
            engine.shutdown().await;
            engine = place.start().await;
        }
        let other = ask(&engine, "ann").await;
        until_it_holds(async || !view_as(&engine, "ann", other).await.questions.is_empty()).await;
        let why = refused(&engine, "bob").await;
        assert!(why.contains("for all its callers together"), "{why}");
        let own = ask(&engine, "local").await;
        until_it_holds(async || !view_as(&engine, "local", own).await.questions.is_empty()).await;
        engine.cancel(&named("eve"), open, None).await.expect("cancelled");
        until_true(|| engine.shares().used(pool) == 2).await;
        let again = ask(&engine, "eve").await;
        until_it_holds(async || !view_as(&engine, "eve", again).await.questions.is_empty()).await;
        engine.shutdown().await;
    }
}
