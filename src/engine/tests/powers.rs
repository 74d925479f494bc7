//! What a task may still do once its owner's token, or its component's grant, is not what it was. The table is
//! generated: each kind of step, wherever the task stands when that happens, after each kind of change.

use tokio::sync::Semaphore;

use super::*;
use crate::authority::{Grant, StatePattern};
use crate::catalog::Component;
use crate::engine::Calling;
use crate::engine::family::calling::{ChildCall, ChildEnd};
use crate::engine::questions::ask::Asked;
use crate::engine::questions::asked::{Ask, Question};
use crate::engine::questions::{Sampled, Sampler};
use crate::engine::record::output::call_hash;
use crate::task::By;

/// Steps that act, each of which says what became of it.
const KINDS: [&str; 10] =
    ["get", "list", "put", "delete", "call", "granted", "ask", "sample", "roots", "send"];

/// Where the task is when its powers change.
const PLACES: [&str; 5] = ["live", "suspended", "restarted", "offline", "child"];

/// What changes, and what becomes of each kind of step then: `.` goes on, `t` is refused for the token, `g` for the
/// grant.
const CHANGES: [(&str, &str); 4] = [
    ("revoked", "tttttttttt"),
    ("narrowed", "tttttt...."),
    ("regranted", "ggggggggg."),
    ("given back", ".........."),
];

fn everything() -> Grant {
    Grant {
        state: vec![StatePattern::parse("vault").expect("a pattern")],
        tools: vec!["*".to_owned()],
        elicit: true,
        sample: true,
        ..Grant::default()
    }
}

/// `actor` stands until it may go on, does one thing, sleeps a day, and says what became of that; `root` calls it.
fn actors(gate: &Arc<Semaphore>) -> Closures {
    let gate = gate.clone();
    let actor = move |steps: Steps, arguments: Value| {
        let gate = gate.clone();
        async move {
            let child = match arguments["kind"] == "send" {
                true => steps.call(&[ChildCall::new("idle", &json!({}))]).await?.pop(),
                false => None,
            };
            match arguments["stands"] == "live" {
                true => drop(gate.acquire().await.expect("open")),
                false => steps.sleep(DAY).await?,
            }
            let seen = act(&steps, arguments["kind"].as_str().unwrap_or_default(), child).await?;
            steps.sleep(DAY).await?;
            Ok(ToolResult::text(seen))
        }
    };
    let root = |steps: Steps, arguments: Value| async move {
        let calling = steps.call(&[ChildCall::new("actor", &arguments)]).await?[0];
        match steps.join(calling).await? {
            ChildEnd::Completed(result) => Ok(result),
            end => Ok(ToolResult::text(format!("{end:?}"))),
        }
    };
    let idle = |steps: Steps, _| async move {
        steps.sleep(100 * DAY).await?;
        Ok(ToolResult::text("idle"))
    };
    let quick = |_, _| async { Ok(ToolResult::text("quick")) };
    let unlimited = || TaskLimits { total_seconds: 10_000_000, ..TaskLimits::default() };
    let once = RetryPolicy::default;
    Closures::new()
        .tool_with(definition("actor"), "1", unlimited(), once(), actor)
        .tool_with(definition("root"), "1", unlimited(), once(), root)
        .tool_with(definition("idle"), "1", unlimited(), once(), idle)
        .tool(definition("quick"), "1", quick)
}

/// The tools, with this grant.
fn catalog(closures: &Closures, grant: &Grant) -> Arc<Catalog> {
    let tools = closures.catalog().expect("a catalog");
    let regranted = tools.tools().fold(Catalog::default(), |all, entry| {
        let mut tool = entry.tool.clone();
        let (name, id) = (tool.component_name.clone(), tool.component.clone());
        if name == "actor" {
            tool.grant = grant.clone();
        }
        all.with(Component::of_tools(name, id, vec![tool]).expect("a tool")).expect("a new one")
    });
    Arc::new(regranted)
}

