//! Lives here: runners that are no sandbox: closures in this process, tools of other MCP servers.
//! May import: `lifecycle` and all that stands below.
//! Never here: WASM, a protocol's wire form.
//! Read first: `closures.rs`.

pub(super) mod asking;
pub(super) mod calls;
pub mod closures;
pub(super) mod remote;
