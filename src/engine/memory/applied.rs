//! What commits change in memory: once they are applied, or known not to be. These two functions are called while
//! others wait for the store, one of them by threads that hold a task's lock: they take no task's own lock, and ask
//! nothing of the store.

use smallvec::SmallVec;

use super::Memory;
use crate::engine::charge::pool_of;
use crate::engine::effect::{Effect, Effects};
use crate::engine::feed::ResourceKey;
use crate::store::{Count, Effects as Opaque, Sink, StoreError};

impl Sink for Memory {
    fn applied(&self, effects: Opaque) {
        if let Some(effects) = ours(effects) {
            self.applied(effects);
        }
    }

    fn showing(&self) {
        self.known.fall_behind();
    }

    fn shown(&self) {
        self.known.catch_up();
    }

    fn counted(&self, count: &Count, sum: u64) {
        if let (Count::Named { kind, name }, Some(account)) = (count, self.account.get())
            && let Some(pool) = pool_of(*kind)
        {
            account.set(pool, name, sum);
        }
    }

    fn withdrawn(&self, effects: Opaque, why: &StoreError) {
        if let Some(effects) = ours(effects) {
            self.withdrawn(&effects, why);
        }
    }
}

/// Only `commit.rs` hands anything to the store.
fn ours(effects: Opaque) -> Option<Effects> {
    let ours = effects.downcast::<Effects>();
    debug_assert!(ours.is_ok(), "effects that are not the engine's");
    ours.ok().map(|effects| *effects)
}

impl Memory {
    /// The commit is on disk.
    fn applied(&self, effects: Effects) {
        let staged = effects.staged;
        let mut changed: SmallVec<[ResourceKey; 4]> = SmallVec::new();
        for effect in effects.list {
            match effect {
                Effect::Changed(key) => {
                    if let ResourceKey::Task(task) = key {
                        self.known.forget(task);
                    }
                    changed.push(key);
                }
                Effect::Rewritten(task) => self.known.forget(task),
                Effect::Happened(task, changes) => self.feed.happened(task, &changes),
                Effect::Counted(counter) => self.counters.count(counter),
                Effect::Opened { task, after } => {
                    if let Some(entry) = self.unstage(staged, task) {
                        self.open_tasks().insert(entry.clone());
                        self.start_after(entry, after);
                    }
                }
                Effect::Ended(task) => {
                    let ended = self.open_tasks().remove(task);
                    // An attempt may hold the entry for a while.
                    drop(ended.and_then(|entry| entry.open.lock().take()));
                    self.timers.clear(task);
                    self.state.watchers.forget(task);
                }
                Effect::Wake(task) => self.nudge(task),
                Effect::CancelRequested(task) => {
                    if let Some(entry) = self.entry(task) {
                        entry.cancel.send_replace(true);
                    }
                    self.nudge(task);
                }
                Effect::Orphaned(children) => self.trees.disown(children),
                Effect::RootEnded(root) => self.trees.forget(root),
                Effect::AskedBelow { parent } => self.notify_ancestors(parent),
                Effect::StateWritten { number, changed: entries, expires } => {
                    self.state.settle(number);
                    self.wake_watchers(&entries);
                    changed.extend(entries.into_iter().map(|(name, key)| ResourceKey::State(name, key)));
                    if expires {
                        self.state.expiry.notify_one();
                    }
                }
                Effect::TokenAdded { name, row } => {
                    self.tokens.insert(name, row);
                    self.powers.note();
                }
                Effect::ComponentBlocked { name, row } => self.blocks.insert(name, row),
                Effect::ComponentUnblocked(name) => self.blocks.remove(&name),
                Effect::ModelPaid { model, spend } => self.models.count_spent(&model, spend),
                Effect::TokenRevoked(hash) => {
                    self.tokens.remove(&hash);
                    self.powers.note();
                }
            }
        }
        // Together, and when all else of the commit can be seen.
        self.feed.changed(&changed);
    }

    /// The commit is not on disk, or the store has failed.
    fn withdrawn(&self, effects: &Effects, why: &StoreError) {
        tracing::debug!(%why, "a commit is withdrawn");
        for effect in &effects.list {
            match effect {
                Effect::Opened { task, .. } => drop(self.unstage(effects.staged, *task)),
                Effect::StateWritten { number, .. } => self.state.settle(*number),
                // Nothing was done for these before the commit.
                Effect::Changed(_)
                | Effect::Rewritten(_)
                | Effect::Happened(..)
                | Effect::Counted(_)
                | Effect::Ended(_)
                | Effect::Wake(_)
                | Effect::CancelRequested(_)
                | Effect::Orphaned(_)
                | Effect::RootEnded(_)
                | Effect::AskedBelow { .. }
                | Effect::TokenAdded { .. }
                | Effect::TokenRevoked(_)
                | Effect::ComponentBlocked { .. }
                | Effect::ComponentUnblocked(_)
                | Effect::ModelPaid { .. } => {}
            }
        }
    }

    /// Wakes the tasks that wait for these entries.
    fn wake_watchers(&self, entries: &[(String, String)]) {
        for (namespace, key) in entries {
            for task in self.state.watchers.of(namespace, key) {
                self.nudge(task);
            }
        }
    }
}
