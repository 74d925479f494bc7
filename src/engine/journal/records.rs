//! The journal of one attempt as bytes: reading it back record by record, and what is not committed yet.
//! Pure: no clock, no store.
//!
//! A record is `kind u8`, then for logical time (kind 0) `varint reads, varint nanoseconds`, for all
//! others `hash u64 LE, varint length, payload`. A segment, one row, is what one commit appended:
//! a version byte, `varint count, varint awake nanoseconds, varint logical nanoseconds`, the records.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::divergence::Divergence;
use crate::limits;

/// Kinds below are the runner's, from here on the engine's; 0 is logical time.
pub const FIRST_ENGINE_KIND: u8 = 200;
pub const KIND_TIME: u8 = 0;
pub const KIND_OUTPUT: u8 = 200;

const SEGMENT_VERSION: u8 = 1;
/// Kind, hash and length.
const MAX_RECORD_HEAD_BYTES: usize = 19;

/// One record, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    Time { reads: u64, delta: u64 },
    Call { kind: u8, hash: u64, payload: &'a [u8] },
}

/// One row of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    pub count: u64,
    pub awake_nanos: u64,
    pub logical_nanos: u64,
    pub records: &'a [u8],
}

impl<'a> Segment<'a> {
    /// What stands before its records.
    pub fn head(count: u64, awake_nanos: u64, logical_nanos: u64) -> SmallVec<[u8; 32]> {
        let mut head = SmallVec::new();
        head.push(SEGMENT_VERSION);
        put_varint(&mut head, count);
        put_varint(&mut head, awake_nanos);
        put_varint(&mut head, logical_nanos);
        head
    }

    pub fn decode(row: &'a [u8]) -> Option<Self> {
        let (version, mut rest) = row.split_first()?;
        if *version != SEGMENT_VERSION {
            return None;
        }
        let count = take_varint(&mut rest)?;
        let awake_nanos = take_varint(&mut rest)?;
        let logical_nanos = take_varint(&mut rest)?;
        Some(Self { count, awake_nanos, logical_nanos, records: rest })
    }
}

/// Takes one record off the front; `None` where the bytes are no record.
pub fn take_record<'a>(bytes: &mut &'a [u8]) -> Option<Record<'a>> {
    let (kind, mut rest) = bytes.split_first()?;
    let record = if *kind == KIND_TIME {
        Record::Time { reads: take_varint(&mut rest)?, delta: take_varint(&mut rest)? }
    } else {
        let (hash, after) = rest.split_first_chunk::<8>()?;
        rest = after;
        let length = usize::try_from(take_varint(&mut rest)?).ok()?;
        let (payload, after) = rest.split_at_checked(length)?;
        rest = after;
        Record::Call { kind: *kind, hash: u64::from_le_bytes(*hash), payload }
    };
    *bytes = rest;
    Some(record)
}

/// What replay says to a call.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Next {
    /// The journal has the answer.
    Replayed(Vec<u8>),
    /// The journal is at its end: do it, then record it.
    Live,
}

/// Replays what was read, then collects what is new.
#[derive(Default)]
pub struct Journal {
    replay: Vec<u8>,
    at: usize,
    /// Number of the next record, from 0.
    next_number: u64,
    pending: Vec<u8>,
    pending_count: u64,
    /// `pending` was taken, and the next record begins it again: it needs no memory of its own.
    is_taken: bool,
    /// Clock reads since the last time record.
    reads: u64,
    /// Logical time as the guest last saw it.
    logical: u64,
}

/// A flush: the records that one commit appends.
#[derive(Debug, PartialEq, Eq)]
pub struct Flush<'a> {
    pub first: u64,
    pub count: u64,
    pub logical: u64,
    pub records: &'a [u8],
}

/// A moment of a live journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    bytes: usize,
    count: u64,
    number: u64,
    reads: u64,
    logical: u64,
}

