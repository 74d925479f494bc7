//! A host that spawns processes and finds a server that was started otherwise is told so.

use std::process::{Command, Stdio};

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
