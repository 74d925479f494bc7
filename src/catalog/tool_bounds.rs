//! What the operator allows a tool in all: how many of its tasks run at once, and how often one begins.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};

use crate::clock::UnixNanos;
use crate::limits;

/// A tool's bounds over all callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToolBounds {
    /// Tasks of it that have an instance at once.
    pub concurrency: Option<u64>,
    /// How often one of its tasks begins.
    pub rate: Option<Rate>,
}

impl ToolBounds {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// So many in a period, spread evenly over it: `30/m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    apart: Duration,
}

impl Rate {
    /// `None` where it is none, or more or less often than can be kept.
    pub fn new(times: u64, period: Duration) -> Option<Self> {
        let nanos = u64::try_from(period.as_nanos()).ok()?.checked_div(times)?;
        let apart = Duration::from_nanos(nanos);
        let kept = Duration::from_millis(1)..=Duration::from_secs(limits::MAX_RATE_PERIOD_SECONDS);
        kept.contains(&apart).then_some(Self { apart })
    }

    /// `COUNT/s`, `COUNT/m`, `COUNT/h` or `COUNT/d`.
    pub fn parse(text: &str) -> Option<Self> {
        let (times, period) = text.split_once('/')?;
        let seconds = match period {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        if !times.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Self::new(times.parse().ok()?, Duration::from_secs(seconds))
    }

    /// The next after one that begins `now`, where the one before said `next`; else when one may begin.
    pub fn after(self, next: UnixNanos, now: UnixNanos) -> Result<UnixNanos, UnixNanos> {
        let apart = u64::try_from(self.apart.as_nanos()).unwrap_or(u64::MAX);
        // A clock that was set back makes none wait longer than one turn.
        let next = next.min(now.saturating_add(apart));
        if next > now { Err(next) } else { Ok(now.saturating_add(apart)) }
    }
}

pub(super) fn rate<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Rate>, D::Error> {
    let text = String::deserialize(input)?;
    let wrong = || {
        D::Error::custom(format!(
            "'{}' is no rate such as \"30/m\": a count, and s, m, h or d; at most 1000 a second, at least one in {} days",
            text.escape_debug(),
            limits::MAX_RATE_PERIOD_SECONDS / 86_400
        ))
    };
    Rate::parse(&text).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_period() {
        let apart = |text| Rate::parse(text).map(|rate| rate.apart);
        assert_eq!(apart("30/m"), Some(Duration::from_secs(2)));
        assert_eq!(apart("1/d"), Some(Duration::from_secs(86_400)));
        assert_eq!(apart("1000/s"), Some(Duration::from_millis(1)));
        for text in
            ["0/s", "1001/s", "-1/s", "+1/s", "1/w", "1", "/s", "x/s", "1/ s", "99999999999999999999/d"]
        {
            assert_eq!(apart(text), None, "{text}");
        }
    }

    #[test]
    fn each_begins_a_turn_after_the_last_and_what_was_not_used_is_gone() {
        let rate = Rate::parse("1/s").expect("a rate");
        let second = 1_000_000_000;
        assert_eq!(rate.after(0, 5 * second), Ok(6 * second));
        assert_eq!(rate.after(6 * second, 5 * second + 1), Err(6 * second));
        assert_eq!(rate.after(6 * second, 9 * second), Ok(10 * second));
        assert_eq!(rate.after(6 * second, second), Err(2 * second), "the clock was set back");
    }
}