async fn act(steps: &Steps, kind: &str, child: Option<Calling>) -> Result<String, StepError> {
    let recorder = steps.recorder();
    let done = |error: Option<String>| Ok(error.unwrap_or_else(|| "done".to_owned()));
    match kind {
        "get" => done(recorder.state_get("vault", "k").await?.err().map(|error| error.to_string())),
        "list" => {
            let listed = recorder.state_list("vault", &StateQuery::default()).await?;
            done(listed.err().map(|error| error.to_string()))
        }
        "put" | "delete" => {
            let write = if kind == "put" { StateWrite::put("k", "1") } else { StateWrite::delete("k") };
            let written = recorder.state_write("vault", &[write]).await?;
            done(written.err().map(|error| error.to_string()))
        }
        "call" => {
            let call = ChildCall::new("quick", &json!({}));
            let op = recorder.begin_op()?;
            match recorder.start_children(&[op], &[call]).await? {
                Ok(_) => done(None),
                Err(CallRefusal::Lost(why)) => done(Some(why)),
                Err(other) => panic!("{other:?}"),
            }
        }
        "granted" => {
            let names: Vec<String> =
                recorder.granted_tools().await?.into_iter().map(|tool| tool.name).collect();
            let lost = (!names.contains(&"quick".to_owned())).then(|| "nothing is granted".to_owned());
            done(lost)
        }
        "send" => {
            let to = Addressee::Child(child.expect("a child").child);
            match recorder.send_message(to, "news", "1").await? {
                Ok(_) => done(None),
                Err(CallRefusal::Lost(why)) => done(Some(why)),
                Err(other) => panic!("{other:?}"),
            }
        }
        _ => ask(recorder, kind),
    }
}

fn ask(recorder: &Recorder, kind: &str) -> Result<String, StepError> {
    let ask = match kind {
        "ask" => Ask::Form { message: "well?".to_owned(), schema: json!({"type": "object"}).to_string() },
        "sample" => Ask::Sample { request: json!({"messages": []}).to_string(), max_tokens: 1 },
        _ => Ask::Roots,
    };
    let (op, hash) = (recorder.begin_op()?, call_hash(kind, &[]));
    let key = (kind == "ask").then(|| "q".to_owned());
    let asked = match recorder.op(op)? {
        Some(known) => recorder.asked(op, &known)?,
        None => recorder.ask(op, hash, Question { key, by: By::Any, ask, deadline: u64::MAX })?,
    };
    match asked {
        Asked::Open(_) => Ok("done".to_owned()),
        Asked::Lost(why) => Ok(why),
        Asked::Refused(why) => panic!("{why}"),
    }
}

/// A cell of the table.
fn drawn(seen: &str) -> char {
    match seen {
        "done" => '.',
        "nothing is granted" => '-',
        seen if seen.contains("token of this task's owner") => 't',
        seen if seen.contains("component is not granted that any more") => 'g',
        other => panic!("{other}"),
    }
}

fn grant_of(name: &str, tools: &[&str], state: &[&str]) -> TokenGrant {
    let owned = |list: &[&str]| list.iter().map(|glob| (*glob).to_owned()).collect();
    TokenGrant { name: name.to_owned(), tools: owned(tools), state: owned(state), ..TokenGrant::default() }
}

async fn change_powers(engine: &TaskEngine, change: &str, closures: &Closures) {
    let local = Principal::local();
    let new = async |tools: &[&str], state: &[&str]| {
        engine.new_token(&local, grant_of("ann", tools, state)).await.expect("a token");
    };
    match change {
        "regranted" => engine.set_catalog(catalog(closures, &Grant::default())),
        _ => engine.revoke_token(&local, "ann").await.expect("revoked"),
    }
    match change {
        "narrowed" => new(&["actor", "root"], &["other"]).await,
        "given back" => new(&["*"], &["vault"]).await,
        _ => {}
    }
}

async fn submit_as(engine: &TaskEngine, principal: &Principal, tool: &str, arguments: Value) -> TaskId {
    let submission = Submission {
        tool: tool.to_owned(),
        arguments,
        principal: principal.clone(),
        idempotency_key: None,
        trace: None,
    };
    engine.submit(submission).await.expect("a task").id
}

