//! How a store is opened, and what it says of itself.

use std::time::Duration;

use crate::limits::{
    FOLD_SLICE_ROWS, GATHER_MICROS, IDLE_QUICK_REPAIR_MS, MAX_RESERVE_BYTES, MAX_UNFOLDED_BYTES,
    MAX_WATERMARK_BYTES, PATIENT_BATCH_MS, RESERVE_PART_OF_DISK, RING_BYTES, STORE_CACHE_BYTES,
    WATERMARK_PART_OF_DISK,
};

/// Number of an applied batch; they count up in the order of commits, across restarts.
pub type Lsn = u64;

#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StoreOptions {
    pub durability: Durability,
    /// redb's page cache, bytes.
    pub cache_bytes: usize,
    pub disk: DiskBounds,
    /// Bytes of the log that start-up may have to read.
    pub(crate) max_unfolded_bytes: usize,
    /// Of a new file, how much of it is the ring of the log, at most; 0 for none.
    pub(crate) ring_bytes: u64,
    /// Rows that a commit folds along the way.
    pub(crate) fold_slice_rows: usize,
    /// How long without a commit counts as idle.
    pub(crate) idle: Duration,
    /// How long a patient batch waits for another, if it is less than that.
    pub(crate) patience: Duration,
    /// How long the writer waits, after a commit that several waited for, for the half of them to come again; zero for
    /// not at all.
    pub(crate) gather: Duration,
}

/// What is kept of the store's disk, in bytes. What is not set follows from the size of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskBounds {
    /// For ends, cancels and deletes.
    pub reserve: Option<u64>,
    /// New work is refused with less than this free, besides the reserve.
    pub watermark: Option<u64>,
}

impl DiskBounds {
    /// The reserve and the watermark on a disk of so many bytes.
    pub(super) fn on(self, total: u64) -> (u64, u64) {
        let reserve = MAX_RESERVE_BYTES.min(total / RESERVE_PART_OF_DISK);
        let watermark = MAX_WATERMARK_BYTES.min(total / WATERMARK_PART_OF_DISK);
        (self.reserve.unwrap_or(reserve), self.watermark.unwrap_or(watermark))
    }
}

/// What an acknowledgement promises beyond a crash of the process: both survive the loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// One sync a commit. A torn commit is distinguished from a whole one by a checksum.
    #[default]
    Standard,
    /// Two syncs a commit: a torn commit is not even pointed to.
    Strict,
}

/// Sizes, for `doctor` and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// What the file takes of its disk.
    pub file_bytes: u64,
    /// Keys and values in the base tables and in the log's unfolded end.
    pub live_bytes: u64,
    /// What the file has beyond that: free pages, and pages that are partly filled.
    pub free_bytes: u64,
    pub unfolded_bytes: u64,
    pub unfolded_rows: u64,
    pub queued_batches: usize,
    pub last_lsn: Lsn,
    /// Of the disk, where that is looked at.
    pub disk: Option<DiskUsage>,
}

/// How the disk of a store stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsage {
    /// What this process may still write, besides the reserve.
    pub free_bytes: u64,
    pub total_bytes: u64,
    /// What the reserve holds.
    pub reserve_bytes: u64,
    /// What it should hold.
    pub wanted_reserve_bytes: u64,
    /// New work is refused with less free, besides the reserve.
    pub watermark_bytes: u64,
    /// New work is refused until more is free.
    pub is_full: bool,
    /// Batches that were refused for want of room since the store was opened.
    pub refused: u64,
}

/// What a check has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    pub rows: u64,
    /// Commits in the log that are not folded yet.
    pub log_rows: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Standard,
            cache_bytes: STORE_CACHE_BYTES,
            disk: DiskBounds::default(),
            max_unfolded_bytes: MAX_UNFOLDED_BYTES,
            ring_bytes: RING_BYTES,
            fold_slice_rows: FOLD_SLICE_ROWS,
            idle: Duration::from_millis(IDLE_QUICK_REPAIR_MS),
            patience: Duration::from_millis(PATIENT_BATCH_MS),
            gather: Duration::from_micros(GATHER_MICROS),
        }
    }
}
