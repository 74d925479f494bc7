//! What a busy guest recorded or told is committed after a moment, whether or not it waits for anything. One timer
//! for all tasks: most of them have committed it themselves by then, and are left alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::engine::Shared;
use crate::engine::dispatch::entry::Entry;
use crate::limits;

/// The tasks with something new.
#[derive(Default)]
pub struct Dirty {
    list: Mutex<Vec<Arc<Entry>>>,
    pub wake: Notify,
}

/// A task's part in it.
#[derive(Default)]
pub struct Flush {
    is_listed: AtomicBool,
    /// It is time to commit what is there.
    pub due: Notify,
}

impl Dirty {
    /// To be called after the change, without its lock or within.
    pub fn add(&self, entry: &Arc<Entry>) {
        // Who sees that it is listed has made its change before the list is looked through: that takes the same lock.
        let is_listed = &entry.flush.is_listed;
        if is_listed.load(Ordering::Acquire) || is_listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(entry.clone());
        if list.len() == 1 {
            self.wake.notify_one();
        }
    }

    fn take(&self) -> Vec<Arc<Entry>> {
        std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Until the engine stops.
pub async fn run(shared: Arc<Shared>) {
    while shared.is_running() {
        shared.dirty.wake.notified().await;
        tokio::time::sleep(Duration::from_millis(limits::FLUSH_INTERVAL_MS)).await;
        for entry in shared.dirty.take() {
            entry.flush.is_listed.store(false, Ordering::Release);
            if entry.lock().has_pending() {
                entry.flush.due.notify_one();
            }
        }
    }
}
