//! What can go wrong with a start.

use std::io;

use super::program::Role;

/// A program that was not started, or whose end is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    #[error("{0}")]
    Refused(String),
    #[error(
        "the launcher of this server (pid {pid}) has ended, and what stands within the walls starts no program itself: \
         start the server again"
    )]
    LauncherEnded { pid: u32 },
}

impl From<io::Error> for LaunchError {
    fn from(error: io::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

pub fn not_stated(role: &Role) -> LaunchError {
    LaunchError::Refused(format!("no program was stated for {role:?} when this server started"))
}
