//! What was read of tasks and has not changed since, so that a poll of it asks nothing of the store. What is kept is the
//! reader's own; here is decided how long it holds: until a commit writes anything of the task, or of what is shown of the
//! tasks below it. Who asks is judged by the reader, each time.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::limits;
use crate::task::TaskId;

/// What a reader made of the rows of a task.
pub type Known = Arc<dyn Any + Send + Sync>;

/// What memory said of the task when it was read: what was kept holds while it says the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Its instance, where it has one: the lease, and how much was handed over to be committed. Most commits of an
    /// instance say nothing of what they change.
    pub live: Option<(u64, u64)>,
    /// The tasks below that may have questions, which it shows.
    pub asking: Vec<TaskId>,
}

#[derive(Default)]
pub struct KnownTasks {
    inner: Mutex<Inner>,
    /// A read of the store sees commits whose effects are not all applied yet.
    is_behind: AtomicBool,
    /// Tasks that are kept, and reads under way: where there are none a commit has nothing to do here.
    in_use: AtomicUsize,
}

#[derive(Default)]
struct Inner {
    /// Two halves: what is not asked for while the younger one fills goes with the older one.
    young: HashMap<TaskId, Arc<Kept>>,
    old: HashMap<TaskId, Arc<Kept>>,
    young_bytes: usize,
    /// By a task that may have questions, those above it that show them.
    above: HashMap<TaskId, Vec<TaskId>>,
    readers: usize,
    /// Counts changes.
    changes: u64,
    /// The last change of each task that changed since the first of those who read now began.
    noted: HashMap<TaskId, u64>,
    /// All before this one are forgotten.
    forgotten: u64,
}

struct Kept {
    stamp: Stamp,
    bytes: usize,
    known: Known,
}

/// A read that is under way. What changes until it is over is not kept.
pub struct Reading<'a> {
    tasks: &'a KnownTasks,
    from: u64,
}

impl KnownTasks {
    /// What was read of the task, if it still holds. Never what a read of the store would not show any more.
    pub fn get(&self, id: TaskId, stamp: &Stamp) -> Option<Known> {
        // In this order: what is applied once it is not behind has been forgotten.
        if self.is_behind.load(Ordering::Acquire) {
            return None;
        }
        let (kept, dropped) = self.lock().find(id);
        drop(dropped);
        kept.filter(|kept| kept.stamp == *stamp).map(|kept| kept.known.clone())
    }

    /// Begins before anything of what is to be kept is looked at.
    pub fn begin(&self) -> Reading<'_> {
        let mut inner = self.lock();
        inner.readers += 1;
        let from = inner.changes;
        self.count(&inner);
        Reading { tasks: self, from }
    }

    /// The writer is about to show what it has committed.
    pub fn fall_behind(&self) {
        self.is_behind.store(true, Ordering::Release);
    }

    /// All that it has shown is applied.
    pub fn catch_up(&self) {
        self.is_behind.store(false, Ordering::Release);
    }

    /// Something of the task was written.
    pub fn forget(&self, id: TaskId) {
        // A read that began before the commit could be seen is counted by now.
        if self.in_use.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut inner = self.lock();
        inner.note(id);
        let own = inner.remove(id);
        let above = inner.above.remove(&id).unwrap_or_default();
        let theirs: Vec<_> = above.into_iter().map(|above| inner.remove(above)).collect();
        self.count(&inner);
        drop(inner);
        drop((own, theirs));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    fn count(&self, inner: &Inner) {
        self.in_use.store(inner.young.len() + inner.old.len() + inner.readers, Ordering::Release);
    }
}

