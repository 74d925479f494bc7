//! Two hundred principals with fifty tools, each at a steady rate and then as fast as it is answered: how long it takes, what
//! memory that needs, and whether each has its part.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cores::Cores;
use crate::generator::Generator;
use crate::is_long;
use crate::place::Place;
use crate::support::scale;

const PRINCIPALS: usize = 200;
const TOOLS: usize = 50;
const MEMORY_MIB: u64 = 1024;
const BESIDES_MIB: u64 = 256;
/// Of Jain's index, which is 1 where all have the same.
const LEAST_FAIRNESS: f64 = 0.95;
const STEADY_P99: Duration = Duration::from_millis(25);
/// With all of them at once, each waits for all the others.
const HASTY_P99: Duration = Duration::from_secs(1);

/// How long, if it is to run at all: it is not for every run of the tests.
pub fn seconds() -> u64 {
    scale("LONGHAUL_CROWD_SECONDS", if is_long() { 600 } else { 0 })
}

pub fn run(cores: &Cores) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(crowd(cores, Duration::from_secs(seconds())));
}

async fn crowd(cores: &Cores, duration: Duration) {
    let place = Place::with_tools(cores, &format!("[shares]\nmemory_mib = {MEMORY_MIB}\n"), TOOLS);
    let callers: Vec<_> = (0..PRINCIPALS).map(|number| place.caller(&format!("p{number}"), 100)).collect();
    let tokens: Vec<&str> = callers.iter().map(|caller| &*caller.token).collect();
    let mut orders = callers[0].orders();
    orders["tokens"] = json!(tokens);
    orders["tools"] = json!(TOOLS);
    orders["phase_seconds"] = json!(duration.as_secs() / 2);
    let generator = Generator::start(cores, "crowd", &orders);
    // Its phases take as long as its orders say, and what it has asked for is answered.
    tokio::time::sleep(duration + Duration::from_secs(5)).await;
    let report = generator.end();
    let most_mib = place.server.most_resident_kib() >> 10;
    println!(
        "memory: {most_mib} MiB at most, {} may be; store {} MiB",
        MEMORY_MIB + BESIDES_MIB,
        place.store_mib()
    );
    let not_served: Vec<(&String, &Value)> = report["counts"]
        .as_object()
        .expect("counts")
        .iter()
        .filter(|(kind, _)| !kind.contains("served"))
        .collect();
    assert!(not_served.is_empty(), "{not_served:?}: {}", report["words"]);
    assert!(most_mib <= MEMORY_MIB + BESIDES_MIB, "the server had {most_mib} MiB");
    for (phase, most) in [("steady", STEADY_P99), ("hasty", HASTY_P99)] {
        let served =
            |number| report["counts"][format!("{phase} served {number}")].as_f64().unwrap_or_default();
        let counts: Vec<f64> = (0..PRINCIPALS).map(served).collect();
        let (sum, squares) = (counts.iter().sum::<f64>(), counts.iter().map(|n| n * n).sum::<f64>());
        let fairness = sum * sum / (PRINCIPALS as f64 * squares);
        let (least, largest) =
            (counts.iter().copied().fold(f64::MAX, f64::min), counts.iter().copied().fold(0.0, f64::max));
        let times = &report["times"][phase];
        println!(
            "{phase}: {sum} calls, {times}; Jain's index {fairness:.4}, from {least} to {largest} calls a principal"
        );
        assert!(fairness >= LEAST_FAIRNESS, "{phase}: {counts:?}");
        let p99 = Duration::from_micros(times["p99_us"].as_u64().expect("times"));
        assert!(cfg!(debug_assertions) || p99 <= most, "{phase}: p99 {p99:?}, {most:?} may be");
    }
}
