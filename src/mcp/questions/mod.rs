//! Lives here: a task's questions as requests to a client, and what it replies.
//! May import: `wire`.
//! Never here: who follows the task: that is `call`.
//! Read first: `asks.rs`, `respondent.rs`.

pub mod asks;
pub mod in_place;
pub mod respondent;
