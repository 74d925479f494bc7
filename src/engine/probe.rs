//! Looks at the one root task of an engine that was opened to try it: what it takes, where it waits, what it records. It
//! can also end its attempt: right after a chosen record, as a kill of the process would, or where its journal ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::limits;
use crate::task::WaitingReason;

/// What is done with the task besides looking at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plan {
    #[default]
    Watch,
    /// Once, so many records after its beginning, its attempt ends: what is not committed by then is lost, and the task
    /// goes on by replay.
    InterruptAfter(u64),
    /// It replays its journal, or so many records of it, and does nothing new. Its attempt stays where it is then.
    ReplayAlone { until: Option<u64> },
}

/// A wait of an instance that stays in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    pub reason: WaitingReason,
    /// Nanoseconds since the task was created.
    pub until: Option<u64>,
    /// Names of messages that end it; any, where there are none.
    pub messages: Option<Vec<String>>,
}

/// Where a guest does otherwise than its journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Number of the record, from 0.
    pub record: u64,
    /// What the journal has there, and what the guest does.
    pub journal: String,
    pub guest: String,
}

/// What the task took until now: of each the most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub records: u64,
    pub journal_bytes: u64,
    pub memory_bytes: u64,
    /// Time in which it computed.
    pub awake: Duration,
    /// The longest part of that which one replay computes again: it begins where the task began, or saved its state.
    pub longest_replay: Duration,
}

/// One for an engine.
#[derive(Debug)]
pub struct Probe {
    seen: Mutex<Seen>,
    idle: watch::Sender<Option<Idle>>,
    over: watch::Sender<bool>,
}

#[derive(Debug)]
struct Seen {
    plan: Plan,
    is_struck: bool,
    taken: Taken,
    /// When the state was saved last.
    saved_at: Duration,
    calls: BTreeMap<u64, (u8, u64)>,
    refused: BTreeSet<String>,
    log: Vec<u8>,
    difference: Option<Difference>,
}

/// An attempt was ended by its probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Struck {
    /// The task goes on from what is on disk.
    GoesOn,
    Stays,
}

impl Probe {
    pub fn new(plan: Plan) -> Self {
        let seen = Seen {
            plan,
            is_struck: false,
            taken: Taken::default(),
            saved_at: Duration::ZERO,
            calls: BTreeMap::new(),
            refused: BTreeSet::new(),
            log: Vec::new(),
            difference: None,
        };
        Self { seen: Mutex::new(seen), idle: watch::Sender::new(None), over: watch::Sender::new(false) }
    }

    pub fn taken(&self) -> Taken {
        self.lock().taken.clone()
    }

    /// Kind and hash of each record but those of time, by its number; of the first [`limits::MAX_PROBED_RECORDS`].
    pub fn calls(&self) -> BTreeMap<u64, (u8, u64)> {
        self.lock().calls.clone()
    }

    /// Lines that would have granted what the guest was refused; the first [`limits::MAX_PROBED_REFUSALS`].
    pub fn refused(&self) -> Vec<String> {
        self.lock().refused.iter().cloned().collect()
    }

    /// What the guest printed, up to [`limits::MAX_PROBED_LOG_BYTES`]; kept where it only replays.
    pub fn log(&self) -> Vec<u8> {
        self.lock().log.clone()
    }

    /// Where its guest did otherwise than the journal says; the first such place.
    pub(in crate::engine) fn difference(&self) -> Option<Difference> {
        self.lock().difference.clone()
    }

    pub(in crate::engine) fn note_difference(&self, difference: Difference) {
        self.lock().difference.get_or_insert(difference);
    }

    /// Whether the task only replays: then a fault of the host is its end, for nothing mends it.
    pub(in crate::engine) fn replays_alone(&self) -> bool {
        matches!(self.lock().plan, Plan::ReplayAlone { .. })
    }

    /// The present wait of an instance that is in memory.
    pub fn idle(&self) -> watch::Receiver<Option<Idle>> {
        self.idle.subscribe()
    }

    /// Ends when the plan has come to its end: the attempt was interrupted, or has nothing left to replay.
    pub async fn over(&self) {
        let mut over = self.over.subscribe();
        // The sender lives as long as this does.
        let _ = over.wait_for(|over| *over).await;
    }

    /// Whether it has.
    pub fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// The attempt ends now, as by a plan.
    pub(in crate::engine) fn strike(&self) {
        let mut seen = self.lock();
        if let Plan::InterruptAfter(_) = seen.plan {
            seen.plan = Plan::Watch;
        }
        seen.is_struck = true;
        drop(seen);
        self.over.send_replace(true);
    }

