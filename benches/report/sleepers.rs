//! What does a task cost that waits, for time or for a person: memory, also behind a `kill -9`, and a start over all of them?
//!
//! The program itself serves, in a process of its own, with its store's cache as it is by default. Its memory is that which is
//! no file's (`RssAnon`). `LONGHAUL_BENCH_SLEEPERS` sets how many there are of each kind. All of them are due at one time,
//! and the bench waits until all have ended.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use longhaul::limits;
use serde_json::{Value, json};

use crate::client::Call;
use crate::clients::closed_loop;
use crate::measure::{Row, micros, shown};
use crate::server::component;

const PROGRAM: &str = env!("CARGO_BIN_EXE_longhaul");
const SLEEPERS: u64 = 100_000;
const CLIENTS: usize = 32;
/// A slow machine makes and wakes so many a second.
const SLOWEST: u64 = 250;
/// All of them together, more than an idle server has.
const MOST_MIB: f64 = 100.0;
const SLOWEST_START_MS: f64 = 300.0;

pub fn run(folder: &Path) -> Vec<Row> {
    let count = crate::number("LONGHAUL_BENCH_SLEEPERS").unwrap_or(SLEEPERS);
    let tools = tempfile::tempdir_in(folder).expect("a folder");
    std::fs::write(tools.path().join("interpreter.wasm"), component("interpreter")).expect("written");
    let manifest = "name = \"interpreter\"\n[capabilities]\nelicit = true\n";
    std::fs::write(tools.path().join("interpreter.toml"), manifest).expect("written");
    let sleep = |left: Duration| json!([{ "op": "sleep", "ms": left.as_millis() as u64 }]);
    let ask = |left: Duration| json!([{ "op": "ask", "key": "a", "seconds": left.as_secs().max(1) }]);
    let kinds: [(&str, &dyn Fn(Duration) -> Value); 2] = [("sleep", &sleep), ("ask a person", &ask)];
    kinds.iter().flat_map(|(what, program)| of_kind(folder, tools.path(), count, what, program)).collect()
}

fn of_kind(
    folder: &Path,
    tools: &Path,
    count: u64,
    what: &str,
    program: &dyn Fn(Duration) -> Value,
) -> Vec<Row> {
    let scratch = tempfile::tempdir_in(folder).expect("a folder");
    let start = || Server::start(scratch.path(), tools);
    // The first one compiles.
    drop(start());
    let (server, idle_start) = start();
    let idle = server.own_kib();
    let due = SystemTime::now() + Duration::from_secs(60 + 2 * count / SLOWEST);
    while of(server.address, "longhaul_tasks_submitted_total") < count {
        let left = due.duration_since(SystemTime::now()).expect("all are made before they are due");
        let call = Call::new(server.address, "run_program", json!({ "program": program(left) }), "link");
        closed_loop(server.address, CLIENTS, &call, "task://", Duration::from_secs(1));
    }
    let made = of(server.address, "longhaul_tasks_submitted_total");
    until(server.address, "longhaul_tasks_resting", made);
    let grown = server.own_kib().saturating_sub(idle);
    drop(server);
    let (server, started) = start();
    until(server.address, "longhaul_tasks_resting", made);
    let again = server.own_kib().saturating_sub(idle);
    let (waiting, began) = (due.duration_since(SystemTime::now()).unwrap_or_default(), Instant::now());
    std::thread::sleep(waiting);
    until(server.address, "longhaul_tasks_ended_total{state=\"completed\"}", made);
    let woken = began.elapsed().saturating_sub(waiting).as_secs_f64();
    let cache = limits::STORE_CACHE_BYTES >> 20;
    let memory = |kib: u64, when: &str| {
        let mib = kib as f64 / 1024.0;
        Row::new(
            format!("{made} that {what}, {when}: memory"),
            format!("{mib:.0} MiB, {:.0} bytes each", kib as f64 * 1024.0 / made as f64),
            format!("an idle server's {} MiB; the store's cache may have {cache} MiB", idle >> 10),
        )
        .at_most(mib, MOST_MIB)
    };
    vec![
        memory(grown, "asleep"),
        memory(again, "after a kill -9"),
        Row::new(
            format!("{made} that {what}: a start behind a kill -9"),
            shown(micros(started)),
            format!("{} without any", shown(micros(idle_start))),
        )
        .at_most(started.as_secs_f64() * 1_000.0, SLOWEST_START_MS),
        Row::new(
            format!("{made} that {what}: all due at once"),
            format!("all ended within {woken:.1} s"),
            format!("{:.0} a second", made as f64 / woken.max(0.001)),
        ),
    ]
}

/// The program, over one data folder; it dies by a `kill -9`.
struct Server {
    child: Child,
    address: SocketAddr,
    /// What it says goes somewhere as long as it runs.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// With all its tools; and how long it took until it listened.
    fn start(folder: &Path, tools: &Path) -> (Self, Duration) {
        let file = folder.join("longhaul.toml");
        std::fs::write(&file, "[shares]\nmemory_mib = 4096\n").expect("written");
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--http", "127.0.0.1:0", "--json", "--trust", "--config"]).arg(file);
        command.arg("--data").arg(folder.join("data")).arg("--tools").arg(tools);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let began = Instant::now();
        let mut child = command.spawn().expect("a server");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut line = || -> Value {
            serde_json::from_str(&said.next().expect("a line").expect("text")).expect("a line of JSON")
        };
        let url = line()["url"].as_str().expect("an address").to_owned();
        let listened = began.elapsed();
        assert_eq!(line()["loaded"], true);
        let host = url.trim_start_matches("http://").trim_end_matches("/mcp");
        (Self { child, address: host.parse().expect("an address"), _said: said }, listened)
    }

    /// Memory of the process that is no file's, KiB.
    fn own_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(address: SocketAddr, name: &str, count: u64) {
    let patience = Duration::from_secs(120 + count / 50);
    let began = Instant::now();
    while of(address, name) < count {
        assert!(began.elapsed() < patience, "{name} is {} and not {count}", of(address, name));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What the server's metrics say.
fn of(address: SocketAddr, name: &str) -> u64 {
    let mut stream = TcpStream::connect(address).expect("a server");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("asked");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}
