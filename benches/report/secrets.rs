//! What it costs to put a secret into a request: a call with one request, with its secret from the environment and from a
//! file, next to a call with one plain step.

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
    let key = folder.join("key");
    std::fs::write(&key, "of-the-bench-alone\n").expect("written");
    let web = web::listening();
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
    let kinds = servers.iter().zip(&kinds);
    let kinds = kinds.map(|(server, (of, _, program))| Kind::of_program(of, server, program));
    compare(&Vec::from_iter(kinds)).0
}
