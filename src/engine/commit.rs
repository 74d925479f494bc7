//! The one way from the engine to the disk. What is written together is a [`Commit`]: rows, what must hold for them,
//! and what follows from them, as data. Nothing else calls the store's `enqueue`.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};

use super::Shared;
use super::effect::{Effect, Effects};
use super::feed::{ResourceKey, TaskChange};
use crate::engine::dispatch::entry::Entry;
use crate::engine::family::children::Link;
use crate::store::{Ack, Batch, Guard, Space, StoreError};
use crate::task::TaskId;

/// What is written together: all of it or nothing, in the order of the calls.
#[derive(Default)]
#[must_use = "nothing is written before it is handed to `Shared::commit`"]
pub struct Commit {
    batch: Batch,
    effects: Vec<Effect>,
    /// Entries that are open once it is applied.
    opened: Vec<Arc<Entry>>,
}

impl Commit {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put(mut self, space: Space, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.batch.add_put(space, key, value);
        self
    }

    pub fn delete(mut self, space: Space, key: impl AsRef<[u8]>) -> Self {
        self.batch.add_delete(space, key);
        self
    }

    pub fn guard(mut self, guard: Guard) -> Self {
        self.batch.add_guard(guard);
        self
    }

    /// See [`Batch::lease`].
    pub fn lease(mut self, task: TaskId, token: u64) -> Self {
        self.batch = self.batch.lease(*task.as_bytes(), token);
        self
    }

    pub fn end_lease(mut self, task: TaskId) -> Self {
        self.batch = self.batch.end_lease(*task.as_bytes());
        self
    }

    /// Only while `token` is the task's lease.
    pub fn under_lease(task: TaskId, token: u64) -> Self {
        Self::new().guard(Guard::Lease { task: *task.as_bytes(), token })
    }

    pub fn add_effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub fn changed(&mut self, key: ResourceKey) {
        self.add_effect(Effect::Changed(key));
    }

    pub fn happened(&mut self, task: TaskId, change: TaskChange) {
        self.add_effect(Effect::Happened(task, vec![change]));
    }

    /// The task with this link asks something else than before.
    pub fn asked_below(&mut self, link: Option<Link>) {
        self.effects.extend(Effect::asked_below(link));
    }

    /// The entry that [`Effect::Opened`] opens: it lives in memory alone.
    pub fn stage(&mut self, entry: Arc<Entry>) {
        self.opened.push(entry);
    }

    /// Both as one: this one's rows and effects, then the other's.
    pub fn and(mut self, other: Self) -> Self {
        self.batch = self.batch.and(other.batch);
        self.effects.extend(other.effects);
        self.opened.extend(other.opened);
        self
    }
}

/// Its rows: what adds nothing else takes a batch.
impl Deref for Commit {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.batch
    }
}

impl DerefMut for Commit {
    fn deref_mut(&mut self) -> &mut Batch {
        &mut self.batch
    }
}

impl Shared {
    /// Hands a commit over. The order of calls is the order of commits. An error means that nothing was queued and
    /// that nothing follows.
    pub fn commit(&self, commit: Commit) -> Result<Ack, StoreError> {
        let _others = self.sweeping.read().unwrap_or_else(PoisonError::into_inner);
        self.hand_over(commit)
    }

    /// Hands over what `decide` says once all that is on its way has arrived, and lets nothing through meanwhile. For
    /// threads that may block.
    pub fn commit_alone<T>(
        &self,
        decide: impl FnOnce() -> Result<(Commit, T), StoreError>,
    ) -> Result<(Ack, T), StoreError> {
        let _alone = self.sweeping.write().unwrap_or_else(PoisonError::into_inner);
        self.store.commit_blocking(Batch::new())?;
        let (commit, decided) = decide()?;
        Ok((self.hand_over(commit)?, decided))
    }

    fn hand_over(&self, commit: Commit) -> Result<Ack, StoreError> {
        let Commit { mut batch, effects, opened } = commit;
        // Most commits of a guest have none.
        if !effects.is_empty() {
            let staged = self.memory.stage(opened);
            batch = batch.effects(Box::new(Effects::new(staged, effects)));
        }
        self.store.enqueue(batch)
    }
}
