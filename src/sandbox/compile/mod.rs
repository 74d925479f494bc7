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
pub use port::{CompilerBounds, CompilerProgram};
pub use program::run as compile_for_parent;

/// Where components are compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compile {
    /// On threads of this process: nothing bounds the memory that a component costs the compiler, and nothing stops one
    /// that has begun.
    #[default]
    Here,
    /// In a child process, one at a time.
    Child(CompilerProgram),
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
            Self::Child(program) => Arc::new(Child::new(program, fingerprint)),
        }
    }
}
