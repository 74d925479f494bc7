//! Lives here: what the engine holds in memory and commits change: open tasks, queues, timers, subscribers.
//! May import: the engine's rows, effects, feed and journal. Never here: the store's writer, what a task's end leads to.
//! Read first: this file, then `entry.rs`, then `applied.rs`.
//!
//! What the engine holds in memory and commits change: open tasks, who is subscribed, what is due.
//! It is made before the store, whose sink it is, and knows nothing of the store: `applied.rs` says what each effect
//! of a commit does to it.

mod ancestors;
mod applied;
pub(super) mod blocks;
pub(super) mod components;
pub(super) mod counters;
pub(super) mod entry;
pub(super) mod flush;
pub(super) mod gates;
pub(super) mod hosts;
pub(super) mod known;
pub(super) mod leaving;
pub(super) mod open_task;
pub(super) mod parked;
pub(super) mod poll_times;
pub(super) mod power_changes;
pub(super) mod ready;
pub(super) mod resting;
pub(super) mod samplers;
pub(super) mod slot;
pub(super) mod spending;
pub(super) mod state_writer;
pub(super) mod task_trees;
pub(super) mod timers;
pub(super) mod tokens;
pub(super) mod turns;
mod wake;
pub(super) mod watchers;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::engine::feed::Feed;
use crate::engine::link::{Children, Link};
use crate::engine::memory::blocks::Blocks;
use crate::engine::memory::counters::{Counters, ModelCounters};
use crate::engine::memory::entry::{Anchor, Entry};
use crate::engine::memory::known::KnownTasks;
use crate::engine::memory::leaving::Leavers;
use crate::engine::memory::parked::Parked;
use crate::engine::memory::poll_times::PollTimes;
use crate::engine::memory::power_changes::PowerChanges;
use crate::engine::memory::ready::Ready;
use crate::engine::memory::resting::OpenTasks;
use crate::engine::memory::state_writer::StateWriter;
use crate::engine::memory::task_trees::TaskTrees;
use crate::engine::memory::timers::Timers;
use crate::engine::memory::tokens::Tokens;
use crate::shares::Account;
use crate::task::TaskId;

/// What an open task has asked and which children it has, or its entry, which says so.
pub enum Family {
    Awake(Arc<Entry>),
    Resting { has_asked: bool, children: Children },
}

pub struct Memory {
    pub clock: Arc<dyn Clock>,
    pub feed: Feed,
    pub ready: Arc<Ready>,
    pub parked: Parked,
    pub leavers: Arc<Leavers>,
    pub timers: Timers,
    pub state: StateWriter,
    pub trees: TaskTrees,
    pub tokens: Tokens,
    pub blocks: Blocks,
    pub powers: PowerChanges,
    pub known: KnownTasks,
    pub poll_times: PollTimes,
    pub counters: Counters,
    pub models: ModelCounters,
    /// Where it is shown what the store's counts come to.
    pub account: OnceLock<Arc<Account>>,
    /// False until it is started, true while it dispatches.
    pub running: watch::Sender<bool>,
    open: Mutex<OpenTasks>,
    /// A task has an entry that could rest soon.
    pub settles: Notify,
    /// Entries that are open once their commit is applied, by its number.
    staged: Mutex<HashMap<(u64, TaskId), Arc<Entry>>>,
    commits: AtomicU64,
}

impl Memory {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let ready = Arc::new(Ready::default());
        Self {
            clock,
            feed: Feed::default(),
            leavers: Arc::new(Leavers::new(ready.clone())),
            ready,
            parked: Parked::default(),
            timers: Timers::default(),
            state: StateWriter::default(),
            trees: TaskTrees::default(),
            tokens: Tokens::default(),
            blocks: Blocks::default(),
            powers: PowerChanges::default(),
            known: KnownTasks::default(),
            poll_times: PollTimes::default(),
            counters: Counters::default(),
            models: ModelCounters::default(),
            account: OnceLock::new(),
            running: watch::Sender::new(false),
            open: Mutex::default(),
            settles: Notify::new(),
            staged: Mutex::default(),
            commits: AtomicU64::new(1),
        }
    }

    pub fn is_running(&self) -> bool {
        *self.running.borrow()
    }

    pub fn open_tasks(&self) -> MutexGuard<'_, OpenTasks> {
        self.open.lock()
    }

    /// The task's entry, where it is in memory: a task that rests has none. See `Shared::entry`.
    pub fn entry(&self, id: TaskId) -> Option<Arc<Entry>> {
        self.open_tasks().get(id)
    }

    /// Where the time of a task stands that rests.
    pub fn anchor_of_resting(&self, id: TaskId) -> Option<Anchor> {
        self.open_tasks().resting(id)?.anchor
    }

    /// Whose a task is that rests.
    pub fn principal_of_resting(&self, id: TaskId) -> Option<Arc<str>> {
        Some(self.open_tasks().resting(id)?.principal.clone())
    }

    /// An open task, by one look: it may be loaded at any time.
    pub fn family(&self, id: TaskId) -> Option<Family> {
        let open = self.open_tasks();
        if let Some(entry) = open.get(id) {
            return Some(Family::Awake(entry));
        }
        let resting = open.resting(id)?;
        let children = resting.children.as_deref().cloned().unwrap_or_default();
        Some(Family::Resting { has_asked: resting.has_asked, children })
    }

    /// A start finds that an open task has this child.
    pub fn adopt(&self, parent: TaskId, child: TaskId, link: Link) {
        let rests = self.open_tasks().add_child(parent, child, link);
        // Not under the lock of all: who has that of the children may come to it.
        if let Some(entry) = self.entry(parent).filter(|_| !rests) {
            entry.children().insert(child, link);
        }
    }

    pub fn is_open(&self, id: TaskId) -> bool {
        self.open_tasks().contains(id)
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
        self.staged.lock()
    }
}
