/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupSummary {
    /// When it was begun, in nanoseconds since 1970: it holds what was acknowledged by then.
    pub made_at: u64,
    /// Which opening of the store it is from.
    pub boot: u64,
    /// Rows in the base tables.
    pub rows: u64,
    /// Commits in the log that are not folded yet.
    pub log_rows: u64,
    /// Number of the last batch that it holds.
    pub last_lsn: u64,
    pub bytes: u64,
    /// BLAKE3 of everything before it, which is its end.
    pub digest: [u8; 32],
}
