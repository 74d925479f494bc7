//! The open tasks in memory. One that waits and that nothing has to do with rests: its entry goes, since all of it is on
//! disk, and a few words stay, which find it again. Who wants its entry loads it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::entry::{Anchor, Entry};
use super::open_task::{OpenTask, RestingTasks};
use crate::engine::link::{Children, Link};
use crate::engine::rows::open::{asks, waits};
use crate::limits;
use crate::shares::{Account, Held};
use crate::task::{State, TaskId};

/// What is in memory of a task that rests.
pub struct Resting {
    /// Tells one rest of a task from the next.
    pub number: u64,
    pub principal: Arc<str>,
    pub anchor: Option<Anchor>,
    /// The call that it came from.
    pub link: Option<Box<Link>>,
    /// Its open children that are wanted.
    pub children: Option<Box<Children>>,
    pub past_bytes: u64,
    /// Open ones to people.
    pub questions: u32,
    pub has_asked: bool,
    pub is_queued: bool,
    /// See [`Entry::joined`].
    pub is_joined: bool,
}

impl Resting {
    /// What is to stay in memory of a task while it waits; `None` where it does not, or something that is in memory alone
    /// belongs to it. What it has handed over counts as if it were on disk. Waits for no lock.
    fn of(entry: &Entry) -> Option<Self> {
        let state = entry.try_lock()?;
        let has_instance = state.live.is_some() || state.is_driven || state.is_leaving;
        let [questions, samples] = asks(&state.status);
        let is_on_disk = !has_instance && !state.status_dirty && waits(&state.status) && samples == 0;
        let is_alone = !entry.has_listeners() && !entry.is_queued.load(Ordering::Acquire);
        if !is_on_disk || !is_alone {
            return None;
        }
        Some(Self {
            number: 0,
            principal: entry.open.try_lock()?.as_ref()?.principal(),
            anchor: state.anchor,
            link: entry.link.map(Box::new),
            children: None,
            past_bytes: entry.past_bytes.load(Ordering::Relaxed),
            questions: u32::try_from(questions).ok()?,
            has_asked: state.status.questions.asked > 0,
            is_queued: matches!(state.status.shown(), State::Queued(_)),
            is_joined: entry.joined.load(Ordering::Relaxed),
        })
    }

    /// Its entry, which was made of its rows, is as it was before it rested.
    pub fn take_up(self, entry: &Entry) {
        entry.past_bytes.store(self.past_bytes, Ordering::Relaxed);
        entry.joined.store(self.is_joined, Ordering::Relaxed);
        entry.lock().anchor = self.anchor;
        if let Some(children) = self.children {
            *entry.children() = *children;
        }
    }
}

/// Tasks that are open: those with an entry, and those that rest.
#[derive(Default)]
pub struct OpenTasks {
    entries: HashMap<TaskId, Arc<Entry>>,
    resting: HashMap<TaskId, Resting>,
    /// What those that rest hold on their principals' accounts.
    held: HashMap<Arc<str>, RestingTasks>,
    /// Those that rest and wait for a retry.
    queued: u64,
    last: u64,
}

/// Tasks that could rest.
#[derive(Default)]
pub struct Idle {
    /// With how often each was found.
    pub tasks: Vec<(TaskId, u64)>,
    /// Others have to do with them yet.
    pub held: usize,
}

impl OpenTasks {
    pub fn get(&self, id: TaskId) -> Option<Arc<Entry>> {
        let entry = self.entries.get(&id)?;
        entry.note_found();
        Some(entry.clone())
    }

    pub fn resting(&self, id: TaskId) -> Option<&Resting> {
        self.resting.get(&id)
    }

    /// The call that an open task came from.
    pub fn link(&self, id: TaskId) -> Option<Link> {
        match self.entries.get(&id) {
            Some(entry) => entry.link,
            None => self.resting.get(&id)?.link.as_deref().copied(),
        }
    }

    /// A task that rests has this child too; false where it does not rest.
    pub fn add_child(&mut self, parent: TaskId, child: TaskId, link: Link) -> bool {
        let resting = self.resting.get_mut(&parent);
        resting.map(|resting| resting.children.get_or_insert_default().insert(child, link)).is_some()
    }

