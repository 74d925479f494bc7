//! What a megabyte costs that streams into a guest: a call with one such answer, and with one that is short, next to a call with
//! one plain step.

use std::path::Path;

use serde_json::json;

use crate::measure::Row;
use crate::program::Program;
use crate::server::component;
use crate::turns::{Kind, compare};
use crate::web;

pub fn run(folder: &Path) -> Vec<Row> {
    let scratch = tempfile::tempdir_in(folder).expect("a folder");
    std::fs::write(scratch.path().join("interpreter.wasm"), component("interpreter")).expect("written");
    let web = web::listening();
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
    let kinds = servers.iter().zip(&kinds);
    let kinds = kinds.map(|(server, (of, program))| Kind::of_program(of, server, program));
    compare(&Vec::from_iter(kinds)).0
}
