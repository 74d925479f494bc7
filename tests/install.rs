//! `longhaul install` as a person calls it, in a home without an owner.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{export, install as install_component};

fn install(home: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    command.arg("install").args(words).env("HOME", home).current_dir(home);
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME"] {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LONGHAUL_")) {
        command.env_remove(name);
    }
    command.output().expect("longhaul runs")
}

fn document(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one document")
}

#[test]
fn a_dry_run_touches_nothing_and_a_second_run_has_nothing_to_do() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    fs::create_dir(home.join("tools")).expect("a folder");
    let words = ["--client", "cursor", "--project", "--tools", "tools", "--data", "data", "--no-start"];
    let file = home.join(".cursor/mcp.json");

    let dry = install(home, &[&words[..], &["--dry-run"]].concat());
    let seen = String::from_utf8(dry.stdout).expect("text");
    assert!(dry.status.success() && seen.contains(".cursor/mcp.json: would be changed"), "{seen}");
    assert!(seen.contains("\"mcpServers\""), "{seen}");
    assert_eq!(fs::read_dir(home).expect("a folder").count(), 1, "only the tools are there");

    let seen = document(&install(home, &[&words[..], &["--json"]].concat()));
    assert_eq!((&seen["action"], &seen["backup"]), (&json!("created"), &Value::Null));
    let written: Value = serde_json::from_slice(&fs::read(&file).expect("a file")).expect("JSON");
    let entry = &written["mcpServers"]["longhaul"];
    assert_eq!(entry, &seen["entry"]);
    let home = home.canonicalize().expect("a folder");
    let path = |name: &str| home.join(name).to_str().expect("text").to_owned();
    assert_eq!(entry["args"], json!(["serve", "--stdio", "--data", path("data"), "--tools", path("tools")]));
    assert!(Path::new(entry["command"].as_str().expect("a program")).is_file(), "{entry}");

    let seen = document(&install(&home, &[&words[..], &["--json"]].concat()));
    assert_eq!((&seen["action"], &seen["difference"]), (&json!("unchanged"), &json!("")));
    let other = install(&home, &["--client", "cursor", "--project", "--http"]);
    assert_eq!(other.status.code(), Some(4), "another entry is not written over");
    let seen = String::from_utf8(other.stderr).expect("text");
    assert!(seen.contains("--force") && seen.contains("http://127.0.0.1:1919/mcp"), "{seen}");
    let forced = install(&home, &["--client", "cursor", "--project", "--http", "--force", "--json"]);
    assert!(Path::new(document(&forced)["backup"].as_str().expect("a copy")).is_file());
    for wrong in [["--tools", "nothing-there"], ["--url", "nonsense"]] {
        let refused = install(&home, &[&["--client", "codex"][..], &wrong].concat());
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}");
        assert!(!home.join(".codex").exists());
    }
}

const WORDS: [&str; 7] = ["--client", "codex", "--project", "--tools", "tools", "--data", "data"];

/// What `install` prints of a first start, which ends with this status.
fn first_start(home: &Path, more: &[&str], status: i32) -> String {
    let output = install(home, &[&WORDS[..], more].concat());
    let words = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(status), "{words}");
    assert!(home.join(".codex/config.toml").is_file() || more.contains(&"--dry-run"));
    words
}

/// The document and the status.
fn first_start_as_json(home: &Path, more: &[&str]) -> (Value, Option<i32>) {
    let output = install(home, &[&WORDS[..], more, &["--json"]].concat());
    (serde_json::from_slice(&output.stdout).expect("one document"), output.status.code())
}

#[test]
fn the_server_of_an_entry_is_started_once_so_that_a_host_finds_it() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    fs::create_dir(home.join("tools")).expect("a folder");
    install_component(&home.join("tools"), "quiet", &export("quiet", "", r#"(func (export "run"))"#), "");
    for left_out in [&["--dry-run"][..], &["--no-start"]] {
        let words = first_start(home, left_out, 0);
        assert!(!words.contains("starting"), "{words}");
        assert!(!home.join("data").exists(), "{left_out:?}");
    }
    let words = first_start(home, &[], 0);
    assert!(words.contains("connected to the server of"), "{words}");
    let (seen, status) = first_start_as_json(home, &[]);
    assert_eq!((&seen["first_start"], status), (&json!("started"), Some(0)));
    let (seen, status) = first_start_as_json(home, &["--no-start"]);
    assert_eq!((&seen["first_start"], status), (&Value::Null, Some(0)));
    // Another's tools: those that run are used, and these were not looked at.
    fs::create_dir(home.join("more")).expect("a folder");
    fs::write(home.join("more/broken.wasm"), "no component").expect("written");
    let words = first_start(home, &["--tools", "more", "--force"], 0);
    assert!(words.contains("were not looked at"), "{words}");
    let (seen, status) = first_start_as_json(home, &["--tools", "more", "--force"]);
    assert_eq!((&seen["first_start"], status), (&json!("other_server"), Some(0)));
    let info = fs::read(home.join("data/server.json")).expect("it runs");
    let info: Value = serde_json::from_slice(&info).expect("JSON");
    let pid = info["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it outlived its bridge");
}

#[test]
fn a_server_that_does_not_start_leaves_the_entry_and_says_so() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    fs::create_dir(home.join("tools")).expect("a folder");
    install_component(
        &home.join("tools"),
        "quiet",
        &export("quiet", "", r#"(func (export "run"))"#),
        "[nonsense]",
    );
    let words = first_start(home, &[], 1);
    assert!(words.contains("its server did not start") && words.contains("nonsense"), "{words}");
    fs::remove_file(home.join("tools/quiet.toml")).expect("removed");
    fs::write(home.join("tools/quiet.wasm"), "no component").expect("written");
    let (seen, status) = first_start_as_json(home, &[]);
    assert_eq!((&seen["first_start"], status), (&json!("failed"), Some(1)), "{seen}");
    fs::remove_dir_all(home.join("data")).expect("removed");
    fs::write(home.join("data"), "a file").expect("written");
    let words = first_start(home, &[], 1);
    assert!(words.contains("the entry stands, but its server did not start"), "{words}");
}
