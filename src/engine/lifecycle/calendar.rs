//! What the sweep takes for the date. What it deletes is gone, so a wall clock that was set ahead by mistake must not make
//! it delete: it is believed once it has stayed so for a day. A start believes what it finds, since nothing says how
//! long no process ran.

use std::time::Duration;

use crate::clock::{Clock, UnixNanos};
use crate::limits;

pub struct Calendar {
    wall: UnixNanos,
    elapsed: Duration,
    /// Since when the clock is further ahead than time has passed.
    set_ahead: Option<Duration>,
}

impl Calendar {
    pub fn new(clock: &dyn Clock) -> Self {
        Self { wall: clock.wall(), elapsed: clock.elapsed(), set_ahead: None }
    }

    pub fn now(&mut self, clock: &dyn Clock) -> UnixNanos {
        let (wall, elapsed) = (clock.wall(), clock.elapsed());
        let passed = elapsed.saturating_sub(self.elapsed);
        let expected = self.wall.saturating_add(nanos(passed));
        let step = nanos(Duration::from_secs(limits::MAX_CLOCK_STEP_SECONDS));
        if wall > expected.saturating_add(step) {
            let since = *self.set_ahead.get_or_insert(elapsed);
            let believed = Duration::from_secs(limits::SET_CLOCK_BELIEVED_SECONDS);
            if elapsed.saturating_sub(since) < believed {
                return expected;
            }
        }
        *self = Self { wall, elapsed, set_ahead: None };
        wall
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const HOUR: Duration = Duration::from_secs(3_600);
    const YEARS: u64 = 50 * 31_536_000_000_000_000;
    const START: u64 = 1_800_000_000_000_000_000;

    #[test]
    fn a_clock_that_is_set_ahead_is_believed_after_a_day_and_one_that_is_set_back_at_once() {
        let clock = ManualClock::starting_at(START);
        let mut calendar = Calendar::new(&clock);
        clock.advance(HOUR);
        assert_eq!(calendar.now(&clock), clock.wall());
        clock.set_wall(START + YEARS);
        let before = calendar.now(&clock);
        assert_eq!(before, START + nanos(HOUR));
        // Mended within the day: it was never so.
        clock.advance(HOUR * 3);
        assert_eq!(calendar.now(&clock), before + nanos(HOUR * 3));
        clock.set_wall(START + nanos(HOUR * 4));
        assert_eq!(calendar.now(&clock), clock.wall());
        clock.set_wall(u64::MAX);
        clock.advance(HOUR * 2);
        assert!(calendar.now(&clock) < START + YEARS);
        for _ in 0..25 {
            clock.advance(HOUR);
            calendar.now(&clock);
        }
        assert_eq!(calendar.now(&clock), u64::MAX);
        clock.set_wall(0);
        assert_eq!(calendar.now(&clock), 0);
    }

    #[test]
    fn a_machine_that_was_suspended_for_long_has_the_right_date() {
        let clock = ManualClock::starting_at(START);
        let mut calendar = Calendar::new(&clock);
        clock.advance(Duration::from_nanos(YEARS));
        assert_eq!(calendar.now(&clock), START + YEARS);
    }
}
