//! Lives here: what a task recorded, as bytes and rows: records, operations, checkpoints, the log's end.
//! May import: the engine's rows and the store's types.
//! Never here: what a runner holds, what a record leads to.
//! Read first: `records.rs`, then `ops.rs`.

pub(super) mod checkpoint;
pub(super) mod divergence;
pub(super) mod last_lines;
pub(super) mod log_tail;
pub(super) mod ops;
pub(super) mod pieces;
pub(super) mod prefix;
pub(super) mod records;
