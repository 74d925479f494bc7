//! What a task costs the server's processors where many clients call: links until their tasks have ended, results inline,
//! ten steps. The server is a process of its own, and idle before each measurement.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Call;
use crate::clients::closed_loop;
use crate::crowds::every_call;
use crate::measure::{Row, Sample, median, rate, shown};
use crate::program::Program;
use crate::server::component;
use crate::usage::Usage;

const ROUNDS: usize = 4;
const SPAN: Duration = Duration::from_secs(1);
const CROWD: usize = 32;

/// What is asked of a server, and what its answer holds.
pub struct Asked {
    pub name: &'static str,
    pub call: Call,
    pub done: &'static str,
}

/// One measurement of it.
pub struct Spent {
    /// Of all calls, until they were answered.
    pub answers: Sample,
    /// Tasks that ended, until the last one had.
    pub ended_per_second: f64,
    /// Of the server, a task.
    pub processor_micros: f64,
}

/// The guests of these benches, in a folder for `--tools`.
pub fn tools(folder: &Path) {
    for name in ["interpreter", "text_stats"] {
        std::fs::write(folder.join(format!("{name}.wasm")), component(name)).expect("written");
    }
}

pub fn link(server: &Program) -> Asked {
    let call = Call::new(server.address(), "run_program", json!({ "program": [] }), "link");
    Asked { name: "calls' links, drained", call, done: "resource_link" }
}

pub fn inline(server: &Program) -> Asked {
    let call = Call::new(server.address(), "analyze", json!({ "text": "a few words" }), "inline");
    Asked { name: "trivial tool, result inline", call, done: "\"words\":3" }
}

pub fn ten_steps(server: &Program) -> Asked {
    let step = |n: usize| json!({ "op": "output", "name": format!("step-{n}"), "text": "done" });
    let program: Vec<Value> = (0..10).map(step).collect();
    let call = Call::new(server.address(), "run_program", json!({ "program": program }), "inline");
    Asked { name: "ten-step tasks", call, done: "\"ops\":10" }
}

/// After a warm-up; the server is idle before and after.
pub fn measure(server: &Program, clients: usize, asked: &Asked, span: Duration) -> Spent {
    // What it measures is dropped: its own warm-up is what counts.
    closed_loop(server.address(), clients, &asked.call, asked.done, Duration::from_millis(50));
    server.settle();
    let (before, start) = (Usage::of(server.pid()), Instant::now());
    let answers = every_call(server.address(), clients, &asked.call, asked.done, span);
    server.settle();
    let (spent, elapsed) = (Usage::of(server.pid()).since(&before).processor, start.elapsed());
    let tasks = answers.count() as f64;
    Spent {
        answers,
        ended_per_second: tasks / elapsed.as_secs_f64(),
        processor_micros: spent.as_secs_f64() * 1e6 / tasks,
    }
}

pub fn run(folder: &Path) -> Vec<Row> {
    let scratch = tempfile::tempdir_in(folder).expect("a folder");
    tools(scratch.path());
    let server = Program::start(folder, scratch.path(), "", &["--trust"]);
    let asked = [link(&server), inline(&server), ten_steps(&server)];
    let mut spent: Vec<Vec<Spent>> = asked.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (asked, spent) in asked.iter().zip(&mut spent) {
            spent.push(measure(&server, CROWD, asked, SPAN));
        }
    }
    let row = |(asked, spent): (&Asked, Vec<Spent>)| {
        let of = |figure: fn(&Spent) -> f64| median(spent.iter().map(figure));
        let p50 = of(|spent| spent.answers.p50());
        Row::new(
            format!("{}, {CROWD} clients, a process", asked.name),
            format!("{} ended; answer p50 {}", rate(of(|spent| spent.ended_per_second)), shown(p50)),
            format!("{} of the server's processor time each", shown(of(|spent| spent.processor_micros))),
        )
    };
    asked.iter().zip(spent).map(row).collect()
}
