//! The change feed: who wants to know what, notified after the commit. A publisher never waits: a watcher
//! holds the set of resources that changed (each at most once), a follower a bounded queue of one task.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::limits;
use crate::task::{LogLevel, Progress, State, TaskId, WaitingReason};

/// One readable thing that can change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ResourceKey {
    Task(TaskId),
    Result(TaskId),
    Output(TaskId, Arc<str>),
    Log(TaskId),
    /// The list of a principal's tasks.
    Tasks(String),
    /// The list of tools.
    Tools,
    /// An entry of shared state: its namespace and key.
    State(String, String),
}

/// What happened to one task, in the order of the commits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TaskChange {
    State(State),
    /// One report of the guest; `number` counts them from 1 over the task's life.
    Progress {
        number: u64,
        progress: Option<Progress>,
        message: Option<String>,
    },
    /// A line of its log that the guest meant to be read; numbered with the reports.
    Line {
        number: u64,
        level: LogLevel,
        text: String,
    },
    Output {
        name: Arc<str>,
    },
    Log,
    /// Other questions are open than before.
    Questions,
    /// So many older changes were dropped because the follower was slow: read the task.
    Lagged(usize),
}

#[derive(Clone, Default)]
pub struct Feed {
    inner: Arc<FeedInner>,
}

#[derive(Default)]
struct FeedInner {
    routes: Mutex<Routes>,
    next: AtomicUsize,
}

#[derive(Default)]
struct Routes {
    watchers: HashMap<ResourceKey, Vec<Arc<WatcherInner>>>,
    followers: HashMap<TaskId, Vec<Arc<FollowerInner>>>,
    count: usize,
}

impl Feed {
    /// `None` when there are too many subscribers.
    pub fn watch(&self) -> Option<Watcher> {
        self.admit()?;
        let inner =
            Arc::new(WatcherInner { number: self.number(), dirty: Mutex::default(), wake: Notify::new() });
        Some(Watcher { feed: self.clone(), inner, keys: BTreeSet::new() })
    }

    /// `None` when there are too many subscribers.
    pub fn follow(&self, task: TaskId) -> Option<Follower> {
        self.follow_some(task, |_| true)
    }

    /// For a call that waits for its task: reports, questions and the end. Most commits of a guest are none of these,
    /// and each would wake the call in vain.
    pub fn follow_call(&self, task: TaskId) -> Option<Follower> {
        self.follow_some(task, |change| match change {
            TaskChange::State(state) => {
                state.is_terminal() || matches!(state, State::Waiting(WaitingReason::Input))
            }
            TaskChange::Output { .. } | TaskChange::Log => false,
            _ => true,
        })
    }

    fn follow_some(&self, task: TaskId, wants: fn(&TaskChange) -> bool) -> Option<Follower> {
        self.admit()?;
        let (number, queue, wake) = (self.number(), Mutex::default(), Notify::new());
        let inner = Arc::new(FollowerInner { number, wants, queue, wake });
        self.routes().followers.entry(task).or_default().push(inner.clone());
        Some(Follower { feed: self.clone(), task, inner })
    }

    /// Tells watchers that resources changed. Called after the commit.
    pub fn changed(&self, keys: &[ResourceKey]) {
        // Most commits of a guest change nothing that is readable: those need not wait for the lock.
        if keys.is_empty() {
            return;
        }
        let routes = self.routes();
        for key in keys {
            for watcher in routes.watchers.get(key).into_iter().flatten() {
                watcher.dirty.lock().insert(key.clone());
                watcher.wake.notify_one();
            }
        }
    }

    /// Tells followers of a task what happened. Called after the commit, in its order.
    pub fn happened(&self, task: TaskId, changes: &[TaskChange]) {
        if changes.is_empty() {
            return;
        }
        let routes = self.routes();
        for follower in routes.followers.get(&task).into_iter().flatten() {
            let mut wanted = changes.iter().filter(|change| (follower.wants)(change)).peekable();
            if wanted.peek().is_none() {
                continue;
            }
            let mut queue = follower.queue.lock();
            for change in wanted {
                if queue.changes.len() == limits::MAX_FOLLOW_QUEUE {
                    queue.changes.pop_front();
                    queue.dropped += 1;
                }
                queue.changes.push_back(change.clone());
            }
            drop(queue);
            follower.wake.notify_one();
        }
    }

    pub fn subscribers(&self) -> usize {
        self.routes().count
    }

    fn admit(&self) -> Option<()> {
        let mut routes = self.routes();
        if routes.count >= limits::MAX_SUBSCRIBERS {
            return None;
        }
        routes.count += 1;
        Some(())
    }

    fn number(&self) -> usize {
        self.inner.next.fetch_add(1, Ordering::Relaxed)
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.inner.routes.lock()
    }
}

/// Watches a set of resources; slow readers get each changed resource once.
pub struct Watcher {
    feed: Feed,
    inner: Arc<WatcherInner>,
    keys: BTreeSet<ResourceKey>,
}

struct WatcherInner {
    number: usize,
    dirty: Mutex<BTreeSet<ResourceKey>>,
    wake: Notify,
}

impl Watcher {
    /// False when this watcher has as many as it may.
    pub fn add(&mut self, key: ResourceKey) -> bool {
        if self.keys.contains(&key) {
            return true;
        }
        if self.keys.len() >= limits::MAX_WATCHED_PER_SUBSCRIBER {
            return false;
        }
        self.feed.routes().watchers.entry(key.clone()).or_default().push(self.inner.clone());
        self.keys.insert(key)
    }

