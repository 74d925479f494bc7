//! What stands between a server and the machine, and the launcher that stands outside of it.

use std::fs;

use serde_json::json;

use crate::support::{Server, Watched, command, export, install, launcher_of};

fn component(folder: &std::path::Path, name: &str, number: u32) -> std::path::PathBuf {
    let core = format!(r#"(func (export "run") (result i32) i32.const {number})"#);
    let manifest = format!("[tools.{name}]\nreply = \"inline\"");
    install(folder, name, &export(name, "(result u32)", &core), &manifest)
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
