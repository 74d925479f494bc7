//! The server as users have it: the program itself, in a process of its own, over a scratch store.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::crowds;

/// Between two looks at what is open.
const SETTLING: Duration = Duration::from_millis(5);
const PROGRAM: &str = env!("CARGO_BIN_EXE_longhaul");

pub struct Program {
    child: Child,
    said: BufReader<ChildStdout>,
    address: SocketAddr,
    data: PathBuf,
    _scratch: TempDir,
}

impl Program {
    /// Serves the components in `tools` once each is compiled. `configuration` is what stands in its `longhaul.toml`.
    pub fn start(folder: &Path, tools: &Path, configuration: &str, flags: &[&str]) -> Self {
        let scratch = tempfile::tempdir_in(folder).expect("a folder");
        let data = scratch.path().join("data");
        Self::begin(scratch, data, tools, configuration, flags)
    }

    /// The same over a store that is there already, and stays, with what its tools request.
    pub fn start_on(data: &Path, folder: &Path, tools: &Path, configuration: &str) -> Self {
        let scratch = tempfile::tempdir_in(folder).expect("a folder");
        Self::begin(scratch, data.to_owned(), tools, configuration, &["--trust"])
    }

    fn begin(scratch: TempDir, data: PathBuf, tools: &Path, configuration: &str, flags: &[&str]) -> Self {
        let file = scratch.path().join("longhaul.toml");
        std::fs::write(&file, configuration).expect("written");
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--http", "127.0.0.1:0", "--json", "--config"]).arg(&file).args(flags);
        command.arg("--data").arg(&data).arg("--tools").arg(tools);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a server");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut program = Self { child, said, address, data, _scratch: scratch };
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

    /// Until no task is open that does not wait.
    pub fn settle(&self) {
        while crowds::sum_of_metrics(self.address, &["queued", "running"]) > 0 {
            std::thread::sleep(SETTLING);
        }
    }

    /// Tasks that wait.
    pub fn waiting(&self) -> u64 {
        crowds::sum_of_metrics(self.address, &["waiting"])
    }

    /// A command of its owner's, to its end.
    pub fn ask(&self, words: &[&str]) {
        let asked = Command::new(PROGRAM).args(words).arg("--data").arg(&self.data).output();
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
