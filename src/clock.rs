//! Time as an argument: the system's clock, and one that a test holds in its hand.
//!
//! Two readings, never mixed: `wall` may jump (it is set by people and by NTP), `elapsed` only grows
//! while the process lives. Durations inside a process are measured by `elapsed`; `wall` is asked when
//! a process starts or attaches to a task.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

/// Nanoseconds since the Unix epoch, in UTC. Good until the year 2554.
pub type UnixNanos = u64;

/// A wait that ends when the clock reaches its time.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

pub trait Clock: Send + Sync + 'static {
    /// What the wall clock says.
    fn wall(&self) -> UnixNanos;
    /// Time since an arbitrary moment of this process; never goes back.
    fn elapsed(&self) -> Duration;
    /// Ends once [`Clock::elapsed`] has reached `at`.
    fn sleep_until(&self, at: Duration) -> Sleep;
}

/// The machine's clock.
pub struct SystemClock {
    origin: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> UnixNanos {
        // A clock before 1970 reads as 1970: task time only ever grows from what was recorded.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep_until(&self, at: Duration) -> Sleep {
        // tokio refuses instants too far away; a day at a time is often enough.
        let origin = self.origin;
        Box::pin(async move {
            loop {
                let left = at.saturating_sub(origin.elapsed());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(Duration::from_secs(86_400))).await;
            }
        })
    }
}

/// A clock for tests: it stands still until it is moved.
#[derive(Clone, Default)]
pub struct ManualClock {
    inner: Arc<Mutex<Manual>>,
}

#[derive(Default)]
struct Manual {
    wall: UnixNanos,
    elapsed: Duration,
    next: u64,
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
}

impl ManualClock {
    pub fn starting_at(wall: UnixNanos) -> Self {
        let clock = Self::default();
        clock.lock().wall = wall;
        clock
    }

    /// Move both readings on and wake whoever is due.
    pub fn advance(&self, by: Duration) {
        let mut inner = self.lock();
        inner.wall = inner.wall.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX));
        inner.elapsed += by;
        let now = inner.elapsed;
        while let Some(entry) = inner.sleepers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            // A sleeper that was dropped has nobody to tell.
            let _ = entry.remove().send(());
        }
    }

    /// Set the wall clock alone, as an administrator or a dead battery does.
    pub fn set_wall(&self, wall: UnixNanos) {
        self.lock().wall = wall;
    }

    /// How many sleeps are pending.
    pub fn sleepers(&self) -> usize {
        self.lock().sleepers.values().filter(|sender| !sender.is_closed()).count()
    }

    fn lock(&self) -> MutexGuard<'_, Manual> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> UnixNanos {
        self.lock().wall
    }

    fn elapsed(&self) -> Duration {
        self.lock().elapsed
    }

    fn sleep_until(&self, at: Duration) -> Sleep {
        let mut inner = self.lock();
        if inner.elapsed >= at {
            return Box::pin(std::future::ready(()));
        }
        let (tell, told) = oneshot::channel();
        let number = inner.next;
        inner.next += 1;
        inner.sleepers.insert((at, number), tell);
        Box::pin(async move {
            // The sender is dropped only with the clock; then nobody is left to wait for.
            let _ = told.await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_only_who_is_due() {
        let clock = ManualClock::starting_at(1_000);
        let soon = clock.sleep_until(Duration::from_secs(1));
        let late = clock.sleep_until(Duration::from_secs(10));
        assert_eq!(clock.sleepers(), 2);
        clock.advance(Duration::from_secs(2));
        soon.await;
        assert_eq!(clock.sleepers(), 1);
        assert_eq!(clock.wall(), 2_000_001_000);
        clock.set_wall(5);
        clock.advance(Duration::from_secs(9));
        late.await;
        assert_eq!(clock.elapsed(), Duration::from_secs(11));
    }
}
