//! Who is refused more often than a program needs that heeds `Retry-After` waits for the answer. A flood that is refused
//! would else take more of the processor than all that is served. What waits holds its connection, of which its caller
//! has a share, and nothing else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits;

/// Who is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Paced {
    Principal(Arc<str>),
    /// A machine, of requests without a valid token.
    Network(IpAddr),
}

/// When the refusals of each that was refused of late are due, evenly spaced: the virtual scheduling form of the generic
/// cell rate algorithm (ITU-T I.371). A limiter that says only whether there is room now would have all that wait
/// answered at once.
#[derive(Default)]
pub struct Pace {
    due: Mutex<HashMap<Paced, Instant>>,
}

const SPACING: Duration = Duration::from_millis(1_000 / limits::REFUSALS_PER_SECOND);
/// So many go at once.
const AT_ONCE: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_millis(limits::MAX_REFUSAL_WAIT_MS);

impl Pace {
    /// Ends when one more refusal may be answered.
    pub async fn wait(&self, who: Paced) {
        let now = Instant::now();
        let due = self.next(who, now);
        if due > now {
            tokio::time::sleep_until(due).await;
        }
    }

    fn next(&self, who: Paced, now: Instant) -> Instant {
        let mut all = self.due.lock();
        if all.len() >= limits::MAX_PACED {
            all.retain(|_, due| *due > now);
            if all.len() >= limits::MAX_PACED {
                return now;
            }
        }
        let due = all.entry(who).or_insert(now);
        // None waits longer, or one that stops would be held for what it did.
        *due = (*due).max(now).min(now + AT_ONCE + LONGEST) + SPACING;
        (*due - SPACING).checked_sub(AT_ONCE).map_or(now, |due| due.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Paced {
        Paced::Principal(Arc::from("ann"))
    }

    #[test]
    fn the_first_go_at_once_and_a_flood_waits() {
        let (pace, now) = (Pace::default(), Instant::now());
        let waits: Vec<Duration> = (0..1_000).map(|_| pace.next(ann(), now) - now).collect();
        let at_once = waits.iter().filter(|wait| wait.is_zero()).count() as u64;
        assert!(
            (limits::REFUSALS_PER_SECOND..=limits::REFUSALS_PER_SECOND + 1).contains(&at_once),
            "{at_once}"
        );
        assert!(waits.is_sorted());
        assert_eq!(waits.last(), Some(&LONGEST));
        let other = Paced::Network(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(pace.next(other, now), now, "each waits for itself");
        let later = now + LONGEST + 2 * AT_ONCE;
        assert_eq!(pace.next(ann(), later), later, "it is forgiven");
    }

    #[test]
    fn those_that_were_not_refused_of_late_are_forgotten() {
        let (pace, now) = (Pace::default(), Instant::now());
        let network = |number: usize| Paced::Network(IpAddr::from((number as u32).to_be_bytes()));
        for number in 0..limits::MAX_PACED {
            pace.next(network(number), now);
        }
        pace.next(ann(), now);
        assert_eq!(pace.due.lock().len(), limits::MAX_PACED);
        pace.next(ann(), now + LONGEST + 2 * AT_ONCE);
        assert_eq!(pace.due.lock().len(), 1);
    }
}
