//! The one way from the engine to the disk. What is written together is a [`Commit`]: rows, what must hold for them,
//! and what follows from them, as data. Nothing else calls the store's `enqueue`.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::engine::effect::Effect;
use crate::engine::feed::ResourceKey;
use crate::engine::link::Link;
use crate::engine::memory::entry::Entry;
use crate::store::{Batch, Guard, Need, Space};
use crate::task::TaskId;

/// What is written together: all of it or nothing, in the order of the calls.
#[derive(Default)]
#[must_use = "nothing is written before it is handed to `Shared::commit`"]
pub struct Commit {
    pub(in crate::engine) batch: Batch,
    pub(in crate::engine) effects: Vec<Effect>,
    /// Entries that are open once it is applied.
    pub(in crate::engine) opened: Vec<Arc<Entry>>,
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

    /// It may have at least what this need allows of a disk that is nearly full.
    pub fn with_need(mut self, need: Need) -> Self {
        self.batch.add_need(need);
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

    /// The task with this link asks something else than before.
    pub fn notify_ancestors(&mut self, link: Option<Link>) {
        self.effects.extend(Effect::notify_ancestors(link));
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
