//! The components that are blocked now. Asked for each call and each instance, so that most pay one read of a flag.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use crate::clock::UnixNanos;
use crate::engine::rows::{self, BlockRow};
use crate::store::{Snapshot, Space, StoreError};
use crate::task::ComponentId;

#[derive(Default)]
pub struct Blocks {
    is_any: AtomicBool,
    /// By what was named: a component's name, or its digest.
    rows: RwLock<HashMap<String, BlockRow>>,
}

impl Blocks {
    /// Takes in the rows of a store that is being opened.
    pub fn load(&self, snapshot: &Snapshot<'_>) -> Result<(), StoreError> {
        rows::scan_named(snapshot, (Space::Setting, rows::BLOCKED_PREFIX), |name, row| self.insert(name, row))
    }

    pub fn insert(&self, name: String, row: BlockRow) {
        self.rows.write().insert(name, row);
        self.is_any.store(true, Ordering::Release);
    }

    pub fn remove(&self, name: &str) {
        let mut rows = self.rows.write();
        rows.remove(name);
        self.is_any.store(!rows.is_empty(), Ordering::Release);
    }

    /// Since when tasks of this component stand still, if they do.
    pub fn since(&self, component: &ComponentId) -> Option<UnixNanos> {
        if !self.is_any.load(Ordering::Acquire) {
            return None;
        }
        let rows = self.rows.read();
        rows.values().filter(|row| row.components.contains(component)).map(|row| row.at).min()
    }

    /// Whether a component of this name and digest takes no new calls.
    pub fn has(&self, name: &str, component: &ComponentId) -> bool {
        if !self.is_any.load(Ordering::Acquire) {
            return false;
        }
        let rows = self.rows.read();
        rows.contains_key(name) || rows.values().any(|row| row.components.contains(component))
    }

    pub fn get(&self, name: &str) -> Option<BlockRow> {
        self.rows.read().get(name).cloned()
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<(String, BlockRow)> {
        let mut list: Vec<_> =
            self.rows.read().iter().map(|(name, row)| (name.clone(), row.clone())).collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    }
}
