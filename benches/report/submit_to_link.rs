//! What does a call cost until its link is there? The task is durable by then, and a WASM tool stands behind it.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::measure::{Row, Sample, fdatasyncs, median, rate, shown};
use crate::server::Server;

const ROUNDS: usize = 5;
const SPAN: Duration = Duration::from_millis(800);
const CONTROL: Duration = Duration::from_millis(400);
const CROWD: usize = 32;

pub fn run(folder: &Path) -> Vec<Row> {
    let server = Server::start(folder);
    let call = server.call("run_program", json!({ "program": [] }), "link");
    let (mut links, mut controls, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let control = fdatasyncs(folder, CONTROL);
        let link = server.closed_loop(1, &call, "resource_link", SPAN);
        server.settle();
        ratios.push(link.p50() / control.p50());
        controls.push(control);
        links.push(link);
    }
    let (control, link) = (Sample::merged(controls), Sample::merged(links));
    let ratio = median(ratios);
    let one = Row::new(
        "a call's link, 1 client",
        format!("p50 {}, p99 {}", shown(link.p50()), shown(link.p99())),
        format!("{ratio:.1} fdatasyncs of p50 {}", shown(control.p50())),
    )
    .at_most(ratio, 2.5);

    // The tasks that the calls begin run at the same time, to their end.
    let crowd = Sample::merged(
        (0..ROUNDS).map(|_| server.closed_loop(CROWD, &call, "resource_link", SPAN)).collect(),
    );
    server.settle();
    server.stop();
    let many = Row::new(
        format!("calls' links, {CROWD} clients"),
        format!("{}; p50 {}, p99 {}", rate(crowd.per_second()), shown(crowd.p50()), shown(crowd.p99())),
        "",
    )
    .at_least(crowd.per_second(), 3_000.0);
    vec![one, many]
}
