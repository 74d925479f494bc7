//! How often, and how much, one principal may ask, and how often a machine may without a valid token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{DefaultDirectRateLimiter, NotUntil, Quota, RateLimiter};
use parking_lot::RwLock;

use crate::limits;
use crate::shares::{Account, Pool, Refusal, STRANGERS, Whose};

pub struct Rates {
    account: Arc<Account>,
    /// Of principals with tokens. One by itself, as their rates differ.
    callers: RwLock<HashMap<Arc<str>, Arc<OfCaller>>>,
    strangers: RateLimiter<IpAddr, HashMapStateStore<IpAddr>, DefaultClock>,
    refused: Arc<Refused>,
}

impl std::fmt::Debug for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rates").finish_non_exhaustive()
    }
}

/// How often one principal asks.
pub struct OfCaller {
    principal: Arc<str>,
    each_second: u64,
    limiter: DefaultDirectRateLimiter,
    /// Counted requests that are not to count: the next ones are taken from these.
    given_back: AtomicU64,
    refused: Arc<Refused>,
}

#[derive(Default)]
struct Refused {
    clock: DefaultClock,
    count: AtomicU64,
}

impl Rates {
    /// Of principals as their shares have it.
    pub fn new(account: Arc<Account>) -> Self {
        Self {
            account,
            callers: RwLock::default(),
            strangers: RateLimiter::hashmap(quota(u64::from(limits::STRANGERS_REQUESTS_PER_SECOND))),
            refused: Arc::default(),
        }
    }

    /// Of a principal that has a token.
    pub fn of_caller(&self, principal: &str) -> Arc<OfCaller> {
        let each_second = self.account.share(Pool::Rate, principal);
        let known = self.callers.read().get(principal).cloned();
        // Its token may be another one by now.
        match known.filter(|known| known.each_second == each_second) {
            Some(known) => known,
            None => self.begin(principal, each_second),
        }
    }

    /// Counts one request that came without a valid token.
    pub fn count_stranger(&self, network: IpAddr) -> Result<(), Refusal> {
        if self.strangers.len() >= limits::MAX_COUNTED_MACHINES {
            self.strangers.retain_recent();
        }
        let each_second = u64::from(limits::STRANGERS_REQUESTS_PER_SECOND);
        let count = self.strangers.check_key(&network);
        count.map_err(|until| self.refused.refuse(&until, Arc::from(STRANGERS), each_second))
    }

    /// Requests that were refused for their rate.
    pub fn refused(&self) -> u64 {
        self.refused.count.load(Ordering::Relaxed)
    }

    fn begin(&self, principal: &str, each_second: u64) -> Arc<OfCaller> {
        let principal: Arc<str> = Arc::from(principal);
        let caller = Arc::new(OfCaller {
            principal: principal.clone(),
            each_second,
            limiter: RateLimiter::direct(quota(each_second)),
            given_back: AtomicU64::new(0),
            refused: self.refused.clone(),
        });
        let mut callers = self.callers.write();
        // More than there can be: some have no token any more. All begin afresh.
        if callers.len() >= limits::MAX_TOKENS {
            callers.clear();
        }
        callers.insert(principal, caller.clone());
        caller
    }
}

impl OfCaller {
    /// Counts one request with so many bytes of body: each [`limits::REQUEST_UNIT_BYTES`] of them are as much work as one
    /// request more. What is longer than all that may come at once counts as that.
    pub fn count_request(&self, body_bytes: u64) -> Result<(), Refusal> {
        self.count(1 + body_bytes / limits::REQUEST_UNIT_BYTES)
    }

    /// Counts bytes of a body whose length was not known: what came before, and what has come since.
    pub fn count_more(&self, before: u64, more: u64) -> Result<(), Refusal> {
        let units = |bytes: u64| bytes / limits::REQUEST_UNIT_BYTES;
        match units(before + more) - units(before) {
            0 => Ok(()),
            more => self.count(more),
        }
    }

    /// One request that was counted is not to count. No more are given back than may come at once.
    pub fn give_back(&self) {
        let most = burst(self.each_second);
        let more = |given_back| Some(given_back + 1).filter(|given_back| *given_back <= most);
        // Where there are as many, the others are as good as used.
        let _ = self.given_back.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn count(&self, units: u64) -> Result<(), Refusal> {
        let units = units.min(burst(self.each_second));
        let less = |given_back: u64| given_back.checked_sub(units);
        if self.given_back.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            return Ok(());
        }
        let units = number(units);
        match self.limiter.check_n(units) {
            Ok(counted) => {
                counted.map_err(|until| self.refused.refuse(&until, self.principal.clone(), self.each_second))
            }
            // Never: no more is asked for than there may be at once.
            Err(_) => Ok(()),
        }
    }
}

