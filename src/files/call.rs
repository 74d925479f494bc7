//! What may be asked of a folder. Every call names what it is about by its path within the folder, and where the file is open
//! to a guest by what it was when that was opened: nothing outlives a call, so that the process may end at any time.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::limits;

/// A folder, and whether anything in it may be changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Root {
    pub path: PathBuf,
    pub may_write: bool,
}

/// Which file it is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
}

/// A path, and the file that is to be there; any where that is not said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    pub path: String,
    pub identity: Option<Identity>,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct How {
    pub write: bool,
    pub create: bool,
    pub exclusive: bool,
    pub truncate: bool,
    /// It is to be a folder.
    pub folder: bool,
    /// A symbolic link at the end of the path is followed, within the folder.
    pub follow: bool,
}

/// Seconds since the Unix epoch, and nanoseconds.
pub type Time = (u64, u32);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// What is there.
    Look {
        at: Named,
        follow: bool,
    },
    /// Sees whether it may be opened so, and creates or cuts it off.
    Open {
        path: String,
        how: How,
    },
    Read {
        file: Named,
        offset: u64,
        length: u32,
    },
    Write {
        file: Named,
        offset: u64,
        #[serde(with = "super::bytes")]
        bytes: Vec<u8>,
    },
    Append {
        file: Named,
        #[serde(with = "super::bytes")]
        bytes: Vec<u8>,
    },
    SetSize {
        file: Named,
        size: u64,
    },
    /// What is left out stays.
    SetTimes {
        at: Named,
        follow: bool,
        accessed: Option<Time>,
        modified: Option<Time>,
    },
    Sync {
        file: Named,
    },
    List {
        folder: Named,
    },
    ReadLink {
        path: String,
    },
    MakeFolder {
        path: String,
    },
    RemoveFolder {
        path: String,
    },
    RemoveFile {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Link {
        from: String,
        to: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Done,
    Seen(Stat),
    Bytes(#[serde(with = "super::bytes")] Vec<u8>),
    Text(String),
    /// Sorted by name.
    Entries(Vec<Entry>),
    /// What is there, and since when, of a file system that keeps that. The order is a format on disk: add at the end.
    SeenSince(Stat, Time),
}

impl Answer {
    /// What is there.
    pub fn stat(&self) -> Option<Stat> {
        match self {
            Self::Seen(stat) | Self::SeenSince(stat, _) => Some(*stat),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileKind {
    File,
    Folder,
    Link,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    pub identity: Identity,
    pub kind: FileKind,
    pub size: u64,
    pub links: u64,
    pub accessed: Time,
    pub modified: Time,
    pub changed: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub name: String,
    pub kind: FileKind,
}

/// Why it is not done, by the names that WASI has. The order is a format on disk: add at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum FileError {
    #[error("access denied")]
    Access,
    #[error("not a descriptor for this")]
    BadDescriptor,
    #[error("busy")]
    Busy,
    #[error("in another folder")]
    CrossDevice,
    #[error("exists")]
    Exist,
    #[error("too large")]
    FileTooLarge,
    #[error("a name that is no UTF-8")]
    IllegalByteSequence,
    #[error("no room")]
    InsufficientSpace,
    #[error("invalid")]
    Invalid,
    #[error("input or output failed")]
    Io,
    #[error("a folder")]
    IsDirectory,
    #[error("too many symbolic links, or one where none is followed")]
    Loop,
    #[error("name too long")]
    NameTooLong,
    #[error("no such file")]
    NoEntry,
    #[error("not a folder")]
    NotDirectory,
    #[error("not empty")]
    NotEmpty,
    #[error("not permitted")]
    NotPermitted,
    #[error("too many")]
    Overflow,
    #[error("over quota")]
    Quota,
    #[error("read-only")]
    ReadOnly,
    #[error("too many links")]
    TooManyLinks,
    #[error("not offered")]
    Unsupported,
    /// Under this path there is another file than the one that was opened, or none any more.
    #[error("another file than the one that was opened")]
    Replaced,
    /// The process that holds the folder ended in the call: it may have been done or not.
    #[error("not known to be done")]
    Unanswered,
}

impl Call {
    /// Whether it changes anything.
    pub fn changes(&self) -> bool {
        match self {
            Self::Look { .. }
            | Self::Read { .. }
            | Self::List { .. }
            | Self::ReadLink { .. }
            | Self::Sync { .. } => false,
            Self::Open { how, .. } => how.write || how.create || how.truncate,
            Self::Write { .. }
            | Self::Append { .. }
            | Self::SetSize { .. }
            | Self::SetTimes { .. }
            | Self::MakeFolder { .. }
            | Self::RemoveFolder { .. }
            | Self::RemoveFile { .. }
            | Self::Rename { .. }
            | Self::Link { .. } => true,
        }
    }

    /// Whether it is as large as a guest's call may be, and no larger.
    pub fn is_bounded(&self) -> bool {
        let (one, other, bytes) = match self {
            Self::Write { file, bytes, .. } | Self::Append { file, bytes } => {
                (file.path.as_str(), "", bytes.len())
            }
            Self::Look { at, .. } | Self::SetTimes { at, .. } => (at.path.as_str(), "", 0),
            Self::Read { file, .. } | Self::SetSize { file, .. } | Self::Sync { file } => {
                (file.path.as_str(), "", 0)
            }
            Self::List { folder } => (folder.path.as_str(), "", 0),
            Self::Rename { from, to } | Self::Link { from, to } => (from.as_str(), to.as_str(), 0),
            Self::Open { path, .. }
            | Self::ReadLink { path }
            | Self::MakeFolder { path }
            | Self::RemoveFolder { path }
            | Self::RemoveFile { path } => (path.as_str(), "", 0),
        };
        let most = limits::MAX_FILE_PATH_BYTES;
        one.len() <= most && other.len() <= most && bytes <= limits::MAX_FILE_CALL_BYTES
    }
}
