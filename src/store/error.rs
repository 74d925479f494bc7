use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::batch::Guard;
use super::space::Space;
use crate::limits::{BUSY_RETRY_MS, NO_SPACE_RETRY_MS};
pub use crate::private::NotPrivate;

/// Why the store said no. Cheap to clone: one failed commit answers many batches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A guard of the batch did not hold; nothing of the batch was written.
    #[error("refused: {0}")]
    Refused(Box<Refusal>),
    /// The writer cannot keep up; nothing was queued. Try again after a moment.
    #[error("the store is busy: {queued} batches of {bytes} bytes wait for the disk; try again in a moment")]
    Busy { queued: usize, bytes: usize },
    /// Too little is free on the disk for this; nothing was queued. Reads, cancels and deletes go on, and so does all
    /// else once there is room. Its words are for any caller, so they name no place.
    #[error(
        "the server's disk has no room for this: {} MiB are free; try again once there is more, cancels, deletes and \
         reads go on",
        free >> 20
    )]
    NoSpace { free: u64 },
    /// The share of whom the batch is for is used up; nothing was queued. The store itself knows no shares.
    #[error("{0}")]
    NoShare(Arc<str>),
    /// The batch is over a bound of `limits`; nothing was queued.
    #[error("{what} has {found} bytes and may have {limit}")]
    TooLarge { what: &'static str, found: usize, limit: usize },
    /// A commit failed before; nothing is written any more, and nothing unacknowledged may be relied on.
    #[error("{0}")]
    Latched(Arc<str>),
    #[error("the store is closed")]
    Closed,
    #[error("{path} is in use by another longhaul process; stop that one first, or name another folder")]
    Locked { path: PathBuf },
    #[error(
        "{path} was written by a newer longhaul (store format {found}; this one reads up to {supported}); \
         start that version again, the file was not touched"
    )]
    NewerFormat { path: PathBuf, found: u32, supported: u32 },
    #[error("{} cannot be written: {why}", path.display())]
    ReadOnly { path: PathBuf, why: Arc<str> },
    /// The folder, or what lies in it, is not this user's alone; nothing was touched.
    #[error(transparent)]
    NotPrivate(NotPrivate),
    #[error("the store is damaged at {place}: {why}; keep a copy of the file and restore a backup")]
    Damaged { place: Arc<str>, why: Arc<str> },
    #[error("{what} failed: {why}")]
    Io { what: Arc<str>, why: Arc<str> },
    /// A value could not be encoded: an error in the program.
    #[error("a row could not be encoded: {0}")]
    Encode(Arc<str>),
}

impl StoreError {
    /// How long what is handed over again waits before that, where it [`passes`](Self::passes).
    pub fn pause(&self) -> Duration {
        Duration::from_millis(match self {
            Self::NoSpace { .. } | Self::NoShare(_) => NO_SPACE_RETRY_MS,
            _ => BUSY_RETRY_MS,
        })
    }

    /// Whether the same may be handed over again after a moment, or once there is room.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::NoSpace { .. } | Self::NoShare(_))
    }
}

/// The guard that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its position among the batch's guards, from 0.
    pub index: usize,
    pub guard: Guard,
}

impl StoreError {
    /// A row that does not read as it must.
    pub fn damaged_row(space: Space, key: &[u8], why: impl fmt::Display) -> Self {
        Self::Damaged {
            place: format!("space {space}, key {}", Hex(key)).into(),
            why: why.to_string().into(),
        }
    }

    pub(super) fn damaged(place: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::Damaged { place: place.to_string().into(), why: why.to_string().into() }
    }

    pub(super) fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        match NotPrivate::of(error) {
            Some(why) => Self::NotPrivate(why.clone()),
            None => Self::Io { what: what.to_string().into(), why: explain(error).into() },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.guard {
            Guard::Lease { task, token } => {
                write!(f, "lease {token} of task {} is no longer held", Hex(task))
            }
            Guard::Absent { space, key } => write!(f, "{space} {} is already there", Hex(key)),
            Guard::Present { space, key } => write!(f, "{space} {} is not there", Hex(key)),
            Guard::Is { space, key, .. } => write!(f, "{space} {} has changed meanwhile", Hex(key)),
        }
    }
}

/// Whether the disk, or this user's share of it, has no room.
pub fn is_disk_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// The words of an I/O error, plain where the cause is plain.
fn explain(error: &std::io::Error) -> String {
    match error.kind() {
        _ if is_disk_full(error) => format!("the disk is full ({error})"),
        std::io::ErrorKind::ReadOnlyFilesystem => format!("the file system is read-only ({error})"),
        std::io::ErrorKind::PermissionDenied => format!("access is denied ({error})"),
        _ => error.to_string(),
    }
}

/// Bytes of a key for a message, cut to a length that a line bears.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 32;
        for byte in self.0.iter().take(SHOWN) {
            write!(f, "{byte:02x}")?;
        }
        if self.0.len() > SHOWN { f.write_str("…") } else { Ok(()) }
    }
}
