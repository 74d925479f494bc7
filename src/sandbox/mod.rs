//! Lives here: running components: load, compile, limits, the deterministic world, one file per host interface.
//! May import: the engine's ports and recorder, `catalog`'s values, `task`, `limits`. Never here: MCP, redb.
//! Read first: `run.rs`, then `world/mod.rs`.

mod admit;
mod artifact;
mod asynchronous;
mod attempt;
pub mod binding;
mod cache;
mod compile;
mod config;
mod describe;
mod documentation;
mod egress;
mod end;
mod executor;
mod host;
pub mod inspect;
mod instance;
mod kept;
mod limiter;
mod names;
mod played;
mod prepared;
mod run;
mod stop;
mod synchronous;
mod task_host;
#[cfg(test)]
mod tests;
mod threads;
mod toolchain;
pub mod values;
mod wire;
mod worker;
mod world;

pub use compile::{Compile, CompilerBounds, CompilerProgram, compile_for_parent, compiler_program};
pub use names::{ExternNames, extern_names};
pub use played::{PlayedRequest, Player, Silence, check_answer};
pub use run::{Sandbox, SandboxError, SandboxOptions};
pub use worker::{Isolate, WorkerBounds, WorkerProgram, run_guests_for_parent, worker_program};

/// The package `longhaul:tool` as it stands in this version: what components of that world are made for.
pub const TOOL_WIT: &str = include_str!("wit/tool.wit");