    pub fn remove(&mut self, key: &ResourceKey) {
        if self.keys.remove(key) {
            unroute(&mut self.feed.routes().watchers, key, |watcher| watcher.number == self.inner.number);
            self.inner.dirty.lock().remove(key);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A resource that has changed since it was last returned.
    pub fn try_next(&self) -> Option<ResourceKey> {
        self.inner.dirty.lock().pop_first()
    }

    /// For one who waits for the next change without holding the watcher.
    pub fn signal(&self) -> Signal {
        Signal { inner: self.inner.clone() }
    }

    /// The next resource that changed since it was last returned. Safe to drop and call again.
    pub async fn next(&self) -> ResourceKey {
        loop {
            let woken = self.inner.wake.notified();
            if let Some(key) = self.inner.dirty.lock().pop_first() {
                // What is left must not wait for another change.
                self.inner.wake.notify_one();
                return key;
            }
            woken.await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut routes = self.feed.routes();
        for key in &self.keys {
            unroute(&mut routes.watchers, key, |watcher| watcher.number == self.inner.number);
        }
        routes.count -= 1;
    }
}

/// Tells when a watcher has something to tell. Of several who wait, one is woken.
#[derive(Clone)]
pub struct Signal {
    inner: Arc<WatcherInner>,
}

impl Signal {
    pub async fn changed(&self) {
        loop {
            let woken = self.inner.wake.notified();
            if !self.inner.dirty.lock().is_empty() {
                return;
            }
            woken.await;
        }
    }

    /// Wakes another one who waits.
    pub fn pass_on(&self) {
        self.inner.wake.notify_one();
    }
}

/// Follows one task, change by change.
pub struct Follower {
    feed: Feed,
    task: TaskId,
    inner: Arc<FollowerInner>,
}

struct FollowerInner {
    number: usize,
    wants: fn(&TaskChange) -> bool,
    queue: Mutex<FollowQueue>,
    wake: Notify,
}

#[derive(Default)]
struct FollowQueue {
    changes: VecDeque<TaskChange>,
    dropped: usize,
}

impl Follower {
    /// The next change. Safe to drop and call again.
    pub async fn next(&self) -> TaskChange {
        loop {
            let woken = self.inner.wake.notified();
            if let Some(change) = self.try_next() {
                return change;
            }
            woken.await;
        }
    }

    /// The next change that has already happened.
    pub fn try_next(&self) -> Option<TaskChange> {
        let mut queue = self.inner.queue.lock();
        if queue.dropped > 0 {
            return Some(TaskChange::Lagged(std::mem::take(&mut queue.dropped)));
        }
        let change = queue.changes.pop_front()?;
        if !queue.changes.is_empty() {
            self.inner.wake.notify_one();
        }
        Some(change)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut routes = self.feed.routes();
        unroute(&mut routes.followers, &self.task, |follower| follower.number == self.inner.number);
        routes.count -= 1;
    }
}

fn unroute<K: std::hash::Hash + Eq, V>(routes: &mut HashMap<K, Vec<V>>, key: &K, is_it: impl Fn(&V) -> bool) {
    if let Some(list) = routes.get_mut(key) {
        list.retain(|entry| !is_it(entry));
        if list.is_empty() {
            routes.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_watcher_gets_each_resource_once_and_the_last_change_always() {
        let feed = Feed::default();
        let task = TaskId::from_bytes([1; 16]);
        let mut watcher = feed.watch().expect("room");
        assert!(watcher.add(ResourceKey::Task(task)));
        assert!(watcher.add(ResourceKey::Log(task)));
        for _ in 0..1_000 {
            feed.changed(&[ResourceKey::Task(task), ResourceKey::Log(task), ResourceKey::Result(task)]);
        }
        let mut got = [watcher.next().await, watcher.next().await];
        got.sort();
        assert_eq!(got, [ResourceKey::Task(task), ResourceKey::Log(task)]);
        assert!(futures::FutureExt::now_or_never(watcher.next()).is_none());
        feed.changed(&[ResourceKey::Log(task)]);
        assert_eq!(watcher.next().await, ResourceKey::Log(task));
        watcher.remove(&ResourceKey::Log(task));
        feed.changed(&[ResourceKey::Log(task)]);
        assert!(futures::FutureExt::now_or_never(watcher.next()).is_none());
    }

    #[tokio::test]
    async fn a_slow_follower_is_told_that_it_missed_something_and_gets_the_newest() {
        let feed = Feed::default();
        let task = TaskId::from_bytes([1; 16]);
        let follower = feed.follow(task).expect("room");
        let report = |number| TaskChange::Progress { number, progress: None, message: None };
        for number in 0..limits::MAX_FOLLOW_QUEUE as u64 + 2 {
            feed.happened(task, &[report(number)]);
        }
        assert_eq!(follower.next().await, TaskChange::Lagged(2));
        assert_eq!(follower.next().await, report(2));
        drop(follower);
        assert_eq!(feed.subscribers(), 0);
        assert!(feed.routes().followers.is_empty());
    }

    #[tokio::test]
    async fn a_call_is_not_woken_for_what_it_does_not_pass_on() {
        let feed = Feed::default();
        let task = TaskId::from_bytes([1; 16]);
        let (call, all) = (feed.follow_call(task).expect("room"), feed.follow(task).expect("room"));
        let output = TaskChange::Output { name: "o".into() };
        feed.happened(task, &[TaskChange::State(State::Running), TaskChange::Log, output]);
        assert!(futures::FutureExt::now_or_never(call.next()).is_none());
        assert_eq!(all.next().await, TaskChange::State(State::Running));
        for passed_on in [TaskChange::Questions, TaskChange::State(State::Completed)] {
            feed.happened(task, std::slice::from_ref(&passed_on));
            assert_eq!(call.next().await, passed_on);
        }
    }
}
