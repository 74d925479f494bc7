//! What the tasks below a task ask. It is shown with the task's own questions, under the key `CHILD:KEY`, so that
//! the caller of a task is asked what its children ask. No guest's key has a colon, so that one is distinguished from the
//! other. A child that was detached asks for itself.

use crate::engine::shared::Shared;
use crate::task::TaskId;

impl Shared {
    /// The open tasks below that have asked something and go with this one. Within a read of the store nothing may be
    /// waited for: there what is being changed counts as one that may have asked, and its children are passed over.
    pub(in crate::engine) fn asking_below(&self, id: TaskId, patience: Patience) -> Vec<TaskId> {
        let (mut found, mut left) = (Vec::new(), vec![id]);
        while let Some(next) = left.pop() {
            let Some(entry) = self.memory.entry(next) else {
                // One that rests has no open children.
                found.extend(self.memory.has_resting_asked(next).then_some(next));
                continue;
            };
            let children = match patience {
                Patience::Waits => Some(entry.children()),
                Patience::None => entry.try_children(),
            };
            let going = children.iter().flat_map(|children| children.iter().rev());
            left.extend(going.filter(|(_, link)| !link.detached).map(|(child, _)| *child));
            drop(children);
            let has_asked = match patience {
                Patience::Waits => entry.lock().status.questions.asked > 0,
                Patience::None => entry.try_lock().is_none_or(|state| state.status.questions.asked > 0),
            };
            found.extend(has_asked.then_some(next));
        }
        // Its own are no other's.
        found.retain(|asking| *asking != id);
        found
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
