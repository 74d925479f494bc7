//! Every bench in one report, with the machine's facts and, next to each figure, what it is compared with in the
//! same run: `cargo bench --bench report`. About an hour, of which `sleepers` is half; loopback only.
//!
//! `-- journal restart` runs only those, and `-- growth` how cost grows, which is not among what runs unnamed and is written
//! into docs/speed.md with `LONGHAUL_BENCH_WRITE=1`. `LONGHAUL_BENCH_STORE_MIB=1024` and `LONGHAUL_BENCH_TASKS=1000000` set
//! the sizes of the stores. Without default features the benches that need no WASM and no HTTP are left.
// What a bench cannot set up, it may die of.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod children;
#[cfg(all(feature = "sandbox", feature = "mcp"))]
mod client;
#[cfg(all(feature = "sandbox", feature = "mcp"))]
mod clients;
#[cfg(feature = "cli")]
mod compiling;
#[cfg(feature = "cli")]
mod crowds;
#[cfg(feature = "mcp")]
mod fan_out;
#[cfg(feature = "cli")]
mod files;
mod filler;
#[cfg(feature = "cli")]
mod growth;
mod history;
#[cfg(all(feature = "sandbox", feature = "mcp"))]
mod instantiate;
mod journal;
mod machine;
mod measure;
#[cfg(feature = "cli")]
mod model;
#[cfg(all(feature = "sandbox", feature = "mcp"))]
mod neighbours;
#[cfg(feature = "cli")]
mod plot;
#[cfg(feature = "cli")]
mod polling;
#[cfg(feature = "cli")]
mod processor;
#[cfg(feature = "cli")]
mod program;
mod questions;
mod restart;
#[cfg(feature = "cli")]
mod secrets;
#[cfg(all(feature = "sandbox", feature = "mcp"))]
mod server;
#[cfg(feature = "cli")]
mod sleepers;
mod state;
#[cfg(feature = "cli")]
mod streams;
#[cfg(all(feature = "sandbox", feature = "mcp"))]
mod submit_to_link;
#[cfg(all(feature = "sandbox", feature = "mcp"))]
mod throughput;
#[cfg(feature = "cli")]
mod turns;
#[cfg(feature = "cli")]
mod usage;
#[cfg(feature = "cli")]
mod walls;
#[cfg(feature = "cli")]
mod web;

use std::path::Path;
use std::time::{Duration, Instant};

use measure::{Row, fdatasyncs, shown};

type Question = (&'static str, fn(&Path) -> Vec<Row>);

const QUESTIONS: &[Question] = &[
    #[cfg(all(feature = "sandbox", feature = "mcp"))]
    ("submit_to_link", submit_to_link::run),
    #[cfg(all(feature = "sandbox", feature = "mcp"))]
    ("throughput", throughput::run),
    #[cfg(feature = "cli")]
    ("processor", processor::run),
    #[cfg(all(feature = "sandbox", feature = "mcp"))]
    ("instantiate", instantiate::run),
    #[cfg(all(feature = "sandbox", feature = "mcp"))]
    ("neighbours", neighbours::run),
    #[cfg(feature = "cli")]
    ("compiling", compiling::run),
    #[cfg(feature = "cli")]
    ("walls", walls::run),
    #[cfg(feature = "cli")]
    ("secrets", secrets::run),
    #[cfg(feature = "cli")]
    ("files", files::run),
    #[cfg(feature = "cli")]
    ("streams", streams::run),
    #[cfg(feature = "cli")]
    ("polling", polling::run),
    #[cfg(feature = "mcp")]
    ("fan_out", fan_out::run),
    ("journal", journal::run),
    ("state", state::run),
    ("children", children::run),
    ("questions", questions::run),
    ("restart", restart::run),
    #[cfg(feature = "cli")]
    ("sleepers", sleepers::run),
    ("history", history::run),
];

/// What is run only where it is named.
const NAMED: &[Question] = &[
    #[cfg(feature = "cli")]
    ("growth", growth::run),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    #[cfg(feature = "mcp")]
    if arguments.first().is_some_and(|first| first == fan_out::CHILD) {
        return fan_out::child();
    }
    #[cfg(feature = "cli")]
    if arguments.first().is_some_and(|first| first == model::CHILD) {
        return model::child();
    }
    if let Some((restart::CHILD, rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest))
    {
        return restart::child(rest);
    }
    let questions = || QUESTIONS.iter().chain(NAMED);
    if let Some(unknown) = arguments.iter().find(|word| questions().all(|(name, _)| name != word)) {
        let names: Vec<&str> = questions().map(|(name, _)| *name).collect();
        eprintln!("there is no bench '{unknown}'; there are: {}", names.join(", "));
        std::process::exit(2);
    }
    let start = Instant::now();
    // A folder of Cargo's, so that it is on a disk: /tmp is often memory, where a sync costs nothing.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for fact in machine::facts(folder) {
        println!("{fact}");
    }
    let control = fdatasyncs(folder, Duration::from_secs(1));
    println!("fdatasync of a 4 KiB append: p50 {}, p99 {}", shown(control.p50()), shown(control.p99()));
    if control.p50() > 1_000.0 {
        println!("NOTE: that is slow; either the disk is, or the machine is busy with other work");
    }
    println!();
    println!("{:<58} {:<42} {:<60} goal", "question", "measured", "compared with");
    let all = if arguments.is_empty() { QUESTIONS.len() } else { 0 };
    for (number, (name, run)) in questions().enumerate() {
        if number < all || arguments.iter().any(|word| word == name) {
            for row in run(folder) {
                tell(&row);
            }
        }
    }
    println!("\ntook {:.0} s", start.elapsed().as_secs_f64());
}

fn tell(row: &Row) {
    let Row { what, measured, compared, goal } = row;
    let goal = goal.as_ref().map_or(String::new(), |goal| {
        format!("{} {}", goal.words(), if goal.is_met() { "met" } else { "MISSED" })
    });
    println!("{what:<58} {measured:<42} {compared:<60} {goal}");
}

/// As `serve` has it.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

/// A setting from the environment.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}
