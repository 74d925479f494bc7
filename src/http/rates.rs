//! How often one principal may ask, and how often a machine may without a valid token.

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
    clock: DefaultClock,
    refused: AtomicU64,
}

struct OfCaller {
    each_second: u64,
    limiter: DefaultDirectRateLimiter,
}

impl Rates {
    /// Of principals as their shares have it.
    pub fn new(account: Arc<Account>) -> Self {
        Self {
            account,
            callers: RwLock::default(),
            strangers: RateLimiter::hashmap(quota(u64::from(limits::STRANGERS_REQUESTS_PER_SECOND))),
            clock: DefaultClock::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Counts one request of a principal that has a token.
    pub fn count_caller(&self, principal: &str) -> Result<(), Refusal> {
        let each_second = self.account.share(Pool::Rate, principal);
        let known = self.callers.read().get(principal).cloned();
        // Its token may be another one by now.
        let caller = match known.filter(|known| known.each_second == each_second) {
            Some(known) => known,
            None => self.begin(principal, each_second),
        };
        caller.limiter.check().map_err(|until| self.refuse(&until, principal, each_second))
    }

    /// Counts one request that came without a valid token.
    pub fn count_stranger(&self, network: IpAddr) -> Result<(), Refusal> {
        if self.strangers.len() >= limits::MAX_COUNTED_STRANGERS {
            self.strangers.retain_recent();
        }
        let each_second = u64::from(limits::STRANGERS_REQUESTS_PER_SECOND);
        self.strangers.check_key(&network).map_err(|until| self.refuse(&until, STRANGERS, each_second))
    }

    /// Requests that were refused for their rate.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn begin(&self, principal: &str, each_second: u64) -> Arc<OfCaller> {
        let caller = Arc::new(OfCaller { each_second, limiter: RateLimiter::direct(quota(each_second)) });
        let mut callers = self.callers.write();
        // More than there can be: some have no token any more. All begin afresh.
        if callers.len() >= limits::MAX_TOKENS {
            callers.clear();
        }
        callers.insert(Arc::from(principal), caller.clone());
        caller
    }

    fn refuse(&self, until: &NotUntil<<DefaultClock as Clock>::Instant>, whose: &str, bound: u64) -> Refusal {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let retry_after = until.wait_time_from(self.clock.now());
        Refusal { pool: Pool::Rate, whose: Whose::Principal(Arc::from(whose)), bound, retry_after }
    }
}

fn quota(each_second: u64) -> Quota {
    let number =
        |number: u64| NonZeroU32::new(u32::try_from(number).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
    let burst = each_second.saturating_mul(limits::REQUEST_BURST_SECONDS);
    Quota::per_second(number(each_second)).allow_burst(number(burst))
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
        let ann = burst(|| rates.count_caller("ann"));
        assert!((2..10).contains(&ann), "{ann}");
        let refused = rates.count_caller("ann").expect_err("at once");
        assert!(refused.retry_after > Duration::ZERO && refused.bound == 1, "{refused}");
        assert!(rates.count_caller("bob").is_ok());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
        assert!(burst(|| rates.count_stranger(one)) < 10_000);
        assert!(rates.count_stranger(other).is_ok());
        assert_eq!(rates.refused(), 3);
    }

    #[test]
    fn a_narrower_rate_holds_at_once_and_a_wider_one_too() {
        let account = Account::new(Bounds::default());
        let rates = Rates::new(account.clone());
        let by_itself = burst(|| rates.count_caller("ann"));
        account.narrow("ann", Narrowed { rate: Some(1), ..Narrowed::default() });
        let narrow = burst(|| rates.count_caller("ann"));
        assert!(narrow < by_itself / 10, "{narrow} of {by_itself}");
        account.narrow("ann", Narrowed::default());
        assert!(burst(|| rates.count_caller("ann")) >= by_itself);
    }
}
