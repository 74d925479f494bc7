//! `longhaul` as a person types it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// `longhaul … --json` on this data folder, without the configuration of the person who runs the tests.
pub fn command(data: &Path, words: &[&str]) -> Command {
    let mut command = longhaul(words);
    command.arg("--data").arg(data).env("XDG_CONFIG_HOME", data);
    command
}

fn longhaul(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    command.args(words).arg("--json").current_dir(std::env::temp_dir());
    if let ["task", "answer" | "resolve", ..] = words {
        command.env("LONGHAUL_CONFIG", leave_for_scripts());
    }
    command
}

/// A configuration that lets commands without a terminal answer for a person.
fn leave_for_scripts() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/answers.toml"))
}

/// What a command that succeeds answers.
pub fn answer_of(mut command: Command) -> Value {
    let output = command.output().expect("longhaul runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
