//! Which task waits for which entry: an index in memory, so that a commit knows whom to nudge. A task that looks at an
//! entry in order to wait for it says so here first; a nudge too many costs a look, one too few would cost a task.

use std::collections::{HashMap, HashSet};

use parking_lot::{Mutex, MutexGuard};

use crate::task::{TaskId, WakeOn};

type Name = (String, String);

#[derive(Default)]
pub struct Watchers(Mutex<Index>);

#[derive(Default)]
struct Index {
    by_entry: HashMap<Name, HashSet<TaskId>>,
    by_task: HashMap<TaskId, Vec<Name>>,
}

impl Watchers {
    /// From now on the task waits for these entries, and for no others.
    pub fn set(&self, task: TaskId, on: &[WakeOn]) {
        let names: Vec<Name> = on
            .iter()
            .filter_map(|on| match on {
                WakeOn::State { namespace, key, .. } => Some((namespace.clone(), key.clone())),
                _ => None,
            })
            .collect();
        let mut index = self.lock();
        index.forget(task);
        if names.is_empty() {
            return;
        }
        for name in &names {
            index.by_entry.entry(name.clone()).or_default().insert(task);
        }
        index.by_task.insert(task, names);
    }

    pub fn forget(&self, task: TaskId) {
        self.lock().forget(task);
    }

    /// Who waits for this entry.
    pub fn of(&self, namespace: &str, key: &str) -> Vec<TaskId> {
        let index = self.lock();
        if index.by_entry.is_empty() {
            return Vec::new();
        }
        let tasks = index.by_entry.get(&(namespace.to_owned(), key.to_owned()));
        tasks.into_iter().flatten().copied().collect()
    }

    #[cfg(test)]
    pub fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.lock().by_task.keys().copied().collect::<Vec<_>>().into_iter()
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock()
    }
}

impl Index {
    fn forget(&mut self, task: TaskId) {
        for name in self.by_task.remove(&task).unwrap_or_default() {
            if let Some(tasks) = self.by_entry.get_mut(&name) {
                tasks.remove(&task);
                if tasks.is_empty() {
                    self.by_entry.remove(&name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_waits_for_what_it_said_last_and_leaves_nothing_behind() {
        let watchers = Watchers::default();
        let (one, two) = (TaskId::from_bytes([1; 16]), TaskId::from_bytes([2; 16]));
        let on = |key: &str| WakeOn::State { namespace: "n".to_owned(), key: key.to_owned(), version: 0 };
        watchers.set(one, &[on("a"), on("b"), on("a"), WakeOn::Cancellation]);
        watchers.set(two, &[on("a")]);
        assert_eq!(watchers.of("n", "a").len(), 2);
        watchers.set(one, &[on("c")]);
        assert_eq!(watchers.of("n", "a"), [two]);
        assert_eq!(watchers.of("n", "c"), [one]);
        watchers.set(one, &[]);
        watchers.forget(two);
        let index = watchers.lock();
        assert!(index.by_entry.is_empty() && index.by_task.is_empty());
    }
}
