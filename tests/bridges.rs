//! A host that spawns processes and finds a server that was started otherwise hears so.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use longhaul::engine::closures::Closures;
use longhaul::engine::{EngineOptions, TaskEngine};

use crate::support::{Server, guest};

#[test]
fn a_host_that_was_started_otherwise_than_the_server_is_told_what_holds() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let (served, wanted) = (guest("long_running_agent"), guest("book_agent"));
    let server = Server::start(&data, std::slice::from_ref(&served));
    let host = |tool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command.args(["serve", "--stdio", "--trust", "--data"]).arg(&data).arg("--tools").arg(tool);
        // It ends with its stdin.
        command.stdin(Stdio::null()).env("XDG_CONFIG_HOME", &data).current_dir(std::env::temp_dir());
        let said = command.output().expect("it runs");
        assert!(said.status.success() && said.stdout.is_empty(), "{said:?}");
        String::from_utf8_lossy(&said.stderr).into_owned()
    };
    let said = host(&wanted);
    for part in
        ["started otherwise", "book_agent.wasm here", "long_running_agent.wasm there", "--data", "kill "]
    {
        assert!(said.contains(part), "{said}");
    }
    let said = host(&served);
    assert!(said.contains("connected to the server") && !said.contains("otherwise"), "{said}");
    server.stop();
}

/// A server that compiles its tools has the folder and does not answer yet.
#[tokio::test]
async fn a_host_that_waits_for_a_server_is_told_where_to_look() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let engine = TaskEngine::open(&data, Arc::new(Closures::new()), EngineOptions::default()).await;
    let engine = engine.expect("the store opens");
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    command.args(["serve", "--stdio", "--data"]).arg(&data).env("XDG_CONFIG_HOME", root.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut host = command.spawn().expect("it runs");
    let stderr = host.stderr.take().expect("its stderr");
    let said = BufReader::new(stderr).lines().next().expect("a line").expect("text");
    host.kill().expect("killed");
    let ended = host.wait_with_output().expect("ended");
    assert!(said.starts_with("waiting for the server that has ") && said.contains("server.log"), "{said}");
    assert!(said.contains(data.to_str().expect("text")) && ended.stdout.is_empty(), "{said}");
    engine.shutdown().await;
}
