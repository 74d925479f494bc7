//! What may still be written to the disk, and by what: new work needs free room, what ends work or makes room may have
//! the reserve.

use super::reserve::Measured;
use crate::store::batch::{Batch, Need};
use crate::store::options::DiskBounds;

/// Rows are written to the log, and again when they are folded, with the pages above them.
const COST_PER_LOGGED: u64 = 3;
/// Until the log's old rows are removed, a folded row is there twice.
const COST_PER_UNFOLDED: u64 = 2;
/// A large value takes up to the next power of two.
const COST_PER_DIRECT: u64 = 2;
/// What a batch costs besides its bytes.
const COST_PER_BATCH: u64 = 512;
/// The file has free pages only as far as it is larger than this many times its rows.
const FILE_PER_STORED: u64 = 2;

/// How much there is, less what was queued since the disk was looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Free, or held by the reserve.
    certain: u64,
    /// With what is free within the store's file, less what is still to be written of what was acknowledged.
    likely: u64,
    /// What the reserve should hold.
    reserve: u64,
    watermark: u64,
}

/// What is known of the store when its disk is looked at, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owed {
    /// In base tables.
    pub base: u64,
    pub unfolded: u64,
    /// What the ring has of the file, which is for the log alone.
    pub ring: u64,
    /// Batches that wait for the writer.
    pub queued: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self::UNBOUNDED
    }
}

impl Room {
    /// Of a disk that is not looked at.
    pub const UNBOUNDED: Self = Self { certain: u64::MAX, likely: u64::MAX, reserve: 0, watermark: 0 };

    pub fn of(disk: Measured, owed: Owed, bounds: DiskBounds) -> Self {
        let (reserve, watermark) = bounds.on(disk.total);
        let stored = owed.base.saturating_add(owed.unfolded).saturating_mul(FILE_PER_STORED);
        let reusable = disk.file.saturating_sub(owed.ring).saturating_sub(stored);
        let certain = disk.free.saturating_add(disk.held);
        let unwritten = owed.unfolded * COST_PER_UNFOLDED + owed.queued * COST_PER_LOGGED;
        Self {
            certain,
            likely: certain.saturating_add(reusable).saturating_sub(unwritten),
            reserve,
            watermark,
        }
    }

    /// Takes what a batch costs, if it may have it.
    pub fn take(&mut self, batch: &Batch, frame_bytes: usize) -> bool {
        let cost = COST_PER_BATCH
            + frame_bytes as u64 * COST_PER_LOGGED
            + batch.direct_bytes as u64 * COST_PER_DIRECT;
        let fits = self.allows(batch.need, cost);
        if fits {
            self.likely = self.likely.saturating_sub(cost);
        }
        fits
    }

    /// Whether a batch with this need may have so much.
    pub fn allows(&self, need: Need, cost: u64) -> bool {
        // Free pages within the file are a guess: where it was wrong the reserve pays, and new work waits.
        if self.has(self.reserve / 4 * 3, self.reserve + self.watermark, cost) {
            return true;
        }
        // The reserve is for many: what is large waits for room.
        let (left, most) = match need {
            Need::Growth => return false,
            Need::End => (self.reserve / 2, self.reserve / 16),
            Need::Relief => (self.reserve / 8, self.reserve / 32),
        };
        cost <= most && self.has(left, left, cost)
    }

    /// Whether new work could be taken if nothing were free within the file.
    pub fn has_free_room(&self) -> bool {
        self.certain >= self.reserve + self.watermark
    }

    fn has(&self, certain: u64, likely: u64, cost: u64) -> bool {
        self.certain >= certain && self.likely >= likely.saturating_add(cost)
    }

    /// Whether not even what makes room may be written any more.
    pub fn is_used_up(&self) -> bool {
        !self.allows(Need::Relief, 0)
    }

