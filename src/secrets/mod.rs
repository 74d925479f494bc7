//! Lives here: where secrets come from (`SecretSource`), and reading one when it is used.
//! May import: `authority`'s hiding text, `limits`. Never here: what a secret is for, and who may use it.
//! Read first: `source.rs`, then `read.rs`.

mod kept;
mod keyring;
mod read;
mod source;

pub use kept::{ReadOutside, Secrets};
pub use read::{SecretError, read_here};
pub use source::{SecretSource, SourceError};
