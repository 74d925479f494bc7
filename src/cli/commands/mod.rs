//! Lives here: one file a command; `prompt/` is `longhaul client`.
//! May import: all of the command line's rooms. Never here: how a server is reached or how a document is shown.
//! Read first: `call.rs`.

pub mod add;
pub mod approve;
pub mod audit;
mod bind;
pub mod call;
pub mod demo;
pub mod doctor;
pub mod export;
pub mod key;
pub mod lock;
mod lock_file;
mod project;
pub mod prompt;
pub mod registry;
pub mod replay;
pub mod state;
pub mod task;
pub mod token;
pub mod tool;
mod trial;
mod update;
mod wit;