/// All kinds at one place, through one change: what became of each.
async fn row(place: &str, change: &str) -> String {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(0));
    let open = async || {
        let engine = world.open(actors(&gate)).await;
        engine.set_catalog(catalog(&actors(&gate), &everything()));
        engine
    };
    let mut engine = open().await;
    engine.start().await.expect("a start");
    let local = Principal::local();
    let token = engine.new_token(&local, grant_of("ann", &["*"], &["vault"])).await.expect("a token");
    let ann = engine.bearer(&token).expect("a bearer").principal;
    let tool = if place == "child" { "root" } else { "actor" };
    let mut tasks = Vec::new();
    for kind in KINDS {
        let arguments = json!({ "kind": kind, "stands": place });
        tasks.push(submit_as(&engine, &ann, tool, arguments).await);
    }
    let owner = local.clone().overseeing();
    let stands = async |engine: &TaskEngine| {
        let all = engine.tasks(&owner, &TaskQuery { whose: Whose::All, ..TaskQuery::default() }).await;
        let actors = all.expect("a page").tasks.into_iter().filter(|task| task.tool == "actor");
        let states: Vec<State> = actors.map(|task| task.state).collect();
        let is_there = |state: &State| match place {
            "live" => *state == State::Running,
            _ => *state == State::Waiting(WaitingReason::Timer),
        };
        states.len() == KINDS.len() && states.iter().all(is_there)
    };
    until_it_holds(async || stands(&engine).await).await;
    match place {
        "restarted" | "offline" => {
            if place == "restarted" {
                change_powers(&engine, change, &actors(&gate)).await;
            }
            engine.shutdown().await;
            engine = open().await;
            // A grant is what the next start finds.
            if place == "offline" || change == "regranted" {
                change_powers(&engine, change, &actors(&gate)).await;
            }
            engine.start().await.expect("a start");
        }
        _ => change_powers(&engine, change, &actors(&gate)).await,
    }
    gate.add_permits(KINDS.len());
    if place != "live" {
        world.clock.advance(DAY);
    }
    // What was refused stays so when it is replayed, whatever the task may do by then.
    let asleep = async || {
        let acted = async |id: &TaskId| {
            let actor = match engine.task(&owner, *id).await.expect("a task").children.first() {
                Some(child) if place == "child" => *child,
                _ => *id,
            };
            let task = engine.task(&owner, actor).await.expect("a task");
            task.wake_at.is_some_and(|at| at > engine.now())
        };
        let mut all = true;
        for id in &tasks {
            all &= acted(id).await;
        }
        all
    };
    until_it_holds(asleep).await;
    if change != "given back" {
        change_back(&engine, change, &actors(&gate)).await;
    }
    world.clock.advance(DAY);
    let mut seen = String::new();
    for id in &tasks {
        let task = engine.wait(&ann, *id, Duration::from_secs(20)).await.expect("a task");
        assert_eq!(task.state.name(), "completed", "{place}, {change}: {:?}", task.error);
        seen.push(drawn(&text(engine.result(&ann, *id).await.expect("a result"))));
    }
    engine.shutdown().await;
    seen
}

