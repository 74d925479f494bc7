//! What a disk may do to the engine's own rows: lose what was not synced, in any part and order; lie about what was;
//! fail at any call. The work is that of the table of refusals, each operation behind the other on one drive.

mod cuts;
mod faults;
mod lies;

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use super::refusals::bench::{Act, Bench};
use super::refusals::table::TABLE;
use super::refusals::{SETTLING, alone};
use super::*;
use crate::engine::questions::answer::{AnsweredVia, Given};
use crate::store::{AfterLie, Dice, Drive, Durability, Fault, Lie, Past, Space, StoreOptions};

/// Days that a task may need which waits for one thing after the other.
const DAYS: usize = 6;
/// What a guest does that comes out the same whenever it is done.
const SAME: [&str; 8] = ["record", "op", "note", "log", "progress", "output", "sleep", "checkpoint"];

/// Texts of the results of completed tasks, by what they are.
type Results = BTreeMap<String, BTreeSet<String>>;

/// What the engine did to one drive.
pub struct Story {
    pub name: &'static str,
    pub drive: Drive,
    options: StoreOptions,
    /// When it was over.
    wall: u64,
    results: Results,
}

/// Folds early, and in small slices.
fn small() -> StoreOptions {
    StoreOptions {
        max_unfolded_bytes: 16 * 1024,
        fold_slice_rows: 4,
        cache_bytes: 1024 * 1024,
        idle: Duration::from_secs(3_600),
        ..StoreOptions::default()
    }
}

/// Ways to keep a store, under each of which a part of the table is done.
fn ways() -> Vec<(&'static str, StoreOptions)> {
    let idle = StoreOptions { idle: Duration::from_micros(20), fold_slice_rows: 1, ..small() };
    vec![
        ("small", small()),
        ("strict", StoreOptions { durability: Durability::Strict, ..small() }),
        ("idle", idle),
        ("as it is", StoreOptions { cache_bytes: 1024 * 1024, ..StoreOptions::default() }),
    ]
}

impl Story {
    /// Of a drive that records.
    fn new(number: usize) -> Self {
        let (name, options) = ways()[number];
        let drive = Drive::recording().expect("a file");
        let (wall, results) =
            alone(async || check_image(&drive, options, number, ways().len()).await).expect(name);
        Self { name, drive, options, wall, results }
    }
}

/// One thread a processor; what they give, by the number of the story.
fn of_each_story<T: Send>(run: impl Fn(usize, Story) -> T + Sync) -> Vec<T> {
    let (next, done) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst) as usize;
                    if number >= ways().len() {
                        break;
                    }
                    let given = run(number, Story::new(number));
                    done.lock().push((number, given));
                }
            });
        }
    });
    let mut done = done.into_inner();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, given)| given).collect()
}

/// Every so manieth operation of the table, from the given one on.
async fn check_image(drive: &Drive, options: StoreOptions, number: usize, of: usize) -> (u64, Results) {
    let mut bench = Bench::on(drive.clone(), options, START).await.expect("an engine");
    let mut results = Results::new();
    for row in TABLE.iter().skip(number).step_by(of) {
        bench.gates.is_broken.store(true, Ordering::SeqCst);
        let acts = row.before.iter().chain([&row.act]).chain(&SETTLING).chain(row.after);
        for act in acts {
            // What the rows before have left may refuse it.
            let _ = bench.act(*act).await;
            bench.rest().await.unwrap_or_else(|error| panic!("{}: {act:?}: {error}", row.name));
        }
        add_results(&bench.engine, &mut results).await;
        bench.called.clear();
    }
    let wall = bench.engine.now();
    bench.engine.shutdown().await;
    (wall, results)
}

async fn add_results(engine: &TaskEngine, results: &mut Results) {
    for document in all(engine).await {
        let arguments = document.arguments.unwrap_or_default();
        let script = arguments["do"].as_str().unwrap_or_default();
        let is_same = script.split(", ").all(|verb| SAME.contains(&verb));
        if document.state.name() == "completed" && is_same {
            let id = document.id;
            let text = text(engine.result(&Principal::local(), id).await.expect("a result"));
            results.entry(format!("{} {script}", document.tool)).or_default().insert(text);
        }
    }
}

async fn all(engine: &TaskEngine) -> Vec<TaskView> {
    let (mut all, mut query) = (Vec::new(), TaskQuery::default());
    loop {
        let page = engine.tasks(&Principal::local(), &query).await.expect("a page");
        all.extend(page.tasks);
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return all,
        }
    }
}

/// The engine takes up what is there, and brings every task to its end.
async fn goes_on(story: &Story, drive: Drive, wall: u64) -> Result<(), String> {
    let mut bench = Bench::on(drive, story.options, wall).await.map_err(|error| error.to_string())?;
    bench.rest().await?;
    let mut seen = bench.contradictions(false);
    for _ in 0..DAYS {
        if bench.engine.shared.open_tasks().is_empty() {
            break;
        }
        for act in [Act::Let, Act::Pass(86_400)] {
            bench.act(act).await.map_err(|error| format!("{act:?}: {error}"))?;
            bench.rest().await?;
        }
        give_what_is_waited_for(&bench.engine).await;
        bench.rest().await?;
    }
    let open: Vec<TaskId> = bench.engine.shared.open_tasks().ids();
    for id in open {
        // Its parent's end may have taken it along.
        let _ = bench.engine.cancel(&Principal::local(), id, None).await;
    }
    for act in [Act::Let, Act::Pass(61), Act::Pass(61)] {
        bench.act(act).await.map_err(|error| format!("{act:?}: {error}"))?;
        bench.rest().await?;
    }
    seen.extend(bench.contradictions(false));
    for document in all(&bench.engine).await {
        let is_over = document.state.is_terminal();
        if !is_over || document.state.reason() == Some("diverged") {
            seen.push(format!("{} {:?}: {}", document.tool, document.arguments, document.state));
        }
    }
    let mut results = Results::new();
    add_results(&bench.engine, &mut results).await;
    for (what, texts) in results {
        if !story.results.get(&what).is_some_and(|known| texts.is_subset(known)) {
            seen.push(format!("{what} came to {texts:?}"));
        }
    }
    bench.engine.shutdown().await;
    if seen.is_empty() { Ok(()) } else { Err(seen.join("; ")) }
}

async fn give_what_is_waited_for(engine: &TaskEngine) {
    let local = Principal::local();
    for document in all(engine).await {
        let id = document.id;
        if !document.questions.is_empty() {
            let via = AnsweredVia { channel: "a test", is_person: true };
            let _ = engine.answer(&local, id, None, Given::Accept(json!({"n": 7})), via).await;
        }
        if document.state.reason() == Some("message") {
            let message = messages::Outgoing { name: "news".into(), payload: json!(1), key: None };
            let _ = engine.send(&local, id, message).await;
        }
        if let Some(step) = document.unknown_step {
            let _ = engine.resolve(&local, id, step, Resolution::Done(json!("it came"))).await;
        }
    }
}
