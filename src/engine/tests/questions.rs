//! Questions, asked by closures: answered once, by whom, in time, and what a restart or a retry makes of them.

use tokio::sync::Notify;

use super::*;
use crate::engine::ports::Sampled;
use crate::engine::ports::Sampler;
use crate::engine::questions::answer::AnsweredVia;
use crate::engine::questions::answer::Given;
use crate::engine::questions::asked::Answer;
use crate::engine::questions::asked::Ask;
use crate::task::{By, State};

const PERSON: AnsweredVia = AnsweredVia { channel: "test", is_person: true };
const MODEL: AnsweredVia = AnsweredVia { channel: "model", is_person: false };

fn price() -> Ask {
    let schema = json!({
        "type": "object", "properties": {"confirm": {"type": "boolean"}}, "required": ["confirm"],
    });
    Ask::Form { message: "Book for $1200?".to_owned(), schema: schema.to_string() }
}

fn sample(max_tokens: u64) -> Ask {
    let request = json!({"messages": [], "maxTokens": max_tokens}).to_string();
    Ask::Sample { request, max_tokens }
}

fn answer_of(answer: &Answer) -> ToolResult {
    ToolResult::text(match answer {
        Answer::Accept(content) => content.clone(),
        other => format!("{other:?}"),
    })
}

/// Asks for a price once; counts how often it begins.
fn asker(begun: &Arc<AtomicU64>) -> Closures {
    let begun = begun.clone();
    Closures::new()
        .tool(definition("asker"), "1", move |steps: Steps, _| {
            let begun = begun.clone();
            async move {
                steps.step("begin", || async { Ok(begun.fetch_add(1, Ordering::SeqCst)) }).await?;
                let asking = steps.ask(Some("price"), By::Person, price(), DAY)?;
                Ok(answer_of(&steps.answer(asking).await?))
            }
        })
        .tool(definition("sampler"), "1", |steps: Steps, _| async move {
            let asking = steps.ask(None, By::Any, sample(100), Duration::from_secs(60))?;
            Ok(answer_of(&steps.answer(asking).await?))
        })
}

fn local() -> Principal {
    Principal::local()
}

fn accept(confirm: bool) -> Given {
    Given::Accept(json!({"confirm": confirm}))
}

async fn asks(engine: &TaskEngine, id: TaskId) -> TaskView {
    until(engine, id, |task| !task.questions.is_empty()).await
}

