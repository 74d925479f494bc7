//! Which polls come no sooner than their tasks said: those cost little, and count for no caller's rate.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::limits;
use crate::task::TaskId;

/// When each task may be asked for again, by the clock that is not set.
#[derive(Default)]
pub struct PollTimes(Mutex<Times>);

#[derive(Default)]
struct Times {
    /// Two halves: when the younger one is full, it is the older one from then on.
    young: HashMap<TaskId, Duration>,
    old: HashMap<TaskId, Duration>,
    /// The latest of each half.
    young_until: Duration,
    old_until: Duration,
}

impl PollTimes {
    /// Whether a poll of the task is due now, or is the first. The next one is then, but for a little, `after` later.
    pub fn is_due(&self, id: TaskId, now: Duration, after: Duration) -> bool {
        let times = &mut *self.0.lock();
        if let Some(next) = times.young.get(&id).or_else(|| times.old.get(&id))
            && now < *next
        {
            return false;
        }
        if times.young.len() >= limits::MAX_POLL_TIMES / 2 {
            // While some of those that would be forgotten are not due, no more are taken: they would be due at once.
            if now < times.old_until {
                return false;
            }
            times.old = std::mem::take(&mut times.young);
            times.old_until = std::mem::take(&mut times.young_until);
        }
        // Clients' clocks are no better than ours.
        let next = now + after - after / limits::POLL_TOLERANCE_PART;
        times.young_until = times.young_until.max(next);
        times.young.insert(id, next);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> TaskId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        TaskId::from_bytes(bytes)
    }

    #[test]
    fn a_poll_is_due_when_its_task_said_and_an_early_one_puts_nothing_off() {
        let times = PollTimes::default();
        let at = |seconds| times.is_due(id(1), Duration::from_secs(seconds), Duration::from_secs(20));
        assert_eq!([at(0), at(1), at(17), at(18), at(19), at(40)], [true, false, false, true, false, true]);
        assert!(times.is_due(id(2), Duration::ZERO, Duration::from_secs(20)), "each task by itself");
    }

    #[test]
    fn tasks_beyond_the_bound_wait_until_others_are_due() {
        let times = PollTimes::default();
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let polls = |now: Duration| {
            (0..2 * limits::MAX_POLL_TIMES).filter(|n| times.is_due(id(*n), now, minute)).count()
        };
        assert_eq!(polls(second), limits::MAX_POLL_TIMES);
        assert_eq!(polls(2 * second), 0);
        assert!(polls(minute) > 0);
        let inner = times.0.lock();
        assert!(inner.young.len() + inner.old.len() <= limits::MAX_POLL_TIMES);
    }
}
