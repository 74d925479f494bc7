//! The row that lists an open task. Of one that waits for something it says all that a start and the shares are to know,
//! so that nothing else of the task is read before it goes on. Of any other it is empty, and so it is as earlier versions
//! wrote it: of those a start reads the task itself.

use serde::{Deserialize, Serialize};

use super::{decode, encode};
use crate::clock::UnixNanos;
use crate::engine::link::Link;
use crate::store::{Space, StoreError};
use crate::task::{QuestionKind, State, Status, WakeOn};

/// What the list of open tasks says of one that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRow {
    pub principal: String,
    pub created_at: UnixNanos,
    /// Seconds from creation to the end of its total time.
    pub total_seconds: u64,
    /// The call that it came from.
    pub link: Option<Link>,
    /// What it waits for.
    pub state: State,
    pub due: Option<UnixNanos>,
    /// What was left of the wait when this was written.
    pub remaining_nanos: u64,
    /// What it waits for besides its timer may be there without a change of this row.
    pub looks: bool,
    pub has_asked: bool,
    /// Open questions: those to people, and those to models.
    pub asks: [u64; 2],
    /// See [`Entry::past_bytes`](crate::engine::memory::entry::Entry::past_bytes).
    pub past_bytes: u64,
}

/// What never changes of a task, or is no part of its status, and stands in its row.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    pub principal: &'a str,
    pub created_at: UnixNanos,
    pub link: Option<Link>,
    /// Its total time, without what passed before the last retry by its owner.
    pub total_seconds: u64,
    pub past_bytes: u64,
}

/// Whether a task that stands there waits for something, and has no instance.
pub fn waits(status: &Status) -> bool {
    status.wake.is_some() && status.state.blocked().is_none() && !status.state.is_terminal()
}

/// Open questions of a task: those to people, and those to models.
pub fn asks(status: &Status) -> [u64; 2] {
    let open = &status.questions.open;
    let is_sample = |kind| matches!(kind, QuestionKind::Sample | QuestionKind::Model);
    let samples = open.iter().filter(|question| is_sample(question.kind)).count() as u64;
    [open.len() as u64 - samples, samples]
}

impl OpenRow {
    /// `None` where the row is empty.
    pub fn of(listed: Listed<'_>, status: &Status) -> Option<Self> {
        let wake = status.wake.as_ref().filter(|_| waits(status))?;
        let before = status.since.saturating_sub(listed.created_at) / 1_000_000_000;
        Some(Self {
            principal: listed.principal.to_owned(),
            created_at: listed.created_at,
            total_seconds: listed.total_seconds.saturating_add(before),
            link: listed.link,
            state: status.state,
            due: wake.due,
            remaining_nanos: wake.remaining_nanos,
            looks: wake.on.iter().any(|on| may_be_there(on, status)),
            has_asked: status.questions.asked > 0,
            asks: asks(status),
            past_bytes: listed.past_bytes,
        })
    }
}

impl OpenRow {
    /// When it is to be looked at by its own time, nanoseconds: its wake, or the end of its total time.
    pub fn due_after(&self) -> u64 {
        let total = self.total_seconds.saturating_mul(1_000_000_000);
        self.due.map_or(total, |due| due.saturating_sub(self.created_at).min(total))
    }
}

/// Whether it may be there although the status does not say so: others write it.
fn may_be_there(on: &WakeOn, status: &Status) -> bool {
    match on {
        WakeOn::Cancellation => status.cancel.is_some(),
        WakeOn::Answer(number) => status.questions.find(*number).is_none(),
        WakeOn::Resolution(_) => false,
        WakeOn::Message(_) | WakeOn::Child { .. } | WakeOn::State { .. } => true,
    }
}

/// The row of a task that stands there.
pub fn encode_open(listed: Listed<'_>, status: &Status) -> Result<Vec<u8>, StoreError> {
    OpenRow::of(listed, status).map_or(Ok(Vec::new()), |row| encode(&row))
}

/// `None` of an empty one.
pub fn decode_open(key: &[u8], row: &[u8]) -> Result<Option<OpenRow>, StoreError> {
    if row.is_empty() {
        return Ok(None);
    }
    decode(Space::Open, key, row).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{OpenQuestion, QueuedReason, TaskId, WaitingReason, Wake};

    fn listed() -> Listed<'static> {
        let link = Link {
            root: TaskId::from_bytes([1; 16]),
            parent: TaskId::from_bytes([2; 16]),
            epoch: 3,
            op: 4,
            detached: true,
        };
        Listed { principal: "ann", created_at: 5, link: Some(link), total_seconds: 60, past_bytes: 7 }
    }

    fn waiting(on: Vec<WakeOn>) -> Status {
        let wake = Some(Wake { due: Some(9), remaining_nanos: 8, on });
        Status { state: State::Waiting(WaitingReason::Input), wake, ..Status::new(5, [0; 32]) }
    }

    #[test]
    fn the_row_of_a_task_that_waits_says_what_it_waits_for_and_that_of_others_nothing() {
        let status = waiting(Vec::new());
        let row = encode_open(listed(), &status).expect("a row");
        let read = decode_open(b"k", &row).expect("it is read").expect("it says something");
        assert_eq!(Some(&read), OpenRow::of(listed(), &status).as_ref());
        assert_eq!((read.due, read.total_seconds, read.link), (Some(9), 60, listed().link));
        let queued = Status { state: State::Queued(QueuedReason::New), wake: None, ..status.clone() };
        let ended = Status { state: State::Cancelled, ..status };
        for status in [queued, ended] {
            assert_eq!(encode_open(listed(), &status).expect("a row"), Vec::<u8>::new());
        }
        assert_eq!(decode_open(b"k", &[]).expect("as it was written before"), None);
        assert!(decode_open(b"k", &row[..5]).is_err());
    }

    #[test]
    fn a_start_looks_for_what_the_status_does_not_show() {
        let looks = |status: &Status| OpenRow::of(listed(), status).expect("it waits").looks;
        assert!(!looks(&waiting(Vec::new())) && !looks(&waiting(vec![WakeOn::Cancellation])));
        assert!(looks(&waiting(vec![WakeOn::Message(Vec::new())])));
        assert!(looks(&waiting(vec![WakeOn::Cancellation, WakeOn::Child { epoch: 0, op: 1 }])));
        let mut asking = waiting(vec![WakeOn::Answer(3)]);
        assert!(looks(&asking), "the answer is there");
        asking.questions.open.push(OpenQuestion {
            number: 3,
            key: "k".to_owned(),
            kind: QuestionKind::Elicit,
            reserved_tokens: 0,
            reserved_cost: 0,
            model: None,
        });
        assert!(!looks(&asking));
        assert_eq!(asks(&asking), [1, 0]);
    }
}
