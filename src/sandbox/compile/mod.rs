//! From a component's bytes to machine code: here, or in a child process that can be bounded and stopped.

mod child;
mod here;
mod port;
mod program;
mod protocol;

use std::sync::Arc;

use wasmtime::Engine;

use child::Child;
use here::Here;

pub(super) use port::Compiler;
pub use port::{CompilerBounds, CompilerProgram, compiler_program};
pub use program::run as compile_for_parent;

use crate::launch::{Launch, Role};

/// Where components are compiled.
#[derive(Clone, Debug, Default)]
pub enum Compile {
    /// On threads of this process: nothing bounds the memory that a component costs the compiler, and nothing stops one
    /// that has begun.
    #[default]
    Here,
    /// In a child process, one at a time.
    Child(CompilerProgram),
    /// The same, in one that is started as the compiler.
    Launched(Launch, CompilerBounds),
}

impl Compile {
    /// At most `threads` components are compiled at once where they are compiled here.
    pub(super) fn compiler(
        self,
        engine: &Engine,
        fingerprint: blake3::Hash,
        threads: usize,
    ) -> Arc<dyn Compiler> {
        match self {
            Self::Here => Arc::new(Here::new(engine.clone(), threads)),
            Self::Child(CompilerProgram { program, arguments, bounds }) => {
                let program = compiler_program(program, arguments.into_iter().map(Into::into).collect());
                let launch = Launch::here([(Role::Compiler, program)].into());
                Arc::new(Child::new(launch, bounds, fingerprint))
            }
            Self::Launched(launch, bounds) => Arc::new(Child::new(launch, bounds, fingerprint)),
        }
    }
}