impl Reading<'_> {
    /// Keeps what was read, unless it has changed meanwhile or is too large.
    pub fn keep(self, id: TaskId, stamp: Stamp, bytes: usize, known: Known) {
        let shown = stamp.asking.len();
        if bytes > limits::MAX_KNOWN_TASK_BYTES || shown > limits::MAX_SHOWN_QUESTIONS {
            return;
        }
        let mut inner = self.tasks.lock();
        let has_changed = |id: &TaskId| inner.has_changed(*id, self.from);
        if has_changed(&id) || stamp.asking.iter().any(has_changed) {
            return;
        }
        let dropped = inner.insert(id, Arc::new(Kept { stamp, bytes, known }));
        self.tasks.count(&inner);
        drop(inner);
        drop(dropped);
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut inner = self.tasks.lock();
        inner.readers -= 1;
        if inner.readers == 0 {
            inner.noted.clear();
        }
        self.tasks.count(&inner);
    }
}

/// What goes is dropped by the caller, once others may go on.
type Dropped = HashMap<TaskId, Arc<Kept>>;

impl Inner {
    fn find(&mut self, id: TaskId) -> (Option<Arc<Kept>>, Dropped) {
        if let Some(kept) = self.young.get(&id) {
            return (Some(kept.clone()), Dropped::new());
        }
        let Some(kept) = self.old.remove(&id) else { return (None, Dropped::new()) };
        let dropped = self.add(id, kept.clone());
        (Some(kept), dropped)
    }

    fn insert(&mut self, id: TaskId, kept: Arc<Kept>) -> Dropped {
        let before = self.remove(id);
        for asking in &kept.stamp.asking {
            self.above.entry(*asking).or_default().push(id);
        }
        let mut dropped = self.add(id, kept);
        dropped.extend(before.map(|before| (id, before)));
        dropped
    }

    /// Where the younger half is full, it is the older one from now on.
    fn add(&mut self, id: TaskId, kept: Arc<Kept>) -> Dropped {
        let mut dropped = Dropped::new();
        if self.young_bytes + kept.bytes > limits::MAX_KNOWN_BYTES / 2 {
            self.young_bytes = 0;
            dropped = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            for (id, kept) in &dropped {
                self.leave(*id, kept);
            }
        }
        self.young_bytes += kept.bytes;
        self.young.insert(id, kept);
        dropped
    }

    fn remove(&mut self, id: TaskId) -> Option<Arc<Kept>> {
        let kept = match self.young.remove(&id) {
            Some(kept) => {
                self.young_bytes -= kept.bytes;
                kept
            }
            None => self.old.remove(&id)?,
        };
        self.leave(id, &kept);
        Some(kept)
    }

    /// Those below have it above them no more.
    fn leave(&mut self, id: TaskId, kept: &Kept) {
        for asking in &kept.stamp.asking {
            if let Some(above) = self.above.get_mut(asking) {
                above.retain(|above| *above != id);
                if above.is_empty() {
                    self.above.remove(asking);
                }
            }
        }
    }

    fn note(&mut self, id: TaskId) {
        self.changes += 1;
        if self.readers == 0 {
            return;
        }
        if self.noted.len() >= limits::MAX_NOTED_CHANGES {
            self.noted.clear();
            self.forgotten = self.changes;
        }
        self.noted.insert(id, self.changes);
    }