impl Refused {
    fn refuse(
        &self,
        until: &NotUntil<<DefaultClock as Clock>::Instant>,
        whose: Arc<str>,
        bound: u64,
    ) -> Refusal {
        self.count.fetch_add(1, Ordering::Relaxed);
        let retry_after = until.wait_time_from(self.clock.now());
        Refusal { pool: Pool::Rate, whose: Whose::Principal(whose), bound, retry_after }
    }
}

pub fn quota(each_second: u64) -> Quota {
    Quota::per_second(number(each_second)).allow_burst(number(burst(each_second)))
}

fn burst(each_second: u64) -> u64 {
    each_second.saturating_mul(limits::REQUEST_BURST_SECONDS).max(1)
}

fn number(number: u64) -> NonZeroU32 {
    NonZeroU32::new(u32::try_from(number).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::shares::{Bounds, Narrowed};

    fn burst(count: impl Fn() -> Result<(), Refusal>) -> usize {
        (0..10_000).take_while(|_| count().is_ok()).count()
    }

    #[test]
    fn each_principal_and_each_machine_has_its_own_rate() {
        let mut bounds = Bounds::default();
        bounds[Pool::Rate] = bounds[Pool::Rate].with_share(1);
        let rates = Rates::new(Account::new(bounds));
        let ann = burst(|| rates.of_caller("ann").count_request(0));
        assert!((2..10).contains(&ann), "{ann}");
        let refused = rates.of_caller("ann").count_request(0).expect_err("at once");
        assert!(refused.retry_after > Duration::ZERO && refused.bound == 1, "{refused}");
        assert!(rates.of_caller("bob").count_request(0).is_ok());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
        assert!(burst(|| rates.count_stranger(one)) < 10_000);
        assert!(rates.count_stranger(other).is_ok());
        assert_eq!(rates.refused(), 3);
    }

    #[test]
    fn a_long_body_counts_as_many_requests_and_none_is_too_long() {
        let rates = Rates::new(Account::new(Bounds::default()));
        let small = burst(|| rates.of_caller("ann").count_request(limits::REQUEST_UNIT_BYTES - 1));
        let large = burst(|| rates.of_caller("bob").count_request(10 * limits::REQUEST_UNIT_BYTES));
        assert!((1..small / 5).contains(&large), "{large} and {small}");
        assert!(rates.of_caller("cleo").count_request(u64::MAX).is_ok());
        let dan = rates.of_caller("dan");
        let byte_by_byte = (0..limits::REQUEST_UNIT_BYTES - 1).map(|before| dan.count_more(before, 1));
        assert!(byte_by_byte.into_iter().all(|counted| counted.is_ok()), "not one unit in all");
        assert!(dan.count_request(u64::MAX).is_ok());
        assert!(dan.count_more(limits::REQUEST_UNIT_BYTES - 1, 1).is_err());
    }

    #[test]
    fn what_is_given_back_does_not_count_and_is_no_more_than_may_come_at_once() {
        let rates = Rates::new(Account::new(Bounds::default()));
        let ann = rates.of_caller("ann");
        for _ in 0..10_000 {
            ann.count_request(0).expect("the one before was given back");
            ann.give_back();
        }
        let at_once = super::burst(u64::from(limits::DEFAULT_REQUESTS_PER_SECOND)) as usize;
        (0..10_000).for_each(|_| ann.give_back());
        let all = burst(|| ann.count_request(0));
        assert!((2 * at_once - 1..3 * at_once).contains(&all), "{all} of {at_once}");
    }

    #[test]
    fn a_narrower_rate_holds_at_once_and_a_wider_one_too() {
        let account = Account::new(Bounds::default());
        let rates = Rates::new(account.clone());
        let by_itself = burst(|| rates.of_caller("ann").count_request(0));
        account.narrow("ann", Narrowed { rate: Some(1), ..Narrowed::default() });
        let narrow = burst(|| rates.of_caller("ann").count_request(0));
        assert!(narrow < by_itself / 10, "{narrow} of {by_itself}");
        account.narrow("ann", Narrowed::default());
        assert!(burst(|| rates.of_caller("ann").count_request(0)) >= by_itself);
    }
}
