//! What the tasks below a task ask. It is shown with the task's own questions, under the key `CHILD:KEY`, so that
//! the caller of a task is asked what its children ask. No guest's key has a colon, so that one is distinguished from the
//! other. A child that was detached asks for itself.

use crate::engine::link::Children;
use crate::engine::memory::Family;
use crate::engine::memory::entry::EntryState;
use crate::engine::shared::Shared;
use crate::task::TaskId;

impl Shared {
    /// The open tasks below that have asked something and go with this one. Within a read of the store nothing may be
    /// waited for: there what is being changed counts as one that may have asked, and its children are passed over.
    pub(in crate::engine) fn asking_below(&self, id: TaskId, patience: Patience) -> Vec<TaskId> {
        let (mut found, mut left) = (Vec::new(), vec![id]);
        while let Some(next) = left.pop() {
            let Some((has_asked, children)) = self.family(next, patience) else { continue };
            let going = children.iter().rev().filter(|(_, link)| !link.detached);
            left.extend(going.map(|(child, _)| *child));
            found.extend(has_asked.then_some(next));
        }
        // Its own are no other's.
        found.retain(|asking| *asking != id);
        found
    }

    /// Whether an open task has, or may have, asked something, and its children.
    fn family(&self, id: TaskId, patience: Patience) -> Option<(bool, Children)> {
        let entry = match self.memory.family(id)? {
            Family::Awake(entry) => entry,
            Family::Resting { has_asked, children } => return Some((has_asked, children)),
        };
        let asked = |state: &EntryState| state.status.questions.asked > 0;
        Some(match patience {
            Patience::Waits => {
                let children = entry.children().clone();
                (asked(&entry.lock()), children)
            }
            Patience::None => {
                let children = entry.try_children().map(|children| children.clone());
                let has_asked = entry.try_lock().is_none_or(|state| asked(&state));
                (has_asked, children.unwrap_or_default())
            }
        })
    }
}

/// Whether the lock of a task is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Patience {
    Waits,
    None,
}

/// `CHILD:KEY`
pub(in crate::engine) fn split(key: &str) -> Option<(TaskId, &str)> {
    let (child, own) = key.split_once(':')?;
    Some((child.parse().ok()?, own))
}
