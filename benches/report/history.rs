//! Is a store with many finished tasks as fast as one with a thousand?

use std::path::Path;
use std::time::{Duration, Instant};

use longhaul::authority::Principal;
use longhaul::engine::{TaskEngine, TaskQuery};

use crate::filler;
use crate::measure::{Row, Sample, median, micros, shown};

const FEW: u64 = 1_000;
const MANY: u64 = 100_000;
const RESULT_BYTES: u64 = 100;
const SPAN: Duration = Duration::from_millis(1_500);
const ROUNDS: usize = 3;
/// More than rounds: each is over in a millisecond, and what it takes varies.
const RESTARTS: usize = 51;

/// A figure with few tasks, and with many.
type Pairs = Vec<[f64; 2]>;

/// What is asked of a store, as medians in microseconds.
struct Answers {
    submit: f64,
    list: f64,
}

pub fn run(folder: &Path) -> Vec<Row> {
    let runtime = crate::runtime();
    let many = crate::number("LONGHAUL_BENCH_TASKS").unwrap_or(MANY);
    let scratch = tempfile::tempdir_in(folder).expect("a folder");
    let (small, large) = (scratch.path().join("few"), scratch.path().join("many"));
    runtime.block_on(async {
        for (folder, tasks) in [(&small, FEW), (&large, many)] {
            let engine = filler::open(folder).await;
            engine.start().await.expect("started");
            filler::fill(&engine, tasks, RESULT_BYTES).await;
            engine.shutdown().await;
        }
    });
    // In turns, so that what else the machine does falls on both.
    let (mut submits, mut lists, mut opens) = (Pairs::new(), Pairs::new(), Pairs::new());
    for _ in 0..RESTARTS {
        opens.push([&small, &large].map(|folder| runtime.block_on(reopen(folder))));
    }
    for _ in 0..ROUNDS {
        let answers = [&small, &large].map(|folder| runtime.block_on(ask(folder)));
        submits.push(answers.each_ref().map(|answers| answers.submit));
        lists.push(answers.each_ref().map(|answers| answers.list));
    }
    let compared = |what: &str, pairs: Pairs| {
        let [few, most] = [0, 1].map(|which| median(pairs.iter().map(|pair| pair[which])));
        Row::new(
            format!("{what}, {many} finished tasks"),
            shown(most),
            format!("{:.2} times the {} with {FEW}", most / few, shown(few)),
        )
        .at_most((most / few * 100.0).round() / 100.0, 1.5)
    };
    vec![
        compared("submit (durable), p50", submits),
        compared("list the newest 100, p50", lists),
        compared("open to first submission", opens),
    ]
}

async fn reopen(folder: &Path) -> f64 {
    let began = Instant::now();
    let engine = filler::open(folder).await;
    engine.start().await.expect("started");
    filler::submit(&engine, RESULT_BYTES).await;
    let taken = micros(began.elapsed());
    engine.shutdown().await;
    taken
}

async fn ask(folder: &Path) -> Answers {
    let engine = filler::open(folder).await;
    engine.start().await.expect("started");
    let submit = repeat(async || {
        filler::submit(&engine, RESULT_BYTES).await;
    })
    .await;
    let list = repeat(async || newest(&engine).await).await;
    engine.shutdown().await;
    Answers { submit, list }
}

async fn newest(engine: &TaskEngine) {
    let page = engine.tasks(&Principal::local(), &TaskQuery::default()).await.expect("a page");
    assert_eq!(page.tasks.len(), 100);
}

async fn repeat(act: impl AsyncFn()) -> f64 {
    let (start, mut taken) = (Instant::now(), Vec::new());
    while start.elapsed() < SPAN {
        let began = Instant::now();
        act().await;
        taken.push(micros(began.elapsed()));
    }
    Sample::new(taken, start.elapsed()).p50()
}
