//! What principals have spent on models today, a day being one of UTC. Counts of the store say the same, so that a kill
//! forgets nothing: what is taken here goes along with the commit that must be on disk before a model is asked.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::authority::LOCAL;
use crate::clock::UnixNanos;
use crate::engine::charge::{COST, TOKENS, change, cost_of, tokens_of};
use crate::store::{Batch, Count, Snapshot, Space, StoreError, read_count};
use crate::task::{Spend, cents};

/// What may be spent on models in a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpendingBounds {
    /// By all together.
    pub all: Spend,
    /// By one principal with tokens.
    pub principal: Spend,
}

impl Default for SpendingBounds {
    fn default() -> Self {
        Self { all: Spend::WITHOUT_BOUND, principal: Spend::WITHOUT_BOUND }
    }
}

/// What was taken for one request, and of which day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booking {
    day: u64,
    pub spend: Spend,
}

#[derive(Default)]
pub struct Spending {
    bounds: SpendingBounds,
    today: Mutex<Today>,
}

#[derive(Default)]
struct Today {
    day: u64,
    of: BTreeMap<Arc<str>, Spend>,
    /// Counts of other days, which nothing asks for any more, and what they come to.
    stale: Vec<(Count, u64)>,
}

pub fn day_of(date: UnixNanos) -> u64 {
    date / (24 * 60 * 60 * 1_000_000_000)
}

