//! The writer's way into the ring: where the next record goes, and what room there is.

use std::io;
use std::sync::Arc;

use super::fold::Fold;
use super::gate::PAGE_BYTES;
use super::ring::{MAX_ROW_BYTES, Ring, record_bytes};
use crate::limits::RING_FILL_BYTES;
use crate::store::options::Lsn;

/// Of the ring, and of what may be unfolded, how much the newer rows may take before they are frozen: two layers of three
/// eighths leave room to fold what a crash left behind as one layer.
pub(super) const FULL_EIGHTHS: u64 = 3;

pub(super) struct Lane {
    ring: Arc<Ring>,
    /// Commits go there; otherwise it only holds what earlier openings wrote.
    pub is_taking: bool,
    /// Position of the next record.
    pub head: u64,
    /// Position of the first record that is not folded.
    pub tail: u64,
    /// Position of the first record whose rows are not frozen.
    pub active: u64,
    /// Up to this position of the first round the disk has its blocks already, where a write costs least.
    pub filled: u64,
    record: Vec<u8>,
}

impl Lane {
    pub fn new(ring: Arc<Ring>, is_taking: bool, tail: u64, head: u64, filled: u64) -> Self {
        let filled = filled.max(head).min(ring.bytes());
        Self { ring, is_taking, head, tail, active: tail, filled, record: Vec::new() }
    }

    /// Whether a row of so many bytes has room.
    pub fn takes(&self, row_bytes: usize) -> bool {
        let used = self.head - self.ring.needed_from(self.tail);
        let has_room = record_bytes(row_bytes) <= self.ring.bytes() - used;
        self.is_taking && has_room && row_bytes <= MAX_ROW_BYTES
    }

    /// Writes and syncs a row that has room. Zeros go on behind it up to the end of the page, as far as there is room: one
    /// that is written as a whole need not be read first. Where nothing was written before, they go on further, which
    /// makes one commit in many dearer and the others cheap.
    pub fn append(&mut self, lsn: Lsn, row: &[u8], may_fill: bool) -> io::Result<()> {
        self.ring.encode(self.head, lsn, row, &mut self.record);
        let end = self.head + self.record.len() as u64;
        let size = self.ring.bytes();
        let until = if may_fill && end > self.filled && end < size {
            end.next_multiple_of(RING_FILL_BYTES).min(size)
        } else {
            end.next_multiple_of(PAGE_BYTES).min(self.ring.needed_from(self.tail) + size)
        };
        self.record.resize((until - self.head) as usize, 0);
        self.ring.write(self.head, &self.record)?;
        self.ring.sync()?;
        self.filled = self.filled.max(self.head + self.record.len() as u64).min(size);
        self.head = end;
        Ok(())
    }

    /// Whether the active rows take so much of the ring that they are to be frozen.
    pub fn is_filling(&self) -> bool {
        self.head - self.active >= self.ring.bytes() / 8 * FULL_EIGHTHS
    }

    /// How much of the room that the frozen rows leave is used up by newer ones, as a part of how much. The last eighth
    /// is left for what comes while the rest of the frozen rows is folded.
    pub fn pace(&self, fold: &Fold) -> (u64, u64) {
        let room = (self.ring.bytes() / 8 * 7).saturating_sub(fold.ring_until - self.tail);
        (self.head - fold.ring_until, room)
    }

    /// What the ring has of the disk, bytes.
    pub fn occupied(&self) -> u64 {
        self.filled.min(self.ring.bytes())
    }
}
