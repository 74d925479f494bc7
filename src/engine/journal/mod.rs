//! Lives here: the journal of an attempt: its records as bytes, what of it a retry keeps, checkpoints, the log's end.
//! May import: the engine's rows and ports, and the store's types.
//! Never here: what a runner holds, what a record leads to.
//! Read first: `records.rs`, then `prefix.rs`.

pub(super) mod checkpoint;
pub(super) mod last_lines;
pub(super) mod log_tail;
pub(super) mod prefix;
pub(super) mod records;