async fn change_back(engine: &TaskEngine, change: &str, closures: &Closures) {
    match change {
        "regranted" => engine.set_catalog(catalog(closures, &everything())),
        _ => {
            let local = Principal::local();
            if change == "narrowed" {
                engine.revoke_token(&local, "ann").await.expect("revoked");
            }
            engine.new_token(&local, grant_of("ann", &["*"], &["vault"])).await.expect("a token");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_asks_what_its_task_may_do_now_wherever_it_stands() {
    for place in PLACES {
        for (change, expected) in CHANGES {
            // A list of tools has no words for why it is empty.
            let granted = KINDS.iter().position(|kind| *kind == "granted").expect("a kind");
            let mut expected: Vec<char> = expected.chars().collect();
            if expected[granted] != '.' {
                expected[granted] = '-';
            }
            let seen = row(place, change).await;
            assert_eq!(seen.chars().collect::<Vec<_>>(), expected, "{place}, {change}: {seen}");
        }
    }
}

/// Where every principal is known by a token, one that has none has lost it, as to builds that noted no revocation.
#[tokio::test]
async fn without_a_token_a_principal_has_its_powers_only_where_a_program_has_principals_of_its_own() {
    for (tokens_alone, expected) in [(false, '.'), (true, 't')] {
        let (world, gate) = (World::new(), Arc::new(Semaphore::new(1)));
        let options = EngineOptions { tokens_alone, ..world.options() };
        let engine =
            TaskEngine::open(world.path(), Arc::new(actors(&gate)), options).await.expect("an engine");
        engine.set_catalog(catalog(&actors(&gate), &everything()));
        engine.start().await.expect("a start");
        let vault = vec![StatePattern::parse("vault").expect("a pattern")];
        for principal in [Principal::new("eve", vec!["*".to_owned()]).with_state(vault), Principal::local()] {
            let arguments = json!({ "kind": "put", "stands": "live" });
            let id = submit_as(&engine, &principal, "actor", arguments).await;
            until_it_holds(async || {
                engine.task(&principal, id).await.expect("a task").state
                    == State::Waiting(WaitingReason::Timer)
            })
            .await;
            world.clock.advance(DAY);
            engine.wait(&principal, id, Duration::from_secs(20)).await.expect("a task");
            let seen = drawn(&text(engine.result(&principal, id).await.expect("a result")));
            assert_eq!(seen, if principal.is_local() { '.' } else { expected }, "{principal} {tokens_alone}");
        }
        engine.shutdown().await;
    }
}

/// Is asked and never answers; says when it is left.
#[derive(Default)]
struct Silent {
    asked: tokio::sync::Notify,
    left: Arc<tokio::sync::Notify>,
}

/// Dropped with the request.
struct Leaving(Arc<tokio::sync::Notify>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Sampler for Silent {
    fn sample(&self, _: Value, _: String) -> BoxFuture<Result<Sampled, String>> {
        self.asked.notify_one();
        let leaving = Leaving(self.left.clone());
        Box::pin(async move {
            let _leaving = leaving;
            std::future::pending().await
        })
    }
}

#[tokio::test]
async fn a_sample_on_its_way_is_called_back_when_its_owners_token_goes() {
    let (world, local) = (World::new(), Principal::local());
    let model = Arc::new(Silent::default());
    let closures = Closures::new().tool(definition("samples"), "1", |steps: Steps, _| async move {
        let request = json!({"messages": [], "maxTokens": 1}).to_string();
        let ask = Ask::Sample { request, max_tokens: 1 };
        let asking = steps.ask(None, By::Any, ask, DAY)?;
        Ok(ToolResult::text(format!("{:?}", steps.answer(asking).await?)))
    });
    let catalog = Arc::new(closures.catalog().expect("a catalog"));
    let options = EngineOptions { sampler: Some(model.clone()), ..world.options() };
    let engine = TaskEngine::open(world.path(), Arc::new(closures), options).await.expect("an engine");
    engine.set_catalog(catalog);
    engine.start().await.expect("a start");
    let token = engine.new_token(&local, grant_of("ann", &["*"], &[])).await.expect("a token");
    let ann = engine.bearer(&token).expect("a bearer").principal;
    let id = submit_as(&engine, &ann, "samples", json!({})).await;
    let in_time = |what| tokio::time::timeout(Duration::from_secs(20), what);
    in_time(model.asked.notified()).await.expect("it is asked");
    // Another's is none of its.
    engine.new_token(&local, grant_of("bob", &["*"], &[])).await.expect("a token");
    engine.revoke_token(&local, "bob").await.expect("revoked");
    engine.revoke_token(&local, "ann").await.expect("revoked");
    in_time(model.left.notified()).await.expect("it is left");
    let task = engine.wait(&ann, id, Duration::from_secs(20)).await.expect("a task");
    assert_eq!(task.state.name(), "completed", "{:?}", task.error);
    let seen = text(engine.result(&ann, id).await.expect("a result"));
    assert!(seen.contains("Unavailable") && seen.contains("token of this task's owner"), "{seen}");
    engine.shutdown().await;
}

/// What failed is not tried again in the name of an owner whose token is gone.
#[tokio::test]
async fn no_second_try_is_made_in_the_name_of_a_revoked_token() {
    for (is_revoked, tries) in [(false, 2), (true, 1)] {
        let (world, local) = (World::new(), Principal::local());
        let gate = Arc::new(Semaphore::new(0));
        let engine = world.start(failing(&gate)).await;
        let token = engine.new_token(&local, grant_of("ann", &["*"], &[])).await.expect("a token");
        let ann = engine.bearer(&token).expect("a bearer").principal;
        let id = submit_as(&engine, &ann, "tries", json!({})).await;
        until_it_holds(async || engine.task(&ann, id).await.expect("a task").children.len() == 1).await;
        if is_revoked {
            engine.revoke_token(&local, "ann").await.expect("revoked");
        }
        gate.add_permits(1);
        let advance = async || {
            world.clock.advance(DAY / 24);
            engine.task(&ann, id).await.expect("a task").state.is_terminal()
        };
        until_it_holds(advance).await;
        assert_eq!(engine.task(&ann, id).await.expect("a task").children.len(), tries, "{is_revoked}");
        engine.shutdown().await;
    }
}

/// `tries` calls `fails`, which may be tried twice and fails once it may.
fn failing(gate: &Arc<Semaphore>) -> Closures {
    let gate = gate.clone();
    let fails = move |_, _| {
        let gate = gate.clone();
        async move {
            drop(gate.acquire().await.expect("open"));
            Err::<ToolResult, _>(StepError::Tool("no".to_owned()))
        }
    };
    let tries = |steps: Steps, _| async move {
        let call = ChildCall { retries: 1, ..ChildCall::new("fails", &json!({})) };
        let calling = steps.call(&[call]).await?[0];
        Ok(ToolResult::text(format!("{:?}", steps.join(calling).await?)))
    };
    Closures::new().tool(definition("fails"), "1", fails).tool(definition("tries"), "1", tries)
}
