//! Instances that wait for something that is on disk or will be: they are journaled, and can leave memory at any moment.
//! Where a task finds no room they are asked to, one for each that finds none, and the biggest user's first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::ready::Ready;

pub struct Leavers {
    waits: Mutex<Waits>,
    ready: Arc<Ready>,
}

#[derive(Default)]
struct Waits {
    /// By principal, each in the order in which they began to wait.
    of: HashMap<String, BTreeMap<u64, Arc<Asked>>>,
    last: u64,
}

#[derive(Default)]
struct Asked {
    is_asked: AtomicBool,
    bell: Notify,
}

/// An instance that waits, as long as it does.
pub struct Wait {
    all: Arc<Leavers>,
    principal: String,
    number: u64,
    asked: Arc<Asked>,
}

impl Leavers {
    /// Where tasks wait for room.
    pub fn new(ready: Arc<Ready>) -> Self {
        Self { waits: Mutex::default(), ready }
    }

    /// From now on this principal's instance can be asked to leave.
    pub fn wait(self: &Arc<Self>, principal: &str) -> Wait {
        let asked = Arc::new(Asked::default());
        let number = {
            let mut waits = self.waits.lock();
            waits.last += 1;
            let number = waits.last;
            match waits.of.get_mut(principal) {
                Some(of) => drop(of.insert(number, asked.clone())),
                None => {
                    waits.of.insert(principal.to_owned(), BTreeMap::from([(number, asked.clone())]));
                }
            }
            number
        };
        self.ready.look_again();
        Wait { all: self.clone(), principal: principal.to_owned(), number, asked }
    }

    /// Asks one that waits to leave: one of this principal's, or, where it is the process that has no more, one of those
    /// that hold most of it by `usage`. The one that has waited longest.
    /// False where none waits.
    pub fn ask_one(&self, of: Option<&str>, usage: impl Fn(&str) -> u64) -> bool {
        let mut waits = self.waits.lock();
        let principal = match of {
            Some(principal) => waits.of.get_key_value(principal).map(|(name, _)| name.clone()),
            None => waits.of.keys().max_by_key(|principal| usage(principal)).cloned(),
        };
        let Some(principal) = principal else { return false };
        let asked = waits.of.get_mut(&principal).and_then(|of| of.pop_first());
        if waits.of.get(&principal).is_some_and(BTreeMap::is_empty) {
            waits.of.remove(&principal);
        }
        drop(waits);
        if let Some((_, asked)) = &asked {
            asked.is_asked.store(true, Ordering::SeqCst);
            asked.bell.notify_one();
        }
        asked.is_some()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.waits.lock().of.values().map(BTreeMap::len).sum()
    }
}

impl Wait {
    /// Ends when it is asked to leave.
    pub async fn asked(&self) {
        self.asked.bell.notified().await;
    }

    /// It leaves: what it gives back is said when it is gone.
    pub fn leave(self) {
        self.asked.is_asked.store(false, Ordering::SeqCst);
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waits = self.all.waits.lock();
        if let Some(of) = waits.of.get_mut(&self.principal) {
            of.remove(&self.number);
            if of.is_empty() {
                waits.of.remove(&self.principal);
            }
        }
        drop(waits);
        // It may go on, since what it waited for has come: then another one is to be asked.
        if self.asked.is_asked.load(Ordering::SeqCst) {
            self.all.ready.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_biggest_users_oldest_is_asked_and_who_stays_lets_the_next_be_asked() {
        let ready = Arc::new(Ready::default());
        let leavers = Arc::new(Leavers::new(ready.clone()));
        let waits: Vec<Wait> = ["a", "b", "b"].into_iter().map(|who| leavers.wait(who)).collect();
        let is_asked = async |wait: &Wait| tokio::time::timeout(Duration::ZERO, wait.asked()).await.is_ok();
        let usage = |who: &str| if who == "b" { 9 } else { 1 };
        assert!(leavers.ask_one(None, usage));
        assert!(!is_asked(&waits[0]).await && is_asked(&waits[1]).await && !is_asked(&waits[2]).await);
        assert!(leavers.ask_one(Some("a"), usage), "one of its own");
        assert!(is_asked(&waits[0]).await);
        assert!(!leavers.ask_one(Some("a"), usage), "it has no other");
        let before = ready.returns();
        let mut waits = waits.into_iter();
        waits.next().expect("a").leave();
        assert_eq!(ready.returns(), before, "its room is given back later");
        drop(waits.next());
        assert_eq!(ready.returns(), before + 1, "it goes on instead");
        drop(waits);
        assert_eq!((leavers.len(), ready.returns()), (0, before + 1));
    }
}
