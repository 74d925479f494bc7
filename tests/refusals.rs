//! What cannot work is refused in words that say what, where and what to do next, and nothing is lost by it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Server, guest};

/// The words of a server that must not start.
fn refused(data: &Path, tools: &[PathBuf]) -> String {
    match Server::start_with(data, tools, &[]) {
        Ok(_) => panic!("the server started"),
        Err(words) => words,
    }
}

fn longhaul(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    command.args(arguments).current_dir(std::env::temp_dir()).output().expect("longhaul runs")
}

fn says(words: &str, parts: &[&str]) {
    for part in parts {
        assert!(words.contains(part), "{part:?} is not in:\n{words}");
    }
}

#[test]
fn files_that_are_no_components_are_refused_by_name() {
    let root = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = root.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path
    };
    let text = write("text.wasm", b"not wasm at all");
    let module = write("module.wasm", &wat::parse_str("(module)").expect("a module"));
    let p3 = "(component (import \"wasi:cli/environment@0.3.0\" (instance)))";
    let p3 = write("p3.wasm", &wat::parse_str(p3).expect("a component"));
    let data = root.path().join("data");
    says(&refused(&data, &[text]), &["text.wasm"]);
    says(&refused(&data, &[module]), &["module.wasm", "component"]);
    says(&refused(&data, &[p3]), &["p3.wasm", "0.3"]);
    says(&refused(&data, &[root.path().join("absent.wasm")]), &["absent.wasm"]);
}

#[test]
fn an_unknown_manifest_key_is_refused_with_its_place() {
    let root = tempfile::tempdir().expect("a folder");
    let component = root.path().join("text_stats.wasm");
    fs::copy(guest("text_stats"), &component).expect("a copy");
    fs::write(root.path().join("text_stats.toml"), "name = \"text_stats\"\n\n[limits]\nmemory_mb = 3\n")
        .expect("a file");
    says(&refused(&root.path().join("data"), &[component]), &["text_stats.toml", "4", "memory_mb"]);
}

#[test]
fn bounds_that_nobody_approved_are_told_with_the_lines_that_give_them() {
    let root = tempfile::tempdir().expect("a folder");
    let component = root.path().join("text_stats.wasm");
    fs::copy(guest("text_stats"), &component).expect("a copy");
    let path = component.to_str().expect("text");
    let config = root.path().join("own.toml");
    fs::write(&config, "").expect("a file");
    let config = config.to_str().expect("text");
    let inspect = |more: &[&str]| -> Value {
        let output = longhaul(&[&["tool", "inspect", path, "--json", "--config", config], more].concat());
        serde_json::from_slice(&output.stdout).expect("one document")
    };
    for (table, limit, asked, holds) in [
        ("limits", "result_kib", 65_536, 1_024),
        ("limits", "total_seconds", 604_801, 604_800),
        ("limits", "samples", 100_000, 20),
        ("retry", "attempts", 1_000, 1),
    ] {
        let manifest = format!("[{table}]\n{limit} = {asked}");
        fs::write(component.with_extension("toml"), manifest).expect("a file");
        fs::write(config, "").expect("a file");
        let seen = inspect(&[]);
        assert_eq!(seen[table][limit], holds, "{seen}");
        let refused = json!([{ "table": table, "limit": limit, "asked": asked.to_string(), "holds": holds.to_string() }]);
        assert_eq!(seen["limits_not_given"], refused);
        let trusted = inspect(&["--trust"]);
        assert_eq!((&trusted[table][limit], &trusted["limits_not_given"]), (&json!(asked), &json!([])));
        // What it says to write gives it.
        let words = longhaul(&["tool", "inspect", path, "--config", config]).stdout;
        let words = String::from_utf8(words).expect("text");
        let (_, lines) = words.split_once("what gives it, in longhaul.toml:\n").expect("lines to write");
        let lines: Vec<&str> = lines.lines().take_while(|line| line.starts_with("  ")).collect();
        fs::write(config, lines.join("\n")).expect("a file");
        let given = inspect(&[]);
        assert_eq!((&given[table][limit], &given["limits_not_given"]), (&json!(asked), &json!([])));
    }
}

/// A second server hears who owns the folder; the first goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_folder_learns_of_the_first() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let first = Server::start(&data, &[guest("text_stats")]);
    says(&refused(&data, &[]), &[first.url.as_str(), "--url"]);
    let stats =
        first.client().call("analyze", json!({"text": "still here"}), json!({})).await.expect("an answer");
    assert_eq!(stats["structuredContent"]["words"], 2, "{stats}");
    assert!(first.stop().success());
}

#[test]
fn a_port_in_use_is_told_as_such() {
    let root = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let data = root.path().join("data");
    let data = data.to_str().expect("a path");
    let output = longhaul(&["serve", "--http", &address.to_string(), "--data", data]);
    assert!(!output.status.success());
    says(&String::from_utf8_lossy(&output.stderr), &[&address.port().to_string(), "in use", "--http"]);
}

/// A store of a later version keeps every byte; a damaged one is no panic.
#[test]
fn stores_that_cannot_be_read_are_left_alone() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    assert!(Server::start(&data, &[]).stop().success());
    let file = data.join("longhaul.redb");
    let good = fs::read(&file).expect("a store");

    let mut damaged = good.clone();
    for byte in damaged.iter_mut().skip(64).step_by(97) {
        *byte ^= 0x5a;
    }
    fs::write(&file, &damaged).expect("a file");
    let words = refused(&data, &[]);
    says(&words, &["longhaul.redb"]);
    assert!(!words.contains("panicked"), "{words}");

    fs::write(&file, b"no database").expect("a file");
    let words = refused(&data, &[]);
    says(&words, &["longhaul.redb"]);
    assert_eq!(fs::read(&file).expect("a file"), b"no database", "what is not ours is not overwritten");

    fs::write(&file, &good).expect("a file");
    assert!(Server::start(&data, &[]).stop().success());
}

#[test]
fn wrong_words_on_the_command_line_end_with_the_promised_codes() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let data = data.to_str().expect("a path");
    let code = |arguments: &[&str]| longhaul(arguments).status.code();
    assert_eq!(code(&["frobnicate"]), Some(2));
    assert_eq!(code(&["serve", "--config", "/nowhere/longhaul.toml"]), Some(2));
    assert!(Server::start(Path::new(data), &[]).stop().success());
    let absent = "01982f3e-7c41-7b2a-9d3e-5f6a7b8c9d0e";
    assert_eq!(code(&["task", "show", absent, "--data", data]), Some(3));
    assert_eq!(code(&["task", "show", "not-an-id", "--data", data]), Some(2));
    assert_eq!(code(&["task", "list", "--data", data]), Some(0));
}
