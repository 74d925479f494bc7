//! A program is started, with pipes.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::find::find_program;
use super::program::{Environment, Program, Stderr};

/// Whether a program is in the group of processes that its starter is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Starters,
    /// It, and all that it starts, are ended together.
    #[cfg(target_os = "linux")]
    Own,
}

/// A program that runs. It is killed when `child` is dropped.
pub struct Spawned {
    pub child: Child,
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: Option<OwnedFd>,
}

pub fn spawn(program: &Program, group: Group) -> io::Result<Spawned> {
    let mut command = command(program)?;
    let (its_stdin, stdin) = io::pipe()?;
    let (stdout, its_stdout) = io::pipe()?;
    command.stdin(its_stdin).stdout(its_stdout).kill_on_drop(true);
    let stderr = match program.stderr {
        Stderr::Inherited => {
            command.stderr(Stdio::inherit());
            None
        }
        Stderr::Piped => {
            let (stderr, its_stderr) = io::pipe()?;
            command.stderr(its_stderr);
            Some(stderr.into())
        }
    };
    match group {
        Group::Starters => {}
        #[cfg(target_os = "linux")]
        Group::Own => {
            command.process_group(0);
        }
    }
    let child = command.spawn()?;
    Ok(Spawned { child, stdin: stdin.into(), stdout: stdout.into(), stderr })
}

fn command(program: &Program) -> io::Result<Command> {
    let path = std::env::var_os("PATH");
    let found = find_program(&program.program, path.as_deref().map(OsStr::new)).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "no folder of PATH has it (relative ones do not count)")
    })?;
    let mut command = Command::new(found);
    command.args(&program.arguments);
    if let Environment::Stated(variables) = &program.environment {
        command.env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
    }
    if let Some(folder) = &program.folder {
        command.current_dir(folder);
    }
    Ok(command)
}
