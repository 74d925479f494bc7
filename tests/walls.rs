//! What stands between a server and the machine, and the launcher that stands outside of it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Server, Watched, command, export, install, launcher_of};

fn component(folder: &Path, name: &str, number: u32) -> std::path::PathBuf {
    let core = format!(r#"(func (export "run") (result i32) i32.const {number})"#);
    let manifest = format!("[tools.{name}]\nreply = \"inline\"");
    install(folder, name, &export(name, "(result u32)", &core), &manifest)
}

/// What the kernel says of a process in this line.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim_start_matches(':').trim().to_owned()
}

/// What `longhaul doctor` says of the walls of this folder.
fn told(data: &Path, config: &Path) -> String {
    let mut doctor = command(data, &["doctor"]);
    let output = doctor.env("LONGHAUL_CONFIG", config).output().expect("it runs");
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let checks = said["checks"].as_array().expect("checks");
    let walls = checks.iter().find(|check| check["what"] == "walls").expect("the walls are told");
    walls["found"].as_str().expect("words").to_owned()
}

#[tokio::test]
async fn a_server_stands_within_walls_unless_its_configuration_says_otherwise_and_doctor_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    let (tools, elsewhere) = (folder.path().join("tools"), folder.path().join("elsewhere"));
    fs::create_dir(&tools).expect("made");
    fs::create_dir(&elsewhere).expect("made");
    component(&tools, "seven", 7);
    // What a link in the folder leads to lies outside of it.
    std::os::unix::fs::symlink(component(&elsewhere, "eight", 8), tools.join("eight.wasm")).expect("linked");
    fs::copy(elsewhere.join("eight.toml"), tools.join("eight.toml")).expect("copied");
    let config = folder.path().join("longhaul.toml");
    for (number, (walls, mode)) in [("", "2"), ("[engine]\nwalls = \"off\"", "0")].into_iter().enumerate() {
        fs::write(&config, walls).expect("written");
        let data = folder.path().join(format!("data-{number}"));
        let server = Server::start_granted(&data, std::slice::from_ref(&tools), &config);
        assert_eq!(status(server.pid(), "Seccomp"), mode, "{walls}");
        assert_eq!(status(server.pid(), "NoNewPrivs"), if mode == "2" { "1" } else { "0" }, "{walls}");
        assert_eq!(status(launcher_of(server.pid()), "Seccomp"), "0", "what stands outside stands outside");
        for (tool, value) in [("seven", 7), ("eight", 8)] {
            assert_eq!(server.client().structured(tool, json!({})).await["result"], value, "{walls}");
        }
        let words = told(&data, &config);
        assert!(words.contains("around the server"), "{words}");
        assert_eq!(words.contains("(seccomp)"), mode == "2", "{words}");
        assert!(server.stop().success());
        let words = told(&data, &config);
        assert_eq!(words.contains("started here"), mode == "2", "{words}");
    }
}

#[test]
fn a_server_that_requires_walls_starts_with_all_of_them_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, config) = (folder.path().join("data"), folder.path().join("longhaul.toml"));
    fs::write(&config, "").expect("written");
    let has_all = !told(&data, &config).contains("missing");
    fs::write(&config, "[engine]\nwalls = \"required\"").expect("written");
    let tools = folder.path().join("tools");
    fs::create_dir(&tools).expect("made");
    let seven = component(&tools, "seven", 7);
    if has_all {
        let server = Server::start_granted(&data, &[seven], &config);
        assert_eq!(status(server.pid(), "Seccomp"), "2");
        assert!(server.stop().success());
        return;
    }
    let mut serve = command(&data, &["serve", "--http", "127.0.0.1:0"]);
    let refused = serve.env("LONGHAUL_CONFIG", &config).output().expect("it runs");
    assert_eq!(refused.status.code(), Some(4), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[tokio::test]
async fn a_server_whose_launcher_is_gone_says_so_serves_on_and_starts_nothing_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, tools) = (folder.path().join("data"), folder.path().join("tools"));
    fs::create_dir(&tools).expect("made");
    let seven = component(&tools, "seven", 7);
    let server = Server::start(&data, &[seven]);
    let launcher = launcher_of(server.pid());
    let watched = Watched::new(launcher);
    let pid = rustix::process::Pid::from_raw(launcher.cast_signed()).expect("a pid");
    // What stops a service is meant for its server.
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        rustix::process::kill_process(pid, signal).expect("it is there");
    }
    let eight = component(&tools, "eight", 8);
    server.longhaul(&["tool", "add", eight.to_str().expect("text")]);
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is there");
    assert!(watched.ends());

    let nine = component(&tools, "nine", 9);
    let added = command(&data, &["tool", "add", nine.to_str().expect("text")]).output().expect("it runs");
    let words = String::from_utf8_lossy(&added.stderr).into_owned();
    assert!(!added.status.success(), "{words}");
    assert!(words.contains("launcher of this server") && words.contains("start the server again"), "{words}");
    // What was compiled is served.
    assert_eq!(server.client().structured("seven", json!({})).await["result"], 7);
    assert_eq!(server.client().structured("eight", json!({})).await["result"], 8);
    assert!(server.said().contains(&format!("the launcher of this server (pid {launcher}) has ended")));
    assert!(server.stop().success());
}
