use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::bounds::{Bound, Bounds, retry_after};
use super::narrowed::Narrowed;
use super::pool::Pool;
use super::refusal::{Refusal, Whose};
use crate::authority::LOCAL;
use crate::limits;

/// Who holds how much of what. One for a process.
///
/// Each pool has a lock of its own, which is held for one look into a map.
pub struct Account {
    bounds: Bounds,
    tables: [Mutex<Table>; Pool::ALL.len()],
    freed: [Notify; Pool::ALL.len()],
    owner: Arc<str>,
}

/// What is held of one pool.
#[derive(Default)]
struct Table {
    total: u64,
    of_owner: u64,
    of: HashMap<Arc<str>, OfOne>,
    refused: [u64; 2],
}

#[derive(Default)]
struct OfOne {
    used: u64,
    /// Less than the share of others, where its token says so.
    narrowed: Option<u64>,
}

/// What stands in the way of what is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checked {
    Bounds,
    /// With less of each, as [`left`] has it.
    BoundsWithRoom,
    /// With this share.
    Share(u64),
    Nothing,
}

/// What a pool has given, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub used: u64,
    /// Principals that hold some of it, the owner not among them.
    pub principals: usize,
    pub bound: Bound,
    /// How often it was refused since the start: for a principal's share, and for the bound of the process.
    pub refused_share: u64,
    pub refused_process: u64,
}

/// An amount that was taken; it is given back when this is dropped.
#[must_use]
pub struct Held {
    account: Arc<Account>,
    pool: Pool,
    who: Arc<str>,
    amount: u64,
}