    /// Whether the present attempt was ended by this, and what is to become of it. Nothing of it is committed any more.
    pub(in crate::engine) fn struck(&self) -> Option<Struck> {
        let seen = self.lock();
        let how = match seen.plan {
            Plan::ReplayAlone { .. } => Struck::Stays,
            Plan::Watch | Plan::InterruptAfter(_) => Struck::GoesOn,
        };
        seen.is_struck.then_some(how)
    }

    /// What the attempt had not committed is gone, and another may begin.
    pub(in crate::engine) fn let_go_on(&self) {
        self.lock().is_struck = false;
    }

    /// A record was appended under this number.
    pub(in crate::engine) fn appended(&self, number: u64, kind: u8, hash: u64) {
        let mut seen = self.lock();
        // An interruption may have lost those behind it.
        drop(seen.calls.split_off(&number));
        if seen.calls.len() < limits::MAX_PROBED_RECORDS {
            seen.calls.insert(number, (kind, hash));
        }
    }

    /// The guest goes on, with so many records behind it; whether its attempt is to end.
    pub(in crate::engine) fn passed(&self, records: u64, is_live: bool) -> bool {
        let mut seen = self.lock();
        seen.taken.records = seen.taken.records.max(records);
        let ends = match seen.plan {
            Plan::Watch => seen.is_struck,
            Plan::InterruptAfter(after) => is_live && records >= after,
            Plan::ReplayAlone { until } => is_live || until.is_some_and(|until| records >= until),
        };
        drop(seen);
        if ends {
            self.strike();
        }
        ends
    }

    pub(in crate::engine) fn note_journal(&self, bytes: u64) {
        let mut seen = self.lock();
        seen.taken.journal_bytes = seen.taken.journal_bytes.max(bytes);
    }

    pub(in crate::engine) fn note_refused(&self, line: &str) {
        let mut seen = self.lock();
        if seen.refused.len() < limits::MAX_PROBED_REFUSALS {
            let shown = line.floor_char_boundary(limits::MAX_PROBED_REFUSAL_BYTES);
            seen.refused.insert(line[..shown].to_owned());
        }
    }

    pub(in crate::engine) fn note_memory(&self, bytes: u64) {
        let mut seen = self.lock();
        seen.taken.memory_bytes = seen.taken.memory_bytes.max(bytes);
    }

    pub(in crate::engine) fn note_awake(&self, awake: Duration) {
        let mut seen = self.lock();
        let again = awake.saturating_sub(seen.saved_at);
        let taken = &mut seen.taken;
        taken.awake = taken.awake.max(awake);
        taken.longest_replay = taken.longest_replay.max(again);
    }

    /// The guest saved its state.
    pub(in crate::engine) fn note_saved(&self, awake: Duration) {
        self.lock().saved_at = awake;
    }

    pub(in crate::engine) fn note_log(&self, bytes: &[u8]) {
        let mut seen = self.lock();
        if let Plan::ReplayAlone { .. } = seen.plan {
            let room = limits::MAX_PROBED_LOG_BYTES.saturating_sub(seen.log.len());
            seen.log.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    pub(in crate::engine) fn note_idle(&self, idle: Option<Idle>) {
        self.idle.send_if_modified(|there| {
            let is_other = *there != idle;
            *there = idle;
            is_other
        });
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_strikes_once_and_only_when_live() {
        let probe = Probe::new(Plan::InterruptAfter(2));
        assert!(!probe.passed(1, true) && !probe.passed(5, false));
        assert!(probe.passed(2, true) && probe.is_over());
        assert_eq!(probe.struck(), Some(Struck::GoesOn));
        probe.let_go_on();
        assert!(!probe.passed(3, true));
        assert_eq!(probe.struck(), None);
    }

    #[test]
    fn a_replay_ends_where_it_would_go_live_and_stays_there() {
        let probe = Probe::new(Plan::ReplayAlone { until: Some(4) });
        assert!(!probe.passed(3, false) && probe.passed(4, false));
        let probe = Probe::new(Plan::ReplayAlone { until: None });
        assert!(!probe.passed(9, false) && probe.passed(9, true));
        assert_eq!(probe.struck(), Some(Struck::Stays));
    }

    #[test]
    fn what_an_interruption_lost_is_not_among_the_calls() {
        let probe = Probe::new(Plan::Watch);
        for (number, hash) in [(1, 10), (2, 20), (5, 50), (2, 21)] {
            probe.appended(number, 4, hash);
        }
        assert_eq!(probe.calls().into_iter().collect::<Vec<_>>(), [(1, (4, 10)), (2, (4, 21))]);
    }

    #[test]
    fn a_replay_begins_where_the_state_was_saved() {
        let probe = Probe::new(Plan::Watch);
        let seconds = Duration::from_secs;
        probe.note_awake(seconds(3));
        probe.note_saved(seconds(3));
        probe.note_awake(seconds(5));
        assert_eq!((probe.taken().awake, probe.taken().longest_replay), (seconds(5), seconds(3)));
    }
}
