//! Lives here: the life of a task: how it begins, what is attempted, how it ends, begins again and goes; what its owner does to it.
//! May import: `query`, `questions`, `family`, `state`, `record` and what stands below.
//! Never here: the loops that run for all tasks.
//! Read first: `attempt.rs`, then `end.rs`, then `reopen.rs`.

pub(super) mod answer;
mod aside;
pub(super) mod attempt;
pub(super) mod block;
pub(super) mod calendar;
pub(super) mod cancel;
pub(super) mod delete;
pub(super) mod due;
pub(super) mod end;
pub(super) mod find;
pub(super) mod keep;
pub(super) mod orphans;
mod outcome;
mod past;
pub(super) mod recovery;
pub(super) mod reopen;
pub(super) mod reports;
pub(super) mod rest;
pub(super) mod retention;
mod revoke;
pub(super) mod send;
pub(super) mod submit;
pub(super) mod wake;
