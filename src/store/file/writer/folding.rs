//! Rows of the log go to the base tables: between commits, when nothing comes, and at the end.

use std::time::Instant;

use redb::WriteTransaction;

use super::Writer;
use crate::limits::{
    BETWEEN_FOLD_SLICES, FOLD_SLICE_BYTES, IDLE_FOLD_SLICES, LOG_TRIM_ROWS, MAX_IDLE_UNFOLDED_BYTES,
    OVERDUE_FOLD_PART,
};
use crate::store::error::StoreError;
use crate::store::file::fold::{Budget, Fold, Slice, fold_slice};
use crate::store::file::lane::{FULL_EIGHTHS, Lane};
use crate::store::file::open::write_closed;

impl Writer {
    /// Where commits go to the ring, what is due is folded between them, once they are answered.
    pub(super) fn fold_between(&mut self) -> Result<(), StoreError> {
        if !self.has_lane() {
            return Ok(());
        }
        let Some(budget) = self.due().filter(|due| !self.is_put_off(due)) else { return Ok(()) };
        let rows = budget.rows.saturating_mul(BETWEEN_FOLD_SLICES);
        let transaction = self.begin()?;
        self.commit_fold(transaction, Budget { rows, ..budget }, LOG_TRIM_ROWS)
    }

    /// Whether batches wait for the writer, and what is due can wait for them.
    fn is_put_off(&self, due: &Budget) -> bool {
        let layer = self.fold.as_ref().map_or(0, |fold| fold.weight);
        let is_awaited = || !self.backlog.is_empty() || self.shared.queue().hurried > 0;
        due.weight < layer / OVERDUE_FOLD_PART && is_awaited()
    }

    /// What this commit must fold so that the frozen layer is gone before the bound is reached.
    pub(super) fn due(&self) -> Option<Budget> {
        let fold = self.fold.as_ref()?;
        let left = self.shared.read_state().overlay.frozen.weight;
        let room = self.shared.options.max_unfolded_bytes.saturating_sub(fold.log_bytes);
        let (ring_used, ring_room) = self.lane.as_ref().map_or((0, 1), |lane| lane.pace(fold));
        if self.active_bytes >= room || ring_used >= ring_room {
            return Some(Budget::ALL);
        }
        // In proportion: as much of the layer is folded as the room for new rows is used up.
        let part = |used: u128, room: u128| (fold.weight as u128 * used / room) as usize;
        let in_ring = part(ring_used.into(), ring_room.into());
        let target = part(self.active_bytes as u128, room as u128).max(in_ring);
        let weight = target.saturating_sub(fold.weight.saturating_sub(left));
        let rows = self.shared.options.fold_slice_rows;
        (weight > 0).then_some(Budget { weight, rows, bytes: FOLD_SLICE_BYTES })
    }

    pub(super) fn fold_some(
        &self,
        transaction: &WriteTransaction,
        budget: Option<Budget>,
    ) -> Result<Option<Slice>, StoreError> {
        let (Some(fold), Some(budget)) = (&self.fold, budget) else { return Ok(None) };
        let state = self.shared.read_state();
        let snapshot = state.snapshot()?;
        fold_slice(transaction, &state.overlay, snapshot.base(), fold.cursor.clone(), budget).map(Some)
    }

    /// Under load, one layer gathers new rows while the one before it is folded.
    pub(super) fn freeze_when_full(&mut self) {
        let is_ring_filling = self.lane.as_ref().is_some_and(Lane::is_filling);
        let bytes = self.shared.options.max_unfolded_bytes / 8 * FULL_EIGHTHS as usize;
        self.freeze_from(if is_ring_filling { 0 } else { bytes });
    }

