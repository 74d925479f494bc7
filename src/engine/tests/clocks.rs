//! A wall clock that jumps by years, both ways and at any moment: each operation of the table comes to what it comes to
//! by a clock that stands right. What goes by the date alone is named below.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::refusals::bench::{Act, Bench};
use super::refusals::table::TABLE;
use super::refusals::{Row, SETTLING, alone};
use super::*;
use crate::engine::lifecycle::calendar::Calendar;
use crate::store::Dice;

const YEARS: u64 = 50 * 31_536_000_000_000_000;
/// What is kept for so long goes by the date, as the operators' manual says.
const BY_DATE: [&str; 1] = ["a sweep"];
/// Runs of each operation.
const RUNS: u64 = 3;

/// What it comes to; with `dice`, after a jump before each act.
async fn ended(row: &Row, mut dice: Option<Dice>) -> Result<BTreeSet<String>, String> {
    let mut bench = Bench::new().await;
    bench.keep_all().await.map_err(|error| error.to_string())?;
    bench.engine.start().await.map_err(|error| error.to_string())?;
    bench.gates.is_broken.store(true, Ordering::SeqCst);
    // No process knows how long none ran: its clock is believed then, if it is ahead. So there it only goes back.
    let starts_again = row.before.iter().chain([&row.act]).chain(row.after);
    let starts_again = starts_again.into_iter().any(|act| matches!(act, Act::Crash | Act::Close));
    let walls = if starts_again {
        vec![START, START - YEARS, 0]
    } else {
        vec![0, START + YEARS, START + 5 * YEARS, u64::MAX]
    };
    let mut wall = 0;
    for act in row.before.iter().chain([&row.act]).chain(&SETTLING).chain(row.after) {
        if let Some(dice) = &mut dice {
            let next = dice.below(walls.len());
            wall = if starts_again { wall.max(next) } else { next };
            bench.clock.set_wall(walls[wall]);
        }
        bench.act(*act).await.map_err(|error| format!("{act:?}: {error}"))?;
        bench.rest().await.map_err(|error| format!("{act:?}: {error}"))?;
    }
    let wrong = bench.contradictions(false);
    if wrong.is_empty() { Ok(bench.end(false).await) } else { Err(wrong.join("; ")) }
}

fn compared(row: &Row, seed: u64) -> Result<(), String> {
    let expected = alone(async || ended(row, None).await)??;
    for seed in seed..seed + RUNS {
        let end = alone(async || ended(row, Some(Dice(seed))).await)??;
        if end != expected && !BY_DATE.contains(&row.name) {
            let missing: Vec<_> = expected.difference(&end).collect();
            let other: Vec<_> = end.difference(&expected).collect();
            return Err(format!("seed {seed}: {missing:#?} became {other:#?}"));
        }
    }
    Ok(())
}

#[test]
fn a_clock_that_jumps_by_years_changes_nothing_but_dates() {
    let (next, wrong) = (std::sync::atomic::AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(row) = TABLE.get(number) else { break };
                    let compared = compared(row, number as u64 * RUNS);
                    wrong.lock().extend(compared.err().map(|why| format!("{}: {why}", row.name)));
                }
            });
        }
    });
    let wrong = wrong.into_inner();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_clock_that_is_set_ahead_while_a_process_runs_sweeps_no_result_for_a_day() {
    let world = World::new();
    let quick = Closures::new().tool(definition("quick"), "1", |_, _| async { Ok(ToolResult::default()) });
    let engine = world.start(quick).await;
    let mut calendar = Calendar::new(&world.clock);
    let id = submit(&engine, "quick", json!({})).await;
    super::ended(&engine, id).await;
    world.clock.set_wall(START + YEARS);
    for _ in 0..24 {
        assert_eq!(engine.sweep_by(&mut calendar).await.expect("a sweep").tasks, 0);
        assert!(engine.task(&Principal::local(), id).await.is_ok());
        world.clock.advance(Duration::from_secs(3_600));
    }
    engine.sweep_by(&mut calendar).await.expect("a sweep");
    assert!(matches!(engine.task(&Principal::local(), id).await, Err(EngineError::NoSuchTask(_))));
}

