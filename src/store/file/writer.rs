//! The one thread that writes: it takes what is queued, checks the guards, commits it as one log row, in the ring or in
//! redb's table, applies it to memory, tells, acknowledges, and folds what is due.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::MutexGuard;
use redb::{Durability as Redb, ReadableTable, WriteTransaction};
use tokio::runtime::Handle;

use super::answers::Answers;
use super::backlog::Backlog;
use super::base::LOG;
use super::fold::{Budget, Fold, Slice, Target, fold_slice};
use super::judge::{bit, holds, note};
use super::lane::Lane;
use super::layer::Layer;
use super::layout::{FORMAT, RINGLESS_FORMAT};
use super::open::{Opened, Position, write_boot, write_closed, write_position};
#[cfg(test)]
use super::refusing::Moment;
use super::request::Request;
use super::shared::{Queue, RingSpan, Shared, State, Waits};
use crate::limits::{FOLD_SLICE_BYTES, IDLE_FOLD_SLICES, LOG_TRIM_ROWS, MAX_IDLE_UNFOLDED_BYTES};
use crate::store::batch::{Guard, LeaseChange};
use crate::store::counts::{self, Counts, read_count};
use crate::store::error::{Refusal, StoreError};
use crate::store::frame;
use crate::store::options::Durability;
use crate::store::space::Space;

