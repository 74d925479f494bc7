//! The one thread that writes: it takes what is queued, checks the guards, commits it as one log row, in the ring or in
//! redb's table, applies it to memory, notifies, acknowledges, and folds what is due.

mod folding;
mod judging;
mod telling;
mod waiting;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use redb::{Durability as Redb, ReadableTable, WriteTransaction};
use tokio::runtime::Handle;

use super::backlog::Backlog;
use super::base::LOG;
use super::fold::{Fold, Slice, Target};
use super::lane::Lane;
use super::layout::{FORMAT, RINGLESS_FORMAT};
use super::open::{Opened, Position, write_boot, write_position};
#[cfg(any(test, debug_assertions))]
use super::refusing::Moment;
use super::request::Request;
use super::shared::{RingSpan, Shared, State};
use crate::limits::LOG_TRIM_ROWS;
use crate::store::counts::Counts;
use crate::store::error::{Refusal, StoreError};
use crate::store::frame;
use crate::store::options::Durability;

pub(super) struct Writer {
    pub shared: Arc<Shared>,
    /// Whose tasks give answers.
    runtime: Option<Handle>,
    /// Whatever is in it when the writer fails is answered with the failure.
    backlog: Backlog,
    /// One a request of the group.
    refusals: Vec<Option<Box<Refusal>>>,
    leases: HashMap<[u8; 16], u64>,
    /// What the counts that the group touches come to.
    counts: Counts,
    last_lsn: u64,
    position: Position,
    /// The way into the ring, where the file has one.
    lane: Option<Lane>,
    fold: Option<Fold>,
    active_bytes: usize,
    active_rows: u64,
    /// There are log rows that are folded and not removed yet.
    is_trimming: bool,
    /// Something was committed since the last quick-repair commit.
    is_dirty: bool,
    /// The number of this opening is on disk.
    is_boot_written: bool,
    /// When it was last folded out of turn.
    folded_at: Option<Instant>,
    expected: Option<Expected>,
}

/// Where an opening begins to write.
pub(super) struct Begun {
    pub position: Position,
    pub last_lsn: u64,
    pub lane: Option<Lane>,
    /// Of the log's rows that are not folded.
    pub bytes: usize,
    pub rows: u64,
}

impl Begun {
    pub fn of(opened: &Opened, durability: Durability) -> Self {
        let Opened { position, ring, log, .. } = opened;
        // A strict commit is synced before anything points to it, which redb's are.
        let is_taking = durability == Durability::Standard;
        let lane = ring
            .clone()
            .map(|ring| Lane::new(ring, is_taking, position.ring, log.head, position.ring_filled));
        Self { position: *position, last_lsn: log.last_lsn, lane, bytes: log.bytes, rows: log.rows }
    }
}

/// Owners of the last group that may come again at any moment.
#[derive(Debug, Clone, Copy)]
struct Expected {
    wanted: usize,
    until: Instant,
}