    /// What the reserve is to hold, where it holds more, or less and the disk has room for that.
    pub fn refill(&self, disk: Measured) -> Option<u64> {
        let Some(missing) = self.reserve.checked_sub(disk.held) else { return Some(self.reserve) };
        (missing > 0 && disk.free >= missing.saturating_add(self.watermark / 2)).then_some(self.reserve)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn room(free: u64, held: u64, file: u64, owed: Owed) -> Room {
        let disk = Measured { free: free * MIB, total: 1024 * MIB, file: file * MIB, held: held * MIB };
        Room::of(disk, owed, DiskBounds::default())
    }

    fn allowed(room: Room) -> [bool; 3] {
        [Need::Growth, Need::End, Need::Relief].map(|need| room.allows(need, MIB / 2))
    }

    #[test]
    fn new_work_needs_the_watermark_an_end_half_of_the_reserve_and_relief_little() {
        let nothing = Owed::default();
        assert_eq!(allowed(room(65, 16, 0, nothing)), [true, true, true]);
        assert_eq!(allowed(room(64, 16, 0, nothing)), [false, true, true]);
        assert_eq!(allowed(room(0, 9, 0, nothing)), [false, true, true]);
        assert_eq!(allowed(room(0, 8, 0, nothing)), [false, false, true]);
        assert_eq!(allowed(room(0, 2, 0, nothing)), [false, false, false]);
        assert!(!room(0, 2, 0, nothing).is_used_up() && room(0, 1, 0, nothing).is_used_up());
        assert_eq!(allowed(Room::UNBOUNDED), [true, true, true]);
        let full = room(0, 16, 0, nothing);
        assert!(!full.allows(Need::End, 2 * MIB) && !full.allows(Need::Relief, MIB), "large ones wait");
    }

    #[test]
    fn what_is_set_holds_whatever_the_size_of_the_disk() {
        let disk = Measured { free: 99 * MIB, total: 64 * MIB, file: 0, held: 32 * MIB };
        let bounds = DiskBounds { reserve: Some(32 * MIB), watermark: Some(100 * MIB) };
        let room = |free| Room::of(Measured { free: free * MIB, ..disk }, Owed::default(), bounds);
        assert_eq!(allowed(room(99)), [false, true, true]);
        assert_eq!(allowed(room(101)), [true, true, true]);
        assert!(room(0).allows(Need::End, 2 * MIB), "a sixteenth of the reserve");
    }

    #[test]
    fn what_is_free_within_the_file_counts_as_long_as_the_reserve_is_nearly_whole() {
        let stored = Owed { base: 10 * MIB, ..Owed::default() };
        assert!(room(0, 16, 90, stored).allows(Need::Growth, MIB));
        assert!(!room(0, 16, 80, stored).allows(Need::Growth, 5 * MIB));
        assert!(!room(0, 11, 900, stored).allows(Need::Growth, MIB), "it was wrong before");
    }

    #[test]
    fn what_is_acknowledged_and_not_folded_yet_has_its_room_already() {
        let owed = Owed { unfolded: 20 * MIB, ..Owed::default() };
        assert!(!room(110, 16, 0, owed).allows(Need::Growth, 10 * MIB));
        assert!(room(120, 16, 0, owed).allows(Need::Growth, 10 * MIB));
        let queued = Owed { queued: 20 * MIB, ..Owed::default() };
        assert!(!room(120, 16, 0, queued).allows(Need::Growth, 10 * MIB));
    }

    #[test]
    fn the_reserve_is_filled_where_that_leaves_room_and_is_small_on_a_small_disk() {
        let disk = Measured { free: 50 * MIB, total: 1024 * MIB, file: 0, held: MIB };
        let by_itself = DiskBounds::default();
        let refill = |disk, bounds| Room::of(disk, Owed::default(), bounds).refill(disk);
        assert_eq!(refill(disk, by_itself), Some(16 * MIB));
        let tight = Measured { free: 40 * MIB, ..disk };
        assert_eq!(refill(tight, by_itself), None);
        let whole = Measured { held: 16 * MIB, ..disk };
        assert_eq!(refill(whole, by_itself), None);
        let small = Measured { total: 96 * MIB, free: 96 * MIB, ..disk };
        assert_eq!(refill(small, by_itself), Some(6 * MIB));
        assert_eq!(refill(whole, DiskBounds { reserve: Some(8 * MIB), ..by_itself }), Some(8 * MIB), "less");
    }
}