/// Two layers of three eighths leave room to fold what a crash left behind as one layer.
const FULL_EIGHTHS: usize = 3;

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
        };
        // Also a store that nothing is written to tells its sizes.
        writer.report();
        writer.shared.look_at_disk(&mut writer.shared.queue());
        writer
    }

    /// Until the store is closed or fails.
    pub fn run(mut self) {
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

    /// Waits for work, and puts a group together: what is queued, up to the bounds, and at least one batch.
    fn next(&mut self) -> Work {
        {
            let mut queue = self.shared.queue();
            if self.backlog.is_empty()
                && let Some(work) = self.wait(&mut queue)
            {
                return work;
            }
            queue.writer = Waits::No;
            self.backlog.refill(&mut queue);
        }
        // What the others wait for is held no longer than it takes.
        let (count, bytes) = self.backlog.begin_group();
        let mut queue = self.shared.queue();
        // What is about to be committed still counts as queued.
        let disk = if queue.is_look_due() || self.shared.reserve.was_tapped() {
            self.shared.look_at_disk(&mut queue)
        } else {
            None
        };
        let refill = disk.and_then(|disk| queue.room.refill(disk));
        queue.taken -= count;
        queue.bytes -= bytes;
        drop(queue);
        if let Some(bytes) = refill {
            self.shared.reserve.fit(bytes);
        }
        Work::Group
    }

    /// Until something is queued that is in a hurry, or has been patient for long enough; else what there is to do
    /// instead.
    fn wait(&self, queue: &mut MutexGuard<'_, Queue>) -> Option<Work> {
        let idle = self.shared.options.idle;
        let patience = self.shared.options.patience.min(idle);
        while !queue.is_hurried {
            if queue.is_closing {
                return queue.waiting.is_empty().then_some(Work::Close);
            }
            queue.writer = Waits::Briefly;
            let is_over = self.shared.bell.wait_for(queue, patience).timed_out();
            // It may have been rung as the time was over.
            if !is_over || queue.is_hurried || queue.is_closing {
                continue;
            }
            if !queue.waiting.is_empty() {
                return None;
            }
            queue.writer = Waits::UntilRung;
            if !self.is_dirty {
                self.shared.bell.wait(queue);
            } else if self.shared.bell.wait_for(queue, idle - patience).timed_out()
                && queue.waiting.is_empty()
                && !queue.is_closing
            {
                queue.writer = Waits::No;
                return Some(Work::Idle);
            }
        }
        None
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
        #[cfg(test)]
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
        #[cfg(test)]
        self.shared.refusing.reach(Moment::BeforeTelling);
        self.tell(first_lsn);
        self.shared.sink.shown();
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

    /// Where commits go to the ring, what is due is folded between them, once they are answered.
    fn fold_between(&mut self) -> Result<(), StoreError> {
        if let Some(budget) = self.due().filter(|_| self.has_lane()) {
            let transaction = self.begin()?;
            self.commit_fold(transaction, budget, LOG_TRIM_ROWS)?;
        }
        Ok(())
    }

    fn has_lane(&self) -> bool {
        self.lane.as_ref().is_some_and(|lane| lane.is_taking)
    }

    /// What the group's counts come to, as ops that write their rows.
    fn count(&mut self) -> Result<Vec<u8>, StoreError> {
        let mut counts = std::mem::take(&mut self.counts);
        counts.clear();
        let mut ops = Vec::new();
        if self.written().any(|(request, _)| !request.batch.counts.is_empty()) {
            let state = self.shared.read_state();
            let snapshot = state.snapshot()?;
            for (request, _) in self.written() {
                counts.add(&request.batch.counts, |key| {
                    snapshot.get(Space::Count, key)?.map(|row| read_count(key, &row)).transpose()
                })?;
            }
        }
        for (count, sum) in counts.iter() {
            match counts::row(sum)? {
                Some(row) => frame::push_put(&mut ops, Space::Count, &count.key(), &[&row]),
                None => frame::push_delete(&mut ops, Space::Count, &count.key()),
            }
        }
        self.counts = counts;
        Ok(ops)
    }

    /// Decide for each batch of the group whether its guards hold, as of the batches before it.
    fn judge(&mut self) -> Result<(), StoreError> {
        let mut refusals = std::mem::take(&mut self.refusals);
        refusals.clear();
        let guards = self.backlog.group().flat_map(|(request, _)| &request.batch.guards);
        let guarded = guards.filter_map(Guard::key).fold(0u32, |spaces, (space, _)| spaces | bit(space));
        let mut leases = std::mem::take(&mut self.leases);
        {
            let state = self.shared.read_state();
            let snapshot = state.snapshot()?;
            // What the earlier batches of the group write to spaces that guards ask about.
            let mut pending = Layer::default();
            for (number, (request, frame)) in self.backlog.group().enumerate() {
                let mut refusal = None;
                let large = |space, key: &[u8]| self.large_before(&refusals[..number], space, key);
                for (index, guard) in request.batch.guards.iter().enumerate() {
                    if !holds(guard, &leases, &pending, &snapshot, large)? {
                        refusal = Some(Box::new(Refusal { index, guard: guard.clone() }));
                        break;
                    }
                }
                if refusal.is_none() {
                    for change in &request.batch.leases {
                        match change {
                            LeaseChange::Begin { task, token } => leases.insert(*task, *token),
                            LeaseChange::End { task } => leases.remove(task),
                        };
                    }
                    if guarded != 0 {
                        note(&mut pending, frame, guarded)?;
                    }
                }
                refusals.push(refusal);
            }
        }
        (self.refusals, self.leases) = (refusals, leases);
        Ok(())
    }

    /// The last large value that a batch of the group puts there, among the first ones, which are judged already.
    fn large_before(&self, judged: &[Option<Box<Refusal>>], space: Space, key: &[u8]) -> Option<&Arc<[u8]>> {
        let before = self.backlog.group().zip(judged).filter(|(_, refusal)| refusal.is_none());
        let large = before.flat_map(|((request, _), _)| &request.batch.direct);
        large.filter(|(of, at, _)| *of == space && at == key).map(|(.., value)| value).last()
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

    /// What this commit must fold so that the frozen layer is gone before the bound is reached.
    fn due(&self) -> Option<Budget> {
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

    fn fold_some(
        &self,
        transaction: &WriteTransaction,
        budget: Option<Budget>,
    ) -> Result<Option<Slice>, StoreError> {
        let (Some(fold), Some(budget)) = (&self.fold, budget) else { return Ok(None) };
        let state = self.shared.read_state();
        let snapshot = state.snapshot()?;
        fold_slice(transaction, &state.overlay, snapshot.base(), fold.cursor.clone(), budget).map(Some)
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
        if position != self.position {
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

    /// Under load, one layer gathers new rows while the one before it is folded.
    fn freeze_when_full(&mut self) {
        let is_ring_filling = self.lane.as_ref().is_some_and(Lane::is_filling);
        let bytes = self.shared.options.max_unfolded_bytes / 8 * FULL_EIGHTHS;
        self.freeze_from(if is_ring_filling { 0 } else { bytes });
    }

    /// When the active layer has so many bytes of log rows, and at least one, and the frozen one is gone, it
    /// becomes the frozen one.
    fn freeze_from(&mut self, bytes: usize) {
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

    /// Commits, then hands the effects to the sink and answers: in the order of commits.
    fn tell(&mut self, first_lsn: u64) {
        for (count, sum) in self.counts.iter() {
            self.shared.sink.counted(count, sum);
        }
        self.counts.clear();
        let mut lsn = first_lsn - 1;
        let mut refusals = std::mem::take(&mut self.refusals);
        let mut answers = Answers::new(self.runtime.as_ref(), self.backlog.group_len());
        // Taken one by one: if the sink panics, those behind it are still in the backlog.
        for refusal in refusals.drain(..) {
            let Some(mut request) = self.backlog.pop() else { break };
            let effects = request.batch.effects.take();
            let answer = match refusal {
                Some(refusal) => {
                    let refused = StoreError::Refused(refusal);
                    if let Some(effects) = effects {
                        self.shared.sink.withdrawn(effects, &refused);
                    }
                    Err(refused)
                }
                None => {
                    lsn += u64::from(!request.batch.is_empty());
                    #[cfg(test)]
                    if let Some(drive) = self.shared.drive.get() {
                        drive.acknowledge(lsn);
                    }
                    for (mark, number) in &request.batch.marks {
                        mark.store(*number, Ordering::Release);
                    }
                    if let Some(effects) = effects {
                        self.shared.sink.applied(effects);
                    }
                    Ok(lsn)
                }
            };
            if request.at_once {
                request.answer(answer);
            } else {
                answers.give(request.ack, answer);
            }
        }
        answers.finish();
        self.refusals = refusals;
    }

    /// Nothing waits: fold more than else, and leave a file that opens fast after a crash.
    fn commit_idle(&mut self) -> Result<(), StoreError> {
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
    fn commit_last(&mut self) -> Result<(), StoreError> {
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
    fn commit_fold(
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

    fn is_fold_due(&self) -> bool {
        self.folded_at.is_none_or(|at| at.elapsed() >= self.shared.options.idle)
    }

    /// Whether the disk is so full that a commit might fail, and with it all that could still be read and cancelled.
    fn has_no_room(&self) -> bool {
        let mut queue = self.shared.queue();
        let refill = self.shared.look_at_disk(&mut queue).and_then(|disk| queue.room.refill(disk));
        let is_used_up = queue.room.is_used_up();
        drop(queue);
        if let Some(bytes) = refill {
            self.shared.reserve.fit(bytes);
        }
        is_used_up
    }

    fn report(&self) {
        let fold = self.fold.as_ref();
        let bytes = self.active_bytes + fold.map_or(0, |fold| fold.log_bytes);
        let rows = self.active_rows + fold.map_or(0, |fold| fold.log_rows);
        let ring_bytes = self.lane.as_ref().map_or(0, Lane::occupied);
        self.shared.meters.set(bytes as u64, rows, ring_bytes, self.position, self.last_lsn);
    }
}
