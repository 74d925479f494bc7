//! What it costs to put a secret into a request: a call with one request, with its secret from the environment and from a
//! file, next to a call with one plain step.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
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

pub fn run(folder: &Path) -> Vec<Row> {
    let scratch = tempfile::tempdir_in(folder).expect("a folder");
    std::fs::write(scratch.path().join("interpreter.wasm"), component("interpreter")).expect("written");
    let key = folder.join("key");
    std::fs::write(&key, "of-the-bench-alone\n").expect("written");
    let web = listening();
    let granted = |from: Option<String>| {
        let secret = from.map(|from| {
            format!("secrets = [{{ name = \"key\", host = \"127.0.0.1\", header = \"X-Key\", from = {from:?} }}]\n")
        });
        let secrets = secret.unwrap_or_default();
        format!("[grants.interpreter]\nhttp = [\"http://127.0.0.1:{web}\"]\n{secrets}")
    };
    let step = json!([{ "op": "output", "name": "step", "text": "done" }]);
    let request =
        json!([{ "op": "http", "request": { "method": "GET", "url": format!("http://127.0.0.1:{web}/") } }]);
    // In the order in which they are measured in each round. The first is what the others are compared with.
    let kinds = [
        ("one step", granted(None), &step),
        ("one request", granted(None), &request),
        // Any variable that is set and long enough would do.
        (
            "one request, its secret from the environment",
            granted(Some("env:CARGO_MANIFEST_DIR".into())),
            &request,
        ),
        ("one request, its secret from a file", granted(Some(format!("file:{}", key.display()))), &request),
    ];
    let servers: Vec<Program> =
        kinds.iter().map(|(_, grants, _)| Program::start(folder, scratch.path(), grants, &[])).collect();
    let mut samples: Vec<Vec<Sample>> = kinds.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for ((server, (_, _, program)), samples) in servers.iter().zip(&kinds).zip(&mut samples) {
            let call = Call::new(server.address(), "run_program", json!({ "program": program }), "inline");
            samples.push(closed_loop(server.address(), 1, &call, "\"ops\":1", SPAN));
        }
    }
    let ratios: Vec<f64> = samples
        .iter()
        .map(|kind| median(kind.iter().zip(&samples[0]).map(|(this, first)| this.p50() / first.p50())))
        .collect();
    let rows = kinds.iter().zip(samples.into_iter().zip(ratios)).map(|((kind, _, _), (samples, ratio))| {
        let sample = Sample::merged(samples);
        Row::new(
            format!("a call of {kind}"),
            format!("p50 {}, p99 {}", shown(sample.p50()), shown(sample.p99())),
            format!("p50 {ratio:.2} times that of one step"),
        )
    });
    rows.collect()
}

/// A server that answers every request alike, until the bench ends; its port.
fn listening() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || drop(answer(connection)));
        }
    });
    port
}

fn answer(connection: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
}
