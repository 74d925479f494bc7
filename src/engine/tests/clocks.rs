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
/// These go by the date, as the operators' manual says: times to live, and what is kept for so long.
const BY_DATE: [&str; 5] = [
    "a call that is told from the same",
    "a write that expires",
    "an expiry",
    "an expiry that is waited for",
    "a sweep",
];
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
    let walls = if starts_again { [START, START - YEARS, 0] } else { [0, START + YEARS, START + 5 * YEARS] };
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
