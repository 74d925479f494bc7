//! Rows of shared state that are on their way to the disk, and the right to write some.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::watchers::Watchers;

pub type Row = Option<Arc<[u8]>>;

/// What all who write shared state have in common.
#[derive(Default)]
pub struct StateWriter {
    pub pending: Mutex<Pending>,
    /// Numbers of commits that are on disk, or known not to be.
    settled: Mutex<Vec<u64>>,
    pub watchers: Watchers,
    /// Something may expire sooner than the last look said.
    pub expiry: Notify,
}

/// Rows on their way to the disk, each with the number of the last commit that writes it.
#[derive(Default)]
pub struct Pending {
    pub rows: HashMap<Vec<u8>, (u64, Row)>,
    pub keys: HashMap<u64, Vec<Vec<u8>>>,
    pub last: u64,
}

/// The right to decide; held until the commit is handed over.
pub struct WriteGuard<'a> {
    pub pending: MutexGuard<'a, Pending>,
}

impl StateWriter {
    pub fn begin_write(&self) -> WriteGuard<'_> {
        let mut pending = self.pending.lock();
        for number in std::mem::take(&mut *self.settled.lock()) {
            for key in pending.keys.remove(&number).unwrap_or_default() {
                if pending.rows.get(&key).is_some_and(|(last, _)| *last == number) {
                    pending.rows.remove(&key);
                }
            }
        }
        WriteGuard { pending }
    }

    /// The commit of this number is on disk, or refused, or lost. It does not take the lock of the rows: the holder of the
    /// guard may be the one whose commit is not taken.
    pub fn settle(&self, number: u64) {
        self.settled.lock().push(number);
    }

    /// Rows that are on their way.
    #[cfg(test)]
    pub fn pending(&self) -> usize {
        self.begin_write().pending.rows.len()
    }
}
