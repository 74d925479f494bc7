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
const RESTARTS: usize = 3;

/// What is asked of a store, as medians in microseconds.
struct Answers {
    submit: f64,
    list: f64,
    recover: f64,
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
    let mut answers = (Vec::new(), Vec::new());
    for _ in 0..RESTARTS {
        answers.0.push(runtime.block_on(ask(&small)));
        answers.1.push(runtime.block_on(ask(&large)));
    }
    let compared = |what: &str, of: fn(&Answers) -> f64| {
        let (few, most) = (median(answers.0.iter().map(of)), median(answers.1.iter().map(of)));
        Row::new(
            format!("{what}, {many} finished tasks"),
            shown(most),
            format!("{:.2} times the {} with {FEW}", most / few, shown(few)),
        )
        .at_most((most / few * 100.0).round() / 100.0, 1.5)
    };
    vec![
        compared("submit (durable), p50", |answers| answers.submit),
        compared("list the newest 100, p50", |answers| answers.list),
        compared("open to first submission", |answers| answers.recover),
    ]
}

async fn ask(folder: &Path) -> Answers {
    let began = Instant::now();
    let engine = filler::open(folder).await;
    engine.start().await.expect("started");
    filler::submit(&engine, RESULT_BYTES).await;
    let recover = micros(began.elapsed());
    let submit = repeat(async || {
        filler::submit(&engine, RESULT_BYTES).await;
    })
    .await;
    let list = repeat(async || newest(&engine)).await;
    engine.shutdown().await;
    Answers { submit, list, recover }
}

fn newest(engine: &TaskEngine) {
    let page = engine.tasks(&Principal::local(), &TaskQuery::default()).expect("a page");
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