    pub fn contains(&self, id: TaskId) -> bool {
        self.entries.contains_key(&id) || self.resting.contains_key(&id)
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.resting.is_empty()
    }

    /// All entries.
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.keys().filter_map(|id| self.get(*id)).collect()
    }

    /// All tasks, those that rest among them.
    pub fn ids(&self) -> Vec<TaskId> {
        self.entries.keys().chain(self.resting.keys()).copied().collect()
    }

    /// How many rest, and how many of those wait for a retry.
    pub fn resting_counts(&self) -> (u64, u64) {
        (self.resting.len() as u64, self.queued)
    }

    /// Those that rest and came from a call.
    pub fn resting_children(&self) -> Vec<(TaskId, Link)> {
        let link = |(id, resting): (&TaskId, &Resting)| resting.link.as_deref().map(|link| (*id, *link));
        self.resting.iter().filter_map(link).collect()
    }

    pub fn insert(&mut self, entry: Arc<Entry>) {
        self.entries.insert(entry.id, entry);
    }

    /// The task is open no more. What its entry holds, where it has one, is its own to give back.
    pub fn remove(&mut self, id: TaskId) -> Option<Arc<Entry>> {
        drop(self.take_resting(id, None));
        self.entries.remove(&id)
    }

    /// The tasks that could rest now. A lock of theirs is not waited for.
    pub fn idle(&self) -> Idle {
        let mut idle = Idle::default();
        for (id, entry) in &self.entries {
            // Of the many that wait for an instance nothing else is looked at.
            if entry.is_queued.load(Ordering::Acquire) || Resting::of(entry).is_none() {
                continue;
            }
            match Arc::strong_count(entry) {
                1 => idle.tasks.push((*id, entry.found())),
                _ => idle.held += 1,
            }
        }
        idle
    }

    /// The task rests from here on, if it was not found since it was idle; its entry, to be dropped without this lock.
    pub fn rest(&mut self, id: TaskId, found: u64) -> Option<Arc<Entry>> {
        let entry = self.entries.get(&id)?;
        if Arc::strong_count(entry) > 1 || entry.found() != found {
            return None;
        }
        let mut resting = Resting::of(entry)?;
        let children = std::mem::take(&mut *entry.try_children()?);
        resting.children = (!children.is_empty()).then(|| Box::new(children));
        let (open, questions) = entry.take_held()?;
        match self.held.get_mut(&resting.principal) {
            Some(held) => held.add(RestingTasks::of(open, questions)),
            None => drop(self.held.insert(resting.principal.clone(), RestingTasks::of(open, questions))),
        }
        self.lay_down(id, resting);
        self.entries.remove(&id)
    }

    /// A start found that the task rests; what it holds is held already.
    pub fn lay_down(&mut self, id: TaskId, mut resting: Resting) {
        self.last += 1;
        resting.number = self.last;
        self.queued += u64::from(resting.is_queued);
        self.resting.insert(id, resting);
    }

    /// What more tasks of a principal hold that a start is to lay down; the name that they share.
    pub fn hold(&mut self, shares: &Arc<Account>, who: &str, tasks: u64, questions: u64) -> Arc<str> {
        let more = RestingTasks::hold(shares, who, tasks, questions);
        let name = more.principal();
        match self.held.get_mut(&name) {
            Some(held) => held.add(more),
            None => drop(self.held.insert(name.clone(), more)),
        }
        name
    }

    /// The task rests no more; `None` where it does not, or, by `number`, rests again.
    pub fn take_resting(
        &mut self,
        id: TaskId,
        number: Option<u64>,
    ) -> Option<(Resting, OpenTask, Option<Held>)> {
        let there = self.resting.get(&id)?.number;
        if number.is_some_and(|number| number != there) {
            return None;
        }
        let resting = self.resting.remove(&id)?;
        self.queued -= u64::from(resting.is_queued);
        let held = self.held.get_mut(&resting.principal)?;
        let (open, questions) = held.remove(resting.questions.into());
        if held.is_empty() {
            self.held.remove(&resting.principal);
        }
        // The many that have woken leave no memory behind.
        if self.resting.capacity() > limits::REST_SLICE_TASKS.max(8 * self.resting.len()) {
            self.resting.shrink_to(2 * self.resting.len());
        }
        Some((resting, open, questions))
    }
}
