//! How long a client does well to wait before it asks for a task again: long enough that little is asked in vain, short
//! enough that what has happened is soon seen.

use std::time::Duration;

use super::view::TaskView;
use crate::clock::UnixNanos;
use crate::limits;
use crate::task::{QuestionKind, State, WaitingReason};

/// What decides it.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Stands {
    state: State,
    /// When it came to stand there.
    updated_at: UnixNanos,
    /// When its wait, or its time in the queue, is over at the latest.
    due: Option<UnixNanos>,
    queue_place: Option<u64>,
    /// When it, or a task below it, asked a person last, of what is open.
    asked_at: Option<UnixNanos>,
}

impl Stands {
    pub fn of(task: &TaskView) -> Self {
        let of_person = task.questions.iter().filter(|question| question.kind == QuestionKind::Elicit);
        Self {
            state: task.state,
            updated_at: task.updated_at,
            due: task.wake_at,
            queue_place: task.queue_place,
            asked_at: of_person.map(|question| question.asked_at).max(),
        }
    }
}

/// `None` where nothing more happens to the task by itself.
pub(in crate::engine) fn poll_after(stands: Stands, now: UnixNanos) -> Option<Duration> {
    use limits::{
        POLL_LEAST_MS, POLL_PERSON_LEAST_MS, POLL_PERSON_MOST_MS, POLL_PROGRAM_MOST_MS, POLL_TIMER_MOST_MS,
    };
    let since = |from: UnixNanos, least, most| part(now.saturating_sub(from), least, most);
    let until_due = stands.due.map(|due| part(due.saturating_sub(now), POLL_LEAST_MS, POLL_TIMER_MOST_MS));
    let of_person = |from| since(from, POLL_PERSON_LEAST_MS, POLL_PERSON_MOST_MS);
    let of_program = || since(stands.updated_at, POLL_LEAST_MS, POLL_PROGRAM_MOST_MS);
    let by_reason = match stands.state {
        State::Completed | State::Failed(_) | State::Cancelled => return None,
        State::Running => return Some(Duration::from_millis(POLL_LEAST_MS)),
        // After a failure its next attempt waits for a time.
        State::Queued(_) => return Some(until_due.unwrap_or_else(|| by_place(stands.queue_place))),
        // Until its operator says otherwise, whatever it was due for.
        State::Waiting(WaitingReason::Blocked(_)) => return Some(Duration::from_millis(POLL_PERSON_MOST_MS)),
        State::Waiting(WaitingReason::Timer) => Duration::from_millis(POLL_TIMER_MOST_MS),
        State::Waiting(WaitingReason::Message) => of_person(stands.updated_at),
        State::Waiting(WaitingReason::Input | WaitingReason::Child) => {
            stands.asked_at.map_or_else(of_program, of_person)
        }
        State::Waiting(WaitingReason::State | WaitingReason::Model) => of_program(),
    };
    Some(until_due.map_or(by_reason, |until_due| until_due.min(by_reason)))
}

fn by_place(place: Option<u64>) -> Duration {
    let behind = place.unwrap_or(0).saturating_mul(limits::POLL_PLACE_MS);
    Duration::from_millis(behind.clamp(limits::POLL_LEAST_MS, limits::POLL_QUEUED_MOST_MS))
}