impl Account {
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            tables: Default::default(),
            freed: Default::default(),
            owner: Arc::from(LOCAL),
        })
    }

    pub fn bound(&self, pool: Pool) -> Bound {
        self.bounds[pool]
    }

    /// What this principal may have of a pool: the owner all, less what it leaves to others, another one its share, narrowed
    /// by its token. No more than it may have of the pool around it.
    pub fn share(&self, pool: Pool, who: &str) -> u64 {
        let bound = self.bounds[pool];
        let own = if who == LOCAL {
            if pool.is_left_to_others() { bound.of_owner() } else { bound.process }
        } else {
            let table = self.tables[pool as usize].lock();
            table.of.get(who).map_or(bound.share, |of| of.share(bound))
        };
        pool.within().map_or(own, |outer| own.min(of_outer(pool, self.share(outer, who))))
    }

    /// What the process has of a pool for this principal and others like it: all for the owner, else less its reserve.
    pub fn most(&self, pool: Pool, who: &str) -> u64 {
        let bound = self.bounds[pool];
        let own = if who == LOCAL { bound.process } else { bound.of_others() };
        pool.within().map_or(own, |outer| own.min(of_outer(pool, self.most(outer, who))))
    }

    /// Takes so much for a principal, `local` being the owner, or refuses it and takes nothing.
    pub fn take(self: &Arc<Self>, pool: Pool, who: &str, amount: u64) -> Result<Held, Refusal> {
        let who = self.add(pool, who, amount, Checked::Bounds)?;
        Ok(Held { account: self.clone(), pool, who, amount })
    }

    /// The same with another share than a principal's: what holds it is no principal.
    pub fn take_within(
        self: &Arc<Self>,
        pool: Pool,
        who: &str,
        amount: u64,
        share: u64,
    ) -> Result<Held, Refusal> {
        let who = self.add(pool, who, amount, Checked::Share(share))?;
        Ok(Held { account: self.clone(), pool, who, amount })
    }

    /// The same, whatever the bounds say, for what has been let in already.
    pub fn hold(self: &Arc<Self>, pool: Pool, who: &str, amount: u64) -> Held {
        let who = self.add(pool, who, amount, Checked::Nothing).unwrap_or_else(|_| Arc::from(who));
        Held { account: self.clone(), pool, who, amount }
    }

    /// Whether so much could be taken now. Another may be faster.
    pub fn check(&self, pool: Pool, who: &str, amount: u64) -> Result<(), Refusal> {
        self.check_by(pool, who, amount, Checked::Bounds)
    }

    /// The same, of what is counted elsewhere and only looked at here; a refusal counts for the metrics.
    pub fn admit(&self, pool: Pool, who: &str, amount: u64) -> Result<(), Refusal> {
        let mut table = self.tables[pool as usize].lock();
        let checked = table.check(pool, self.bounds[pool], who, amount, Checked::Bounds);
        if let Err(refused) = &checked {
            table.refused[usize::from(refused.whose == Whose::Process)] += 1;
        }
        checked
    }

    /// What a principal has of a pool that is counted elsewhere.
    pub fn set(&self, pool: Pool, who: &str, amount: u64) {
        let mut table = self.tables[pool as usize].lock();
        let used = if who == LOCAL { table.of_owner } else { table.of.get(who).map_or(0, |of| of.used) };
        if amount > used {
            table.add(who, &self.owner, amount - used);
            return;
        }
        table.remove(who, used - amount);
        drop(table);
        self.freed[pool as usize].notify_waiters();
    }

    fn release(&self, pool: Pool, who: &str, amount: u64) {
        self.tables[pool as usize].lock().remove(who, amount);
        self.freed[pool as usize].notify_waiters();
        if let Some(pool) = pool.within() {
            self.release(pool, who, amount);
        }
    }

    /// Ends once some of a pool was given back after this was called and first polled, or enabled.
    pub fn freed(&self, pool: Pool) -> Notified<'_> {
        self.freed[pool as usize].notified()
    }

    /// What a principal holds of a pool.
    pub fn used_by(&self, pool: Pool, who: &str) -> u64 {
        let table = self.tables[pool as usize].lock();
        if who == LOCAL { table.of_owner } else { table.of.get(who).map_or(0, |of| of.used) }
    }

    /// What is held of a pool by all.
    pub fn used(&self, pool: Pool) -> u64 {
        self.tables[pool as usize].lock().total
    }

    pub fn usage(&self, pool: Pool) -> Used {
        let table = self.tables[pool as usize].lock();
        Used {
            used: table.total,
            principals: table.of.values().filter(|of| of.used > 0).count(),
            bound: self.bounds[pool],
            refused_share: table.refused[0],
            refused_process: table.refused[1],
        }
    }

    /// Narrows a principal's shares to what its token says, or widens them again to those of all.
    pub fn narrow(&self, who: &str, narrowed: Narrowed) {
        if who == LOCAL {
            return;
        }
        let mib = |mib: Option<u64>| mib.map(|mib| mib.saturating_mul(1024 * 1024));
        let memory = mib(narrowed.memory_mib);
        for (pool, bound) in [
            (Pool::Memory, memory),
            (Pool::OpenTasks, narrowed.tasks),
            (Pool::StoredBytes, mib(narrowed.store_mib)),
            (Pool::Rate, narrowed.rate.map(u64::from)),
        ] {
            self.tables[pool as usize].lock().narrow(who, bound);
        }
    }

    /// What its token narrows a principal's shares to.
    pub fn narrowed(&self, who: &str) -> Narrowed {
        const MIB: u64 = 1024 * 1024;
        let of = |pool: Pool| self.tables[pool as usize].lock().of.get(who)?.narrowed;
        Narrowed {
            rate: of(Pool::Rate).and_then(|rate| u32::try_from(rate).ok()),
            memory_mib: of(Pool::Memory).map(|bytes| bytes / MIB),
            tasks: of(Pool::OpenTasks),
            store_mib: of(Pool::StoredBytes).map(|bytes| bytes / MIB),
        }
    }

    /// Principals of which a count is in memory, be it 0.
    #[cfg(test)]
    pub(super) fn remembered(&self, pool: Pool) -> usize {
        self.tables[pool as usize].lock().of.len()
    }

    fn check_by(&self, pool: Pool, who: &str, amount: u64, checked: Checked) -> Result<(), Refusal> {
        self.tables[pool as usize].lock().check(pool, self.bounds[pool], who, amount, checked)?;
        pool.within().map_or(Ok(()), |outer| self.check_by(outer, who, amount, checked.within(pool)))
    }

    fn add(&self, pool: Pool, who: &str, amount: u64, checked: Checked) -> Result<Arc<str>, Refusal> {
        let who = {
            let mut table = self.tables[pool as usize].lock();
            if let Err(refused) = table.check(pool, self.bounds[pool], who, amount, checked) {
                table.refused[usize::from(refused.whose == Whose::Process)] += 1;
                return Err(refused);
            }
            table.add(who, &self.owner, amount)
        };
        if let Some(outer) = pool.within()
            && let Err(refused) = self.add(outer, &who, amount, checked.within(pool))
        {
            self.tables[pool as usize].lock().remove(&who, amount);
            return Err(refused);
        }
        Ok(who)
    }
}

impl Checked {
    /// The same for the pool around this one.
    fn within(self, pool: Pool) -> Self {
        if self == Self::Bounds && pool.leaves_room() { Self::BoundsWithRoom } else { self }
    }
}

/// So much of the pool around it may be taken for this one.
fn of_outer(pool: Pool, bound: u64) -> u64 {
    if pool.leaves_room() { left(bound) } else { bound }
}

/// What is left of a bound for what is held long, once requests have their room.
fn left(bound: u64) -> u64 {
    bound - bound / limits::OWNERS_PART
}

