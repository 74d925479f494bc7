//! Lives here: reading what is committed: documents of tasks, lists and their cursors, counters.
//! May import: the rows of every other room of the engine.
//! Never here: a write.
//! Read first: `view.rs`, then `tasks.rs`.

pub(super) mod cursor;
pub(super) mod metrics;
pub(super) mod tasks;
pub(super) mod view;