    /// When the active layer has so many bytes of log rows, and at least one, and the frozen one is gone, it
    /// becomes the frozen one.
    pub(super) fn freeze_from(&mut self, bytes: usize) {
        if self.fold.is_some() || self.active_rows == 0 || self.active_bytes < bytes {
            return;
        }
        let mut state = self.shared.write_state();
        let overlay = &mut state.overlay;
        overlay.frozen = std::mem::take(&mut overlay.active);
        let ring_until = self.lane.as_mut().map_or(0, |lane| {
            lane.active = lane.head;
            lane.head
        });
        self.fold = Some(Fold {
            through: self.last_lsn,
            ring_until,
            log_bytes: std::mem::take(&mut self.active_bytes),
            log_rows: std::mem::take(&mut self.active_rows),
            weight: overlay.frozen.weight,
            cursor: None,
        });
    }

    /// Nothing waits: fold more than else, and leave a file that opens fast after a crash.
    pub(super) fn commit_idle(&mut self) -> Result<(), StoreError> {
        self.folded_at = Some(Instant::now());
        if self.has_no_room() {
            // The next batch that fits brings it up again.
            self.is_dirty = false;
            return Ok(());
        }
        let (rows, most) = (self.shared.options.fold_slice_rows, self.shared.options.max_unfolded_bytes);
        let worth_folding = MAX_IDLE_UNFOLDED_BYTES.min(most / 8);
        self.freeze_from(worth_folding);
        if self.has_lane() && self.is_boot_written && self.fold.is_none() && !self.is_trimming {
            // Redb's part is as the last transaction left it, and opens fast.
            self.is_dirty = false;
            return Ok(());
        }
        let budget =
            Budget { weight: 1, rows: IDLE_FOLD_SLICES * rows, bytes: IDLE_FOLD_SLICES * FOLD_SLICE_BYTES };
        let mut transaction = self.begin()?;
        transaction.set_quick_repair(true);
        self.commit_fold(transaction, budget, IDLE_FOLD_SLICES * LOG_TRIM_ROWS)?;
        self.freeze_from(worth_folding);
        self.is_dirty = self.fold.is_some() || self.is_trimming;
        Ok(())
    }

    /// Leave a file that the next start need only open: nothing to repair, no log to read.
    pub(super) fn commit_last(&mut self) -> Result<(), StoreError> {
        if self.has_no_room() {
            return Ok(());
        }
        // First what is frozen, if anything is, then the active layer.
        for _ in 0..2 {
            self.freeze_from(0);
            if self.fold.is_some() {
                let transaction = self.begin()?;
                self.commit_fold(transaction, Budget::ALL, 0)?;
            }
        }
        let transaction = self.begin()?;
        write_closed(&transaction, self.shared.boot).map_err(|error| self.failed(error))?;
        self.write_log(&transaction, None, usize::MAX)?;
        self.commit(transaction)
    }

    /// Commits a slice of what is frozen, without any new row.
    pub(super) fn commit_fold(
        &mut self,
        transaction: WriteTransaction,
        budget: Budget,
        trim_rows: usize,
    ) -> Result<(), StoreError> {
        let slice = self.fold_some(&transaction, Some(budget))?;
        self.write_direct(&transaction, slice.as_ref())?;
        self.write_log(&transaction, None, trim_rows)?;
        self.commit(transaction)?;
        let shared = self.shared.clone();
        self.apply(&mut shared.write_state(), slice, None)
    }

    pub(super) fn is_fold_due(&self) -> bool {
        self.folded_at.is_none_or(|at| at.elapsed() >= self.shared.options.idle)
    }

    /// Whether the disk is so full that a commit might fail, and with it all that could still be read and cancelled.
    pub(super) fn has_no_room(&self) -> bool {
        let mut queue = self.shared.queue();
        let refill = self.shared.look_at_disk(&mut queue).and_then(|disk| queue.room.refill(disk));
        let is_used_up = queue.room.is_used_up();
        drop(queue);
        if let Some(bytes) = refill {
            self.shared.reserve.fit(bytes);
        }
        is_used_up
    }
}
