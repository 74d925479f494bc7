//! Lives here: how messages come in and go out: HTTP, pipes, the socket.
//! May import: everything of `mcp` but `client` and `bridge`.
//! Never here: what a request means.
//! Read first: `http.rs`, `stdio.rs`.

pub mod accept;
pub mod direct;
pub mod early_head;
pub mod http;
pub mod listening;
pub mod pipe;
pub mod pipe_questions;
pub mod pipe_task_ids;
pub mod reader;
pub mod socket;
pub mod stdio;
pub mod task_ids;
pub mod well_formed;