#[tokio::test]
async fn a_question_is_shown_answered_once_and_told_to_the_guest() {
    let (world, begun) = (World::new(), Arc::default());
    let engine = world.start(asker(&begun)).await;
    let id = submit(&engine, "asker", json!({})).await;
    let document = asks(&engine, id).await;
    let request = &document.questions[0];
    assert_eq!((request.key.as_str(), request.task), ("price", id));
    assert_eq!((request.tool.as_str(), request.component.as_str()), ("asker", "asker@1"));
    assert_eq!(request.schema.as_ref().expect("a form")["required"], json!(["confirm"]));

    let wrong = engine.answer(&local(), id, None, Given::Accept(json!({"confirm": "yes"})), PERSON).await;
    assert!(matches!(wrong, Err(EngineError::BadAnswer { .. })), "{wrong:?}");
    let unknown = engine.answer(&local(), id, Some("prize"), accept(true), PERSON).await;
    assert!(matches!(unknown, Err(EngineError::NoSuchQuestion { .. })), "{unknown:?}");
    let model =
        engine.answer(&local(), id, Some("price"), accept(true), MODEL).await.expect_err("a person's");
    assert!(!model.to_string().contains("longhaul"), "{model}");
    let other = Principal::new("other", vec!["*".to_owned()]);
    let stranger = engine.answer(&other, id, Some("price"), accept(true), PERSON).await;
    assert!(matches!(stranger, Err(EngineError::NoSuchTask(_))), "{stranger:?}");

    engine.answer(&local(), id, None, accept(true), PERSON).await.expect("taken");
    let document = ended(&engine, id).await;
    assert_eq!(text(engine.result(&local(), id).await.expect("an end")), "{\"confirm\":true}");
    assert!(document.questions.is_empty());
    let by = &document.answered[0];
    assert_eq!((by.key.as_str(), by.by.channel.as_str()), ("price", "test"));

    // The same answer once more is the present state, another one comes too late.
    engine.answer(&local(), id, Some("price"), accept(true), PERSON).await.expect("the same");
    let late = engine.answer(&local(), id, Some("price"), accept(false), PERSON).await.expect_err("late");
    assert!(late.to_string().contains("answered by local (test)"), "{late}");
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

fn stands(document: &TaskView) -> (&str, &str) {
    (document.state.name(), document.state.reason().unwrap_or_default())
}

fn keys(document: &TaskView) -> Vec<&str> {
    document.questions.iter().map(|question| question.key.as_str()).collect()
}

/// What the program asks is open from the moment it is shown; `goes_on` lets the guest end.
fn programs(goes_on: &Arc<Notify>) -> Closures {
    let with = |goes_on: &Arc<Notify>| goes_on.clone();
    let (one, two, naps) = (with(goes_on), with(goes_on), with(goes_on));
    let awake = |goes_on: Arc<Notify>| async move {
        goes_on.notified().await;
        Ok(ToolResult::text("done"))
    };
    Closures::new()
        .tool(definition("sample"), "1", move |steps: Steps, _| {
            let goes_on = one.clone();
            async move {
                let asking = steps.ask(None, By::Any, sample(100), DAY)?;
                steps.answer(asking).await?;
                awake(goes_on).await
            }
        })
        .tool(definition("two"), "1", move |steps: Steps, _| {
            let goes_on = two.clone();
            async move {
                let first = steps.ask(Some("a"), By::Any, price(), DAY)?;
                let second = steps.ask(Some("b"), By::Any, price(), DAY)?;
                steps.answer(first).await?;
                steps.answer(second).await?;
                awake(goes_on).await
            }
        })
        // It looks at something else while its question is open.
        .tool(definition("naps"), "1", move |steps: Steps, _| {
            let goes_on = naps.clone();
            async move {
                let asking = steps.ask(Some("nap"), By::Any, price(), 3 * DAY)?;
                steps.sleep(DAY).await?;
                steps.answer(asking).await?;
                awake(goes_on).await
            }
        })
}

#[tokio::test]
async fn a_task_whose_question_is_open_waits_for_input_whether_or_not_it_is_in_memory() {
    let (world, goes_on) = (World::new(), Arc::new(Notify::new()));
    let engine = world.start(programs(&goes_on)).await;
    let listed = async |state: &str| {
        let query = TaskQuery { state: Some(state.to_owned()), ..TaskQuery::default() };
        engine.tasks(&local(), &query).await.expect("a page").tasks.len()
    };
    for (tool, answers) in [
        ("sample", vec![("sample:1", Given::Accept(json!("well")))]),
        ("two", vec![("b", accept(true)), ("a", Given::Decline)]),
        ("naps", vec![("nap", Given::Cancel)]),
    ] {
        let id = submit(&engine, tool, json!({})).await;
        let document = until(&engine, id, |task| task.questions.len() == answers.len()).await;
        assert_eq!(stands(&document), ("waiting", "input"), "{tool}");
        let metrics = engine.metrics();
        assert_eq!((metrics.waiting, metrics.running, metrics.queued), (1, 0, 0), "{tool}");
        assert_eq!(
            (listed("waiting").await, listed("running").await, listed("queued").await),
            (1, 0, 0),
            "{tool}"
        );
        for (place, (key, given)) in answers.iter().enumerate() {
            let follower = engine.feed().follow(id).expect("room");
            let document =
                engine.answer(&local(), id, Some(key), given.clone(), PERSON).await.expect("taken");
            let is_last = place + 1 == answers.len();
            if !is_last {
                assert_eq!(stands(&document), ("waiting", "input"), "{tool}: another one is open");
                // What is on disk can be read a moment before its followers hear of it: the asking may come late.
                let waits = TaskChange::State(State::Waiting(WaitingReason::Input));
                loop {
                    match follower.next().await {
                        TaskChange::Questions => break,
                        change => assert!(change == waits || change == TaskChange::State(State::Running)),
                    }
                }
                // Also where its instance leaves memory in this moment.
                while let Some(change) = follower.try_next() {
                    assert!(change == waits || change == TaskChange::Questions, "{tool}: {change:?}");
                }
            }
        }
        if tool == "naps" {
            assert_eq!(
                stands(&until(&engine, id, |task| task.state.reason() == Some("timer")).await).0,
                "waiting"
            );
            world.clock.advance(DAY);
        }
        let document = until(&engine, id, |task| task.state.name() == "running").await;
        assert_eq!((stands(&document), document.questions.len()), (("running", ""), 0), "{tool}");
        assert_eq!((listed("waiting").await, listed("running").await), (0, 1), "{tool}");
        goes_on.notify_one();
        assert_eq!(ended(&engine, id).await.state.name(), "completed", "{tool}");
    }
}

#[tokio::test]
async fn whoever_follows_hears_that_it_waits_and_that_it_goes_on() {
    let (world, goes_on) = (World::new(), Arc::new(Notify::new()));
    let engine = world.start(programs(&goes_on)).await;
    let submission = Submission {
        tool: "sample".into(),
        arguments: json!({}),
        principal: local(),
        idempotency_key: None,
        trace: None,
    };
    let (submitted, follower) = engine.submit_followed(submission).await.expect("a task");
    let (id, follower) = (submitted.id, follower.expect("room"));
    let everything = engine.feed().follow(id).expect("room");
    let mut state = None;
    while state.is_none() {
        match follower.next().await {
            TaskChange::State(now) => state = Some(now.to_string()),
            // With the word that it asks: not only once its instance has left memory.
            TaskChange::Questions => {
                assert_eq!(stands(&engine.task(&local(), id).await.expect("a task")), ("waiting", "input"));
            }
            _ => {}
        }
    }
    assert_eq!(state.as_deref(), Some("waiting (input)"), "a call does not hear that it runs");
    let well = Given::Accept(json!("well"));
    engine.answer(&local(), id, None, well, MODEL).await.expect("taken");
    loop {
        if let TaskChange::State(state) = everything.next().await {
            assert!(["running", "waiting (input)"].contains(&state.to_string().as_str()), "{state}");
            if state == State::Running {
                break;
            }
        }
    }
    goes_on.notify_one();
    ended(&engine, id).await;
}

#[tokio::test]
async fn after_a_restart_an_open_question_is_waited_for_before_anything_runs() {
    let (world, goes_on) = (World::new(), Arc::new(Notify::new()));
    let engine = world.start(programs(&goes_on)).await;
    let mut ids = Vec::new();
    for tool in ["sample", "two", "naps"] {
        let id = submit(&engine, tool, json!({})).await;
        asks(&engine, id).await;
        ids.push(id);
    }
    // As it is: suspended or not.
    engine.shutdown().await;
    drop(engine);
    let closed = world.open(programs(&goes_on)).await;
    for id in &ids {
        assert_eq!(stands(&closed.task(&local(), *id).await.expect("a task")), ("waiting", "input"));
    }
    let query = TaskQuery { state: Some("waiting".to_owned()), ..TaskQuery::default() };
    assert_eq!(closed.tasks(&local(), &query).await.expect("a page").tasks.len(), 3);
    closed.shutdown().await;
    drop(closed);
    let engine = world.start(programs(&goes_on)).await;
    for id in ids {
        assert_eq!(stands(&engine.task(&local(), id).await.expect("a task")), ("waiting", "input"));
        let cancelled = engine.cancel(&local(), id, None).await.expect("cancelled");
        assert_eq!((stands(&cancelled).0, cancelled.questions.len()), ("cancelled", 0));
    }
}

#[tokio::test]
async fn of_many_answers_at_once_one_is_taken() {
    let (world, begun) = (World::new(), Arc::default());
    let engine = world.start(asker(&begun)).await;
    let id = submit(&engine, "asker", json!({})).await;
    asks(&engine, id).await;
    let local = local();
    let answers =
        (0..32).map(|number| engine.answer(&local, id, Some("price"), accept(number % 2 == 0), PERSON));
    let taken = futures::future::join_all(answers).await;
    let kinds: Vec<bool> = taken.iter().map(Result::is_ok).collect();
    // All that said the same as the first got its outcome.
    assert_eq!(kinds.iter().filter(|ok| **ok).count(), 16, "{kinds:?}");
    ended(&engine, id).await;
    assert_eq!(
        text(engine.result(&local, id).await.expect("an end")),
        format!("{{\"confirm\":{}}}", kinds[0])
    );
}

#[tokio::test]
async fn a_question_outlives_restarts_and_is_answered_in_a_closed_store_too() {
    let (world, begun) = (World::new(), Arc::default());
    let engine = world.start(asker(&begun)).await;
    let id = submit(&engine, "asker", json!({})).await;
    let waiting = until(&engine, id, |task| task.state.name() == "waiting").await;
    assert_eq!(waiting.state.reason(), Some("input"));
    nothing_lives(&engine).await;
    engine.shutdown().await;
    drop(engine);

    let closed = world.open(asker(&begun)).await;
    closed.answer(&local(), id, None, Given::Decline, PERSON).await.expect("taken");
    closed.shutdown().await;
    drop(closed);

    let engine = world.start(asker(&begun)).await;
    ended(&engine, id).await;
    assert_eq!(text(engine.result(&local(), id).await.expect("an end")), "Decline");
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_question_ends_with_its_time() {
    let (world, begun) = (World::new(), Arc::default());
    let engine = world.start(asker(&begun)).await;
    let id = submit(&engine, "asker", json!({})).await;
    until(&engine, id, |task| task.state.name() == "waiting").await;
    world.clock.advance(DAY);
    ended(&engine, id).await;
    assert_eq!(text(engine.result(&local(), id).await.expect("an end")), "Expired");
    let late = engine.answer(&local(), id, Some("price"), accept(true), PERSON).await;
    assert!(matches!(late, Err(EngineError::QuestionOver { .. })), "{late:?}");
}

#[tokio::test]
async fn an_end_withdraws_and_a_retry_asks_anew_under_another_key() {
    let (world, begun) = (World::new(), Arc::default());
    let engine = world.start(asker(&begun)).await;
    let id = submit(&engine, "asker", json!({})).await;
    asks(&engine, id).await;
    let cancelled = engine.cancel(&local(), id, None).await.expect("cancelled");
    assert!(cancelled.questions.is_empty());
    let late = engine.answer(&local(), id, Some("price"), accept(true), PERSON).await;
    assert!(matches!(late, Err(EngineError::QuestionOver { .. })), "{late:?}");

    engine.retry(&local(), id, None).await.expect("a retry");
    let document = asks(&engine, id).await;
    assert_eq!(keys(&document), ["price-2"]);
    engine.cancel(&local(), id, None).await.expect("cancelled");

    // A retry that keeps the journal up to its end asks nothing again: it is the same question.
    engine.retry(&local(), id, Some(document.steps)).await.expect("a retry");
    let document = asks(&engine, id).await;
    assert_eq!(keys(&document), ["price-2"]);
    engine.answer(&local(), id, None, accept(true), PERSON).await.expect("taken");
    ended(&engine, id).await;
    assert_eq!(text(engine.result(&local(), id).await.expect("an end")), "{\"confirm\":true}");
}

#[tokio::test]
async fn the_budget_bounds_questions_and_tokens() {
    let world = World::new();
    let limits = TaskLimits { questions: 1, samples: 2, sample_tokens: 150, ..TaskLimits::default() };
    let closures = Closures::new().tool_with(
        definition("asker"),
        "1",
        limits,
        RetryPolicy::default(),
        |steps, _| async move {
            let asked = [
                steps.ask(Some("a"), By::Any, price(), DAY),
                steps.ask(Some("b"), By::Any, price(), DAY),
                steps.ask(None, By::Any, sample(100), DAY),
                steps.ask(None, By::Any, sample(100), DAY),
            ];
            let refused: Vec<String> =
                asked.iter().filter_map(|asked| Some(asked.as_ref().err()?.to_string())).collect();
            // The same again, whatever was asked before: it comes from the disk.
            for asking in asked.into_iter().flatten() {
                steps.answer(asking).await?;
            }
            Ok(ToolResult::text(refused.join("\n")))
        },
    );
    let engine = world.start(closures).await;
    let id = submit(&engine, "asker", json!({})).await;
    let document = until(&engine, id, |task| task.state.name() == "waiting").await;
    assert_eq!(keys(&document), ["a", "sample:2"]);
    engine.answer(&local(), id, Some("sample:2"), Given::Accept(json!("well")), MODEL).await.expect("taken");
    engine.answer(&local(), id, Some("a"), accept(true), MODEL).await.expect("anybody may");
    let document = ended(&engine, id).await;
    let refused = text(engine.result(&local(), id).await.expect("an end"));
    assert!(refused.contains("'questions'") && refused.contains("'sample_tokens'"), "{refused}");
    let sampled = document.answered.iter().find(|answered| answered.key == "sample:2").expect("told");
    assert_eq!(sampled.model.as_deref(), Some("unknown"));
    assert!(sampled.tokens.is_some_and(|tokens| tokens > 0 && tokens <= 100), "{sampled:?}");
}

#[tokio::test]
async fn a_sample_that_nobody_can_do_ends_after_a_minute_unless_somebody_works_on_it() {
    let (world, begun) = (World::new(), Arc::default());
    let engine = world.start(asker(&begun)).await;
    let (alone, held) =
        (submit(&engine, "sampler", json!({})).await, submit(&engine, "sampler", json!({})).await);
    asks(&engine, alone).await;
    asks(&engine, held).await;
    engine.extend_deadline(held, "sample:1", Duration::from_secs(3_600));
    world.clock.advance(Duration::from_secs(61));
    ended(&engine, alone).await;
    assert!(text(engine.result(&local(), alone).await.expect("an end")).contains("no client with a model"));
    assert!(!engine.task(&local(), held).await.expect("a task").state.is_terminal());
    engine.answer(&local(), held, None, Given::Accept(json!("hi")), MODEL).await.expect("taken");
    ended(&engine, held).await;
    assert!(text(engine.result(&local(), held).await.expect("an end")).contains("\"hi\""));
}

/// Answers once it is let.
struct Endpoint {
    asked: AtomicU64,
    let_go: Notify,
}

impl Sampler for Endpoint {
    fn sample(&self, request: Value, _: String) -> BoxFuture<Result<Sampled, String>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let message = json!({"model": "stand-in", "content": format!("{} tokens", request["maxTokens"])});
        Box::pin(async move { Ok(Sampled { message, tokens: Some(17) }) })
    }
}

/// An engine with an endpoint for samples, and the tool `sampler`, which asks for one once `let_go` says so.
async fn with_endpoint(world: &World, ask: fn() -> Ask) -> (TaskEngine, Arc<Endpoint>) {
    let endpoint = Arc::new(Endpoint { asked: AtomicU64::new(0), let_go: Notify::new() });
    let closures = Closures::new().tool(definition("sampler"), "1", {
        let endpoint = endpoint.clone();
        move |steps: Steps, _| {
            let endpoint = endpoint.clone();
            async move {
                endpoint.let_go.notified().await;
                let asking = steps.ask(None, By::Any, ask(), Duration::from_secs(60))?;
                Ok(answer_of(&steps.answer(asking).await?))
            }
        }
    });
    let catalog = Arc::new(closures.catalog().expect("a catalog"));
    let options = EngineOptions {
        clock: Arc::new(world.clock.clone()),
        sampler: Some(endpoint.clone()),
        ..EngineOptions::default()
    };
    let engine = TaskEngine::open(world.path(), Arc::new(closures), options).await.expect("an engine");
    engine.set_catalog(catalog);
    engine.start().await.expect("a start");
    (engine, endpoint)
}

#[tokio::test]
async fn the_endpoint_samples_where_no_client_is_at_hand() {
    let world = World::new();
    let (engine, endpoint) = with_endpoint(&world, || sample(100)).await;
    let id = submit(&engine, "sampler", json!({})).await;
    let sampler_guard = engine.register_sampler(id, false).expect("an open task");
    endpoint.let_go.notify_one();
    asks(&engine, id).await;
    assert_eq!(endpoint.asked.load(Ordering::SeqCst), 0, "the client comes first");
    drop(sampler_guard);
    let document = ended(&engine, id).await;
    assert!(text(engine.result(&local(), id).await.expect("an end")).contains("100 tokens"));
    let sampled = &document.answered[0];
    assert_eq!((sampled.model.as_deref(), sampled.tokens), (Some("stand-in"), Some(17)));
    assert_eq!(sampled.by.channel, "endpoint");
}

/// A client that takes no tools is no reason to wait with a sample that has some.
#[tokio::test]
async fn the_endpoint_samples_with_tools_where_no_client_at_hand_takes_them() {
    let world = World::new();
    let (engine, endpoint) = with_endpoint(&world, || {
        let used = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "1"}]});
        let request = json!({"messages": [used], "maxTokens": 7}).to_string();
        Ask::Sample { request, max_tokens: 7 }
    })
    .await;
    let id = submit(&engine, "sampler", json!({})).await;
    let _without_tools = engine.register_sampler(id, false).expect("an open task");
    endpoint.let_go.notify_one();
    ended(&engine, id).await;
    assert!(text(engine.result(&local(), id).await.expect("an end")).contains("7 tokens"));
    let other = submit(&engine, "sampler", json!({})).await;
    let with_tools = engine.register_sampler(other, true).expect("an open task");
    endpoint.let_go.notify_one();
    asks(&engine, other).await;
    assert_eq!(endpoint.asked.load(Ordering::SeqCst), 1, "such a client comes first");
    drop(with_tools);
    ended(&engine, other).await;
}

#[tokio::test]
async fn a_thousand_questions_hold_no_instances_and_all_go_on_when_answered() {
    const TASKS: usize = 1_000;
    let (world, begun) = (World::new(), Arc::default());
    let engine = world.start(asker(&begun)).await;
    let mut ids = Vec::new();
    for _ in 0..TASKS {
        ids.push(submit(&engine, "asker", json!({})).await);
    }
    let asleep = async {
        loop {
            let metrics = engine.metrics();
            if metrics.waiting as usize == TASKS && metrics.live_instances == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asleep).await.expect("all leave memory");
    let local = local();
    let answers = ids.iter().map(|id| engine.answer(&local, *id, Some("price"), accept(true), PERSON));
    assert!(futures::future::join_all(answers).await.iter().all(Result::is_ok));
    for id in ids {
        assert_eq!(ended(&engine, id).await.state.name(), "completed");
    }
    assert_eq!(begun.load(Ordering::SeqCst), TASKS as u64);
}