impl Journal {
    /// From the records of all segments, in order. Behind a checkpoint they are numbered on from `number`,
    /// and time goes on from `logical`.
    pub fn resume(replay: Vec<u8>, number: u64, logical: u64) -> Self {
        Self { replay, next_number: number, logical, ..Self::default() }
    }

    pub fn is_replaying(&self) -> bool {
        self.at < self.replay.len()
    }

    /// Number of the next record: how many the guest has passed.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    pub fn logical(&self) -> u64 {
        self.logical
    }

    /// Whether a commit would append anything.
    pub fn has_pending(&self) -> bool {
        self.pending_bytes() > 0 || (self.reads > 0 && !self.is_replaying())
    }

    pub fn pending_bytes(&self) -> usize {
        if self.is_taken { 0 } else { self.pending.len() }
    }

    /// Replay or execute: the one branch.
    pub fn next(&mut self, kind: u8, hash: u64, what: &str) -> Result<Next, Divergence> {
        if !self.is_replaying() {
            return Ok(Next::Live);
        }
        let mut rest = &self.replay[self.at..];
        match take_record(&mut rest) {
            Some(Record::Call { kind: k, hash: h, payload }) if k == kind && h == hash => {
                let payload = payload.to_vec();
                self.at = self.replay.len() - rest.len();
                self.next_number += 1;
                self.pass_marks();
                Ok(Next::Replayed(payload))
            }
            found => Err(self.divergence(found, format!("{what} (kind {kind}, {hash:016x})"))),
        }
    }

    /// Appends what happened. Only after [`Next::Live`].
    pub fn append(&mut self, kind: u8, hash: u64, payload: &[u8]) {
        debug_assert!(kind != KIND_TIME && !self.is_replaying());
        let pending = self.pending();
        pending.reserve(payload.len() + MAX_RECORD_HEAD_BYTES);
        pending.push(kind);
        pending.extend_from_slice(&hash.to_le_bytes());
        put_varint(pending, payload.len() as u64);
        pending.extend_from_slice(payload);
        self.appended();
    }

    /// A clock read of the guest. `present` is asked only when the journal does not say.
    pub fn read_clock(&mut self, present: impl FnOnce() -> u64) -> u64 {
        self.reads += 1;
        if self.is_replaying() {
            let mut rest = &self.replay[self.at..];
            if let Some(Record::Time { reads, delta }) = take_record(&mut rest)
                && reads == self.reads
            {
                self.at = self.replay.len() - rest.len();
                self.pass_time(delta);
                self.pass_marks();
            }
            return self.logical;
        }
        const GRANULARITY_NANOS: u64 = 1_000_000;
        let now = present().max(self.logical) / GRANULARITY_NANOS * GRANULARITY_NANOS;
        if now > self.logical {
            self.append_time(now - self.logical);
        }
        self.logical
    }

    /// What a commit is to append; it stays pending until [`Self::flushed`].
    pub fn flush(&mut self) -> Option<Flush<'_>> {
        self.mark_reads();
        if self.pending_bytes() == 0 {
            return None;
        }
        let count = self.pending_count;
        Some(Flush { first: self.next_number - count, count, logical: self.logical, records: &self.pending })
    }

    /// What was pending is on its way to the disk.
    pub fn mark_flushed(&mut self) {
        self.is_taken = true;
        self.pending_count = 0;
    }

    /// Reads since the last time record get a record of their own, for otherwise replay would run out of records
    /// some reads too early and read a new time in their place.
    pub fn mark_reads(&mut self) {
        if !self.is_replaying() && self.reads > 0 {
            self.append_time(0);
        }
    }

    /// Where it stands, to come back to if what is appended next cannot be committed. Only when live.
    pub fn place(&self) -> Place {
        Place {
            bytes: self.pending_bytes(),
            count: self.pending_count,
            number: self.next_number,
            reads: self.reads,
            logical: self.logical,
        }
    }

    /// Forgets what was appended since.
    pub fn return_to(&mut self, place: &Place) {
        self.is_taken = false;
        self.pending.truncate(place.bytes);
        (self.pending_count, self.next_number) = (place.count, place.number);
        (self.reads, self.logical) = (place.reads, place.logical);
    }

    /// The guest begins what nothing on disk knows of: nothing may be left to replay.
    pub fn expect_live(&self, what: &str) -> Result<(), Divergence> {
        if !self.is_replaying() {
            return Ok(());
        }
        let mut rest = &self.replay[self.at..];
        let found = take_record(&mut rest);
        Err(self.divergence(found, format!("{what}, which no row on disk knows")))
    }

    /// The guest has ended: nothing may be left.
    pub fn finish(&mut self) -> Result<(), Divergence> {
        if !self.is_replaying() {
            return Ok(());
        }
        let mut rest = &self.replay[self.at..];
        let found = take_record(&mut rest);
        Err(self.divergence(found, "the end of the guest".to_owned()))
    }

    /// A commit that came after a call which came after a read marked that read behind the call.
    fn pass_marks(&mut self) {
        while self.is_replaying() {
            let mut rest = &self.replay[self.at..];
            match take_record(&mut rest) {
                Some(Record::Time { reads, delta: 0 }) if reads == self.reads => {
                    self.at = self.replay.len() - rest.len();
                    self.pass_time(0);
                }
                _ => return,
            }
        }
    }

    fn pass_time(&mut self, delta: u64) {
        self.logical = self.logical.saturating_add(delta);
        self.reads = 0;
        self.next_number += 1;
    }

    fn pending(&mut self) -> &mut Vec<u8> {
        if std::mem::take(&mut self.is_taken) {
            self.pending.clear();
            self.pending.shrink_to(limits::KEPT_JOURNAL_BUFFER_BYTES);
        }
        &mut self.pending
    }

    fn append_time(&mut self, delta: u64) {
        let reads = self.reads;
        let pending = self.pending();
        pending.push(KIND_TIME);
        put_varint(pending, reads);
        put_varint(pending, delta);
        self.logical = self.logical.saturating_add(delta);
        self.reads = 0;
        self.appended();
    }

    fn appended(&mut self) {
        self.pending_count += 1;
        self.next_number += 1;
        // The place at which tests kill: every record, of whatever kind.
        crate::crash_point!("record");
    }

    fn divergence(&self, found: Option<Record<'_>>, actual: String) -> Divergence {
        let expected = match found {
            Some(Record::Time { reads, .. }) => format!("clock read number {reads} since the last record"),
            Some(Record::Call { kind, hash, .. }) => format!("kind {kind} ({hash:016x})"),
            None => "bytes that are no record".to_owned(),
        };
        Divergence { record: self.next_number, expected, actual }
    }
}

