//! What a guest that computes without end costs: its neighbours' calls while it spins, and how far past its bound it
//! gets.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::measure::{Row, Sample, shown};
use crate::server::{SPIN, Server};

const SPAN: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;
/// Ten ends of a spinner that may compute for a second.
const BOUNDED_SPAN: Duration = Duration::from_millis(10_500);

pub fn run(folder: &Path) -> Vec<Row> {
    let server = Server::start(folder);
    let quick = server.call("analyze", json!({ "text": "a few words" }), "inline");
    let calls = |server: &Server| server.closed_loop(1, &quick, "\"words\":3", SPAN);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let without_end = json!({ "program": [{ "op": "compute", "rounds": 1_u64 << 50 }] });

    let (mut alone, mut crowded) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(calls(&server));
        let spinners = server.begin("run_program", &without_end, cores);
        crowded.push(calls(&server));
        server.cancel(&spinners);
    }
    let (alone, crowded) = (Sample::merged(alone), Sample::merged(crowded));
    let mut rows = vec![
        Row::new(
            format!("a quick call beside {cores} spinners, p99 in ms"),
            format!("p50 {}, p99 {}", shown(crowded.p50()), shown(crowded.p99())),
            format!("alone: p50 {}, p99 {}", shown(alone.p50()), shown(alone.p99())),
        )
        .at_most(crowded.p99() / 1e3, 25.0),
    ];
    let spin = server.call(SPIN, json!({}), "inline");
    let ends = server.closed_loop(1, &spin, "run_seconds", BOUNDED_SPAN);
    let past = |micros: f64| micros - 1e6;
    rows.push(
        Row::new(
            "a spinner's end past run_seconds = 1, longest in ms",
            format!("p50 {}, longest {}", shown(past(ends.p50())), shown(past(ends.longest()))),
            "",
        )
        .at_most(past(ends.longest()) / 1e3, 100.0),
    );
    server.stop();
    rows
}
