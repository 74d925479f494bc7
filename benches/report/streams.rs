//! What a megabyte costs that streams into a guest: a call with one such answer, and with one that is short, next to a call with
//! one plain step.

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
const MEGABYTE: usize = 1024 * 1024;

pub fn run(folder: &Path) -> Vec<Row> {
    let scratch = tempfile::tempdir_in(folder).expect("a folder");
    std::fs::write(scratch.path().join("interpreter.wasm"), component("interpreter")).expect("written");
    let web = listening();
    let grants = format!("[grants.interpreter]\nhttp = [\"http://127.0.0.1:{web}\"]\n");
    let request = |path: &str| {
        let url = format!("http://127.0.0.1:{web}{path}");
        json!([{ "op": "http", "request": { "method": "GET", "url": url } }])
    };
    // In the order in which they are measured in each round. The first is what the others are compared with.
    let kinds = [
        ("one step", json!([{ "op": "output", "name": "step", "text": "done" }])),
        ("one request", request("/short")),
        ("one request, a megabyte of answer streamed", request("/long")),
    ];
    let servers: Vec<Program> =
        kinds.iter().map(|_| Program::start(folder, scratch.path(), &grants, &[])).collect();
    let mut samples: Vec<Vec<Sample>> = kinds.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for ((server, (_, program)), samples) in servers.iter().zip(&kinds).zip(&mut samples) {
            let call = Call::new(server.address(), "run_program", json!({ "program": program }), "inline");
            samples.push(closed_loop(server.address(), 1, &call, "\"ops\":1", SPAN));
        }
    }
    let ratios: Vec<f64> = samples
        .iter()
        .map(|kind| median(kind.iter().zip(&samples[0]).map(|(this, first)| this.p50() / first.p50())))
        .collect();
    let rows = kinds.iter().zip(samples.into_iter().zip(ratios)).map(|((kind, _), (samples, ratio))| {
        let sample = Sample::merged(samples);
        Row::new(
            format!("a call of {kind}"),
            format!("p50 {}, p99 {}", shown(sample.p50()), shown(sample.p99())),
            format!("p50 {ratio:.2} times that of one step"),
        )
    });
    rows.collect()
}

/// A server that answers by the path alone, until the bench ends; its port.
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
    reader.read_line(&mut line)?;
    let length = if line.contains("/long") { MEGABYTE } else { 2 };
    line.clear();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    reader.get_mut().write_all(&[head.as_bytes(), &vec![b'x'; length]].concat())
}
