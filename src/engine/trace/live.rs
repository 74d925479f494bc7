//! The trace of a live instance: what it notes, and when.

use std::sync::Arc;
use std::time::Duration;

use super::line::{Mark, MarkKind, Number, StepKind};
use super::rows::draft;
use super::tracer::{self, Tracer};
use crate::clock::{Clock, UnixNanos};
use crate::engine::journal::records::Journal;
use crate::store::Batch;
use crate::task::TaskId;

/// A task's time as the wall clock's: within a process it never goes back.
pub struct TaskTime {
    clock: Arc<dyn Clock>,
    /// The moment of this process at which it was `wall`.
    elapsed: Duration,
    wall: UnixNanos,
}

impl TaskTime {
    pub fn new(clock: Arc<dyn Clock>, elapsed: Duration, wall: UnixNanos) -> Self {
        Self { clock, elapsed, wall }
    }

    /// Microseconds since the Unix epoch.
    fn now(&self) -> u64 {
        let passed = self.clock.elapsed().saturating_sub(self.elapsed).as_micros();
        (self.wall / 1_000).saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

/// The trace of a live instance.
pub struct LiveTrace {
    tracer: Tracer,
    time: TaskTime,
    /// Since when the journal is replayed, and the number of its first record.
    replay: Option<(u64, u64)>,
}

/// A moment of a live trace.
pub struct Place {
    tracer: tracer::Place,
    replay: Option<(u64, u64)>,
}

impl LiveTrace {
    /// An instance begins, in this attempt, behind what was traced so far. `was_dropped` where this process had one before
    /// and dropped it, since what it wrote last was refused.
    pub fn begin(tracer: Tracer, time: TaskTime, attempt: u32, journal: &Journal, was_dropped: bool) -> Self {
        let mut trace = Self { tracer, time, replay: None };
        let (now, attempt) = (trace.time.now(), u64::from(attempt));
        let is_replaying = journal.is_replaying();
        if is_replaying {
            trace.replay = Some((now, journal.next_number()));
        }
        let before = trace.tracer.totals();
        let (last_mark, known) = (before.last_mark, before.attempt.max(1));
        // Whatever ends an instance in order says which attempt is to come.
        let why = if attempt > known {
            let how = match last_mark {
                _ if was_dropped => "what it wrote last was refused",
                None => "or an earlier version of longhaul ran it",
                Some(_) => "",
            };
            trace.mark(MarkKind::Crashed, how, 0, 0);
            "after a crash"
        } else {
            match last_mark {
                Some(MarkKind::Evicted) => "woken",
                Some(MarkKind::Failed) => "after a failure",
                Some(MarkKind::Stopped) => "after a stop of the server",
                Some(MarkKind::Reopened) => "taken up by its owner",
                None if !is_replaying => "first",
                _ => "taken up",
            }
        };
        trace.mark(MarkKind::Attempt, why, attempt, 0);
        trace
    }

    /// Adds to a commit what is not on its way yet. It stays pending until [`Self::queued`].
    pub fn draft(&mut self, task: TaskId, journal: &Journal, batch: &mut Batch) {
        self.note_end_of_replay(journal);
        draft(&mut self.tracer, task, batch);
    }

    /// What was drafted is on its way to the disk.
    pub fn mark_queued(&mut self) {
        self.tracer.mark_queued();
    }

    /// A moment to come back to, if what follows cannot be committed.
    pub fn place(&self) -> Place {
        Place { tracer: self.tracer.place(), replay: self.replay }
    }

    pub fn return_to(&mut self, place: Place) {
        self.tracer.return_to(place.tracer);
        self.replay = place.replay;
    }

    /// The instance is about to go, which the mark says.
    pub fn leave(&mut self, journal: &Journal, kind: MarkKind, label: &str, a: u64, b: u64) {
        self.note_end_of_replay(journal);
        self.mark(kind, label, a, b);
    }

    fn mark(&mut self, kind: MarkKind, label: &str, a: u64, b: u64) {
        self.tracer.mark(&Mark { kind, label: label.into(), at: self.time.now(), a, b });
    }

    /// The step that this record will end begins.
    pub fn begin_record(&mut self, journal: &Journal, step: StepKind, call: (u8, u64), label: &str) {
        self.note_end_of_replay(journal);
        let number = Number::Record(journal.next_number());
        self.tracer.begin(step, number, Some(call), label, self.time.now());
    }

    /// The next record is about to be appended, with which its step is over.
    pub fn end_record(&mut self, journal: &Journal, call: (u8, u64)) {
        if self.tracer.has_open() {
            let number = Number::Record(journal.next_number());
            self.tracer.end(number, Some(call), false, self.time.now());
        }
    }

    pub fn begin_op(&mut self, journal: &Journal, op: u64, step: StepKind, label: &str) {
        self.note_end_of_replay(journal);
        self.tracer.begin(step, Number::Operation(op), None, label, self.time.now());
    }

    pub fn end_op(&mut self, op: u64, is_given_up: bool) {
        if self.tracer.has_open() {
            self.tracer.end(Number::Operation(op), None, is_given_up, self.time.now());
        }
    }

    /// A checkpoint is a step, and operations are numbered from 0 again behind it.
    pub fn checkpoint(&mut self, journal: &Journal) {
        self.note_end_of_replay(journal);
        let number = Number::Record(journal.next_number());
        self.tracer.happened(StepKind::Checkpoint, number, "", self.time.now());
        self.tracer.forget_open();
    }

    fn note_end_of_replay(&mut self, journal: &Journal) {
        let Some((since, first)) = self.replay.take_if(|_| !journal.is_replaying()) else { return };
        let records = journal.next_number().saturating_sub(first);
        self.mark(MarkKind::Replayed, "", records, self.time.now().saturating_sub(since));
    }
}
