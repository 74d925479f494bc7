//! Longhaul: an embedded durable task engine with a WASM tool sandbox, speaking MCP.
//!
//! The house, from the ground up. An import goes down, never up, never between wings:
//!
//! ```text
//! roof     cli
//! 5th      mcp | sandbox
//! 4th      api
//! 3rd      engine   http
//! 2nd      catalog
//! 1st      store
//! ground   task   shares   authority   clock   limits   private   launch   walls
//! ```
//!
//! Features are walls: without `sandbox` nothing here can name wasmtime, without `mcp` nothing can name
//! rmcp. `--no-default-features` leaves the durable engine alone, for programs that embed it.
#![deny(unsafe_code)]

pub mod api;
pub mod authority;
pub mod catalog;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
#[doc(hidden)]
pub mod crash;
pub mod engine;
#[cfg(feature = "sandbox")]
pub mod files;
#[cfg(feature = "http")]
pub mod http;
#[cfg(any(feature = "sandbox", feature = "mcp"))]
mod launch;
pub mod limits;
#[cfg(feature = "mcp")]
pub mod mcp;
mod private;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod secrets;
pub mod shares;
mod store;
pub mod task;
#[cfg(feature = "sandbox")]
pub mod walls;

pub use authority::Principal;
pub use catalog::{Catalog, ToolDefinition};
pub use engine::closures::{Closures, StepError, Steps};
pub use engine::{
    Call, EngineBuilder, EngineError, EngineOptions, ErrorKind, Follower, NextAction, OutputOp, Submission,
    TaskChange, TaskEnd, TaskEngine, TaskHandle, TaskQuery, TaskView,
};
pub use store::{
    BackupError, BackupSummary, Checked, DiskBounds, Durability, NotPrivate, Refusal, StoreError,
    StoreOptions, Usage,
};
pub use task::{State, TaskId, ToolResult};

/// Rows on disk, for the project's own benches and tests; not part of the library.
#[doc(hidden)]
pub mod rows_on_disk {
    pub use crate::store::{Batch, Guard, Space, Store};
}