/// LEB128.
pub fn put_varint(out: &mut impl Extend<u8>, mut value: u64) {
    while value >= 0x80 {
        out.extend([value as u8 | 0x80]);
        value >>= 7;
    }
    out.extend([value as u8]);
}

pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a guest does, and what it saw.
    #[derive(Clone, Debug)]
    enum Act {
        Read,
        Call(u8),
        Commit,
    }

    const MILLI: u64 = 1_000_000;

    fn play(journal: &mut Journal, acts: &[Act], clock: &mut u64, tick: u64) -> (Vec<u64>, Vec<u8>) {
        let (mut seen, mut committed) = (Vec::new(), Vec::new());
        for act in acts {
            match act {
                Act::Read => {
                    *clock += tick;
                    let now = *clock;
                    seen.push(journal.read_clock(|| now));
                }
                Act::Call(kind) => match journal.next(*kind, 7, "call").expect("no divergence") {
                    Next::Replayed(payload) => seen.push(u64::from_le_bytes(payload.try_into().expect("8"))),
                    Next::Live => {
                        *clock += tick;
                        journal.append(*kind, 7, &clock.to_le_bytes());
                        seen.push(*clock);
                    }
                },
                Act::Commit => {
                    if let Some(flush) = journal.flush() {
                        committed.extend_from_slice(flush.records);
                        journal.mark_flushed();
                    }
                }
            }
        }
        (seen, committed)
    }

    proptest! {
        /// Killed right after its last commit, a guest sees on replay what it saw before, up to there, and
        /// whatever it does afterwards: also where the clock was read without moving.
        #[test]
        fn replay_shows_what_was_seen_before_the_last_commit(
            kinds in prop::collection::vec(0u8..8, 0..60),
            tick in prop::sample::select(vec![0u64, 1, MILLI / 3, MILLI, 5 * MILLI]),
        ) {
            let mut acts: Vec<Act> = kinds.iter().map(|kind| match kind {
                0..=3 => Act::Read,
                4..=6 => Act::Call(*kind),
                _ => Act::Commit,
            }).collect();
            let before = acts.len();
            acts.push(Act::Commit);
            let mut clock = 3 * MILLI;
            let mut first = Journal::default();
            let (seen, committed) = play(&mut first, &acts, &mut clock, tick);
            // The second life: the clock has moved on, and after the commit the guest does more.
            acts.truncate(before);
            acts.extend([Act::Read, Act::Call(5), Act::Read]);
            let mut clock = 1_000 * MILLI;
            let mut second = Journal::resume(committed, 0, 0);
            acts.retain(|act| !matches!(act, Act::Commit));
            let (again, _) = play(&mut second, &acts, &mut clock, tick);
            prop_assert_eq!(&again[..seen.len()], &seen[..]);
            prop_assert!(!second.is_replaying());
            prop_assert!(again[seen.len()] >= 1_000 * MILLI, "what comes after is live");
        }

        #[test]
        fn any_bytes_are_records_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = &bytes[..];
            while !rest.is_empty() && take_record(&mut rest).is_some() {}
            let _ = Segment::decode(&bytes);
        }

        #[test]
        fn varints_round_trip(value in any::<u64>()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut rest = &bytes[..];
            prop_assert_eq!(take_varint(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn another_call_and_an_early_end_are_divergences() {
        let mut first = Journal::default();
        assert_eq!(first.next(4, 1, "a"), Ok(Next::Live));
        first.append(4, 1, b"x");
        let records = first.flush().expect("one record").records.to_vec();
        let error = Journal::resume(records.clone(), 0, 0).next(4, 2, "b").expect_err("another call");
        assert_eq!(error.record, 0);
        assert!(error.to_string().contains("b (kind 4"), "{error}");
        assert!(Journal::resume(records.clone(), 0, 0).finish().is_err());
        let mut same = Journal::resume(records, 0, 0);
        assert_eq!(same.next(4, 1, "a"), Ok(Next::Replayed(b"x".to_vec())));
        assert_eq!(same.finish(), Ok(()));
        assert!(same.flush().is_none());
    }

    #[test]
    fn what_could_not_be_committed_is_forgotten_or_goes_with_the_next_commit() {
        let mut journal = Journal::default();
        journal.append(4, 1, b"first");
        let of = |journal: &mut Journal| journal.flush().map(|flush| (flush.first, flush.records.to_vec()));
        let first = of(&mut journal);
        assert_eq!(of(&mut journal), first, "it stays pending");
        let place = journal.place();
        journal.append(4, 2, b"refused");
        journal.return_to(&place);
        assert_eq!((of(&mut journal), journal.next_number()), (first, 1));
        journal.mark_flushed();
        assert!(!journal.has_pending());
        let place = journal.place();
        journal.append(4, 3, b"refused too");
        journal.return_to(&place);
        assert!(journal.flush().is_none());
        journal.append(4, 4, b"second");
        let (number, records) = of(&mut journal).expect("one record");
        assert_eq!((number, take_record(&mut &records[..]).is_some()), (1, true));
    }
}
