//! What a stranger's component costs others while it is compiled: their calls next to one compilation after another.

#[path = "../../tests/support/ballast.rs"]
mod ballast;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use ballast::ballast;

use crate::client::Call;
use crate::clients::closed_loop;
use crate::measure::{Row, Sample, shown};
use crate::program::Program;
use crate::server::component;

const SPAN: Duration = Duration::from_secs(4);
const ROUNDS: usize = 5;
/// Functions of a component, each of which keeps the compiler busy for some milliseconds.
const FUNCTIONS: usize = 300;

pub fn run(folder: &Path) -> Vec<Row> {
    let scratch = tempfile::tempdir_in(folder).expect("a folder");
    let tools = scratch.path().join("tools");
    std::fs::create_dir(&tools).expect("a folder");
    std::fs::write(tools.join("text_stats.wasm"), component("text_stats")).expect("written");
    let server = Program::start(folder, &tools, "", &["--trust"]);
    let call = Call::new(server.address(), "analyze", json!({ "text": "a few words" }), "inline");
    let calls = || closed_loop(server.address(), 1, &call, "\"words\":3", SPAN);

    let (mut calm, mut beside, mut compiled) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        calm.push(calls());
        let (is_over, before) = (AtomicBool::new(false), compiled.len());
        beside.push(std::thread::scope(|scope| {
            let compiling = scope.spawn(|| {
                let mut taken = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let number = before + taken.len();
                    let file = scratch.path().join(format!("heavy-{number}.wasm"));
                    std::fs::write(&file, heavy(number)).expect("written");
                    let began = Instant::now();
                    server.ask(&["tool", "add", file.to_str().expect("a path")]);
                    taken.push(began.elapsed());
                }
                taken
            });
            let sample = calls();
            is_over.store(true, Ordering::Relaxed);
            compiled.extend(compiling.join().expect("compiled"));
            sample
        }));
    }
    let (calm, beside) = (Sample::merged(calm), Sample::merged(beside));
    let longer = (beside.p99() - calm.p99()) / 1e3;
    let each = compiled.iter().sum::<Duration>().as_secs_f64() / compiled.len() as f64;
    vec![
        Row::new(
            format!("a quick call beside {} compilations of {each:.1} s, p99", compiled.len()),
            format!("p50 {}, p99 {}", shown(beside.p50()), shown(beside.p99())),
            format!("alone: p50 {}, p99 {}; {longer:.1} ms more", shown(calm.p50()), shown(calm.p99())),
        )
        .at_most(longer, 5.0),
    ]
}

/// Exports one function that takes no time, and has many others. Its digest and its name are others for each `number`.
fn heavy(number: usize) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $m (func (export "run") (result i32) i32.const {number}) {})
            (core instance $i (instantiate $m))
            (func (export "heavy-{number}") (result u32) (canon lift (core func $i "run"))))"#,
        ballast(FUNCTIONS)
    );
    wat::parse_str(text).expect("a component")
}
