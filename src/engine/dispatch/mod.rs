//! Lives here: open tasks in memory, which of them runs next, what wakes those that sleep.
//! May import: `journal`, `record`, the engine's rows.
//! Never here: what a task's end leads to, what a guest does.
//! Read first: `entry.rs`, then `ready.rs`.

pub(super) mod entry;
pub(super) mod ready;
pub(super) mod timers;
pub(super) mod wake;
