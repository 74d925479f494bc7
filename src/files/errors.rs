//! From the errors of the system to those that WASI has.

use rustix::io::Errno;

use super::call::FileError;

impl From<Errno> for FileError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ACCESS => Self::Access,
            Errno::BADF => Self::BadDescriptor,
            Errno::BUSY | Errno::AGAIN | Errno::TXTBSY => Self::Busy,
            Errno::EXIST => Self::Exist,
            Errno::FBIG => Self::FileTooLarge,
            Errno::ILSEQ => Self::IllegalByteSequence,
            Errno::NOSPC => Self::InsufficientSpace,
            Errno::INVAL => Self::Invalid,
            Errno::ISDIR => Self::IsDirectory,
            Errno::LOOP => Self::Loop,
            Errno::NAMETOOLONG => Self::NameTooLong,
            Errno::NOENT => Self::NoEntry,
            Errno::NOTDIR => Self::NotDirectory,
            Errno::NOTEMPTY => Self::NotEmpty,
            // Out of the folder, or into another file system within it.
            Errno::PERM | Errno::XDEV => Self::NotPermitted,
            Errno::OVERFLOW => Self::Overflow,
            Errno::DQUOT => Self::Quota,
            Errno::ROFS => Self::ReadOnly,
            Errno::MLINK => Self::TooManyLinks,
            Errno::NOSYS | Errno::NOTSUP => Self::Unsupported,
            _ => Self::Io,
        }
    }
}
