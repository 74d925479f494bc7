//! What a megabyte costs that streams into a guest: a call with one such answer, and with one that is short, next to a call with
//! one plain step.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use serde_json::json;

use crate::measure::Row;
use crate::program::Program;
use crate::server::component;
use crate::turns::{Kind, compare};

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
    let kinds = servers.iter().zip(&kinds).map(|(server, (of, program))| Kind {
        of,
        server,
        tool: "run_program",
        arguments: json!({ "program": program }),
        says: "\"ops\":1",
    });
    compare(&Vec::from_iter(kinds)).0
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
