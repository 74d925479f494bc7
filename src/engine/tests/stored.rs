//! What principals keep in the store: counted in the commits that write it, over restarts and whatever becomes of a task,
//! and bounded for each.

use tokio::sync::Semaphore;

use super::*;
use crate::engine::charge;
use crate::engine::query::recount;
use crate::engine::record::output::OutputOp;
use crate::shares::{Account, Bound, Bounds, Pool, Refusal, Whose};
use crate::store::{Batch, Dice, Snapshot};

const MIB: u64 = 1024 * 1024;
const KIB: usize = 1024;

fn named(name: &str) -> Principal {
    if name == "local" {
        return Principal::local();
    }
    let state = vec![crate::authority::StatePattern::parse("n").expect("a pattern")];
    Principal::new(name, vec!["*".to_owned()]).with_state(state)
}

/// `keep` writes outputs, logs and steps of so many KiB, and ends as it is asked to; `hold` waits for a permit first.
fn tools(gate: &Arc<Semaphore>) -> Closures {
    let gate = gate.clone();
    let keep = move |steps: Steps, arguments: Value| {
        let gate = gate.clone();
        async move {
            let bytes = vec![b'x'; arguments["kib"].as_u64().unwrap_or(1) as usize * KIB];
            if arguments["waits"] == json!(true) {
                gate.acquire().await.expect("open").forget();
            }
            for name in ["a", "b"] {
                let data = bytes.as_slice();
                steps.output(OutputOp::Write { name, mime_type: "text/plain", data }).await?;
            }
            steps.log(&"y".repeat(bytes.len() / 2))?;
            let read: String = steps.step("read", || async { Ok("z".repeat(bytes.len())) }).await?;
            match arguments["end"].as_str() {
                Some("fails") => Err(StepError::Tool("it fails".to_owned())),
                Some("sleeps") => {
                    steps.sleep(DAY).await?;
                    Ok(ToolResult::text(read))
                }
                _ => Ok(ToolResult::text(read)),
            }
        }
    };
    Closures::new().tool(definition("keep"), "1", keep)
}

struct Place {
    world: World,
    gate: Arc<Semaphore>,
    bounds: Bounds,
}

impl Place {
    /// Where one principal may keep so many bytes and so many entries.
    fn new(bytes: u64, entries: u64) -> Self {
        let mut bounds = Bounds::default();
        bounds[Pool::StoredBytes] = Bound { process: 1024 * MIB, share: bytes, reserve: MIB };
        bounds[Pool::StateEntries] = Bound { process: 1000, share: entries, reserve: 10 };
        Self { world: World::new(), gate: Arc::new(Semaphore::new(0)), bounds }
    }

    async fn start(&self) -> TaskEngine {
        let closures = tools(&self.gate);
        let catalog = Arc::new(closures.catalog().expect("a catalog"));
        let options =
            EngineOptions { shares: Some(Account::new(self.bounds.clone())), ..self.world.options() };
        let engine =
            TaskEngine::open(self.world.path(), Arc::new(closures), options).await.expect("an engine");
        engine.set_catalog(catalog);
        engine.start().await.expect("a start");
        engine
    }
}

async fn keep(engine: &TaskEngine, who: &str, arguments: Value) -> Result<TaskId, EngineError> {
    let (principal, tool) = (named(who), "keep".to_owned());
    let submission = Submission { tool, arguments, principal, idempotency_key: None, trace: None };
    Ok(engine.submit(submission).await?.id)
}

async fn over(engine: &TaskEngine, who: &str, id: TaskId) -> TaskView {
    engine.wait(&named(who), id, Duration::from_secs(20)).await.expect("a task")
}

async fn put(engine: &TaskEngine, who: &str, key: &str, bytes: usize) -> Result<Vec<u64>, EngineError> {
    let value = json!("v".repeat(bytes)).to_string();
    engine.state_write(&named(who), "n", vec![StateWrite::put(key, value)]).await
}

async fn remove(engine: &TaskEngine, who: &str, key: &str) -> Result<Vec<u64>, EngineError> {
    engine.state_write(&named(who), "n", vec![StateWrite::delete(key)]).await
}

fn stored(engine: &TaskEngine, who: &str) -> u64 {
    engine.shares().used_by(Pool::StoredBytes, who)
}

/// The counts come to what the rows do, no task has more than it is counted with, and memory says what the counts do.
fn is_right(engine: &TaskEngine, when: &str) {
    let store = &engine.shared.store;
    let seen = store.read_blocking(recount::contradictions).expect("counts");
    assert!(seen.is_empty(), "{when}: {seen:#?}");
    let shown = Account::new(Bounds::default());
    store.read_blocking(|snapshot| recount::load(&shown, snapshot)).expect("counts");
    for (pool, who) in [(Pool::StoredBytes, "ann"), (Pool::StoredBytes, "bob"), (Pool::StateEntries, "ann")] {
        assert_eq!(engine.shares().used_by(pool, who), shown.used_by(pool, who), "{when}: {who}, {pool:?}");
    }
}

