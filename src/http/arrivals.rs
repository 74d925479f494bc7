//! How many connections a machine begins. A connection costs as much as a small request, also where it brings none.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::DefaultKeyedRateLimiter;
use governor::clock::{Clock, DefaultClock};

use super::rates::quota;
use crate::limits;
use crate::shares::{Account, Pool, Refusal, Whose};

pub struct Arrivals {
    each_second: u64,
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    refused: AtomicU64,
}

impl Arrivals {
    pub fn new(account: &Account) -> Self {
        let each_second = account.bound(Pool::NewConnections).share;
        Self {
            each_second,
            limiter: DefaultKeyedRateLimiter::hashmap(quota(each_second)),
            clock: DefaultClock::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Counts one connection of a machine, or says that there are too many of late.
    pub fn count(&self, network: IpAddr) -> Result<(), Refusal> {
        if self.limiter.len() >= limits::MAX_COUNTED_MACHINES {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&network).map_err(|until| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            Refusal {
                pool: Pool::NewConnections,
                whose: Whose::Principal(Arc::from(network.to_string())),
                bound: self.each_second,
                retry_after: until.wait_time_from(self.clock.now()),
            }
        })
    }

    /// Connections that were refused for coming too often.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::Bounds;

    #[test]
    fn each_machine_has_its_own_rate() {
        let mut bounds = Bounds::default();
        bounds[Pool::NewConnections] = bounds[Pool::NewConnections].with_share(3);
        let arrivals = Arrivals::new(&Account::new(bounds));
        let [one, other] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        let refused = loop {
            match arrivals.count(one) {
                Ok(()) if arrivals.refused() == 0 => {}
                Ok(()) => panic!("refused, and yet none was"),
                Err(refused) => break refused,
            }
        };
        assert!(refused.to_string().contains("the share of 192.0.2.1 is 3 new connections"), "{refused}");
        assert_eq!(arrivals.refused(), 1);
        assert!(arrivals.count(other).is_ok());
    }
}
