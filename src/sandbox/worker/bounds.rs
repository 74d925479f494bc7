//! Which guests run in a process of their own, and what that process may take.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::launch::{Environment, Launch, Program, Stderr};
use crate::limits;

/// Where guests run.
#[derive(Clone, Debug, Default)]
pub enum Isolate {
    /// All of them in this process.
    #[default]
    None,
    /// Those of components that are not their operator's own in a worker, one for each component.
    Process(WorkerProgram),
    /// The same, in one that is started as a worker.
    Launched(Launch, WorkerBounds),
    /// On a thread that is spoken to as a worker is.
    #[cfg(test)]
    Thread,
}

/// A program that runs guests for what starts it, as [`run_guests_for_parent`](super::run_guests_for_parent) does. It is
/// to be of the same build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerProgram {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub bounds: WorkerBounds,
}

/// See the bounds of the same names in [`limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerBounds {
    pub workers: usize,
    pub memory_mib: u64,
    pub idle: Duration,
}

impl Default for WorkerBounds {
    fn default() -> Self {
        Self {
            workers: limits::MAX_WORKERS,
            memory_mib: limits::MAX_WORKER_MEMORY_MIB,
            idle: Duration::from_secs(limits::WORKER_IDLE_SECONDS),
        }
    }
}

/// What starts it: nothing of the environment, and no folder of a project.
pub fn worker_program(program: PathBuf, arguments: Vec<OsString>) -> Program {
    let environment = Environment::ours();
    let folder = Some("/".into());
    Program { program: program.into(), arguments, environment, folder, stderr: Stderr::Piped }
}