impl Spending {
    /// With what the store counted on this day.
    pub fn load(bounds: SpendingBounds, day: u64, snapshot: &Snapshot<'_>) -> Result<Self, StoreError> {
        let mut today = Today { day, ..Today::default() };
        for kind in [TOKENS, COST] {
            let mut fault = None;
            snapshot.scan_prefix(Space::Count, &[kind], false, |key, row| {
                match today.take_in(kind, key, row) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        fault = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
            fault.map_or(Ok(()), Err)?;
        }
        Ok(Self { bounds, today: Mutex::new(today) })
    }

    /// Takes so much of a principal's day and of all others' too, and adds to the batch what makes it lasting. The error is
    /// the bound that does not allow it.
    pub fn take(&self, day: u64, who: &str, spend: Spend, batch: &mut Batch) -> Result<Booking, String> {
        let mut today = self.today.lock();
        today.turn(day);
        if let Some(why) = self.past(&today, who, spend) {
            return Err(why);
        }
        let spent = today.of.entry(Arc::from(who)).or_default();
        *spent = spent.plus(spend);
        for (count, sum) in std::mem::take(&mut today.stale) {
            batch.add_count(count, -change(sum));
        }
        batch.add_count(tokens_of(day, who), change(spend.tokens));
        batch.add_count(cost_of(day, who), change(spend.cost));
        Ok(Booking { day, spend })
    }

    /// The commit that it was taken with is not made.
    pub fn give_back(&self, who: &str, booking: Booking) {
        self.change(who, booking, Spend::NOTHING);
    }

    /// What a request came to, instead of what was taken for it: adds to the batch what that changes.
    pub fn settle(&self, who: &str, booking: Booking, spent: Spend, batch: &mut Batch) {
        if self.today.lock().day == booking.day {
            let more = |spent, taken| change(spent) - change(taken);
            batch.add_count(tokens_of(booking.day, who), more(spent.tokens, booking.spend.tokens));
            batch.add_count(cost_of(booking.day, who), more(spent.cost, booking.spend.cost));
        }
    }

    /// The same in memory, once that commit is queued.
    pub fn settled(&self, who: &str, booking: Booking, spent: Spend) {
        self.change(who, booking, spent);
    }

    /// That commit is not made: what was taken is taken as before.
    pub fn unsettled(&self, who: &str, booking: Booking, spent: Spend) {
        self.change(who, Booking { spend: spent, ..booking }, booking.spend);
    }

    fn change(&self, who: &str, booking: Booking, spent: Spend) {
        let mut today = self.today.lock();
        if today.day == booking.day
            && let Some(sum) = today.of.get_mut(who)
        {
            *sum = sum.minus(booking.spend).plus(spent);
        }
    }

    fn past(&self, today: &Today, who: &str, spend: Spend) -> Option<String> {
        let all = today.of.values().fold(Spend::NOTHING, |sum, spent| sum.plus(*spent));
        let of_one = today.of.get(who).copied().unwrap_or_default();
        let share = (who != LOCAL).then(|| past(of_one, spend, self.bounds.principal, "shares.principal"));
        share.flatten().or_else(|| past(all, spend, self.bounds.all, "shares"))
    }
}

/// Why a day does not allow it; the words are for the guest as well, and name no other principal.
fn past(spent: Spend, more: Spend, bound: Spend, table: &str) -> Option<String> {
    let sum = spent.plus(more);
    let until = "the next day begins at 00:00 UTC, and the operator can raise it";
    if sum.tokens > bound.tokens {
        return Some(format!(
            "[{table}] model_tokens_per_day allows {} tokens, of which {} are spent or reserved today, and this request may \
             cost {}: {until}",
            bound.tokens, spent.tokens, more.tokens
        ));
    }
    (sum.cost > bound.cost).then(|| {
        format!(
            "[{table}] model_cost_cents_per_day allows {}, of which {} are spent or reserved today, and this request may cost {}: \
             {until}",
            cents(bound.cost),
            cents(spent.cost),
            cents(more.cost)
        )
    })
}

impl Today {
    fn take_in(&mut self, kind: u8, key: &[u8], row: &[u8]) -> Result<(), StoreError> {
        let sum = read_count(key, row)?;
        let name = key.get(1..).and_then(|name| std::str::from_utf8(name).ok());
        let Some((day, who)) = name.and_then(|name| name.split_once('/')) else {
            return Err(StoreError::damaged_row(Space::Count, key, "it names no day and principal"));
        };
        if day.parse() != Ok(self.day) {
            self.stale.push((Count::Named { kind, name: name.unwrap_or_default().into() }, sum));
            return Ok(());
        }
        let spent = self.of.entry(Arc::from(who)).or_default();
        match kind {
            TOKENS => spent.tokens = sum,
            _ => spent.cost = sum,
        }
        Ok(())
    }

    /// Another day has come.
    fn turn(&mut self, day: u64) {
        if self.day == day {
            return;
        }
        for (who, spent) in std::mem::take(&mut self.of) {
            self.stale.push((tokens_of(self.day, &who), spent.tokens));
            self.stale.push((cost_of(self.day, &who), spent.cost));
        }
        self.day = day;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(tokens: u64, cost: u64) -> Spend {
        Spend { tokens, cost }
    }

    fn spending() -> Spending {
        let bounds = SpendingBounds { all: spend(100, u64::MAX), principal: spend(60, 1_000) };
        Spending { bounds, ..Spending::default() }
    }

    fn take(spending: &Spending, day: u64, who: &str, tokens: u64, cost: u64) -> Result<Booking, String> {
        spending.take(day, who, spend(tokens, cost), &mut Batch::new())
    }

    #[test]
    fn one_principal_has_its_day_and_all_have_theirs() {
        let spending = spending();
        take(&spending, 1, "ann", 60, 0).expect("all that she has");
        let refused = take(&spending, 1, "ann", 1, 0).expect_err("she has no more");
        assert!(refused.contains("[shares.principal] model_tokens_per_day allows 60 tokens"), "{refused}");
        let refused = take(&spending, 1, "bob", 1, 1_001).expect_err("it costs too much");
        assert!(refused.contains("model_cost_cents_per_day allows 0.0001,"), "{refused}");
        take(&spending, 1, LOCAL, 40, 5_000).expect("the owner has no share");
        let refused = take(&spending, 1, "bob", 1, 0).expect_err("all is spent");
        assert!(refused.contains("[shares] model_tokens_per_day") && !refused.contains("ann"), "{refused}");
        take(&spending, 2, "ann", 60, 0).expect("another day");
    }

    #[test]
    fn what_a_request_came_to_stands_in_place_of_what_was_taken() {
        let spending = spending();
        let booking = take(&spending, 1, "ann", 50, 500).expect("there is room");
        take(&spending, 1, "ann", 11, 0).expect_err("it is held back");
        spending.settled("ann", booking, spend(10, 100));
        spending.unsettled("ann", booking, spend(10, 100));
        take(&spending, 1, "ann", 11, 0).expect_err("it is held back again");
        spending.settled("ann", booking, spend(10, 100));
        let booking = take(&spending, 1, "ann", 50, 900).expect("the rest is free again");
        spending.give_back("ann", booking);
        assert_eq!(spending.today.lock().of.get("ann"), Some(&spend(10, 100)));
        take(&spending, 2, "ann", 1, 0).expect("another day");
        spending.settled("ann", booking, spend(60, 0));
        assert_eq!(spending.today.lock().of.get("ann"), Some(&spend(1, 0)), "that was yesterday");
    }
}
