//! Models of the configuration, asked by closures: what is paid where an answer is lost, refused, too long or not waited
//! for, and what was never asked.

use std::sync::atomic::AtomicUsize;

use tokio::sync::Semaphore;

use super::*;
use crate::authority::Grant;
use crate::catalog::Component;
use crate::engine::memory::spending::SpendingBounds;
use crate::engine::ports::{BoxFuture, ModelAnswer, ModelFault, ModelFlow, ModelTerms, Models};
use crate::engine::questions::asked::{Ask, ModelAsk};
use crate::shares::{Account, Bound, Bounds, Pool};
use crate::task::{By, Price, Spend};

/// What one request may cost: its two tokens and all that it may be answered with, for one each.
const MOST: Spend = Spend { tokens: 52, cost: 50 };
/// What an answer costs.
const PAID: Spend = Spend { tokens: 3, cost: 2 };

/// A model whose requests each wait for a permit.
#[derive(Clone)]
struct Fast {
    requests: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    message: Value,
    /// It is asked once more before it answers, and may be paid for the first time.
    again: Option<bool>,
}

impl Fast {
    fn new() -> Self {
        Self::saying(json!({"model": "m", "role": "assistant", "content": {"type": "text", "text": "well"}}))
    }

    fn saying(message: Value) -> Self {
        Self { requests: Arc::default(), gate: Arc::new(Semaphore::new(0)), message, again: None }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Models for Fast {
    fn terms(&self, model: &str) -> Option<ModelTerms> {
        let price = Price { input: 0, output: 1 };
        (model == "fast").then_some(ModelTerms { price, max_tokens: None })
    }

    fn ask(
        &self,
        _: String,
        _: Value,
        _: String,
        flow: Arc<dyn ModelFlow>,
    ) -> BoxFuture<Result<ModelAnswer, ModelFault>> {
        let fast = self.clone();
        Box::pin(async move {
            fast.requests.fetch_add(1, Ordering::SeqCst);
            fast.gate.acquire().await.expect("open").forget();
            if let Some(may_be_paid) = fast.again {
                flow.again(may_be_paid).await?;
                fast.requests.fetch_add(1, Ordering::SeqCst);
            }
            Ok(ModelAnswer { message: fast.message, input_tokens: Some(1), output_tokens: 2 })
        })
    }
}

/// Asks the model, and says how what it got begins.
fn askers(sample_tokens: u64) -> Closures {
    let limits = TaskLimits { sample_tokens, model_cost_cents: 1, ..TaskLimits::default() };
    let ask = |steps: Steps, arguments: Value| async move {
        let request = json!({"messages": []}).to_string();
        let ask = Ask::Model(ModelAsk::new("fast".to_owned(), request, 50, None));
        // As long as a model is at it, it has time.
        let patience = if arguments["is_brief"] == true { Duration::from_secs(1) } else { DAY };
        let answer = match steps.ask(None, By::Any, ask, patience) {
            Ok(asking) => format!("{:?}", steps.answer(asking).await?),
            Err(StepError::Tool(why)) => why,
            Err(error) => return Err(error),
        };
        Ok(ToolResult::text(answer.chars().take(400).collect::<String>()))
    };
    Closures::new().tool_with(definition("ask"), "1", limits, RetryPolicy::default(), ask)
}

struct Desk {
    world: World,
    /// The limit of each task.
    sample_tokens: u64,
    /// Of all, in a day.
    day: Spend,
}

impl Desk {
    fn new() -> Self {
        Self { world: World::new(), sample_tokens: MOST.tokens, day: Spend::WITHOUT_BOUND }
    }

    /// One model is asked at a time, or as many as want to.
    async fn start(&self, models: Option<&Fast>, at_once: usize) -> TaskEngine {
        let closures = askers(self.sample_tokens);
        let catalog = Arc::new(closures.catalog().expect("a catalog"));
        let mut bounds = Bounds::default();
        bounds[Pool::Sampling] = Bound { process: at_once as u64, share: at_once as u64, reserve: 0 };
        let spending = SpendingBounds { all: self.day, ..SpendingBounds::default() };
        let models = models.map(|models| Arc::new(models.clone()) as Arc<dyn Models>);
        let shares = Some(Account::new(bounds));
        let options = EngineOptions { models, shares, spending, ..self.world.options() };
        let engine =
            TaskEngine::open(self.world.path(), Arc::new(closures), options).await.expect("an engine");
        engine.set_catalog(catalog);
        engine.start().await.expect("a start");
        engine
    }
}

async fn ask(engine: &TaskEngine) -> TaskId {
    submit(engine, "ask", json!({})).await
}

/// What its guest got, and what its task paid.
async fn said(engine: &TaskEngine, id: TaskId) -> (String, Spend) {
    let task = ended(engine, id).await;
    assert_eq!(task.state, State::Completed, "{task:?}");
    let said = text(engine.result(&Principal::local(), id).await.expect("an end"));
    let status = engine.shared.store.read_blocking(|snapshot| crate::engine::rows::read_status(snapshot, id));
    (said, status.expect("a read").expect("a status").questions.spent())
}

/// So much of it was counted in this process.
fn counted(engine: &TaskEngine) -> Spend {
    engine.model_usage().get("fast").copied().unwrap_or_default().spent
}

#[tokio::test]
async fn what_had_not_left_before_a_kill_costs_nothing_and_what_had_costs_all() {
    for is_there in [true, false] {
        let (desk, fast) = (Desk::new(), Fast::new());
        let engine = desk.start(Some(&fast), 1).await;
        let sent = ask(&engine).await;
        until_true(|| fast.requests() == 1).await;
        let unsent = ask(&engine).await;
        until_true(|| engine.shared.sampling.waiting() == 1).await;
        engine.shared.store.clone().close().await.expect("closed");
        drop(engine);

        fast.gate.add_permits(2);
        // Its table in the configuration may be gone.
        let engine = desk.start(is_there.then_some(&fast), 1).await;
        let (answer, spent) = said(&engine, sent).await;
        let why = if is_there { "'sample_tokens'" } else { "no model 'fast' is configured" };
        assert!(answer.contains(why), "{answer}");
        assert_eq!(spent, MOST, "it may have answered, and is not asked beyond the budget");
        let (answer, spent) = said(&engine, unsent).await;
        let (why, paid) = if is_there { ("Accept", PAID) } else { (why, Spend::NOTHING) };
        assert!(answer.contains(why), "{answer}");
        assert_eq!((spent, counted(&engine)), (paid, paid.plus(MOST)));
        assert_eq!(fast.requests(), 1 + usize::from(is_there));
        engine.shutdown().await;
    }
}

#[tokio::test]
async fn what_is_not_waited_for_is_counted_as_paid() {
    let (desk, fast) = (Desk::new(), Fast::new());
    let engine = desk.start(Some(&fast), 1).await;
    let cancelled = ask(&engine).await;
    until_true(|| fast.requests() == 1).await;
    let unsent = ask(&engine).await;
    until_true(|| engine.shared.sampling.waiting() == 1).await;
    for id in [unsent, cancelled] {
        engine.cancel(&Principal::local(), id, None).await.expect("cancelled");
    }
    assert_eq!(counted(&engine), MOST, "one of them has left");
    let late = submit(&engine, "ask", json!({"is_brief": true})).await;
    until_true(|| fast.requests() == 2).await;
    desk.world.clock.advance(Duration::from_secs(2 * limits::AT_HAND_SECONDS));
    let (answer, spent) = said(&engine, late).await;
    assert!(answer.contains("did not answer in time"), "{answer}");
    assert_eq!((spent, counted(&engine)), (MOST, MOST.plus(MOST)));
    engine.shutdown().await;
}

#[tokio::test]
async fn what_a_task_asked_that_is_blocked_is_asked_again_once_it_goes_on() {
    let desk = Desk { sample_tokens: 2 * MOST.tokens, ..Desk::new() };
    let (fast, local) = (Fast::new(), Principal::local());
    let engine = desk.start(Some(&fast), 1).await;
    let id = ask(&engine).await;
    until_true(|| fast.requests() == 1).await;
    engine.block(&local, "ask").await.expect("blocked");
    engine.unblock(&local, "ask").await.expect("unblocked");
    until_true(|| fast.requests() == 2).await;
    // The first request was dropped.
    fast.gate.add_permits(1);
    let (answer, spent) = said(&engine, id).await;
    assert!(answer.contains("Accept"), "{answer}");
    assert_eq!((spent, counted(&engine)), (MOST.plus(PAID), MOST.plus(PAID)));
    engine.shutdown().await;
}

/// Its commit is not taken at first, as where an instance had lost its lease.
#[tokio::test]
async fn an_answer_that_is_given_twice_is_counted_once() {
    let day = Spend { tokens: PAID.tokens + 2 * MOST.tokens - 1, ..Spend::WITHOUT_BOUND };
    let (desk, fast) = (Desk { day, ..Desk::new() }, Fast::new());
    let engine = desk.start(Some(&fast), 3).await;
    let answered = ask(&engine).await;
    until_true(|| fast.requests() == 1).await;
    let held = ask(&engine).await;
    until_true(|| fast.requests() == 2).await;
    for id in [answered, held] {
        until(&engine, id, |task| task.state == State::Waiting(WaitingReason::Input)).await;
    }
    nothing_lives(&engine).await;
    engine.shared.store.refuse(Some((1, crate::store::No::Guard)));
    fast.gate.add_permits(1);
    let (answer, spent) = said(&engine, answered).await;
    assert!(answer.contains("Accept") && engine.shared.store.handed_over().len() > 1, "{answer}");
    assert_eq!((spent, counted(&engine)), (PAID, PAID));
    // One answer and the other request are in the day, and not less.
    let beyond = ask(&engine).await;
    let (answer, spent) = said(&engine, beyond).await;
    let sum = format!("of which {} are spent or reserved", PAID.tokens + MOST.tokens);
    assert!(answer.contains(&sum), "{answer}");
    assert_eq!(spent, Spend::NOTHING);
    fast.gate.add_permits(1);
    assert_eq!(said(&engine, held).await.1, PAID);
    engine.shutdown().await;
}

#[tokio::test]
async fn an_answer_of_any_size_and_shape_is_asked_for_once() {
    let of =
        |text: &str| json!({"model": "m", "role": "assistant", "content": {"type": "text", "text": text}});
    let room = limits::MAX_ANSWER_BYTES - of("").to_string().len();
    for (message, expected) in [
        (of(&"x".repeat(room)), "Accept("),
        (of(&"x".repeat(room + limits::MODEL_USAGE_BYTES)), "Unavailable(\"what it answered cannot be taken"),
        (json!({"content": []}), "Unavailable(\"what it answered cannot be taken"),
    ] {
        let (desk, fast) = (Desk::new(), Fast::saying(message));
        fast.gate.add_permits(2);
        let engine = desk.start(Some(&fast), 1).await;
        let id = ask(&engine).await;
        let (answer, spent) = said(&engine, id).await;
        assert!(answer.starts_with(expected), "{answer}");
        assert_eq!((spent, counted(&engine), fast.requests()), (PAID, PAID, 1), "{answer}");
        engine.shutdown().await;
    }
}

#[tokio::test]
async fn a_model_is_not_asked_again_once_the_approval_is_taken_back() {
    for (may_be_paid, paid) in [(true, MOST), (false, Spend::NOTHING)] {
        for is_taken_back in [false, true] {
            let fast = Fast { again: Some(may_be_paid), ..Fast::new() };
            let desk = Desk { sample_tokens: 2 * MOST.tokens, ..Desk::new() };
            let engine = desk.start(Some(&fast), 1).await;
            let grant = Grant { models: vec!["fast".to_owned()], ..Grant::default() };
            engine.set_catalog(catalog(&grant));
            let id = ask(&engine).await;
            until_true(|| fast.requests() == 1).await;
            if is_taken_back {
                engine.set_catalog(catalog(&Grant::default()));
            }
            fast.gate.add_permits(1);
            let (answer, spent) = said(&engine, id).await;
            let (part, requests, spend) = match is_taken_back {
                true => ("is not granted that any more", 1, paid),
                false => ("Accept", 2, paid.plus(PAID)),
            };
            assert!(answer.contains(part), "{answer}");
            assert_eq!((fast.requests(), spent), (requests, spend), "{answer}");
            engine.shutdown().await;
        }
    }
}

/// The tool, with this grant.
fn catalog(grant: &Grant) -> Arc<Catalog> {
    let tools = askers(2 * MOST.tokens).catalog().expect("a catalog");
    let mut tool = tools.tool("ask").expect("the tool").tool.clone();
    tool.grant = grant.clone();
    let (name, id) = (tool.component_name.clone(), tool.component.clone());
    let component = Component::of_tools(name, id, vec![tool]).expect("a tool");
    Arc::new(Catalog::default().with(component).expect("the only one"))
}
