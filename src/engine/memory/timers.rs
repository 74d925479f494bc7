//! When sleeping tasks are due. In memory: after a restart it is filled again from the tasks' rows.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::task::TaskId;

#[derive(Default)]
pub struct Timers {
    due: Mutex<Due>,
    pub wake: Notify,
}

#[derive(Default)]
struct Due {
    in_order: BTreeSet<(Duration, TaskId)>,
    of_task: HashMap<TaskId, Duration>,
}

impl Timers {
    /// One timer a task: a new one takes the place of the old. `at` is a moment of the clock's `elapsed`.
    pub fn set(&self, task: TaskId, at: Duration) {
        let mut due = self.lock();
        if let Some(old) = due.of_task.insert(task, at) {
            due.in_order.remove(&(old, task));
        }
        due.in_order.insert((at, task));
        let is_first = due.in_order.first() == Some(&(at, task));
        drop(due);
        if is_first {
            self.wake.notify_one();
        }
    }

    pub fn clear(&self, task: TaskId) {
        let mut due = self.lock();
        if let Some(old) = due.of_task.remove(&task) {
            due.in_order.remove(&(old, task));
        }
    }

    pub fn len(&self) -> usize {
        self.lock().in_order.len()
    }

    #[cfg(test)]
    pub fn has(&self, task: TaskId) -> bool {
        self.lock().of_task.contains_key(&task)
    }

    pub fn first(&self) -> Option<Duration> {
        self.lock().in_order.first().map(|(at, _)| *at)
    }

    pub fn take_due(&self, now: Duration) -> Option<TaskId> {
        let mut due = self.lock();
        let (at, task) = *due.in_order.first()?;
        if at > now {
            return None;
        }
        due.in_order.remove(&(at, task));
        due.of_task.remove(&task);
        Some(task)
    }

    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_has_one_timer_and_fires_in_order() {
        let timers = Timers::default();
        let task = |number| TaskId::from_bytes([number; 16]);
        let second = Duration::from_secs;
        timers.set(task(1), second(10));
        timers.set(task(2), second(5));
        timers.set(task(1), second(1));
        timers.set(task(3), second(2));
        timers.clear(task(3));
        assert_eq!(timers.first(), Some(second(1)));
        assert_eq!(timers.take_due(Duration::ZERO), None);
        assert_eq!(timers.take_due(second(7)), Some(task(1)));
        assert_eq!(timers.take_due(second(7)), Some(task(2)));
        assert_eq!(timers.take_due(second(70)), None);
        assert_eq!(timers.len(), 0);
    }
}
