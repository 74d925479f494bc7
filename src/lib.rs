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
//! Each floor is a crate, so that a change compiles only what stands on it: `longhaul-ground` (with the catalog),
//! `longhaul-engine` (with the store and `api`), `longhaul-http`, one for each wing, and this one, the roof.
//!
//! Features are walls: without `sandbox` nothing here can name wasmtime, without `mcp` nothing can name
//! rmcp. `--no-default-features` leaves the durable engine alone, for programs that embed it.
#![deny(unsafe_code)]

#[cfg(feature = "cli")]
pub mod cli;

#[doc(inline)]
pub use longhaul_engine::{api, engine};
#[doc(hidden)]
pub use longhaul_ground::crash;
#[doc(inline)]
pub use longhaul_ground::{authority, catalog, clock, limits, secrets, shares, task};
#[cfg(feature = "sandbox")]
#[doc(inline)]
pub use longhaul_ground::{files, walls};
#[cfg(feature = "http")]
#[doc(inline)]
pub use longhaul_http::http;
#[cfg(feature = "mcp")]
#[doc(inline)]
pub use longhaul_mcp::mcp;
#[cfg(feature = "sandbox")]
#[doc(inline)]
pub use longhaul_sandbox::sandbox;

use longhaul_engine::store;
#[cfg(feature = "cli")]
use longhaul_ground::{launch, private};

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
