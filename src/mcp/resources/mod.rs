//! Lives here: `resources/*`, and what listeners and subscribers are sent.
//! May import: `connection`, `tasks` and below.
//! Never here: calls.
//! Read first: `read.rs`, `subscriptions.rs`.

pub mod listening;
pub mod read;
pub mod subscriptions;
