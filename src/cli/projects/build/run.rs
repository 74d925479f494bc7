use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::projects::error::ProjectError;

/// Runs what builds the project, with `input` as its stdin. Its words go to stderr, since stdout is for the result.
pub fn run(command: &mut Command, folder: &Path, input: &'static str) -> Result<(), ProjectError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let not_run = |source| ProjectError::CannotRun { program: program.clone(), source };
    command.stdin(Stdio::piped()).stdout(std::io::stderr());
    let mut child = command.spawn().map_err(not_run)?;
    // On a thread of its own: a program that reads nothing must not hold this one up.
    let stdin = child.stdin.take();
    let written = std::thread::spawn(move || {
        // One that ended before it read all says itself why.
        stdin.map(|mut stdin| std::io::Write::write_all(&mut stdin, input.as_bytes()))
    });
    let status = child.wait().map_err(not_run)?;
    let _ = written.join();
    if status.success() {
        return Ok(());
    }
    Err(ProjectError::Failed { program, folder: folder.to_owned(), how: status.to_string() })
}
