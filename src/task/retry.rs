use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a failed task is tried again by itself. Only failures count; interruptions by a crash do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Tries in all; 1 is no retry.
    pub attempts: u32,
    /// Wait before the first retry; each further one doubles it.
    pub backoff: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 1, backoff: Duration::from_secs(1) }
    }
}

/// No backoff is longer than this, however often it doubled.
const MAX_BACKOFF: Duration = Duration::from_secs(3600);

impl RetryPolicy {
    /// How long to wait after `failures` failures (1 or more), or `None` when they are used up.
    ///
    /// Exponential backoff with "equal jitter" (Brooker, "Exponential Backoff And Jitter", AWS, 2015):
    /// half of it is fixed, the other half scaled by `jitter` in 0..=u32::MAX.
    pub fn delay_after(&self, failures: u32, jitter: u32) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        let doubled =
            self.backoff.saturating_mul(1u32 << failures.saturating_sub(1).min(20)).min(MAX_BACKOFF);
        let half = doubled / 2;
        Some(half + half.mul_f64(f64::from(jitter) / f64::from(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_within_its_jitter_and_ends() {
        let policy = RetryPolicy { attempts: 4, backoff: Duration::from_secs(2) };
        assert_eq!(policy.delay_after(1, 0), Some(Duration::from_secs(1)));
        assert_eq!(policy.delay_after(1, u32::MAX), Some(Duration::from_secs(2)));
        assert_eq!(policy.delay_after(3, 0), Some(Duration::from_secs(4)));
        assert_eq!(policy.delay_after(4, 0), None);
        let endless = RetryPolicy { attempts: u32::MAX, backoff: Duration::from_secs(2) };
        assert_eq!(endless.delay_after(1_000_000, u32::MAX), Some(MAX_BACKOFF));
        assert_eq!(RetryPolicy::default().delay_after(1, 7), None);
    }
}
