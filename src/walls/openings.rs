//! What is let through.

use std::path::PathBuf;

/// What a process may still reach once its walls stand. Nothing else, and nothing in it may be run as a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Openings {
    /// Files, or folders with all that is in them, now or later; what is not there is passed over.
    pub read: Vec<PathBuf>,
    /// Folders in which all may be read, and their files read though not listed.
    pub read_files: Vec<PathBuf>,
    /// Files that are written.
    pub write: Vec<PathBuf>,
    /// Folders of its own, in which it may do what it likes with files, folders and sockets.
    pub own: Vec<PathBuf>,
    /// The TCP ports that it listens on; 0 is one that the system chooses.
    pub listen: Vec<u16>,
}