fn sleeper() -> Closures {
    let mut once = definition("sleeper");
    once.dedupe_seconds = Some(600);
    Closures::new().tool(once, "1", |steps: Steps, _| async move {
        steps.sleep(Duration::from_secs(3_600)).await?;
        Ok(ToolResult::default())
    })
}

#[tokio::test]
async fn a_sleep_ends_in_time_at_the_end_of_all_dates() {
    let world = World::new();
    let engine = world.start(sleeper()).await;
    for wall in [u64::MAX, u64::MAX - 1, u64::MAX - 3_600 * 1_000_000_000] {
        world.clock.set_wall(wall);
        let id = submit(&engine, "sleeper", json!({ "at": wall.to_string() })).await;
        wait_for_timer(&engine).await;
        assert!(engine.shared.entry(id).is_some(), "an hour is not over");
        world.clock.advance(Duration::from_secs(3_600));
        assert_eq!(super::ended(&engine, id).await.state, State::Completed);
    }
}

/// Until the one open task waits for its timer.
async fn wait_for_timer(engine: &TaskEngine) {
    loop {
        let metrics = engine.metrics();
        if metrics.timers == 1 && metrics.live_instances == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_same_call_is_told_by_the_time_of_its_task_whatever_the_wall_clock_says() {
    let world = World::new();
    let engine = world.start(sleeper()).await;
    let first = submit(&engine, "sleeper", json!({})).await;
    for wall in [START + YEARS, u64::MAX, 0, START] {
        world.clock.set_wall(wall);
        assert_eq!(submit(&engine, "sleeper", json!({})).await, first, "{wall}");
    }
    world.clock.advance(Duration::from_secs(601));
    world.clock.set_wall(START - YEARS);
    assert_ne!(submit(&engine, "sleeper", json!({})).await, first, "its ten minutes are over");
}

async fn put(engine: &TaskEngine, key: &str, seconds: u64) {
    let write = StateWrite::put(key, "1").ttl_seconds(Some(seconds));
    engine.state_write(&Principal::local(), "board", vec![write]).await.expect("written");
}

async fn has(engine: &TaskEngine, key: &str) -> bool {
    engine.state_get(&Principal::local(), "board", key).await.expect("read").is_some()
}

#[tokio::test]
async fn an_entry_lives_as_long_as_it_was_to_and_no_jump_of_the_wall_clock_takes_or_gives_it_time() {
    let world = World::new();
    let engine = world.start(Closures::new()).await;
    put(&engine, "before", 100).await;
    for wall in [u64::MAX, 0, START + YEARS] {
        world.clock.set_wall(wall);
        assert!(has(&engine, "before").await, "{wall}");
    }
    put(&engine, "ahead", 100).await;
    world.clock.set_wall(START - YEARS);
    put(&engine, "back", 100).await;
    world.clock.advance(Duration::from_secs(99));
    for key in ["before", "ahead", "back"] {
        assert!(has(&engine, key).await, "{key}");
    }
    world.clock.advance(Duration::from_secs(1));
    for key in ["before", "ahead", "back"] {
        assert!(!has(&engine, key).await, "{key}");
    }
}

async fn is_gone(engine: &TaskEngine, key: &str) {
    let mut watcher = engine.feed().watch().expect("room");
    watcher.add(ResourceKey::State("board".to_owned(), key.to_owned()));
    let gone = async {
        while has(engine, key).await {
            watcher.next().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("its time is over");
}

#[tokio::test]
async fn an_entry_of_a_date_to_come_lives_no_longer_than_its_time_from_the_next_start_on() {
    let world = World::new();
    let engine = world.start(Closures::new()).await;
    put(&engine, "short", 100).await;
    put(&engine, "long", 3_600).await;
    engine.shutdown().await;
    drop(engine);
    // The clock was wrong, and was set right while no process ran.
    world.clock.set_wall(START - YEARS);
    let engine = world.start(Closures::new()).await;
    assert!(has(&engine, "short").await && has(&engine, "long").await);
    world.clock.advance(Duration::from_secs(100));
    is_gone(&engine, "short").await;
    assert!(has(&engine, "long").await);
    world.clock.advance(Duration::from_secs(3_500));
    is_gone(&engine, "long").await;
}
