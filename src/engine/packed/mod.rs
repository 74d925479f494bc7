//! Lives here: a task taken home: its journal, arguments and component in one file, and what they come to when they are
//! replayed, elsewhere or with another component, without effects.
//! May import: all of the engine. Never here: a file's name, a network, words for a terminal.
//! Read first: `task.rs`, then `replay.rs`.

mod error;
mod file;
mod pack;
mod redact;
mod replay;
mod task;
#[cfg(test)]
mod tests;
mod trial;
mod unpack;

pub use error::PackError;
pub use replay::{ReplayEnd, Replayed};
pub use task::{Exported, ExportedError, ExportedHead};
pub(super) use trial::Tried;
pub use trial::{Other, Trial, Verdict};
