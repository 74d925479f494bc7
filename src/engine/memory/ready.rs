//! Who runs next: one queue a principal. An instance goes to the one that holds fewest, and among those that hold as many
//! they take turns, so that no principal waits behind another's thousand. What may not run yet is passed over: its
//! principal has its share, or its tool has as many instances as it may have.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::entry::Entry;

#[derive(Default)]
pub struct Ready {
    queues: Mutex<Queues>,
    pub wake: Notify,
    /// The last look found a task that could not be given an instance, or is under way.
    is_short: AtomicBool,
    /// How often room was given back.
    returns: AtomicU64,
}

#[derive(Default)]
struct Queues {
    by_principal: HashMap<String, Lanes>,
    /// Principals that have something queued, in the order of their turns.
    turns: VecDeque<String>,
    /// Numbers entries in the order in which they came.
    last: u64,
}

/// What a principal has queued: the tasks of each tool that has bounds of its own, and all others.
#[derive(Default)]
struct Lanes(Vec<Lane>);

struct Lane {
    tool: Option<Arc<str>>,
    queue: VecDeque<Queued>,
}

struct Queued {
    number: u64,
    entry: Arc<Entry>,
}

/// What a look for the next task found.
pub enum Looked<T> {
    Task(Arc<Entry>, T),
    /// Tasks are queued, and none of them may run now.
    Passed,
    Empty,
}

impl Ready {
    /// Queues it, unless it is queued already.
    pub fn push(&self, entry: Arc<Entry>) {
        if entry.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut queues = self.queues.lock();
        let Queues { by_principal, turns, last } = &mut *queues;
        *last += 1;
        entry.queued.store(*last, Ordering::Relaxed);
        let queued = Queued { number: *last, entry };
        match by_principal.get_mut(&queued.entry.principal) {
            Some(lanes) => lanes.push(queued),
            None => {
                let principal = queued.entry.principal.clone();
                turns.push_back(principal.clone());
                by_principal.entry(principal).or_default().push(queued);
            }
        }
        drop(queues);
        self.wake.notify_one();
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.queues.lock().turns.is_empty()
    }

    /// The first task in turn for which `admit` gives what it needs; `held` says how many instances a principal has.
    /// Neither must lock a task.
    pub fn pop<T>(
        &self,
        held: impl Fn(&str) -> u64,
        mut admit: impl FnMut(&Entry) -> Option<T>,
    ) -> Looked<T> {
        // Before the look: what is given back from here on is said.
        self.is_short.store(true, Ordering::SeqCst);
        let mut queues = self.queues.lock();
        for (_, turn) in queues.order(held) {
            let Some((entry, given)) = queues.take(turn, &mut admit) else { continue };
            // From here on it is looked at, so what happens next queues it again.
            entry.is_queued.store(false, Ordering::Release);
            return Looked::Task(entry, given);
        }
        if queues.turns.is_empty() {
            self.is_short.store(false, Ordering::SeqCst);
            return Looked::Empty;
        }
        Looked::Passed
    }

    /// Room was given back: tasks that were passed over are looked at again.
    pub fn give_back(&self) {
        self.returns.fetch_add(1, Ordering::SeqCst);
        self.look_again();
    }

    pub fn returns(&self) -> u64 {
        self.returns.load(Ordering::SeqCst)
    }

