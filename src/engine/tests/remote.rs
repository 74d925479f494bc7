//! Tools of other servers, played by a script.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use super::at_once::{at_once, others_run, until_seen};
use super::*;
use crate::catalog::Operator;
use crate::task::{Content, UnknownOutcome};

/// A server that does what it is set to do for each call, and remembers the keys that it was called with.
#[derive(Clone, Default)]
struct Script {
    listing: Arc<Mutex<Listing>>,
    away: Arc<Mutex<bool>>,
    answers: Arc<Mutex<VecDeque<Result<RemoteEnd, RemoteFault>>>>,
    keys: Arc<Mutex<Vec<String>>>,
    /// How many have begun.
    begun: watch::Sender<usize>,
    /// Of those that were withdrawn.
    withdrawn: watch::Sender<Vec<String>>,
    /// Calls wait here where it is closed.
    gate: Option<Arc<Semaphore>>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Result<RemoteEnd, RemoteFault>>) -> Self {
        let tools = ["buy", "look"].map(|name| ToolDefinition::new(name, "Does.", json!({"type": "object"})));
        let script = Self::default();
        script.listing.lock().tools = tools.into();
        script.answers.lock().extend(answers);
        script
    }

    fn keys(&self) -> Vec<String> {
        self.keys.lock().clone()
    }
}

impl RemoteTools for Script {
    fn list(&self, _: &str) -> BoxFuture<Result<Arc<Listing>, RemoteFault>> {
        let away = *self.away.lock();
        let listing = Arc::new(self.listing.lock().clone());
        Box::pin(
            async move { if away { Err(RemoteFault::NotSent("it is away".into())) } else { Ok(listing) } },
        )
    }

    fn call(
        &self,
        call: RemoteCall,
        report: Report,
        given_up: BoxFuture<()>,
    ) -> BoxFuture<Result<RemoteEnd, RemoteFault>> {
        self.keys.lock().push(call.idempotency_key.clone());
        self.begun.send_modify(|count| *count += 1);
        let (answers, gate, withdrawn) = (self.answers.clone(), self.gate.clone(), self.withdrawn.clone());
        Box::pin(async move {
            report(1.0, Some(2.0), Some("half".to_owned()));
            if let Some(gate) = gate {
                tokio::select! {
                    permit = gate.acquire() => permit.expect("open").forget(),
                    () = given_up => {
                        withdrawn.send_modify(|keys| keys.push(call.idempotency_key));
                        return lose_answer();
                    }
                }
            }
            answers.lock().pop_front().unwrap_or_else(|| Ok(text("more")))
        })
    }
}

fn text(text: &str) -> RemoteEnd {
    RemoteEnd::Result(ToolResult::text(text))
}

fn lose_answer() -> Result<RemoteEnd, RemoteFault> {
    Err(RemoteFault::Lost("the line went dead".into()))
}

fn policy(idempotent: &[&str]) -> RemotePolicy {
    RemotePolicy {
        expose: vec!["*".to_owned()],
        idempotent: idempotent.iter().map(|glob| (*glob).to_owned()).collect(),
        retry: RetryPolicy { attempts: 3, backoff: Duration::ZERO },
        ..RemotePolicy::default()
    }
}

impl World {
    /// An engine whose only tools are the script's, as `shop_buy` and `shop_look`; and what it said of them.
    async fn shop(&self, script: &Script, policy: RemotePolicy) -> (TaskEngine, Vec<String>) {
        let remotes = Remotes::new(Arc::new(script.clone()), BTreeMap::from([("shop".to_owned(), policy)]));
        let options = self.options();
        let runner = remotes.runner(Arc::new(Closures::new()));
        let engine = TaskEngine::open(self.path(), runner, options).await.expect("an engine");
        let (catalog, words) =
            engine.with_remotes(Catalog::default(), remotes, Operator::default()).await.expect("a catalog");
        engine.set_catalog(Arc::new(catalog));
        engine.start().await.expect("a start");
        (engine, words)
    }
}

