//! What compiles components, and what it is given.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::{BoxFuture, InspectError};
use crate::launch::{Environment, Program, Stderr};
use crate::limits;
use crate::sandbox::artifact::Code;

/// What compiles components. Dropping the future stops it as far as it can be stopped.
pub trait Compiler: Send + Sync {
    /// The component is one that `admit` takes, or the error says why not.
    fn compile(&self, component: Arc<[u8]>) -> BoxFuture<Result<Code, InspectError>>;
}

/// A program that compiles what it is given on stdin, as [`compile_for_parent`](super::compile_for_parent) does. Its answer is run as machine code, so
/// it has to be trusted as this program is; it is to be of the same build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompilerProgram {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub bounds: CompilerBounds,
}

/// What one compilation may take; see the bounds of the same names in [`limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompilerBounds {
    pub memory_mib: u64,
    pub processor_seconds: u64,
    pub seconds: u64,
}

impl Default for CompilerBounds {
    fn default() -> Self {
        Self {
            memory_mib: limits::MAX_COMPILE_MEMORY_MIB,
            processor_seconds: limits::MAX_COMPILE_PROCESSOR_SECONDS,
            seconds: limits::MAX_COMPILE_SECONDS,
        }
    }
}

/// What starts it: nothing of the environment, and no folder of a project.
pub fn compiler_program(program: PathBuf, arguments: Vec<OsString>) -> Program {
    let environment = Environment::ours();
    let folder = Some("/".into());
    Program { program: program.into(), arguments, environment, folder, stderr: Stderr::Piped }
}
