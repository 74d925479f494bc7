//! What the tasks below a task ask. It is shown with the task's own questions, under the key `CHILD:KEY`, so that
//! whoever called a task is asked what its children ask. No guest's key has a colon, so that one is told from the
//! other. A child that was detached asks for itself.

use std::sync::Arc;

use super::view::InputRequest;
use crate::authority::Principal;
use crate::engine::dispatch::entry::Entry;
use crate::engine::family::children::Link;
use crate::engine::feed::{ResourceKey, TaskChange};
use crate::engine::memory::Memory;
use crate::engine::query::view::TaskDocument;
use crate::engine::{EngineError, Shared, TaskEngine, rows};
use crate::limits;
use crate::store::{Snapshot, StoreError};
use crate::task::TaskId;

impl Memory {
    /// The open tasks above, nearest first, up to one that was detached.
    pub(super) fn above(&self, link: Option<Link>) -> Vec<Arc<Entry>> {
        self.upwards(self.parent(link)).collect()
    }

    /// What is asked below `parent` has changed: its followers are notified, and those of the tasks above it.
    pub(in crate::engine) fn notify_ancestors(&self, parent: TaskId) {
        for entry in self.upwards(self.entry(parent)) {
            self.feed.changed(&[ResourceKey::Task(entry.id)]);
            self.feed.happened(entry.id, &[TaskChange::Questions]);
        }
    }

    fn upwards(&self, first: Option<Arc<Entry>>) -> impl Iterator<Item = Arc<Entry>> {
        std::iter::successors(first, |entry| self.parent(entry.link))
    }

    fn parent(&self, link: Option<Link>) -> Option<Arc<Entry>> {
        link.filter(|link| !link.detached).and_then(|link| self.entry(link.parent))
    }
}

impl Shared {
    /// The open tasks below that go with this one.
    fn below(&self, id: TaskId, patience: Patience) -> Vec<Arc<Entry>> {
        let (mut found, mut left) = (Vec::new(), vec![id]);
        while let Some(id) = left.pop() {
            let Some(entry) = self.entry(id) else { continue };
            let children = match patience {
                Patience::Waits => Some(entry.children()),
                Patience::None => entry.try_children(),
            };
            let going = children.iter().flat_map(|children| children.iter().rev());
            left.extend(going.filter(|(_, link)| !link.detached).map(|(child, _)| *child));
            drop(children);
            found.push(entry);
        }
        // The first is the task itself.
        found.split_off(1.min(found.len()))
    }

    /// Those below that have asked something. Within a read of the store nothing may be waited for: there what is being
    /// changed counts as one that may have asked, and its children are passed over.
    pub(in crate::engine) fn asking_below(&self, id: TaskId, patience: Patience) -> Vec<TaskId> {
        let has_asked = |entry: &Arc<Entry>| match patience {
            Patience::Waits => entry.lock().status.questions.asked > 0,
            Patience::None => entry.try_lock().is_none_or(|state| state.status.questions.asked > 0),
        };
        self.below(id, patience).iter().filter(|entry| has_asked(entry)).map(|entry| entry.id).collect()
    }
}

/// Whether the lock of a task is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Patience {
    Waits,
    None,
}

impl TaskDocument {
    /// Adds what the tasks below ask, as far as there is room.
    pub(in crate::engine) fn with_questions_below(
        mut self,
        snapshot: &Snapshot<'_>,
        asking: &[TaskId],
    ) -> Result<Self, StoreError> {
        for id in asking {
            let open = rows::read_status(snapshot, *id)?.map(|status| status.questions.open);
            let Some(open) = open.filter(|open| !open.is_empty()) else { continue };
            let Some(task) = rows::read_task(snapshot, *id)? else { continue };
            for question in open {
                if self.input_requests.len() >= limits::MAX_SHOWN_QUESTIONS {
                    return Ok(self);
                }
                let Some(mut request) = InputRequest::read(snapshot, &task, question.number)? else {
                    continue;
                };
                request.task = Some(task.id.to_string());
                self.input_requests.insert(format!("{}:{}", task.id, question.key), request);
            }
        }
        Ok(self)
    }
}

impl TaskEngine {
    /// Whose question is meant, and its own key: that of the task itself, or of one below it.
    pub(super) fn asker(
        &self,
        principal: &Principal,
        id: TaskId,
        key: Option<&str>,
    ) -> Result<(TaskId, Option<String>), EngineError> {
        let key = match key {
            Some(key) => key.to_owned(),
            None => {
                let open = self.task(principal, id)?.input_requests;
                match open.len() {
                    1 => open.into_keys().next().unwrap_or_default(),
                    _ => return Ok((id, None)),
                }
            }
        };
        let Some((child, own)) = split(&key) else { return Ok((id, Some(key))) };
        // Another's task looks like none, also where it has such a child.
        self.task(principal, id)?;
        Ok(if self.is_below(child, id)? { (child, Some(own.to_owned())) } else { (id, Some(key)) })
    }

    fn is_below(&self, child: TaskId, id: TaskId) -> Result<bool, EngineError> {
        Ok(self.shared.store.read(|snapshot| {
            let mut at = child;
            while let Some(link) = rows::read_task(snapshot, at)?.as_ref().and_then(Link::of) {
                if link.detached {
                    return Ok(false);
                }
                if link.parent == id {
                    return Ok(true);
                }
                at = link.parent;
            }
            Ok(false)
        })?)
    }
}

/// `CHILD:KEY`
pub(super) fn split(key: &str) -> Option<(TaskId, &str)> {
    let (child, own) = key.split_once(':')?;
    Some((child.parse().ok()?, own))
}
