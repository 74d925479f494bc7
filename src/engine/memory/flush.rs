//! What a busy guest recorded or reported is committed after a moment, whether or not it waits for anything. One timer
//! for all tasks: most of them have committed it themselves by then, and are left alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::entry::Entry;

/// The tasks with something new.
#[derive(Default)]
pub struct Dirty {
    list: Mutex<Vec<Arc<Entry>>>,
    pub wake: Notify,
}

impl Dirty {
    /// To be called after the change, without its lock or within.
    pub fn add(&self, entry: &Arc<Entry>) {
        // Who sees that it is listed has made its change before the list is looked through: that takes the same lock.
        let is_listed = &entry.flush.is_listed;
        if is_listed.load(Ordering::Acquire) || is_listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut list = self.list.lock();
        list.push(entry.clone());
        if list.len() == 1 {
            self.wake.notify_one();
        }
    }

    pub fn take(&self) -> Vec<Arc<Entry>> {
        std::mem::take(&mut *self.list.lock())
    }
}