impl Table {
    fn check(
        &self,
        pool: Pool,
        bound: Bound,
        who: &str,
        amount: u64,
        checked: Checked,
    ) -> Result<(), Refusal> {
        let bound = match checked {
            Checked::Nothing => return Ok(()),
            Checked::Share(share) => bound.with_share(share),
            Checked::Bounds | Checked::BoundsWithRoom => bound,
        };
        let less = |bound| if checked == Checked::BoundsWithRoom { left(bound) } else { bound };
        let refused = |whose, bound| Err(Refusal { pool, whose, bound, retry_after: retry_after(pool) });
        let over = |used: u64, bound: u64| used.checked_add(amount).is_none_or(|sum| sum > bound);
        if who != LOCAL {
            let of = self.of.get(who);
            let (used, share) = of.map_or((0, bound.share), |of| (of.used, of.share(bound)));
            if over(used, less(share)) {
                return refused(Whose::Principal(Arc::from(who)), less(share));
            }
            if over(self.total - self.of_owner, less(bound.of_others())) {
                return refused(Whose::Process, less(bound.of_others()));
            }
        } else if pool.is_left_to_others() && over(self.of_owner, bound.of_owner()) {
            return refused(Whose::Principal(Arc::from(who)), bound.of_owner());
        }
        let all = less(bound.process);
        if over(self.total, all) { refused(Whose::Process, all) } else { Ok(()) }
    }

    fn add(&mut self, who: &str, owner: &Arc<str>, amount: u64) -> Arc<str> {
        self.total = self.total.saturating_add(amount);
        if who == LOCAL {
            self.of_owner = self.of_owner.saturating_add(amount);
            return owner.clone();
        }
        if let Some((name, _)) = self.of.get_key_value(who) {
            let name = name.clone();
            self.of.entry(name.clone()).or_default().used += amount;
            return name;
        }
        let name: Arc<str> = Arc::from(who);
        self.of.insert(name.clone(), OfOne { used: amount, narrowed: None });
        name
    }

    /// More than is held is not given back: a count may be lost where a row of it was, and goes below nothing never.
    fn remove(&mut self, who: &str, amount: u64) {
        if who == LOCAL {
            let amount = amount.min(self.of_owner);
            self.of_owner -= amount;
            self.total -= amount;
            return;
        }
        let Some(of) = self.of.get_mut(who) else { return };
        let amount = amount.min(of.used);
        of.used -= amount;
        self.total -= amount;
        // A few that hold nothing stay, so that one that comes and goes costs no memory of its own each time.
        if of.is_forgettable() && self.of.len() > limits::MAX_IDLE_PRINCIPALS {
            self.of.retain(|_, of| !of.is_forgettable());
        }
    }

    fn narrow(&mut self, who: &str, bound: Option<u64>) {
        match (self.of.get_mut(who), bound) {
            (Some(of), bound) => of.narrowed = bound,
            (None, Some(_)) => {
                self.of.insert(Arc::from(who), OfOne { used: 0, narrowed: bound });
            }
            (None, None) => {}
        }
    }
}

impl OfOne {
    fn share(&self, bound: Bound) -> u64 {
        self.narrowed.map_or(bound.share, |narrowed| narrowed.min(bound.share))
    }

    fn is_forgettable(&self) -> bool {
        self.used == 0 && self.narrowed.is_none()
    }
}

impl Held {
    /// Who holds it.
    pub fn who(&self) -> &str {
        &self.who
    }

    pub fn name(&self) -> Arc<str> {
        self.who.clone()
    }

    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Takes more of the same, or refuses it and keeps what is held.
    pub fn grow(&mut self, by: u64) -> Result<(), Refusal> {
        self.account.add(self.pool, &self.who, by, Checked::Bounds)?;
        self.amount += by;
        Ok(())
    }

    /// The same, whatever the bounds say: it is there already.
    pub fn grow_anyway(&mut self, by: u64) {
        // Nothing is refused that is not checked.
        drop(self.account.add(self.pool, &self.who, by, Checked::Nothing));
        self.amount += by;
    }

    /// Takes over what the same principal holds of the same pool.
    pub fn merge(&mut self, mut other: Self) {
        debug_assert!(self.pool == other.pool && self.who == other.who, "of another pool, or another's");
        self.amount += std::mem::take(&mut other.amount);
    }

    /// So much of it, or all that there is, held apart.
    pub fn split(&mut self, amount: u64) -> Self {
        let amount = amount.min(self.amount);
        self.amount -= amount;
        Self { account: self.account.clone(), pool: self.pool, who: self.who.clone(), amount }
    }

    /// Gives back what is more than `amount`.
    pub fn shrink_to(&mut self, amount: u64) {
        let less = self.amount.saturating_sub(amount);
        if less > 0 {
            self.account.release(self.pool, &self.who, less);
            self.amount = amount;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.account.release(self.pool, &self.who, self.amount);
        }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} for {}", self.amount, self.pool.name(), self.who)
    }
}
