//! A store as one stream of bytes: made of a store that is open, whatever is committed to it meanwhile, read again
//! with every check, and put back as a new store. Read first: `format.md`, then `stream.rs`.

mod error;
mod make;
mod read;
mod restore;
mod stream;
mod summary;
#[cfg(test)]
mod tests;

pub use error::BackupError;
pub(in crate::store) use make::make;
pub(in crate::store) use read::verify;
pub(in crate::store) use restore::restore;
#[cfg(test)]
pub(super) use restore::restore_in;
pub use summary::BackupSummary;
