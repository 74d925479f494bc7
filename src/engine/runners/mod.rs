//! Lives here: runners that are no sandbox: closures in this process, tools of other MCP servers.
//! May import: the ports, `record`, and what a runner's step reaches.
//! Never here: WASM, a protocol's wire form.
//! Read first: `closures.rs`.

pub mod closures;
pub(super) mod remote;
