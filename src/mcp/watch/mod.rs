//! Lives here: watchers of the engine's feed as clients name what they watch, and what a listener is to hear.
//! May import: `wire` and below.
//! Never here: the connection that watches.
//! Read first: `watched.rs`, `armed.rs`.

pub mod armed;
pub mod handoff;
pub mod session;
pub mod task_ids;
pub mod watched;
