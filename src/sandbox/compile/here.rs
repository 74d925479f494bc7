//! Compiling on threads of this process.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Engine;

use super::port::Compiler;
use crate::engine::{BoxFuture, InspectError};
use crate::limits;
use crate::sandbox::admit;
use crate::sandbox::artifact::Code;
use crate::sandbox::threads::Compilers;

pub struct Here {
    engine: Engine,
    threads: Arc<Compilers>,
}

impl Here {
    pub fn new(engine: Engine, threads: usize) -> Self {
        Self { engine, threads: Arc::new(Compilers::new(threads)) }
    }
}

impl Compiler for Here {
    fn compile(&self, component: Arc<[u8]>) -> BoxFuture<Result<Code, InspectError>> {
        let (engine, threads) = (self.engine.clone(), self.threads.clone());
        Box::pin(async move {
            let compiling = threads.run(move || Code::compile(&engine, &component));
            let at_most = Duration::from_secs(limits::MAX_COMPILE_SECONDS);
            tokio::time::timeout(at_most, compiling)
                .await
                .map_err(|_| InspectError::Unsupported(admit::too_slow(limits::MAX_COMPILE_SECONDS)))?
                .map_err(InspectError::HostFault)?
        })
    }
}