    /// Room could be made: tasks that were passed over are looked at again.
    pub fn look_again(&self) {
        if self.is_short.load(Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// How many tasks are given an instance before this one, and 1, if none is given back before; `None` where it is not
    /// queued, or is about to be taken.
    pub fn place(&self, entry: &Entry, held: impl Fn(&str) -> u64) -> Option<u64> {
        if !entry.is_queued.load(Ordering::Acquire) || !self.is_short.load(Ordering::SeqCst) {
            return None;
        }
        self.queues.lock().place(entry, held)
    }
}

impl Queues {
    /// The turns, those first whose principals hold fewest.
    fn order(&self, held: impl Fn(&str) -> u64) -> SmallVec<[(u64, usize); 8]> {
        let mut order: SmallVec<[(u64, usize); 8]> = SmallVec::new();
        match self.turns.len() {
            0 => {}
            1 => order.push((0, 0)),
            _ => order.extend(self.turns.iter().enumerate().map(|(turn, who)| (held(who), turn))),
        }
        order.sort_unstable();
        order
    }

    fn take<T>(
        &mut self,
        turn: usize,
        admit: &mut impl FnMut(&Entry) -> Option<T>,
    ) -> Option<(Arc<Entry>, T)> {
        let lanes = self.by_principal.get_mut(&self.turns[turn])?;
        let taken = lanes.take(admit)?;
        let is_over = lanes.0.is_empty();
        let principal = self.turns.remove(turn)?;
        if is_over {
            self.by_principal.remove(&principal);
        } else {
            self.turns.push_back(principal);
        }
        Some(taken)
    }

    /// With each task that it is given a principal holds one more, and its turn comes behind those that hold as many by
    /// then: so before it go all that stand before it in its own queue, and of each other principal those that are given
    /// one while that holds fewer, or as many and its turn is sooner.
    fn place(&self, entry: &Entry, held: impl Fn(&str) -> u64) -> Option<u64> {
        let tool = entry.tool_with_bounds();
        let own = self.by_principal.get(&entry.principal)?.lane(tool)?;
        let number = entry.queued.load(Ordering::Relaxed);
        let before = own.queue.binary_search_by_key(&number, |queued| queued.number).ok()? as u64;
        let holds = held(&entry.principal);
        let (mut place, mut is_sooner) = (before + 1, true);
        for principal in &self.turns {
            if *principal == entry.principal {
                is_sooner = false;
                continue;
            }
            let lane = self.by_principal.get(principal).and_then(|lanes| lanes.lane(tool));
            let queued = lane.map_or(0, |lane| lane.queue.len() as u64);
            let has = held(principal);
            let goes_first = has > holds || has == holds && is_sooner;
            let ahead = (holds + before + u64::from(goes_first)).saturating_sub(has);
            place += queued.min(ahead);
        }
        Some(place)
    }
}

impl Lanes {
    fn push(&mut self, queued: Queued) {
        let tool = queued.entry.tool_with_bounds();
        match self.0.iter_mut().find(|lane| lane.tool.as_ref() == tool) {
            Some(lane) => lane.queue.push_back(queued),
            None => self.0.push(Lane { tool: tool.cloned(), queue: VecDeque::from([queued]) }),
        }
    }

    fn lane(&self, tool: Option<&Arc<str>>) -> Option<&Lane> {
        self.0.iter().find(|lane| lane.tool.as_ref() == tool)
    }

    /// The task that came first of those that may run.
    fn take<T>(&mut self, admit: &mut impl FnMut(&Entry) -> Option<T>) -> Option<(Arc<Entry>, T)> {
        self.0.sort_unstable_by_key(|lane| lane.queue.front().map(|queued| queued.number));
        let (at, given) = self.0.iter().enumerate().find_map(|(at, lane)| {
            let queued = lane.queue.front()?;
            Some((at, admit(&queued.entry)?))
        })?;
        let lane = &mut self.0[at];
        let entry = lane.queue.pop_front()?.entry;
        if lane.queue.is_empty() {
            self.0.swap_remove(at);
        }
        Some((entry, given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Status, TaskId};

    fn entry(number: u8, principal: &str) -> Arc<Entry> {
        let (id, status) = (TaskId::from_bytes([number; 16]), Status::new(0, [0; 32]));
        Entry::new(id, principal.to_owned(), 0, 1, status, None)
    }

    fn next(ready: &Ready, may: impl Fn(&Entry) -> bool) -> Option<u8> {
        match ready.pop(|_| 0, |entry| may(entry).then_some(())) {
            Looked::Task(entry, ()) => Some(entry.id.as_bytes()[0]),
            Looked::Passed | Looked::Empty => None,
        }
    }

    #[test]
    fn principals_take_turns() {
        let ready = Ready::default();
        for (number, principal) in [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "c")] {
            ready.push(entry(number, principal));
        }
        let order: Vec<u8> = std::iter::from_fn(|| next(&ready, |_| true)).collect();
        assert_eq!(order, [1, 4, 5, 2, 3]);
    }

    #[test]
    fn who_may_not_run_is_passed_over_and_stays_in_front() {
        let ready = Ready::default();
        for (number, principal) in [(1, "a"), (2, "b"), (3, "b"), (4, "a")] {
            ready.push(entry(number, principal));
        }
        assert_eq!(next(&ready, |entry| entry.principal == "b"), Some(2));
        assert_eq!(next(&ready, |_| false), None);
        let order: Vec<u8> = std::iter::from_fn(|| next(&ready, |_| true)).collect();
        assert_eq!(order, [1, 3, 4]);
    }

    #[test]
    fn who_holds_fewest_is_next() {
        let ready = Ready::default();
        for (number, principal) in [(1, "a"), (2, "a"), (3, "b"), (4, "c"), (5, "b")] {
            ready.push(entry(number, principal));
        }
        let mut held = HashMap::from([("a", 2), ("b", 1), ("c", 0)]);
        let mut order = Vec::new();
        while let Looked::Task(entry, ()) = ready.pop(|who| held[who], |_| Some(())) {
            *held.get_mut(entry.principal.as_str()).expect("one of them") += 1;
            order.push(entry.id.as_bytes()[0]);
        }
        assert_eq!(order, [4, 3, 1, 5, 2], "c, then b, then those that hold two in turn");
    }

    /// The place that is said is where each stands in the order in which they are then taken, whatever each holds.
    #[test]
    fn each_place_is_when_it_is_taken() {
        const WHO: [&str; 4] = ["a", "b", "c", "d"];
        for seed in 0..500u64 {
            let ready = Ready::default();
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut draw = |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            let mut held: HashMap<&str, u64> = WHO.iter().map(|who| (*who, draw(4))).collect();
            let take = |held: &mut HashMap<&str, u64>| match ready.pop(|who| held[who], |_| Some(())) {
                Looked::Task(entry, ()) => {
                    *held.get_mut(entry.principal.as_str()).expect("one of them") += 1;
                    Some(entry.id.as_bytes()[0])
                }
                Looked::Passed | Looked::Empty => None,
            };
            let entries: Vec<Arc<Entry>> =
                (0..draw(20) + 1).map(|number| entry(number as u8, WHO[draw(4) as usize])).collect();
            entries.iter().cloned().for_each(|entry| ready.push(entry));
            for _ in 0..draw(entries.len() as u64) {
                take(&mut held);
            }
            assert_eq!(next(&ready, |_| false), None);
            let places: Vec<Option<u64>> =
                entries.iter().map(|entry| ready.place(entry, |who| held[who])).collect();
            let mut taken = 0;
            while let Some(number) = take(&mut held) {
                taken += 1;
                assert_eq!(places[usize::from(number)], Some(taken), "seed {seed}");
            }
            assert_eq!(
                places.iter().flatten().count() as u64,
                taken,
                "seed {seed}: those taken before have none"
            );
        }
    }
}
