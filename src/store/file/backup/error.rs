use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::store::error::StoreError;

/// Why there is no backup, or no store of one. Nothing that was written is taken for whole.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the backup cannot be written: {0}")]
    Write(Arc<io::Error>),
    #[error("the backup cannot be read: {0}")]
    Read(Arc<io::Error>),
    #[error("this is no backup of a longhaul store")]
    Foreign,
    #[error("the backup is of version {found}, and this longhaul reads version {supported}")]
    Newer { found: u8, supported: u8 },
    /// Its maker was interrupted, or a part of it was lost.
    #[error("the backup is incomplete: it ends after {bytes} bytes, in the middle")]
    CutOff { bytes: u64 },
    #[error("the backup is damaged or was altered at {place}: {why}")]
    Altered { place: String, why: String },
    /// Its maker says that it could not go on.
    #[error("the backup was not finished: {0}")]
    Unfinished(String),
    #[error("there is a store already: {}", path.display())]
    Occupied { path: PathBuf },
    #[error("{} is there: another restore is at work, or one was killed", path.display())]
    Leftover { path: PathBuf },
}

impl BackupError {
    pub(super) fn write(error: io::Error) -> Self {
        Self::Write(error.into())
    }

    pub(super) fn altered(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Altered { place: place.into(), why: why.into() }
    }
}
