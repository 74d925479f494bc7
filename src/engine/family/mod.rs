//! Lives here: tasks that tasks begin: what a call makes, what is tried after it, messages between tasks.
//! May import: `record`, `change` and what stands below.
//! Never here: how a task ends, what a child computes.
//! Read first: `children.rs`, then `calling/mod.rs`.

pub(super) mod calling;
pub(super) mod children;
pub mod messages;
