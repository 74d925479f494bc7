//! The server as users have it: the program itself, in a process of its own, over a scratch store.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_longhaul");

pub struct Program {
    child: Child,
    said: BufReader<ChildStdout>,
    address: SocketAddr,
    scratch: TempDir,
}

impl Program {
    /// Serves the components in `tools` once each is compiled. `configuration` is what stands in its `longhaul.toml`.
    pub fn start(folder: &Path, tools: &Path, configuration: &str, flags: &[&str]) -> Self {
        let scratch = tempfile::tempdir_in(folder).expect("a folder");
        let file = scratch.path().join("longhaul.toml");
        std::fs::write(&file, configuration).expect("written");
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--http", "127.0.0.1:0", "--json", "--config"]).arg(&file).args(flags);
        command.arg("--data").arg(data(&scratch)).arg("--tools").arg(tools);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a server");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut program = Self { child, said, address, scratch };
        let url = program.line()["url"].as_str().expect("an address").to_owned();
        let host = url.trim_start_matches("http://").trim_end_matches("/mcp");
        program.address = host.parse().expect("an address");
        assert_eq!(program.line()["loaded"], true);
        program
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A command of its owner's, to its end.
    pub fn ask(&self, words: &[&str]) {
        let asked = Command::new(PROGRAM).args(words).arg("--data").arg(data(&self.scratch)).output();
        let asked = asked.expect("the program");
        assert!(asked.status.success(), "{words:?}: {}", String::from_utf8_lossy(&asked.stderr));
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).expect("a line of JSON")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn data(scratch: &TempDir) -> PathBuf {
    scratch.path().join("data")
}
