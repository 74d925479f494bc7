//! Lives here: the folders that tasks are granted: what may be asked of one, the process that holds it and can reach nothing
//! else, and the server's end of that process.
//! May import: `launch`, `limits`, `walls`. Never here: who is granted what, and the journal.
//! Read first: `call.rs`, then `act.rs`; `may_hold.rs` says which folders are held at all; `servers.rs` is the server's end,
//! `program.rs` the process.

#[cfg(target_os = "linux")]
mod act;
mod bytes;
mod call;
#[cfg(target_os = "linux")]
mod errors;
#[cfg(target_os = "linux")]
mod first;
#[cfg(target_os = "linux")]
mod hold;
mod may_hold;
mod pipe;
mod program;
#[cfg(target_os = "linux")]
mod root;
mod servers;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;

pub use call::{Answer, Call, Entry, FileError, FileKind, How, Identity, Named, Root, Stat, Time};
pub use may_hold::MayHold;
pub use program::run;
pub use servers::{FolderError, FolderServers};