async fn wait_result(engine: &TaskEngine, id: TaskId) -> (bool, String) {
    ended(engine, id).await;
    match engine.result(&Principal::local(), id).await.expect("an end") {
        TaskEnd::Completed(result) => match &result.content[..] {
            [Content::Text(text)] => (result.is_error, text.clone()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_remote_tool_is_a_task_that_is_called_once() {
    let world = World::new();
    let script = Script::new([Ok(text("bought"))]);
    let (engine, words) = world.shop(&script, policy(&[])).await;
    assert_eq!(words, [""; 0]);
    let names: Vec<String> =
        engine.catalog().tools().map(|entry| entry.tool.definition.name.clone()).collect();
    assert_eq!(names, ["shop_buy", "shop_look"]);
    let shown = engine.catalog().tool("shop_buy").expect("a tool").tool.definition.description.clone();
    assert!(shown.contains("outside of Longhaul's sandbox"), "{shown}");
    let id = submit(&engine, "shop_buy", json!({})).await;
    assert_eq!(wait_result(&engine, id).await, (false, "bought".to_owned()));
    let document = engine.task(&Principal::local(), id).await.expect("a task");
    assert_eq!(document.progress.map(|progress| progress.done), Some(1));
    assert!(document.component.as_str().starts_with("mcp:shop/"), "{}", document.component);
    assert_eq!(script.keys().len(), 1);
    let hidden = Submission {
        tool: "shop/buy".into(),
        arguments: json!({}),
        principal: Principal::local(),
        idempotency_key: None,
        trace: None,
    };
    assert!(
        matches!(engine.submit(hidden).await, Err(EngineError::NoSuchTool { .. })),
        "that name is for tasks"
    );
    engine.shutdown().await;
}

#[tokio::test]
async fn what_did_not_leave_is_tried_again_and_then_told() {
    let world = World::new();
    let away = || Err(RemoteFault::NotSent("nobody answers".into()));
    let script = Script::new([away(), away(), Ok(text("bought")), away(), away(), away()]);
    let (engine, _) = world.shop(&script, policy(&[])).await;
    let id = submit(&engine, "shop_buy", json!({})).await;
    assert_eq!(wait_result(&engine, id).await, (false, "bought".to_owned()));
    let id = submit(&engine, "shop_buy", json!({})).await;
    let (is_error, words) = wait_result(&engine, id).await;
    assert!(is_error && words.contains("nobody answers") && words.contains("shop/buy"), "{words}");
    let keys = script.keys();
    assert_eq!(keys.len(), 6);
    assert!(keys[0] == keys[1] && keys[1] == keys[2] && keys[3] == keys[5] && keys[0] != keys[3], "{keys:?}");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_lost_answer_is_an_unknown_outcome_that_its_owner_settles() {
    let world = World::new();
    let local = Principal::local();
    let script = Script::new([lose_answer(), lose_answer(), Ok(text("bought at last"))]);
    let (engine, _) = world.shop(&script, policy(&["look"])).await;
    let first = submit(&engine, "shop_buy", json!({})).await;
    let failed = ended(&engine, first).await;
    assert_eq!((failed.state.name(), failed.state.reason()), ("failed", Some("unknown_outcome")));
    let message = failed.error.expect("an error").message;
    assert!(message.contains("shop/buy") && message.contains("the line went dead"), "{message}");
    engine
        .resolve(&local, first, 0, Resolution::Done(json!("it says it was bought")))
        .await
        .expect("settled");
    assert_eq!(wait_result(&engine, first).await, (false, "it says it was bought".to_owned()));
    let second = submit(&engine, "shop_buy", json!({})).await;
    ended(&engine, second).await;
    engine.resolve(&local, second, 0, Resolution::Resend).await.expect("settled");
    assert_eq!(wait_result(&engine, second).await, (false, "bought at last".to_owned()));
    let keys = script.keys();
    assert!(
        keys.len() == 3 && keys[1] == keys[2] && keys[0] != keys[1],
        "sent again under its key: {keys:?}"
    );
    engine.shutdown().await;
}

#[tokio::test]
async fn what_may_be_repeated_is_repeated_under_the_same_key() {
    let world = World::new();
    let script = Script::new([
        lose_answer(),
        lose_answer(),
        Ok(text("seen")),
        lose_answer(),
        lose_answer(),
        lose_answer(),
    ]);
    let (engine, _) = world.shop(&script, policy(&["look"])).await;
    let id = submit(&engine, "shop_look", json!({})).await;
    assert_eq!(wait_result(&engine, id).await, (false, "seen".to_owned()));
    let id = submit(&engine, "shop_look", json!({})).await;
    assert_eq!(ended(&engine, id).await.state.reason(), Some("unknown_outcome"), "not for ever");
    let keys = script.keys();
    assert!(keys.len() == 6 && keys[0] == keys[2] && keys[3] == keys[5], "{keys:?}");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_crash_during_a_call_repeats_it_only_where_that_is_harmless() {
    for (tool, repeated) in [("shop_look", true), ("shop_buy", false)] {
        let world = World::new();
        let gate = Some(Arc::new(Semaphore::new(0)));
        let script = Script { gate, ..Script::new([Ok(text("done"))]) };
        let (engine, _) = world.shop(&script, policy(&["look"])).await;
        let id = submit(&engine, tool, json!({})).await;
        // It tells of progress once it has left.
        until(&engine, id, |document| document.progress.is_some()).await;
        engine.shared.store.clone().close().await.expect("closed, as if it had been killed");
        drop(engine);
        // The call of the first one waits for ever.
        let script = Script { gate: None, ..script };
        let (engine, _) = world.shop(&script, policy(&["look"])).await;
        let document = ended(&engine, id).await;
        let keys = script.keys();
        if repeated {
            assert_eq!(wait_result(&engine, id).await, (false, "done".to_owned()));
            assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
        } else {
            assert_eq!(document.state.reason(), Some("unknown_outcome"));
            assert_eq!(keys.len(), 1);
        }
        engine.shutdown().await;
    }
}

#[tokio::test]
async fn a_call_whose_task_is_cancelled_or_out_of_time_is_withdrawn_and_one_that_goes_on_is_not() {
    let world = World::new();
    let gate = Some(Arc::new(Semaphore::new(0)));
    let script = Script { gate, ..Script::new([]) };
    let (engine, _) = world.shop(&script, policy(&["look"])).await;
    let mut withdrawn = script.withdrawn.subscribe();
    let called = async |tool: &str| {
        let id = submit(&engine, tool, json!({})).await;
        until(&engine, id, |document| document.progress.is_some()).await;
        id
    };
    let goes_on = called("shop_look").await;
    let cancelled = called("shop_buy").await;
    engine.cancel(&Principal::local(), cancelled, None).await.expect("cancelled");
    withdrawn.wait_for(|keys| keys.len() == 1).await.expect("withdrawn");
    assert_eq!(script.keys()[1..], withdrawn.borrow()[..]);
    engine.shutdown().await;

    // The call of the first went with its server here, and is made again.
    let (engine, _) = world.shop(&script, policy(&["look"])).await;
    script.begun.subscribe().wait_for(|count| *count == 3).await.expect("called");
    world.clock.advance(8 * DAY);
    let late = ended(&engine, goes_on).await;
    assert_eq!(late.state.reason(), Some("timeout"));
    withdrawn.wait_for(|keys| keys.len() == 2).await.expect("withdrawn");
    let keys = script.keys();
    assert!(keys[0] == keys[2] && withdrawn.borrow()[1] == keys[0], "{keys:?}");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_call_is_tried_again_and_given_up_by_the_engines_clock() {
    let world = World::new();
    let gate = Some(Arc::new(Semaphore::new(0)));
    let away = Err(RemoteFault::NotSent("nobody answers".into()));
    let script = Script { gate, ..Script::new([away, Ok(text("bought")), Ok(text("bought"))]) };
    let hour = Duration::from_secs(3_600);
    let slow = RemotePolicy {
        retry: RetryPolicy { attempts: 3, backoff: hour },
        timeout: hour,
        ..policy(&["look"])
    };
    let (engine, _) = world.shop(&script, slow).await;
    let id = submit(&engine, "shop_look", json!({})).await;
    let (mut begun, gate) = (script.begun.subscribe(), script.gate.clone().expect("a gate"));
    begun.wait_for(|count| *count == 1).await.expect("called");
    gate.add_permits(1);
    let waits = |task: &TaskView| task.message.as_deref().is_some_and(|seen| seen.contains("nobody answers"));
    until(&engine, id, waits).await;
    // No less than half of it, by its jitter.
    world.clock.advance(hour / 2 - Duration::from_secs(1));
    tokio::task::yield_now().await;
    assert_eq!(*script.begun.borrow(), 1, "it waits before it tries again");
    world.clock.advance(hour);
    begun.wait_for(|count| *count == 2).await.expect("called again");
    // This one is not answered in its time.
    world.clock.advance(hour);
    let late = |task: &TaskView| {
        task.message.as_deref().is_some_and(|seen| seen.contains("no answer within 3600 s"))
    };
    until(&engine, id, late).await;
    // One for the call that was given up here and goes on over there.
    gate.add_permits(2);
    world.clock.advance(2 * hour);
    begun.wait_for(|count| *count == 3).await.expect("called a third time");
    assert_eq!(wait_result(&engine, id).await, (false, "bought".to_owned()));
    engine.shutdown().await;
}

#[tokio::test]
async fn a_person_is_asked_where_the_operator_wants_that() {
    let world = World::new();
    let script = Script::new([lose_answer()]);
    let asks = RemotePolicy { unknown_outcome: UnknownOutcome::Ask, ..policy(&[]) };
    let (engine, _) = world.shop(&script, asks).await;
    let id = submit(&engine, "shop_buy", json!({})).await;
    until(&engine, id, |document| document.state.name() == "waiting").await;
    engine.resolve(&Principal::local(), id, 0, Resolution::Failed).await.expect("settled");
    assert!(wait_result(&engine, id).await.0);
    engine.shutdown().await;
}

/// The attempt that asked may be on its way out, and the answer on its way to the disk: the next attempt waits for both.
#[tokio::test]
async fn what_a_person_says_at_once_is_what_the_next_attempt_reads() {
    let world = World::new();
    let asks = RemotePolicy { unknown_outcome: UnknownOutcome::Ask, ..policy(&[]) };
    let (engine, _) = world.shop(&Script::new([lose_answer()]), asks).await;
    let id = submit(&engine, "shop_buy", json!({})).await;
    until(&engine, id, |document| document.state.name() == "waiting").await;
    nothing_lives(&engine).await;
    let entry = engine.shared.entry(id).expect("open");
    entry.lock().is_driven = true;
    let held = engine.shared.store.hold(Moment::BeforeCommit);
    let settling = at_once(&engine, async move |engine| {
        engine.resolve(&Principal::local(), id, 0, Resolution::Failed).await
    });
    until_true(|| entry.lock().status.wake.is_none()).await;
    lifecycle::attempt::release(&engine.shared, &entry, true);
    others_run().await;
    drop(held);
    settling.await.expect("no panic").expect("settled");
    assert!(wait_result(&engine, id).await.0);
    assert_eq!(engine.metrics().attempts, 2);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_lost_answer_is_settled_as_soon_as_it_can_be_seen() {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(0));
    let script = Script { gate: Some(gate.clone()), ..Script::new([lose_answer()]) };
    let (engine, _) = world.shop(&script, policy(&[])).await;
    let id = submit(&engine, "shop_buy", json!({})).await;
    until(&engine, id, |document| document.progress.is_some()).await;
    let held = engine.shared.store.hold(Moment::BeforeTelling);
    gate.add_permits(1);
    until_seen(&engine, id, "failed").await;
    let settling = at_once(&engine, async move |engine| {
        engine.resolve(&Principal::local(), id, 0, Resolution::Failed).await
    });
    others_run().await;
    drop(held);
    settling.await.expect("no panic").expect("settled");
    assert!(wait_result(&engine, id).await.0);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_definition_that_changed_is_refused_until_it_is_pinned_again() {
    let world = World::new();
    let local = Principal::local();
    let script = Script::new([]);
    let (engine, _) = world.shop(&script, policy(&[])).await;
    let change = |to: &str| script.listing.lock().tools[0].description = to.to_owned();
    change("Does something else.");
    let id = submit(&engine, "shop_buy", json!({})).await;
    let refused = ended(&engine, id).await;
    assert_eq!(refused.state.reason(), Some("refused"));
    let message = refused.error.expect("an error").message;
    assert!(message.ends_with("; after a look at it: a-program pin shop, and call it anew"), "{message}");
    assert_eq!(script.keys(), [""; 0], "it was not called");
    assert_eq!(engine.pin(&local, "shop").await.expect("pinned"), [""; 0]);
    let id = submit(&engine, "shop_buy", json!({})).await;
    assert_eq!(wait_result(&engine, id).await, (false, "more".to_owned()));
    assert!(matches!(engine.pin(&local, "other").await, Err(EngineError::Remote(_))));
    let pins = engine.audit(AuditQuery::default()).await.expect("a page").rows;
    let pins = pins.iter().filter(|row| row.action == AuditAction::Grant && row.verdict == Verdict::Admitted);
    assert_eq!(pins.count(), 2, "seen first, and again");
    engine.shutdown().await;

    change("Does a third thing.");
    let new = ToolDefinition::new("sell", "", json!({"type": "object"}));
    script.listing.lock().tools.push(new);
    let (engine, words) = world.shop(&script, policy(&[])).await;
    assert!(
        words.len() == 2 && words[0].contains("shop/buy") && words[1].contains("shop/sell is new"),
        "{words:?}"
    );
    let names: Vec<String> =
        engine.catalog().tools().map(|entry| entry.tool.definition.name.clone()).collect();
    assert_eq!(names, ["shop_look"]);
    engine.shutdown().await;

    // A server that is away is offered as it was, and a call says so.
    *script.away.lock() = true;
    let (engine, words) = world.shop(&script, policy(&[])).await;
    assert!(words.len() == 1 && words[0].contains("does not answer"), "{words:?}");
    let id = submit(&engine, "shop_look", json!({})).await;
    let (is_error, words) = wait_result(&engine, id).await;
    assert!(is_error && words.contains("it is away"), "{words}");
    engine.shutdown().await;
}

#[tokio::test]
async fn look_alike_and_hidden_names_of_a_server_are_not_offered() {
    let world = World::new();
    let script = Script::new([]);
    let names = [
        "plain",
        "pay_bill",
        "pay_biII",
        "t0tal",
        "total",
        "get-issue",
        "get_issue",
        "a\u{1b}]0;owned\u{7}b",
        "x\u{202e}y",
    ];
    let tools = names.map(|name| ToolDefinition::new(name, "Does.", json!({"type": "object"})));
    script.listing.lock().tools = tools.into();
    let (engine, words) = world.shop(&script, policy(&[])).await;
    let catalog = engine.catalog();
    let exposed: Vec<&str> = catalog.tools().map(|entry| entry.tool.definition.name.as_str()).collect();
    assert_eq!(exposed, ["shop_plain"]);
    let reachable: Vec<&str> = catalog.callables().map(|entry| entry.tool.definition.name.as_str()).collect();
    assert_eq!(reachable, ["shop_plain", "shop/get-issue", "shop/get_issue", "shop/plain"]);
    for part in
        ["pay_biII is not offered", "t0tal is not offered", "get_issue is not exposed", "\\u{1b}]0;owned"]
    {
        assert!(words.iter().any(|word| word.contains(part)), "{part} in {words:?}");
    }
    assert!(words.iter().all(|word| crate::catalog::find_hidden(word).is_none()), "{words:?}");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_call_leaves_no_more_once_its_owners_token_is_revoked_and_is_not_taken_up_again_by_one_with_less() {
    let (world, local) = (World::new(), Principal::local());
    let script = Script::new([Err(RemoteFault::NotSent("nobody answers".into())), Ok(text("bought"))]);
    let later = RetryPolicy { attempts: 3, backoff: DAY / 4 };
    let (engine, _) = world.shop(&script, RemotePolicy { retry: later, ..policy(&[]) }).await;
    let bearer = async |tools: &str| {
        let grant = TokenGrant { name: "ann".into(), tools: vec![tools.into()], ..TokenGrant::default() };
        let token = engine.new_token(&local, grant).await.expect("a token");
        engine.bearer(&token).expect("a bearer").principal
    };
    let ann = bearer("shop_*").await;
    let submission = Submission {
        tool: "shop_buy".into(),
        arguments: json!({}),
        principal: ann.clone(),
        idempotency_key: None,
        trace: None,
    };
    let id = engine.submit(submission).await.expect("a task").id;
    until_it_holds(async || {
        let task = engine.task(&ann, id).await.expect("a task");
        task.message.is_some_and(|message| message.contains("tried again"))
    })
    .await;
    engine.revoke_token(&local, "ann").await.expect("revoked");
    world.clock.advance(DAY);
    let task = engine.wait(&ann, id, Duration::from_secs(20)).await.expect("a task");
    assert_eq!(task.state, State::Failed(FailedReason::Refused), "{:?}", task.error);
    let why = task.error.expect("an error").message;
    assert!(why.contains("revoked") && why.contains("a new token"), "{why}");
    assert_eq!(script.keys().len(), 1, "it left once");

    let less = bearer("shop_look").await;
    let refused = engine.retry(&less, id, None).await.map(|task| task.state);
    assert!(matches!(refused, Err(EngineError::NoSuchTool { .. })), "{refused:?}");
    engine.revoke_token(&local, "ann").await.expect("revoked");
    engine.retry(&bearer("shop_*").await, id, None).await.expect("taken up again");
    let task = engine.wait(&ann, id, Duration::from_secs(20)).await.expect("a task");
    assert_eq!((task.state, script.keys().len()), (State::Completed, 2));
    engine.shutdown().await;
}
