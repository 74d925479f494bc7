//! This program once more, as a hostile caller: what it is to do stands in the first line that it reads, and it goes on
//! until its standard input ends, be it that whatever started it is gone.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cores::Cores;
use crate::hostile;
use crate::support::Timing;

/// The first word of such a process.
pub const ROLE: &str = "hostile";
/// No hostile caller goes on for longer, whatever became of what started it.
const LONGEST: Duration = Duration::from_secs(1_800);

pub struct Generator {
    process: Child,
    orders: Option<ChildStdin>,
    kind: String,
}

impl Generator {
    /// Starts a hostile caller of this kind.
    pub fn start(cores: &Cores, kind: &str, orders: &Value) -> Self {
        Self::start_by(&cores.for_hostile(), kind, orders)
    }

    /// The same, run by these words.
    pub fn start_by(words: &[String], kind: &str, orders: &Value) -> Self {
        let this = std::env::current_exe().expect("this program");
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(this).args([ROLE, kind]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("nice and taskset");
        let mut stdin = process.stdin.take().expect("its standard input");
        writeln!(stdin, "{orders}").expect("orders are read");
        Self { process, orders: Some(stdin), kind: kind.to_owned() }
    }

    /// Ends it; what it has seen.
    pub fn end(mut self) -> Value {
        drop(self.orders.take());
        let mut said = String::new();
        self.process.stdout.take().expect("its output").read_to_string(&mut said).expect("text");
        let status = self.process.wait().expect("it was ours");
        assert!(status.success(), "{}: {status}", self.kind);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{}: {error} in {said:?}", self.kind))
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a hostile caller counts.
#[derive(Clone, Default)]
pub struct Counts(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    counts: BTreeMap<String, u64>,
    /// Words of the first of each kind.
    words: BTreeMap<String, String>,
    acknowledged: Vec<String>,
    times: BTreeMap<String, Vec<Duration>>,
}

/// So many of the tasks that were acknowledged are remembered, the newest.
const REMEMBERED: usize = 300;

impl Counts {
    /// Counts one thing of a kind.
    pub fn add(&self, kind: &str, words: &str) {
        let mut seen = self.0.lock().expect("counts");
        *seen.counts.entry(kind.to_owned()).or_default() += 1;
        if !words.is_empty() && !seen.words.contains_key(kind) {
            seen.words.insert(kind.to_owned(), words.chars().take(300).collect());
        }
    }

    pub fn acknowledge(&self, task: &str) {
        let mut seen = self.0.lock().expect("counts");
        if seen.acknowledged.len() >= REMEMBERED {
            seen.acknowledged.remove(0);
        }
        seen.acknowledged.push(task.to_owned());
    }

    pub fn time(&self, kind: &str, time: Duration) {
        self.0.lock().expect("counts").times.entry(kind.to_owned()).or_default().push(time);
    }

    fn report(&self) -> Value {
        let seen = self.0.lock().expect("counts");
        let times = seen.times.iter().map(|(kind, times)| {
            let times: Timing = times.iter().copied().collect();
            let us = |percent| times.percentile(percent).as_micros() as u64;
            (kind.clone(), json!({"p50_us": us(50), "p99_us": us(99)}))
        });
        let times: serde_json::Map<String, Value> = times.collect();
        json!({"counts": seen.counts, "words": seen.words, "acknowledged": seen.acknowledged, "times": times})
    }
}

/// The process of a hostile caller.
pub fn run(kind: &str) {
    let mut lines = BufReader::new(std::io::stdin());
    let mut line = String::new();
    lines.read_line(&mut line).expect("orders");
    let orders: Value = serde_json::from_str(&line).expect("orders");
    let counts = Counts::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // Nothing more comes.
        let _ = lines.read_line(&mut String::new());
        drop(ended);
    });
    let began = Instant::now();
    runtime.block_on(async {
        tokio::select! {
            () = hostile::act(kind, &orders, &counts) => {}
            _ = end => {}
            () = tokio::time::sleep(LONGEST) => {}
        }
    });
    let mut report = counts.report();
    report["seconds"] = json!(began.elapsed().as_secs());
    println!("{report}");
    // Connections that are half open are not waited for.
    std::process::exit(0);
}
