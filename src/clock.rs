//! Time as an argument: the system's clock, and one that a test holds in its hand.
//!
//! Two readings, never mixed: `wall` may jump (it is set by people and by NTP), `elapsed` only grows
//! while the process lives, and counts the time in which the machine is suspended. Durations inside a process
//! are measured by `elapsed`; `wall` is asked when a process starts or attaches to a task.
//!
//! [`Instant`] and tokio's timers stand still while the machine is suspended. They remain right for what is
//! computed (awake time, patience with a host that works), and wrong for what is waited for: that takes
//! [`Moment`], [`sleep`] and [`timeout`].

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::{Add, Sub};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use parking_lot::{Mutex, MutexGuard};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::oneshot;

use crate::limits;

/// Nanoseconds since the Unix epoch, in UTC. Good until the year 2554.
pub type UnixNanos = u64;

/// With six digits of the second always, so that times sort as text.
pub fn rfc3339(at: UnixNanos) -> String {
    let whole_second = i64::try_from(at / 1_000_000_000).ok();
    let text = whole_second
        .and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok())
        .and_then(|second| second.format(&Rfc3339).ok());
    match text.as_deref().and_then(|text| text.strip_suffix('Z')) {
        Some(text) => format!("{text}.{:06}Z", at / 1_000 % 1_000_000),
        None => format!("@{at}"),
    }
}

/// A wait that ends when the clock reaches its time.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

pub trait Clock: Send + Sync + 'static {
    /// What the wall clock says.
    fn wall(&self) -> UnixNanos;
    /// Time since an arbitrary moment of this process, suspended or not; never goes back.
    fn elapsed(&self) -> Duration;
    /// Ends once [`Clock::elapsed`] has reached `at`.
    fn sleep_until(&self, at: Duration) -> Sleep;
}

/// Another clock whose wall clock says at most what can be counted on from.
#[doc(hidden)]
pub struct Bounded(pub Arc<dyn Clock>);

impl Clock for Bounded {
    fn wall(&self) -> UnixNanos {
        self.0.wall().min(limits::LAST_WALL_NANOS)
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep_until(&self, at: Duration) -> Sleep {
        self.0.sleep_until(at)
    }
}

/// The clock that goes on while the machine is suspended, and that cannot be set.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SUSPENDED_TOO: ClockId = ClockId::CLOCK_BOOTTIME;
/// Elsewhere it is this one; on macOS it is [`Instant`]'s clock that stands still.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SUSPENDED_TOO: ClockId = ClockId::CLOCK_MONOTONIC;

/// A moment of the machine, suspended or not: what [`Instant`] is without suspends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    pub fn now() -> Self {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        // A sandbox of the process may know no such clock, and then never does.
        Self(clock_gettime(SUSPENDED_TOO).map_or_else(|_| ORIGIN.elapsed(), Duration::from))
    }

    pub fn elapsed(self) -> Duration {
        Self::now() - self
    }

    /// Ends at this moment; where the machine was suspended meanwhile, shortly after it runs again.
    pub async fn reached(self) {
        loop {
            let now = Self::now();
            let left = self - now;
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(until_next_look(now))).await;
        }
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// tokio's timers do not see that the machine was suspended, so a longer sleep looks now and then. All sleeps of
/// the process look at the same moments, so that they wake the machine once.
fn until_next_look(now: Moment) -> Duration {
    const BEAT: u128 = limits::SUSPEND_LOOK_MS as u128 * 1_000_000;
    let left = BEAT - now.0.as_nanos() % BEAT;
    Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))
}

/// Ends once `span` has passed, suspended or not.
pub async fn sleep(span: Duration) {
    (Moment::now() + span).reached().await;
}

/// What `future` gives within `span`, suspended or not; what is there when both are, wins.
pub async fn timeout<F: Future>(span: Duration, future: F) -> Option<F::Output> {
    let end = Moment::now() + span;
    tokio::select! {
        biased;
        output = future => Some(output),
        () = end.reached() => None,
    }
}

/// The machine's clock.
pub struct SystemClock {
    origin: Moment,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { origin: Moment::now() }
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
        Box::pin((self.origin + at).reached())
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

    /// Moves both readings on and wakes the sleepers that are due.
    pub fn advance(&self, by: Duration) {
        let mut inner = self.lock();
        inner.wall = inner.wall.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX));
        inner.elapsed += by;
        let now = inner.elapsed;
        while let Some(entry) = inner.sleepers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            // A sleeper that was dropped has no waiter.
            let _ = entry.remove().send(());
        }
    }

    /// Sets the wall clock alone, as an administrator or a dead battery does.
    pub fn set_wall(&self, wall: UnixNanos) {
        self.lock().wall = wall;
    }

    /// How many sleeps are pending.
    pub fn sleepers(&self) -> usize {
        self.lock().sleepers.values().filter(|sender| !sender.is_closed()).count()
    }

    fn lock(&self) -> MutexGuard<'_, Manual> {
        self.inner.lock()
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
        let (tell, dropped) = oneshot::channel();
        let number = inner.next;
        inner.next += 1;
        inner.sleepers.insert((at, number), tell);
        Box::pin(async move {
            // The sender is dropped only with the clock; then there is nothing left to wait for.
            let _ = dropped.await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_texts_sort_as_times() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(1_700_000_000_120_000_000), "2023-11-14T22:13:20.120000Z");
        assert_eq!(rfc3339(1_700_000_000_123_456_789), "2023-11-14T22:13:20.123456Z");
    }

    #[test]
    fn a_long_sleep_looks_at_common_moments_and_a_short_one_ends_in_time() {
        let beat = Duration::from_millis(limits::SUSPEND_LOOK_MS);
        let at = |nanos| Moment(Duration::from_nanos(nanos));
        assert_eq!(until_next_look(at(0)), beat);
        assert_eq!(
            until_next_look(Moment(beat * 7 + Duration::from_nanos(1))),
            beat - Duration::from_nanos(1)
        );
        assert_eq!(until_next_look(Moment(beat - Duration::from_nanos(1))), Duration::from_nanos(1));
        assert_eq!(at(1) - at(2), Duration::ZERO, "no span is negative");
        assert_eq!(Moment(Duration::MAX) + beat, Moment(Duration::MAX), "a sleep without an end is one");
    }

    #[tokio::test]
    async fn a_timeout_gives_what_is_there_and_ends_what_is_not() {
        assert_eq!(timeout(Duration::ZERO, std::future::ready(7)).await, Some(7));
        assert_eq!(timeout(Duration::from_millis(1), std::future::pending::<()>()).await, None);
    }

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
