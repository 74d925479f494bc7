//! Lives here: `tools/call`: how a call is answered, followed and given up, Longhaul's own tools among them.
//! May import: `connection`, `sessions`, `questions`, `tasks` and below.
//! Never here: how a request came in.
//! Read first: `tools.rs`, `reply.rs`, `follow.rs`.

pub mod follow;
pub mod mrtr;
pub mod offers;
pub mod on_stream;
pub mod own;
pub mod reply;
pub mod reports;
pub mod tools;
