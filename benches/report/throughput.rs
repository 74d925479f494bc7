//! Whole tasks, from the call to the result in the caller's hand: ten steps, and a tool that just computes.
//!
//! A step is one awaited effect on our own store, one commit: here an output, written before the guest goes on.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::measure::{Row, Sample, fdatasyncs, median, rate, shown};
use crate::server::Server;

const ROUNDS: usize = 4;
const SPAN: Duration = Duration::from_millis(1_000);
const CONTROL: Duration = Duration::from_millis(300);
const CROWD: usize = 32;

pub fn run(folder: &Path) -> Vec<Row> {
    let server = Server::start(folder);
    let steps: Vec<Value> = (0..10)
        .map(|step| json!({ "op": "output", "name": format!("step-{step}"), "text": "done" }))
        .collect();
    let ten = server.call("run_program", json!({ "program": steps }), "inline");
    let ten_done = "\"ops\":10";
    let trivial = server.call("analyze", json!({ "text": "a few words" }), "inline");
    let trivial_done = "\"words\":3";

    let (mut tasks, mut controls, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let control = fdatasyncs(folder, CONTROL);
        let task = server.closed_loop(1, &ten, ten_done, SPAN);
        ratios.push(task.p50() / control.p50());
        controls.push(control);
        tasks.push(task);
    }
    let (control, task) = (Sample::merged(controls), Sample::merged(tasks));
    let ratio = median(ratios);
    let mut rows = vec![
        Row::new(
            "ten-step task, 1 client",
            format!("p50 {}, p99 {}", shown(task.p50()), shown(task.p99())),
            format!("{ratio:.1} fdatasyncs of p50 {}", shown(control.p50())),
        )
        .at_most(ratio, 17.0),
    ];
    let mut many = |what: String, clients, call, done, goal: Option<f64>| {
        let sample =
            Sample::merged((0..ROUNDS).map(|_| server.closed_loop(clients, call, done, SPAN)).collect());
        let measured = format!(
            "{}; p50 {}, p99 {}",
            rate(sample.per_second()),
            shown(sample.p50()),
            shown(sample.p99())
        );
        let row = Row::new(what, measured, "");
        rows.push(match goal {
            Some(goal) => row.at_least(sample.per_second(), goal),
            None => row,
        });
    };
    many(format!("ten-step tasks, {CROWD} clients"), CROWD, &ten, ten_done, Some(1_000.0));
    many("trivial tool, result inline, 1 client".to_owned(), 1, &trivial, trivial_done, None);
    many(format!("trivial tool, result inline, {CROWD} clients"), CROWD, &trivial, trivial_done, None);
    server.stop();
    rows
}
