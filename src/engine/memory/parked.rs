//! Tasks whose tool is not known yet: the catalog is being loaded, and what their component may do now stands there. They
//! are queued again with each change of it.

use std::sync::Arc;

use parking_lot::Mutex;

use super::entry::Entry;
use super::ready::Ready;

#[derive(Default)]
pub struct Parked(Mutex<Vec<Arc<Entry>>>);

impl Parked {
    /// Keeps the task where it still `awaits` its tool: asked once no change of the catalog can be missed.
    pub fn keep(&self, entry: &Arc<Entry>, awaits: impl FnOnce() -> bool) -> bool {
        let mut parked = self.0.lock();
        let waits = awaits();
        if waits {
            parked.push(entry.clone());
        }
        waits
    }

    /// The catalog is another one.
    pub fn release(&self, ready: &Ready) {
        for entry in std::mem::take(&mut *self.0.lock()) {
            ready.push(entry);
        }
    }
}
