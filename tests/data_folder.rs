//! The data folder: the user's alone or refused, whatever opens it; what is not Longhaul's in it stays; who only looks
//! changes nothing.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Server, answer_of, command, copy_folder, guest};

/// Makes a folder one that is to be refused; false where this user may not.
type Spoil<'a> = &'a dyn Fn(&Path) -> bool;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
}

fn run(data: &Path, words: &[&str]) -> Output {
    command(data, words).stdin(Stdio::null()).output().expect("longhaul runs")
}

/// Everything below a folder: its mode and, of a file, its bytes. Not the socket, which no copy has.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let there = path.symlink_metadata().expect("there");
        let bytes = if there.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
        if there.is_dir() {
            found.extend(contents(&path));
        }
        found.insert(path, (there.permissions().mode(), bytes));
    }
    found
}

#[test]
fn a_folder_that_is_not_the_users_alone_is_refused_by_whatever_opens_it() {
    let others: [(&str, Spoil<'_>); 5] = [
        ("mode 777", &|data| {
            set_mode(data, 0o777);
            true
        }),
        ("mode 770", &|data| {
            set_mode(data, 0o770);
            true
        }),
        ("mode 777", &|data| {
            set_mode(data.parent().expect("a parent"), 0o777);
            true
        }),
        ("longhaul.redb is a link", &|data| {
            symlink("/etc/hostname", data.join("longhaul.redb")).expect("linked");
            true
        }),
        // Where this may give something away.
        ("belongs to user 12345", &|data| chown(data, Some(12_345), None).is_ok()),
    ];
    for (seen, make) in others {
        let root = tempfile::tempdir().expect("a folder");
        let data = root.path().join("parent/data");
        fs::create_dir_all(&data).expect("made");
        if !make(&data) {
            continue;
        }
        let before = contents(&data);
        for (words, code) in [
            (&["serve", "--http", "127.0.0.1:0"][..], 4),
            (&["serve", "--stdio"], 4),
            (&["serve", "--stdio", "--private"], 4),
            (&["task", "list"], 4),
            (&["audit", "list"], 4),
            (&["token", "new", "ann"], 4),
            (&["state", "put", "trips", "paris", "1"], 4),
            (&["doctor", "--check"], 1),
        ] {
            if words.contains(&"--stdio") && seen.contains("link") && !words.contains(&"--private") {
                // The server that is started says it in its log.
                continue;
            }
            let output = run(&data, words);
            let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(code), "{seen}, {words:?}: {said}");
            assert!(said.contains(seen), "{seen}, {words:?}: {said}");
        }
        assert_eq!(contents(&data), before, "{seen}: nothing is made or changed");
    }
}

