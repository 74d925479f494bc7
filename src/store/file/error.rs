//! redb's errors in the store's words.

use std::fmt;

use crate::store::error::StoreError;

impl StoreError {
    pub(super) fn of_redb(what: impl fmt::Display, error: impl Into<redb::Error>) -> Self {
        match error.into() {
            // What redb looks for is behind the end of the file.
            redb::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Self::damaged(what, "the file ends before what it says to be there")
            }
            redb::Error::Io(error) => Self::io(what, &error),
            redb::Error::Corrupted(why) => Self::damaged(what, why),
            // It has panicked on another thread, which it does where pages do not fit each other.
            error @ redb::Error::LockPoisoned(_) => Self::damaged(what, error),
            redb::Error::PreviousIo => {
                Self::Io { what: what.to_string().into(), why: "an earlier read or write failed".into() }
            }
            error @ (redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::UpgradeRequired(_)) => Self::damaged(what, error),
            error => Self::Io { what: what.to_string().into(), why: error.to_string().into() },
        }
    }
}
