//! What does a fresh instance cost for each attempt, next to wasmtime alone with the same component, pooled too?
//!
//! Ours comes with its world (journal, clocks, seeded randomness, limits, standard streams); wasmtime's has none:
//! its imports trap.

use std::path::Path;
use std::time::{Duration, Instant};

use longhaul::limits;
use longhaul::sandbox::{Sandbox, SandboxOptions};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use crate::measure::{Row, Sample, median, micros};
use crate::server::component;

const ROUNDS: usize = 5;
const TIMES: usize = 2_000;

pub fn run(_folder: &Path) -> Vec<Row> {
    let runtime = crate::runtime();
    let sandbox = Sandbox::new(SandboxOptions::default()).expect("a sandbox");
    let bytes = component("interpreter");
    let alone = alone(&bytes);
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let own = runtime.block_on(sandbox.instantiate(bytes.clone(), TIMES)).expect("instantiated");
        let own = Sample::new(own.into_iter().map(micros).collect(), Duration::from_secs(1));
        let bare = runtime.block_on(instantiate(&alone));
        ratios.push(own.p50() / bare.p50());
        ours.push(own);
        theirs.push(bare);
    }
    let (ours, theirs, ratio) = (Sample::merged(ours), Sample::merged(theirs), median(ratios));
    vec![
        Row::new(
            "an attempt's instance, made and dropped",
            format!("p50 {:.1} us, p99 {:.1} us", ours.p50(), ours.p99()),
            format!("{ratio:.2} times wasmtime alone, p50 {:.1} us", theirs.p50()),
        )
        .at_most((ratio * 100.0).round() / 100.0, 1.5),
    ]
}

fn alone(bytes: &[u8]) -> InstancePre<()> {
    let mut pool = PoolingAllocationConfig::default();
    pool.max_memory_size((limits::MAX_MEMORY_MIB << 20) as usize)
        .total_stacks(limits::MAX_LIVE_INSTANCES as u32)
        .total_memories(limits::MAX_LIVE_INSTANCES as u32)
        .total_tables(limits::MAX_LIVE_INSTANCES as u32);
    let mut config = Config::new();
    config.epoch_interruption(true).concurrency_support(false);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config).expect("an engine");
    let component = Component::new(&engine, bytes).expect("a component");
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&component).expect("imports");
    linker.instantiate_pre(&component).expect("linked")
}

async fn instantiate(pre: &InstancePre<()>) -> Sample {
    let mut taken = Vec::with_capacity(TIMES);
    let start = Instant::now();
    for _ in 0..TIMES {
        let began = Instant::now();
        let mut store = Store::new(pre.engine(), ());
        store.set_epoch_deadline(1);
        pre.instantiate_async(&mut store).await.expect("an instance");
        drop(store);
        taken.push(micros(began.elapsed()));
    }
    Sample::new(taken, start.elapsed())
}
