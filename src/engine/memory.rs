//! What the engine holds in memory and commits change: open tasks, who is subscribed, what is due.
//! It is made before the store, whose sink it is, and knows nothing of the store: `applied.rs` says what each effect
//! of a commit does to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::feed::Feed;
use super::state;
use super::tokens::Tokens;
use crate::clock::Clock;
use crate::engine::dispatch::entry::Entry;
use crate::engine::dispatch::ready::Ready;
use crate::engine::dispatch::timers::Timers;
use crate::engine::family::children::Families;
use crate::engine::query::metrics::Counters;
use crate::task::TaskId;

pub struct Memory {
    pub clock: Arc<dyn Clock>,
    pub feed: Feed,
    pub ready: Ready,
    pub timers: Timers,
    pub state: state::Book,
    pub families: Families,
    pub tokens: Tokens,
    pub counters: Counters,
    /// False until it is started, true while it dispatches.
    pub running: watch::Sender<bool>,
    open: Mutex<HashMap<TaskId, Arc<Entry>>>,
    /// Entries that are open once their commit is applied, by its number.
    staged: Mutex<HashMap<(u64, TaskId), Arc<Entry>>>,
    commits: AtomicU64,
}

impl Memory {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            feed: Feed::default(),
            ready: Ready::default(),
            timers: Timers::default(),
            state: state::Book::default(),
            families: Families::default(),
            tokens: Tokens::default(),
            counters: Counters::default(),
            running: watch::Sender::new(false),
            open: Mutex::default(),
            staged: Mutex::default(),
            commits: AtomicU64::new(1),
        }
    }

    pub fn is_running(&self) -> bool {
        *self.running.borrow()
    }

    pub fn open_tasks(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<Entry>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn entry(&self, id: TaskId) -> Option<Arc<Entry>> {
        self.open_tasks().get(&id).cloned()
    }

    /// Keeps the entries that a commit opens until it is known what became of it; the number that finds them, 0 for
    /// none.
    pub fn stage(&self, entries: Vec<Arc<Entry>>) -> u64 {
        if entries.is_empty() {
            return 0;
        }
        let number = self.commits.fetch_add(1, Ordering::Relaxed);
        self.staged_entries().extend(entries.into_iter().map(|entry| ((number, entry.id), entry)));
        number
    }

    pub fn unstage(&self, number: u64, id: TaskId) -> Option<Arc<Entry>> {
        self.staged_entries().remove(&(number, id))
    }

    #[cfg(test)]
    pub fn has_staged(&self) -> bool {
        !self.staged_entries().is_empty()
    }

    fn staged_entries(&self) -> MutexGuard<'_, HashMap<(u64, TaskId), Arc<Entry>>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
