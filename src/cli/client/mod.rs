//! Lives here: a server that is reached from a command: found, called, followed, asked; or the store where none runs.
//! May import: `config`, `server`, `show`, and `mcp`'s client. Never here: what one command alone does.
//! Read first: `access.rs`, then `remote.rs`.

pub mod access;
pub mod arguments;
pub mod follow;
pub mod form;
pub mod hand;
pub mod progress;
pub mod prompt;
pub mod remote;
pub mod servers;
