//! What a file of a granted folder costs to read: a call of a program that reads one, and of the same program that reads
//! seventeen, next to a call with one plain step. A read by `std` is an open, a look at its size, the bytes and the end.

use std::path::Path;

use serde_json::json;

use crate::measure::Row;
use crate::program::Program;
use crate::server::component;
use crate::turns::{Kind, compare};

const FILE: [u8; 4_096] = [b'x'; 4_096];
const MORE: usize = 16;

pub fn run(folder: &Path) -> Vec<Row> {
    let scratch = tempfile::tempdir_in(folder).expect("a folder");
    let tools = scratch.path().join("tools");
    std::fs::create_dir(&tools).expect("a folder");
    for name in ["interpreter", "file_read"] {
        std::fs::write(tools.join(format!("{name}.wasm")), component(name)).expect("written");
    }
    let granted = |files: usize| {
        let path = scratch.path().join(format!("files-{files}"));
        std::fs::create_dir(&path).expect("a folder");
        for number in 0..files {
            std::fs::write(path.join(number.to_string()), FILE).expect("written");
        }
        let path = path.canonicalize().expect("a path");
        let file = format!("{{ slot = \"in\", at = \"/in\", access = \"read\", path = {path:?} }}");
        Program::start(folder, &tools, &format!("[grants.file_read]\nfiles = [{file}]\n"), &[])
    };
    let (one, many) = (granted(1), granted(1 + MORE));
    let step = json!({ "program": [{ "op": "output", "name": "step", "text": "done" }] });
    // In the order in which they are measured in each round. The first is what the others are compared with.
    let kinds = [
        ("one step", &one, "run_program", step, "\"ops\":1"),
        ("a program that reads one file of 4 KiB", &one, "file_read", json!({}), "read 1"),
        ("a program that reads 17 files of 4 KiB", &many, "file_read", json!({}), "read 17"),
    ];
    let kinds = kinds.map(|(of, server, tool, arguments, says)| Kind { of, server, tool, arguments, says });
    let (mut rows, ratios) = compare(&kinds);
    let each = (ratios[2] - ratios[1]) / MORE as f64;
    rows.push(Row::new(
        "one more file read".to_owned(),
        format!("{each:.3} of a call of one step"),
        "the difference of the two above".to_owned(),
    ));
    rows
}
