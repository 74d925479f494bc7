//! Turns at something of which there is little: each goes to the principal that holds fewest, and among those that hold as
//! many they take turns, as instances do (`ready.rs`). What holds one is a future, not a task of the engine.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::shares::{Account, Held, Pool};

pub struct Turns {
    shares: Arc<Account>,
    pool: Pool,
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    /// By principal, each in the order in which they came.
    of: HashMap<Arc<str>, BTreeMap<u64, oneshot::Sender<Turn>>>,
    /// Principals that have something queued, in the order of their turns.
    turns: VecDeque<Arc<str>>,
    last: u64,
}

/// One turn, as long as it lives.
pub struct Turn {
    held: Option<Held>,
    all: Arc<Turns>,
}

/// A place in the queue.
struct Place<'a> {
    all: &'a Arc<Turns>,
    who: Arc<str>,
    number: u64,
}

impl Turns {
    pub fn new(shares: Arc<Account>, pool: Pool) -> Arc<Self> {
        Arc::new(Self { shares, pool, queues: Mutex::default() })
    }

    /// Ends when it is this one's turn. Dropped before, it leaves the queue.
    pub async fn wait(self: &Arc<Self>, who: &str) -> Option<Turn> {
        let (give, given) = oneshot::channel();
        let place = self.queue(who, give);
        self.serve();
        let turn = given.await.ok();
        drop(place);
        turn
    }

    fn queue(self: &Arc<Self>, who: &str, give: oneshot::Sender<Turn>) -> Place<'_> {
        let mut queues = self.queues.lock();
        queues.last += 1;
        let number = queues.last;
        let who: Arc<str> = match queues.of.get_key_value(who) {
            Some((who, _)) => who.clone(),
            None => {
                let who: Arc<str> = who.into();
                queues.turns.push_back(who.clone());
                who
            }
        };
        queues.of.entry(who.clone()).or_default().insert(number, give);
        Place { all: self, who, number }
    }

    /// Gives turns as long as there are some and one waits that may have it.
    fn serve(self: &Arc<Self>) {
        while let Some((give, held)) = self.next() {
            // One that has just left gives it back, outside the lock.
            drop(give.send(Turn { held: Some(held), all: self.clone() }));
        }
    }

    fn next(&self) -> Option<(oneshot::Sender<Turn>, Held)> {
        let mut queues = self.queues.lock();
        let used = |who: &Arc<str>| self.shares.used_by(self.pool, who);
        let mut order: Vec<(u64, usize)> =
            queues.turns.iter().enumerate().map(|(turn, who)| (used(who), turn)).collect();
        order.sort_unstable();
        let (turn, held) = order.into_iter().find_map(|(_, turn)| {
            let who = &queues.turns[turn];
            // Only looked at first: one that waits is not refused.
            self.shares.check(self.pool, who, 1).ok()?;
            Some((turn, self.shares.take(self.pool, who, 1).ok()?))
        })?;
        let who = queues.turns.remove(turn)?;
        let (_, give) = queues.of.get_mut(&who)?.pop_first()?;
        if queues.of.get(&who).is_some_and(BTreeMap::is_empty) {
            queues.of.remove(&who);
        } else {
            queues.turns.push_back(who);
        }
        Some((give, held))
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.queues.lock().of.values().map(BTreeMap::len).sum()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.held.take());
        self.all.serve();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut queues = self.all.queues.lock();
        let Some(of) = queues.of.get_mut(&self.who) else { return };
        of.remove(&self.number);
        if of.is_empty() {
            queues.of.remove(&self.who);
            queues.turns.retain(|who| *who != self.who);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use futures::FutureExt as _;

    use super::*;
    use crate::shares::{Bound, Bounds};

    type Waiting<'a> = Pin<Box<dyn Future<Output = Option<Turn>> + 'a>>;

    fn turns(process: u64, share: u64, reserve: u64) -> Arc<Turns> {
        let mut bounds = Bounds::default();
        bounds[Pool::Sampling] = Bound { process, share, reserve };
        Turns::new(Account::new(bounds), Pool::Sampling)
    }

    /// The first that has its turn by now, taken out.
    fn given(waiting: &mut Vec<(&'static str, Waiting<'_>)>) -> Option<(&'static str, Turn)> {
        let (at, turn) = waiting
            .iter_mut()
            .enumerate()
            .find_map(|(at, (_, wait))| Some((at, wait.as_mut().now_or_never()??)))?;
        Some((waiting.remove(at).0, turn))
    }

    #[test]
    fn those_that_hold_fewest_are_next_whatever_came_first() {
        let turns = turns(3, 2, 0);
        let mut waiting: Vec<(&'static str, Waiting<'_>)> = Vec::new();
        for who in ["eve", "eve", "eve", "eve", "ann", "ann", "bob"] {
            let mut wait: Waiting<'_> = Box::pin(turns.wait(who));
            // The first that come find places, and are asked for them below.
            if let Some(turn) = wait.as_mut().now_or_never() {
                waiting.push((who, Box::pin(std::future::ready(turn))));
            } else {
                waiting.push((who, wait));
            }
        }
        let mut held: VecDeque<(&'static str, Turn)> = VecDeque::new();
        let mut order = Vec::new();
        loop {
            while let Some((who, turn)) = given(&mut waiting) {
                order.push(who);
                held.push_back((who, turn));
            }
            // The oldest ends.
            if held.pop_front().is_none() {
                break;
            }
        }
        assert_eq!(order, ["eve", "eve", "ann", "bob", "eve", "ann", "eve"]);
        assert_eq!((turns.waiting(), turns.shares.used(Pool::Sampling)), (0, 0));
    }

    #[test]
    fn who_leaves_the_queue_takes_nothing_along() {
        let turns = turns(1, 1, 0);
        let first = turns.wait("eve").now_or_never().flatten().expect("a turn");
        let mut left: Waiting<'_> = Box::pin(turns.wait("eve"));
        let mut late: Waiting<'_> = Box::pin(turns.wait("eve"));
        let mut other: Waiting<'_> = Box::pin(turns.wait("ann"));
        for wait in [&mut left, &mut late, &mut other] {
            assert!(wait.as_mut().now_or_never().is_none());
        }
        drop(left);
        assert_eq!(turns.waiting(), 2);
        drop(first);
        // Given and not looked at, it is given on.
        drop(late);
        assert!(other.as_mut().now_or_never().flatten().is_some());
        drop(other);
        assert_eq!((turns.waiting(), turns.shares.used(Pool::Sampling)), (0, 0));
    }

    #[test]
    fn the_owner_leaves_a_turn_to_others_and_they_leave_it_one() {
        let turns = turns(4, 4, 1);
        for who in ["local", "eve"] {
            let mut held = Vec::new();
            while let Some(turn) = turns.wait(who).now_or_never().flatten() {
                held.push(turn);
            }
            assert_eq!(held.len(), 3, "{who}");
            let other = if who == "eve" { "local" } else { "eve" };
            assert!(turns.wait(other).now_or_never().flatten().is_some());
        }
    }
}
