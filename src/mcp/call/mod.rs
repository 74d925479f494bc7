//! Lives here: `tools/call`: how a call is answered, followed and given up, and what Longhaul's own tools do.
//! May import: `connection`, `sessions`, `questions`, `tasks` and below.
//! Never here: how a request came in.
//! Read first: `tools.rs`, `reply.rs`, `follow.rs`.

pub mod admin;
pub mod follow;
pub mod mrtr;
pub mod offers;
pub mod on_stream;
pub mod reply;
pub mod reports;
pub mod state_tools;
pub mod task_answer;
pub mod task_tools;
pub mod tools;
