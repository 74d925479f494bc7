//! What the walls cost a call: without them, behind Landlock and seccomp, and with its guest in a worker process.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::client::Call;
use crate::clients::closed_loop;
use crate::measure::{Row, Sample, median, shown};
use crate::program::Program;
use crate::server::component;

const ROUNDS: usize = 10;
const SPAN: Duration = Duration::from_secs(1);
/// In the order in which they are measured in each round. The first is what the others are compared with.
const KINDS: [(&str, &str); 3] = [
    ("without walls", "[engine]\nwalls = \"off\"\n"),
    ("behind Landlock and seccomp", "[engine]\nwalls = \"required\"\n"),
    ("the guest in a worker process too", "[engine]\nwalls = \"required\"\nisolate = \"process\"\n"),
];

pub fn run(folder: &Path) -> Vec<Row> {
    let scratch = tempfile::tempdir_in(folder).expect("a folder");
    std::fs::write(scratch.path().join("interpreter.wasm"), component("interpreter")).expect("written");
    let servers: Vec<Program> = KINDS
        .iter()
        .map(|(_, configuration)| Program::start(folder, scratch.path(), configuration, &[]))
        .collect();
    let output = |n: usize| json!({ "op": "output", "name": format!("step-{n}"), "text": "done" });
    let mut rows = Vec::new();
    for steps in [0, 10] {
        let arguments = json!({ "program": (0..steps).map(output).collect::<Vec<_>>() });
        let done = format!("\"ops\":{steps}");
        let mut samples: Vec<Vec<Sample>> = KINDS.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for (server, samples) in servers.iter().zip(&mut samples) {
                let call = Call::new(server.address(), "run_program", arguments.clone(), "inline");
                samples.push(closed_loop(server.address(), 1, &call, &done, SPAN));
            }
        }
        let ratios: Vec<f64> = samples
            .iter()
            .map(|kind| median(kind.iter().zip(&samples[0]).map(|(this, first)| this.p50() / first.p50())))
            .collect();
        for ((kind, _), (samples, ratio)) in KINDS.iter().zip(samples.into_iter().zip(ratios)) {
            let sample = Sample::merged(samples);
            rows.push(Row::new(
                format!("a call of {steps} steps, {kind}"),
                format!("p50 {}, p99 {}", shown(sample.p50()), shown(sample.p99())),
                format!("p50 {ratio:.2} times that without walls"),
            ));
        }
    }
    rows
}