    fn has_changed(&self, id: TaskId, since: u64) -> bool {
        since < self.forgotten || self.noted.get(&id).is_some_and(|change| *change > since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> TaskId {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        TaskId::from_bytes(bytes)
    }

    fn keep(tasks: &KnownTasks, number: u16, stamp: &Stamp, bytes: usize) {
        tasks.begin().keep(id(number), stamp.clone(), bytes, Arc::new(number));
    }

    fn get(tasks: &KnownTasks, number: u16, stamp: &Stamp) -> Option<u16> {
        let known = tasks.get(id(number), stamp)?.downcast::<u16>().expect("a number");
        Some(*known)
    }

    #[test]
    fn what_was_read_holds_until_something_of_it_is_written() {
        let (tasks, stamp) = (KnownTasks::default(), Stamp::default());
        assert_eq!(get(&tasks, 1, &stamp), None);
        keep(&tasks, 1, &stamp, 10);
        keep(&tasks, 2, &stamp, 10);
        assert_eq!((get(&tasks, 1, &stamp), get(&tasks, 2, &stamp)), (Some(1), Some(2)));
        let lives = Stamp { live: Some((7, 1)), ..stamp.clone() };
        assert_eq!(get(&tasks, 1, &lives), None, "it has an instance by now");
        tasks.forget(id(1));
        assert_eq!((get(&tasks, 1, &stamp), get(&tasks, 2, &stamp)), (None, Some(2)));
        tasks.forget(id(2));
        assert_eq!(tasks.in_use.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_changes_while_it_is_read_is_not_kept() {
        let (tasks, stamp) = (KnownTasks::default(), Stamp::default());
        let (of_one, of_two) = (tasks.begin(), tasks.begin());
        tasks.forget(id(1));
        of_one.keep(id(1), stamp.clone(), 10, Arc::new(1u16));
        of_two.keep(id(2), stamp.clone(), 10, Arc::new(2u16));
        assert_eq!((get(&tasks, 1, &stamp), get(&tasks, 2, &stamp)), (None, Some(2)));
        keep(&tasks, 1, &stamp, 10);
        assert_eq!(get(&tasks, 1, &stamp), Some(1), "a later read is");
        let late = tasks.begin();
        for number in 0..u16::try_from(limits::MAX_NOTED_CHANGES).expect("few") + 1 {
            tasks.forget(id(100 + number));
        }
        late.keep(id(3), stamp.clone(), 10, Arc::new(3u16));
        assert_eq!(get(&tasks, 3, &stamp), None, "it is not known any more whether it has changed");
    }

    #[test]
    fn nothing_is_said_while_the_store_shows_more() {
        let (tasks, stamp) = (KnownTasks::default(), Stamp::default());
        keep(&tasks, 1, &stamp, 10);
        tasks.fall_behind();
        assert_eq!(get(&tasks, 1, &stamp), None);
        tasks.catch_up();
        assert_eq!(get(&tasks, 1, &stamp), Some(1));
    }

    #[test]
    fn a_task_goes_with_what_it_shows_of_those_below() {
        let (tasks, stamp) = (KnownTasks::default(), Stamp::default());
        let above = Stamp { asking: vec![id(5), id(6)], ..stamp.clone() };
        keep(&tasks, 1, &above, 10);
        keep(&tasks, 2, &above, 10);
        assert_eq!(get(&tasks, 1, &stamp), None, "more of them have asked by now");
        let reading = tasks.begin();
        tasks.forget(id(6));
        assert_eq!((get(&tasks, 1, &above), get(&tasks, 2, &above)), (None, None));
        reading.keep(id(1), above.clone(), 10, Arc::new(1u16));
        assert_eq!(get(&tasks, 1, &above), None);
        assert!(tasks.lock().above.is_empty());
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes_where_there_is_no_room() {
        let (tasks, stamp) = (KnownTasks::default(), Stamp::default());
        let (large, below) = (limits::MAX_KNOWN_TASK_BYTES, Stamp { asking: vec![id(9)], live: None });
        keep(&tasks, 0, &stamp, large + 1);
        assert_eq!(get(&tasks, 0, &stamp), None, "too large");
        keep(&tasks, 1, &below, large);
        let all = u16::try_from(limits::MAX_KNOWN_BYTES / large).expect("few");
        for number in 2..2 * all {
            keep(&tasks, number, &stamp, large);
            assert_eq!(get(&tasks, 2, &stamp), Some(2), "it is asked for");
            let inner = tasks.lock();
            let bytes =
                [&inner.young, &inner.old].into_iter().flat_map(HashMap::values).map(|kept| kept.bytes);
            assert!(bytes.sum::<usize>() <= limits::MAX_KNOWN_BYTES);
        }
        assert_eq!(get(&tasks, 1, &below), None);
        assert!(tasks.lock().above.is_empty());
        assert_eq!(get(&tasks, 2 * all - 1, &stamp), Some(2 * all - 1));
    }
}
