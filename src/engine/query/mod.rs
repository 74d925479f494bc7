//! Lives here: reading what is committed: views of tasks, lists and their cursors, counts.
//! May import: `questions`, `family`, `state` and what stands below.
//! Never here: a write.
//! Read first: `view.rs`, then `tasks.rs`.

pub(super) mod audit;
mod backup;
mod current;
pub(super) mod journal;
pub(super) mod metrics;
pub(super) mod open_questions;
pub(super) mod outputs;
pub(super) mod poll;
pub(super) mod recount;
pub(super) mod steps;
pub(super) mod tasks;
pub(super) mod view;