#[test]
fn a_project_that_is_named_as_the_data_folder_keeps_its_files() {
    let root = tempfile::tempdir().expect("a folder");
    let project = root.path().join("project");
    for folder in ["project/compiled/cache", "project/src", "keep"] {
        fs::create_dir_all(root.path().join(folder)).expect("made");
    }
    for (name, text) in [
        ("compiled/bundle.js", "mine"),
        ("compiled/cache/a.compiled", "mine"),
        ("src/main.rs", "fn main() {}"),
        ("longhaul.toml", "tool_paths = [\"nowhere\"]"),
        ("README.md", "# project"),
    ] {
        fs::write(project.join(name), text).expect("written");
    }
    let before = contents(&project);
    let server = Server::start(&project, &[guest("text_stats")]);
    let called = server.longhaul(&["call", "analyze", "text=two words"]);
    assert_eq!(called["task"]["state"], "completed");
    assert!(server.said().contains("compiled/"), "{}", server.said());
    server.stop();
    let after = contents(&project);
    for (path, there) in &before {
        assert_eq!(after.get(path), Some(there), "{}", path.display());
    }
    let new: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    let ours = |path: &&PathBuf| {
        let below = path.strip_prefix(&project).expect("below").to_string_lossy().into_owned();
        below == "longhaul.redb" || below == "longhaul.reserve" || below.starts_with("longhaul-compiled")
    };
    assert!(new.iter().all(ours), "{new:?}");

    // A registry's description of an MCP server has the very name of one of ours.
    let registry = root.path().join("registry");
    fs::create_dir(&registry).expect("made");
    fs::write(registry.join("server.json"), "{\"name\": \"io.github.me/mine\"}").expect("written");
    let before = contents(&registry);
    let refused = run(&registry, &["serve", "--http", "127.0.0.1:0"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("server.json is there already"), "{refused:?}");
    assert_eq!(contents(&registry), before);
}

#[test]
fn who_looks_at_what_a_killed_server_left_changes_nothing_and_sees_all() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, backup) = (root.path().join("data"), root.path().join("backup"));
    let server = Server::start(&data, &[guest("long_running_agent")]);
    let call = |steps: &str| {
        let called = server.longhaul(&["call", "long_running_agent", steps, "step_ms=1", "--detach"]);
        called["task"]["id"].as_str().expect("a task").to_owned()
    };
    let ids: Vec<_> = ["steps=1", "steps=100000", "steps=100000"].map(call).to_vec();
    server.longhaul(&["state", "put", "trips", "paris", "7"]);
    server.kill();
    copy_folder(&data, &backup);
    set_mode(&backup, 0o500);
    set_mode(&backup.join("longhaul.redb"), 0o400);
    let before = contents(&backup);
    let looks = |words: &[&str]| answer_of(command(&backup, words));
    let listed = looks(&["task", "list"]);
    let mut found: Vec<_> =
        listed["tasks"].as_array().expect("tasks").iter().map(|task| task["id"].clone()).collect();
    found.sort_by_key(Value::to_string);
    assert_eq!(json!(found), json!(ids));
    assert_eq!(looks(&["state", "get", "trips", "paris"])["value"], 7);
    assert!(!looks(&["audit", "list"])["rows"].as_array().expect("rows").is_empty());
    assert_eq!(looks(&["token", "list"])["tokens"], json!([]));
    looks(&["task", "journal", &ids[1]]);
    looks(&["task", "output", &ids[1], "log"]);
    assert_eq!(looks(&["task", "show", &ids[2]])["id"], json!(ids[2]));
    assert_eq!(contents(&backup), before, "no byte, and no file beside it");
    // The server that it was goes on where it was.
    let server = Server::start(&data, &[guest("long_running_agent")]);
    assert_eq!(server.longhaul(&["task", "list"])["tasks"].as_array().map(Vec::len), Some(3));
}

/// In namespaces of its own, where this machine lets a user have some: owners of other machines, modes for everybody.
#[test]
fn a_backup_on_a_read_only_mount_is_read_where_it_lies() {
    let may = std::process::Command::new("unshare").args(["-rm", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        return;
    }
    let root = tempfile::tempdir().expect("a folder");
    let (data, mount) = (root.path().join("data"), root.path().join("mount"));
    fs::create_dir(&mount).expect("made");
    let server = Server::start(&data, &[guest("text_stats")]);
    server.longhaul(&["call", "analyze", "text=two words"]);
    server.kill();
    let script = r#"set -e
        mount -t tmpfs tmpfs "$MOUNT"
        cp -r "$DATA" "$MOUNT/d"; chmod 777 "$MOUNT/d"; chmod 666 "$MOUNT/d/longhaul.redb"
        mount -o remount,ro "$MOUNT"
        while read -r words; do
            echo "== $words"
            "$LONGHAUL" --data "$MOUNT/d" $words 2>&1 < /dev/null || echo "status $?"
        done"#;
    let words = ["task list", "audit list", "token list", "task cancel ID", "token new x", "serve --stdio"];
    let mut shell = std::process::Command::new("unshare");
    shell.args(["-rm", "sh", "-c", script]).env("LONGHAUL", env!("CARGO_BIN_EXE_longhaul"));
    shell.env("DATA", &data).env("MOUNT", &mount).env("XDG_CONFIG_HOME", &data);
    shell.env_remove("LONGHAUL_TOKEN").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = shell.spawn().expect("unshare runs");
    let id = uuid::Uuid::nil().to_string();
    let lines = words.map(|words| words.replace("ID", &id)).join("\n") + "\n";
    std::io::Write::write_all(&mut shell.stdin.take().expect("a pipe"), lines.as_bytes()).expect("written");
    let output = shell.wait_with_output().expect("it ends");
    let seen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{seen}");
    let of_command: Vec<&str> = seen.split("== ").skip(1).collect();
    assert_eq!(of_command.len(), words.len(), "{seen}");
    for (number, words) in of_command.iter().enumerate() {
        let looks = number < 3;
        assert_eq!(words.contains("status "), !looks, "{words}");
        let says_why = words.to_lowercase().contains("read-only file");
        assert!(looks || (says_why && words.contains("--data")), "{words}");
    }
    assert!(of_command[0].contains("completed") && of_command[1].contains("analyze"), "{seen}");
}