fn share_of(refused: EngineError) -> Refusal {
    match refused {
        EngineError::Share(refusal) => refusal,
        other => panic!("{other}"),
    }
}

/// What is done at random, and what became of it does not matter: what is counted does.
async fn act(engine: &TaskEngine, dice: &mut Dice, known: &mut Vec<(&'static str, TaskId)>) -> String {
    let who = ["ann", "bob"][dice.below(2)];
    let key = ["k", "l", "m"][dice.below(3)];
    let one = if known.is_empty() { None } else { Some(known[dice.below(known.len())]) };
    match (dice.below(9), one) {
        (0..=2, _) | (_, None) => {
            let end = ["completes", "fails", "sleeps"][dice.below(3)];
            let arguments =
                json!({"kib": dice.below(40), "end": end, "more": "m".repeat(dice.below(30 * KIB))});
            let id = keep(engine, who, arguments).await.expect("room");
            known.push((who, id));
            if end == "sleeps" {
                let is_asleep = async || {
                    engine.task(&named(who), id).await.is_ok_and(|task| task.state.name() == "waiting")
                };
                until_it_holds(is_asleep).await;
            } else {
                over(engine, who, id).await;
            }
            format!("{who} keeps, and it {end}")
        }
        (3, _) => format!("{who} writes: {:?}", put(engine, who, key, dice.below(5_000)).await.is_ok()),
        (4, _) => format!("{who} deletes an entry: {:?}", remove(engine, who, key).await.is_ok()),
        (5, Some((who, id))) => format!("cancelled: {}", engine.cancel(&named(who), id, None).await.is_ok()),
        (6, Some((who, id))) => {
            let message =
                messages::Outgoing { name: "news".into(), payload: json!("p".repeat(9_000)), key: None };
            format!("sent: {}", engine.send(&named(who), id, message).await.is_ok())
        }
        (7, Some((who, id))) => {
            let from = [None, Some(0), Some(2)][dice.below(3)];
            let retried = engine.retry(&named(who), id, from).await.is_ok();
            if retried {
                let rests = async || {
                    let state = engine.task(&named(who), id).await.expect("a task").state;
                    state.is_terminal() || state.name() == "waiting"
                };
                until_it_holds(rests).await;
            }
            format!("retried from {from:?}: {retried}")
        }
        (_, Some((who, id))) => format!("deleted: {}", engine.delete(&named(who), id).await.is_ok()),
    }
}

#[tokio::test]
async fn whatever_happens_the_counts_are_what_the_rows_come_to() {
    for seed in 1..=4 {
        let place = Place::new(512 * MIB, 500);
        let (mut dice, mut known) = (Dice(seed), Vec::new());
        let mut engine = place.start().await;
        for number in 0..60 {
            let did = act(&engine, &mut dice, &mut known).await;
            nothing_lives(&engine).await;
            is_right(&engine, &format!("seed {seed}, {number}: {did}"));
            if number % 20 == 19 {
                let before = ["ann", "bob"].map(|who| stored(&engine, who));
                engine.shutdown().await;
                engine = place.start().await;
                nothing_lives(&engine).await;
                is_right(&engine, "after a restart");
                assert_eq!(["ann", "bob"].map(|who| stored(&engine, who)), before);
            }
        }
        for (who, id) in &known {
            let _ = engine.cancel(&named(who), *id, None).await;
            let _ = engine.wait(&named(who), *id, Duration::from_secs(20)).await;
        }
        for key in ["k", "l", "m"] {
            remove(&engine, "ann", key).await.expect("a right to it");
        }
        place.world.clock.advance(DAY * 60);
        engine.sweep().await.expect("a sweep");
        is_right(&engine, "when all has gone");
        assert_eq!([stored(&engine, "ann"), stored(&engine, "bob")], [0, 0]);
        assert!(engine.check_counts().await.expect("counts").wrong.is_empty());
        engine.shutdown().await;
    }
}

#[tokio::test]
async fn who_has_used_up_its_share_adds_nothing_until_it_deletes_something_and_no_other_hears_of_it() {
    let place = Place::new(MIB, 3);
    let engine = place.start().await;
    let (ann, mut kept) = (named("ann"), Vec::new());
    // What it is called with fills it: nothing waits within a task.
    let small = json!({"kib": 0, "more": "m".repeat(60 * KIB)});
    let refused = loop {
        match keep(&engine, "ann", small.clone()).await {
            Ok(id) => {
                over(&engine, "ann", id).await;
                kept.push(id);
            }
            Err(refused) => break share_of(refused),
        }
    };
    assert_eq!(kept.len(), 15, "each with 64 KiB and a few bytes");
    assert_eq!((refused.pool, &refused.whose), (Pool::StoredBytes, &Whose::Principal("ann".into())));
    assert_eq!((refused.bound, refused.retry_after_seconds()), (MIB, 60));
    let words = refused.to_string();
    assert!(words.contains("the share of ann is 1 MiB in the store") && words.contains("delete"), "{words}");
    let state = share_of(put(&engine, "ann", "k", 65_500).await.expect_err("no room"));
    assert_eq!(state.pool, Pool::StoredBytes);
    // Others have room, and so has the owner.
    for who in ["bob", "local"] {
        let id = keep(&engine, who, small.clone()).await.expect("room");
        assert_eq!(over(&engine, who, id).await.state, State::Completed);
        put(&engine, who, who, 9).await.expect("room");
    }
    // What it has can be read and deleted, and then it goes on.
    engine.task(&ann, kept[0]).await.expect("a task");
    assert_eq!(engine.delete(&ann, kept[0]).await.expect("a deletion"), 1);
    let id = keep(&engine, "ann", small).await.expect("room");
    assert_eq!(over(&engine, "ann", id).await.state, State::Completed);
    is_right(&engine, "at the end");
    // It holds after a restart too.
    let before = stored(&engine, "ann");
    engine.shutdown().await;
    let engine = place.start().await;
    assert_eq!(stored(&engine, "ann"), before);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_running_task_waits_at_its_principals_share_and_goes_on_or_ends_by_a_cancel() {
    let place = Place::new(MIB, 3);
    let engine = place.start().await;
    let large = keep(&engine, "ann", json!({"kib": 200})).await.expect("room");
    assert_eq!(over(&engine, "ann", large).await.state, State::Completed);
    let waits = async || keep(&engine, "ann", json!({"kib": 200, "waits": true})).await.expect("room");
    let (one, other) = (waits().await, waits().await);
    place.gate.add_permits(2);
    let refused = || engine.shares().usage(Pool::StoredBytes).refused_share;
    until_true(|| refused() > 3).await;
    for id in [one, other] {
        assert_eq!(engine.task(&named("ann"), id).await.expect("a task").state, State::Running);
    }
    engine.cancel(&named("ann"), one, None).await.expect("a cancel");
    assert_eq!(over(&engine, "ann", one).await.state, State::Cancelled);
    for id in [one, large] {
        engine.delete(&named("ann"), id).await.expect("a deletion");
    }
    assert_eq!(over(&engine, "ann", other).await.state, State::Completed);
    is_right(&engine, "at the end");
    engine.shutdown().await;
}

#[tokio::test]
async fn entries_count_for_whom_wrote_them_last() {
    let place = Place::new(MIB, 3);
    let engine = place.start().await;
    for key in ["a", "b", "c"] {
        put(&engine, "ann", key, 9).await.expect("room");
    }
    let refused = share_of(put(&engine, "ann", "d", 9).await.expect_err("no room"));
    assert_eq!((refused.pool, refused.bound), (Pool::StateEntries, 3));
    let (before, entries) = (stored(&engine, "ann"), || engine.shares().used_by(Pool::StateEntries, "ann"));
    put(&engine, "ann", "a", 5).await.expect("it has that one");
    put(&engine, "bob", "a", 9).await.expect("room");
    assert_eq!((entries(), engine.shares().used_by(Pool::StateEntries, "bob")), (2, 1));
    assert_eq!(stored(&engine, "ann") + stored(&engine, "bob"), before);
    put(&engine, "ann", "d", 9).await.expect("room");
    remove(&engine, "bob", "d").await.expect("a right to it");
    assert_eq!(entries(), 2);
    is_right(&engine, "at the end");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_store_without_counts_is_counted_at_its_first_opening() {
    let place = Place::new(512 * MIB, 500);
    let engine = place.start().await;
    for (who, kib, end) in [("ann", 90, "completes"), ("ann", 1, "fails"), ("bob", 30, "fails")] {
        let id = keep(&engine, who, json!({"kib": kib, "end": end})).await.expect("room");
        over(&engine, who, id).await;
    }
    put(&engine, "ann", "k", 900).await.expect("room");
    let counted = |snapshot: &Snapshot<'_>| {
        let mut keys = Vec::new();
        snapshot.scan_prefix(Space::Count, &[], false, |key, _| {
            keys.push(key.to_vec());
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(keys)
    };
    let mut earlier = Batch::new().delete(Space::Setting, "counted");
    for key in engine.shared.store.read_blocking(counted).expect("counts") {
        earlier.add_delete(Space::Count, key);
    }
    engine.shared.store.commit_blocking(earlier).expect("a commit");
    engine.shutdown().await;
    let engine = place.start().await;
    is_right(&engine, "counted once");
    assert!(stored(&engine, "ann") > 300 * KIB as u64, "{}", stored(&engine, "ann"));
    assert!(stored(&engine, "bob") > 60 * KIB as u64, "{}", stored(&engine, "bob"));
    // What a build without counts has changed since is found, and mended.
    let wrong = Batch::new().delete(Space::Count, charge::bytes_of("bob".into()).key());
    engine.shared.store.commit_blocking(wrong).expect("a commit");
    let found = engine.check_counts().await.expect("counts").wrong;
    assert!(matches!(&found[..], [one] if one.starts_with("bob is counted with 0 bytes")), "{found:?}");
    engine.count_again().await.expect("counted");
    is_right(&engine, "counted again");
    engine.shutdown().await;
}