/// A part of a span of time, in whole milliseconds, as the wire has it, within these.
fn part(nanos: u64, least: u64, most: u64) -> Duration {
    let part = nanos / limits::POLL_PART / 1_000_000;
    Duration::from_millis(part.clamp(least, most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{FailedReason, QueuedReason, TaskEvent};

    const SECOND: u64 = 1_000_000_000;
    const NOW: UnixNanos = 1_700_000_000 * SECOND;

    /// Of a task that has stood there for so many seconds.
    fn stands(state: State, seconds: u64) -> Stands {
        Stands { state, updated_at: NOW - seconds * SECOND, due: None, queue_place: None, asked_at: None }
    }

    fn due(seconds: u64, stands: Stands) -> Stands {
        Stands { due: Some(NOW + seconds * SECOND), ..stands }
    }

    fn asked(seconds: u64, stands: Stands) -> Stands {
        Stands { asked_at: Some(NOW - seconds * SECOND), ..stands }
    }

    fn placed(place: u64, stands: Stands) -> Stands {
        Stands { queue_place: Some(place), ..stands }
    }

    #[test]
    fn it_follows_what_the_task_waits_for() {
        let waiting = |reason, seconds| stands(State::Waiting(reason), seconds);
        let queued = |reason| stands(State::Queued(reason), 0);
        let blocked = State::Queued(QueuedReason::New).after(TaskEvent::Blocked(NOW)).expect("it can be");
        let (timer, input) = (WaitingReason::Timer, WaitingReason::Input);
        let table = [
            ("an instance", stands(State::Running, 3_600), Some(1_000)),
            ("an instance that was due", due(3_600, stands(State::Running, 0)), Some(1_000)),
            ("a timer", due(300, waiting(timer, 0)), Some(30_000)),
            ("a timer that is nearly over", due(25, waiting(timer, 900)), Some(2_500)),
            ("a timer that is over in a moment", due(3, waiting(timer, 900)), Some(1_000)),
            ("a timer that is overdue", due(0, waiting(timer, 900)), Some(1_000)),
            ("a timer of a week", due(7 * 86_400, waiting(timer, 0)), Some(60_000)),
            ("a person, just asked", asked(0, waiting(input, 0)), Some(5_000)),
            ("a person, for two minutes", asked(120, waiting(input, 0)), Some(12_000)),
            ("a person, for a day", asked(86_400, waiting(input, 0)), Some(30_000)),
            ("a person whose time is nearly over", due(20, asked(86_400, waiting(input, 0))), Some(2_000)),
            ("a client's model", waiting(input, 0), Some(1_000)),
            ("a client's model that is slow", waiting(input, 30), Some(3_000)),
            ("a model", waiting(WaitingReason::Model, 2), Some(1_000)),
            ("a model that is slow", waiting(WaitingReason::Model, 600), Some(5_000)),
            ("a child", waiting(WaitingReason::Child, 5), Some(1_000)),
            ("a child for long", waiting(WaitingReason::Child, 600), Some(5_000)),
            ("a child that asks a person", asked(60, waiting(WaitingReason::Child, 600)), Some(6_000)),
            ("shared state", waiting(WaitingReason::State, 20), Some(2_000)),
            ("a message", waiting(WaitingReason::Message, 0), Some(5_000)),
            ("a message for long", waiting(WaitingReason::Message, 3_600), Some(30_000)),
            (
                "a message, not for long any more",
                due(15, waiting(WaitingReason::Message, 3_600)),
                Some(1_500),
            ),
            ("its operator", due(1, stands(blocked, 5)), Some(30_000)),
            ("an instance that comes", queued(QueuedReason::New), Some(1_000)),
            ("its turn, the third", placed(3, queued(QueuedReason::Interrupted)), Some(1_000)),
            ("its turn, the fortieth", placed(40, queued(QueuedReason::New)), Some(4_000)),
            ("its turn, far behind", placed(u64::MAX, queued(QueuedReason::New)), Some(10_000)),
            ("its next attempt", due(120, queued(QueuedReason::Retry)), Some(12_000)),
            ("nothing: completed", stands(State::Completed, 0), None),
            ("nothing: failed", stands(State::Failed(FailedReason::Trap), 0), None),
            ("nothing: cancelled", stands(State::Cancelled, 0), None),
        ];
        for (waits_for, stands, expected) in table {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(poll_after(stands, NOW), expected, "{waits_for}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_makes_it_no_shorter_than_it_may_be() {
        let person = asked(0, stands(State::Waiting(WaitingReason::Input), 0));
        assert_eq!(poll_after(person, 0), Some(Duration::from_millis(limits::POLL_PERSON_LEAST_MS)));
    }
}
