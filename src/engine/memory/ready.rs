//! Who runs next: one queue a principal, taken in turn, so that no principal waits behind another's thousand.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::entry::Entry;

#[derive(Default)]
pub struct Ready {
    queues: Mutex<Queues>,
    pub wake: Notify,
    /// Changes with each entry that is queued.
    pushed: watch::Sender<()>,
}

#[derive(Default)]
struct Queues {
    by_principal: HashMap<String, VecDeque<Arc<Entry>>>,
    /// Principals that have something queued, in the order of their turns.
    turns: VecDeque<String>,
}

impl Ready {
    /// Queues it, unless it is queued already.
    pub fn push(&self, entry: Arc<Entry>) {
        if entry.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut queues = self.queues.lock();
        let Queues { by_principal, turns } = &mut *queues;
        match by_principal.get_mut(&entry.principal) {
            Some(queue) => queue.push_back(entry),
            None => {
                turns.push_back(entry.principal.clone());
                by_principal.insert(entry.principal.clone(), VecDeque::from([entry]));
            }
        }
        drop(queues);
        self.wake.notify_one();
        self.pushed.send_replace(());
    }

    pub fn is_empty(&self) -> bool {
        self.queues.lock().turns.is_empty()
    }

    /// Tells of entries that are queued from now on.
    pub fn pushes(&self) -> watch::Receiver<()> {
        self.pushed.subscribe()
    }

    pub fn pop(&self) -> Option<Arc<Entry>> {
        let mut queues = self.queues.lock();
        let principal = queues.turns.pop_front()?;
        let queue = queues.by_principal.get_mut(&principal)?;
        let entry = queue.pop_front();
        if queue.is_empty() {
            queues.by_principal.remove(&principal);
        } else {
            queues.turns.push_back(principal);
        }
        // From here on it is looked at, so what happens next queues it again.
        if let Some(entry) = &entry {
            entry.is_queued.store(false, Ordering::Release);
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Status, TaskId};

    #[test]
    fn principals_take_turns() {
        let ready = Ready::default();
        let entry = |number: u8, principal: &str| {
            let (id, status) = (TaskId::from_bytes([number; 16]), Status::new(0, [0; 32]));
            Entry::new(id, principal.to_owned(), 0, 1, status, None)
        };
        for (number, principal) in [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "c")] {
            ready.push(entry(number, principal));
        }
        let order: Vec<u8> = std::iter::from_fn(|| ready.pop()).map(|entry| entry.id.as_bytes()[0]).collect();
        assert_eq!(order, [1, 4, 5, 2, 3]);
    }
}
