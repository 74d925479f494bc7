//! Lives here: starting programs with pipes, from a closed set that is stated once: from this process, or by the launcher,
//! a small process of the same binary that stands outside the walls of the server it belongs to.
//! May import: `limits`. Never here: what the programs are, and what they say.
//! Read first: `program.rs`, then `starter.rs`; `launcher.rs` is the other process.

mod end;
mod error;
mod find;
#[cfg(target_os = "linux")]
mod launched;
#[cfg(target_os = "linux")]
mod launcher;
#[cfg(target_os = "linux")]
mod link;
mod program;
mod spawn;
mod started;
mod starter;
#[cfg(test)]
mod tests;
#[cfg(target_os = "linux")]
mod wire;

pub use end::{End, Stop};
pub use error::LaunchError;
pub use find::find_program;
#[cfg(target_os = "linux")]
pub use launcher::run as launch_for_parent;
pub use program::{Environment, Program, Programs, Role, Stderr};
pub use started::{Running, Started};
pub use starter::Launch;
