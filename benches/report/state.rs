//! What does shared state cost, compared with the journal's own records, by the same door of the same engine?
//!
//! Writers on entries of their own, the same writers on one entry by compare-and-set, and reads; against them the
//! store alone with rows as large, one batch each. All take turns, and only the ratio means anything.

use std::path::Path;
use std::sync::Arc;

use longhaul::authority::Principal;
use longhaul::engine::closures::Closures;
use longhaul::engine::{EngineError, EngineOptions, StateError, StateWrite, TaskEngine};

use crate::journal;
use crate::measure::{Row, Sample, median, rate, shown};

const ROUNDS: usize = 3;

pub fn run(folder: &Path) -> Vec<Row> {
    let runtime = crate::runtime();
    let mut rows = Vec::new();
    for writers in [1, 256] {
        let (mut stores, mut all) = (Vec::new(), [const { Vec::new() }; 3]);
        let mut shares = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            let scratch = tempfile::tempdir_in(folder).expect("a folder");
            let store = runtime.block_on(journal::of_store(&scratch.path().join("store"), writers));
            for (number, mode) in [Mode::Put, Mode::Race, Mode::Get].into_iter().enumerate() {
                let path = scratch.path().join(format!("engine-{number}"));
                let sample = runtime.block_on(of_engine(&path, writers, mode));
                shares[number].push(100.0 * sample.per_second() / store.per_second());
                all[number].push(sample);
            }
            stores.push(store);
        }
        let store = Sample::merged(stores);
        let seen = |sample: &Sample| {
            format!("{}; p50 {}, p99 {}", rate(sample.per_second()), shown(sample.p50()), shown(sample.p99()))
        };
        let who = if writers == 1 { "1 agent".to_owned() } else { format!("{writers} agents") };
        let what = ["put, own entries", "compare-and-set, one entry", "get, own entries"];
        for ((what, samples), shares) in what.into_iter().zip(all).zip(shares) {
            rows.push(Row::new(
                format!("shared state, {what}, {who}"),
                seen(&Sample::merged(samples)),
                format!("{:.0} % of the store's bare {}", median(shares), seen(&store)),
            ));
        }
    }
    rows
}

#[derive(Clone, Copy)]
enum Mode {
    Put,
    Race,
    Get,
}

async fn of_engine(folder: &Path, writers: usize, mode: Mode) -> Sample {
    let engine = TaskEngine::open(folder, Arc::new(Closures::new()), EngineOptions::default()).await;
    let engine = engine.expect("an engine");
    let value = format!("\"{}\"", "x".repeat(journal::RECORD_BYTES - 2));
    for writer in 0..writers {
        let first = vec![StateWrite::put(format!("own-{writer}"), value.clone())];
        engine.state_write(&Principal::local(), "bench", first).await.expect("written");
    }
    let sample = journal::closed_loop(writers, |writer| {
        let (engine, value) = (engine.clone(), value.clone());
        move || {
            let (engine, value) = (engine.clone(), value.clone());
            async move {
                let local = Principal::local();
                let own = format!("own-{writer}");
                match mode {
                    Mode::Put => {
                        let put = vec![StateWrite::put(own, value)];
                        engine.state_write(&local, "bench", put).await.expect("written");
                    }
                    Mode::Get => {
                        engine.state_get(&local, "bench", &own).await.expect("read").expect("there");
                    }
                    // One operation is one that succeeds.
                    Mode::Race => loop {
                        let entry = engine.state_get(&local, "bench", "one").await.expect("read");
                        let version = entry.map_or(0, |entry| entry.version);
                        let put = StateWrite::put("one", value.clone()).if_version(Some(version));
                        match engine.state_write(&local, "bench", vec![put]).await {
                            Ok(_) => break,
                            Err(EngineError::State(StateError::Conflict { .. })) => {}
                            Err(error) => panic!("{error}"),
                        }
                    },
                }
            }
        }
    })
    .await;
    engine.shutdown().await;
    sample
}
