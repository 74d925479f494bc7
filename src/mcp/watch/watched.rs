//! Watchers of the engine's feed, by the names that a client has for what is watched.

use std::collections::HashMap;
use std::time::Duration;

use rmcp::model::ServerNotification;

use crate::engine::{ResourceKey, Signal, Watcher};
use crate::limits;
use crate::task::TaskId;

/// The resources that are watched, and the URIs by which the client calls each.
pub struct Watched {
    watcher: Watcher,
    uris: HashMap<ResourceKey, Vec<String>>,
}

impl Watched {
    pub fn new(watcher: Watcher) -> Self {
        Self { watcher, uris: HashMap::new() }
    }

    pub fn add(&mut self, key: ResourceKey, uri: String) -> bool {
        if !self.watcher.add(key.clone()) {
            return false;
        }
        let uris = self.uris.entry(key).or_default();
        if !uris.contains(&uri) {
            uris.push(uri);
        }
        true
    }

    pub fn remove(&mut self, key: &ResourceKey, uri: &str) {
        if let Some(uris) = self.uris.get_mut(key) {
            uris.retain(|there| there != uri);
            if uris.is_empty() {
                self.uris.remove(key);
                self.watcher.remove(key);
            }
        }
    }

    /// A resource that has changed, and all its names.
    pub fn try_next(&self) -> Option<(ResourceKey, Vec<String>)> {
        let key = self.watcher.try_next()?;
        let uris = self.uris.get(&key).cloned().unwrap_or_default();
        Some((key, uris))
    }

    pub fn signal(&self) -> Signal {
        self.watcher.signal()
    }

    /// The next changed resource, by all its names.
    pub async fn next(&self) -> Vec<String> {
        let key = self.watcher.next().await;
        self.uris.get(&key).cloned().unwrap_or_default()
    }
}

/// Tasks of which a listener hears, watched since before it was acknowledged.
pub struct WatchedTasks {
    pub watcher: Watcher,
    /// Those of which nothing has been sent.
    pub ids: Vec<TaskId>,
}

impl WatchedTasks {
    /// The next that changed.
    pub async fn next(&self) -> TaskId {
        loop {
            if let ResourceKey::Task(id) = self.watcher.next().await {
                return id;
            }
        }
    }

    pub fn watches(&self, id: &str) -> bool {
        id.parse().is_ok_and(|id: TaskId| self.ids.contains(&id))
    }
}

pub async fn next_list_change(lists: &Watcher) -> ServerNotification {
    match lists.next().await {
        ResourceKey::Tools => ServerNotification::ToolListChangedNotification(Default::default()),
        _ => ServerNotification::ResourceListChangedNotification(Default::default()),
    }
}

/// Lists change with every task: once in a while is enough, and the last change is always sent.
pub async fn between_list_changes() {
    tokio::time::sleep(Duration::from_millis(limits::LIST_CHANGE_INTERVAL_MS)).await;
}