enum Work {
    Group,
    Idle,
    Close,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, runtime: Option<Handle>, begun: Begun) -> Self {
        let writer = Self {
            shared,
            runtime,
            backlog: Backlog::default(),
            refusals: Vec::new(),
            leases: HashMap::new(),
            counts: Counts::default(),
            last_lsn: begun.last_lsn,
            position: begun.position,
            lane: begun.lane,
            fold: None,
            active_bytes: begun.bytes,
            active_rows: begun.rows,
            is_trimming: true,
            is_dirty: true,
            is_boot_written: false,
            folded_at: None,
            expected: None,
        };
        // Also a store that nothing is written to tells its sizes.
        writer.report();
        writer.shared.look_at_disk(&mut writer.shared.queue());
        writer
    }

    /// Until the store is closed or fails.
    pub fn run(mut self) {
        Self::be_woken_in_time();
        let served = catch_unwind(AssertUnwindSafe(|| self.serve()));
        let cause = match served {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the writer panicked; please report this, with what longhaul printed".to_string(),
        };
        let refusal = self.shared.latch(&cause);
        while let Some(request) = self.backlog.pop() {
            self.shared.give_up(request, &refusal);
        }
    }

    fn serve(&mut self) -> Result<(), StoreError> {
        self.freeze_when_full();
        loop {
            self.report();
            match self.next() {
                Work::Group => {
                    self.commit_group()?;
                    self.fold_between()?;
                    // What was deleted makes room once it is folded, also where callers leave no pause for it.
                    if self.is_dirty && self.shared.is_refusing() && self.is_fold_due() {
                        self.commit_idle()?;
                    }
                }
                Work::Idle => self.commit_idle()?,
                Work::Close => {
                    self.commit_last()?;
                    self.lane = None;
                    let db = {
                        let mut state = self.shared.write_state();
                        state.ring = None;
                        state.db.take()
                    };
                    let closed = db.map_or(Ok(()), |db| db.close());
                    return closed.map_err(|error| self.failed(error.into()));
                }
            }
        }
    }

    /// The requests of the group that are written.
    fn written(&self) -> impl Iterator<Item = (&Request, &[u8])> {
        let is_written = |(request, _): &(&Request, &[u8]), refusal: &Option<_>| {
            refusal.is_none() && !request.batch.is_empty()
        };
        let judged = self.backlog.group().zip(&self.refusals);
        judged.filter(move |(request, refusal)| is_written(request, refusal)).map(|(request, _)| request)
    }

    fn commit_group(&mut self) -> Result<(), StoreError> {
        #[cfg(any(test, debug_assertions))]
        self.shared.refusing.reach(Moment::BeforeCommit);
        self.judge()?;
        let first_lsn = self.last_lsn + 1;
        let (batches, bytes) =
            self.written().fold((0, 0), |(count, bytes), (_, frame)| (count + 1, bytes + frame.len()));
        if batches > 0 {
            let counted = self.count()?;
            let mut row = frame::begin_row(batches, bytes + counted.len());
            let mut has_direct = false;
            for (number, (request, frame)) in self.written().enumerate() {
                // The counts' rows go with the last batch: they are true once all of the commit's are there.
                let is_last = number + 1 == batches;
                let counts = if is_last { self.counts.iter().len() } else { 0 };
                frame::push_batch(&mut row, request.batch.ops + counts, frame);
                has_direct |= request.batch.direct_bytes > 0;
            }
            row.extend_from_slice(&counted);
            frame::end_row(&mut row, first_lsn);
            #[cfg(test)]
            if let Some(drive) = self.shared.drive.get() {
                let large = self.written().flat_map(|(request, _)| &request.batch.direct);
                drive.written(first_lsn, &row, large.cloned().collect());
            }

            self.active_bytes += row.len();
            self.active_rows += 1;
            // The first commit of an opening writes its number, in redb's part.
            let has_room = self.lane.as_ref().is_some_and(|lane| lane.takes(row.len()));
            if has_room && !has_direct && self.is_boot_written {
                self.commit_to_ring(first_lsn, Arc::new(row))?;
            } else {
                self.commit_to_table(first_lsn, Arc::new(row), has_direct)?;
            }
            self.is_dirty = true;
        }
        self.freeze_when_full();
        #[cfg(any(test, debug_assertions))]
        self.shared.refusing.reach(Moment::BeforeTelling);
        self.tell(first_lsn);
        Ok(())
    }

    /// One write behind the last one, and one sync.
    fn commit_to_ring(&mut self, first_lsn: u64, row: Arc<Vec<u8>>) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        if let Some(lane) = &mut self.lane {
            let written = lane.append(first_lsn, &row, !shared.is_refusing());
            let what = || format!("writing {}", shared.path.display());
            written.map_err(|error| StoreError::io(what(), &error))?;
        }
        shared.sink.showing();
        self.apply(&mut shared.write_state(), None, Some(&row))
    }

    /// A transaction of redb, with the large values of the group.
    fn commit_to_table(
        &mut self,
        first_lsn: u64,
        row: Arc<Vec<u8>>,
        has_direct: bool,
    ) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        let transaction = self.begin()?;
        let due = if self.has_lane() { None } else { self.due() };
        let slice = self.fold_some(&transaction, due)?;
        self.write_direct(&transaction, slice.as_ref())?;
        self.write_log(&transaction, Some((first_lsn, &row)), LOG_TRIM_ROWS)?;
        if has_direct {
            // Readers must not see a large value before the rest of its batch.
            let mut state = shared.write_state();
            self.commit(transaction)?;
            shared.sink.showing();
            self.apply(&mut state, slice, Some(&row))
        } else {
            self.commit(transaction)?;
            shared.sink.showing();
            self.apply(&mut shared.write_state(), slice, Some(&row))
        }
    }

    fn has_lane(&self) -> bool {
        self.lane.as_ref().is_some_and(|lane| lane.is_taking)
    }

    fn begin(&mut self) -> Result<WriteTransaction, StoreError> {
        let state = self.shared.read_state();
        let db = state.db()?;
        let begin = || {
            let mut transaction = db.begin_write()?;
            transaction.set_durability(Redb::Immediate)?;
            transaction.set_two_phase_commit(self.shared.options.durability == Durability::Strict);
            // These are few where there is a ring: each leaves a file that opens fast after a crash, and no commit in
            // the ring hangs on one that could look torn.
            transaction.set_quick_repair(self.has_lane());
            if !self.is_boot_written {
                let format = if self.lane.is_some() { FORMAT } else { RINGLESS_FORMAT };
                write_boot(&transaction, self.shared.boot, format)?;
            }
            Ok(transaction)
        };
        let transaction = begin().map_err(|error| self.failed(error))?;
        // If this transaction fails, there is no further one.
        self.is_boot_written = true;
        Ok(transaction)
    }

    fn commit(&self, transaction: WriteTransaction) -> Result<(), StoreError> {
        transaction.commit().map_err(|error| self.failed(error.into()))
    }

    fn failed(&self, error: redb::Error) -> StoreError {
        StoreError::of_redb(format!("writing {}", self.shared.path.display()), error)
    }

    /// Large values go to their base tables, after the slice, which may remove older ones.
    fn write_direct(
        &mut self,
        transaction: &WriteTransaction,
        slice: Option<&Slice>,
    ) -> Result<(), StoreError> {
        let (mut gained, mut lost) = slice.map_or((0, 0), |slice| (slice.gained, slice.lost));
        for (space, key, value) in self.written().flat_map(|(request, _)| &request.batch.direct) {
            let mut target = Target::new(transaction, *space);
            target.change(&[(key, Some(value))])?;
            gained += target.gained;
            lost += target.lost;
        }
        let finished = slice.is_some_and(|slice| slice.finished);
        let mut position = Position {
            base_bytes: (self.position.base_bytes + gained).saturating_sub(lost),
            ring_filled: self.lane.as_ref().map_or(0, |lane| lane.filled),
            ..self.position
        };
        if let Some(fold) = self.fold.as_ref().filter(|_| finished) {
            (position.folded, position.ring) = (fold.through, fold.ring_until);
        }
        if slice.is_some() || position != self.position {
            position.reached = self.last_lsn;
            write_position(transaction, position).map_err(|error| self.failed(error))?;
            self.position = position;
            self.is_trimming |= finished;
        }
        Ok(())
    }

    /// Append the row, if there is one, and remove so many of those that are folded.
    fn write_log(
        &mut self,
        transaction: &WriteTransaction,
        row: Option<(u64, &[u8])>,
        trim_rows: usize,
    ) -> Result<(), StoreError> {
        if row.is_none() && !self.is_trimming {
            return Ok(());
        }
        let mut write = || {
            let mut log = transaction.open_table(LOG)?;
            if let Some((lsn, row)) = row {
                log.insert(lsn, row)?;
            }
            for _ in 0..if self.is_trimming { trim_rows } else { 0 } {
                let first = log.first()?.map(|(lsn, _)| lsn.value());
                if first.is_none_or(|lsn| lsn > self.position.folded) {
                    self.is_trimming = false;
                    break;
                }
                log.pop_first()?;
            }
            Ok(())
        };
        write().map_err(|error| self.failed(error))
    }

    /// Makes the commit visible.
    fn apply(
        &mut self,
        state: &mut State,
        slice: Option<Slice>,
        row: Option<&Arc<Vec<u8>>>,
    ) -> Result<(), StoreError> {
        if let Some(row) = row {
            let batches = frame::read_own_row(row, |op| state.overlay.active.apply(row, op));
            self.last_lsn += batches.map_err(|why| StoreError::damaged("a row in memory", why))?;
        }
        if let Some(lane) = &mut self.lane {
            lane.tail = self.position.ring;
            state.ring_span = RingSpan { tail: lane.tail, head: lane.head };
        }
        let Some(slice) = slice else { return Ok(()) };
        for (space, prefixes, entries) in slice.done {
            state.overlay.frozen.drop_prefixes(space, prefixes);
            state.overlay.frozen.drop_entries(space, entries);
        }
        if slice.finished {
            self.fold = None;
        } else if let Some(fold) = &mut self.fold {
            fold.cursor = slice.cursor;
        }
        Ok(())
    }

    fn report(&self) {
        let fold = self.fold.as_ref();
        let bytes = self.active_bytes + fold.map_or(0, |fold| fold.log_bytes);
        let rows = self.active_rows + fold.map_or(0, |fold| fold.log_rows);
        let ring_bytes = self.lane.as_ref().map_or(0, Lane::occupied);
        self.shared.meters.set(bytes as u64, rows, ring_bytes, self.position, self.last_lsn);
    }
}
