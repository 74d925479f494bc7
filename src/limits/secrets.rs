//! Secrets.

/// One secret, bytes: what a header line has room for.
pub const MAX_SECRET_BYTES: usize = 8 * 1024;
/// What names a source, bytes: a path among others.
pub const MAX_SECRET_SOURCE_BYTES: u64 = 8 * 1024;
/// A text that is shorter is no secret: it could be guessed, and what looks like it would be masked everywhere. Bytes.
pub const MIN_SECRET_BYTES: usize = 8;
/// A file or an entry of a keyring that was read is not read again for so long. Seconds.
pub const SECRET_KEPT_SECONDS: u64 = 10;
/// What a keyring may take to give an entry, with asking its user. Seconds.
pub const KEYRING_SECONDS: u64 = 20;
