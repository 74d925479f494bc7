//! A disk in memory for tests, which outlives its stores. If it records, it knows each change of itself, and what the
//! stores on it wrote and acknowledged, and when.

use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::tests::SMALL_RING_BYTES;
use super::tests::disk::{Disk, Fault};
use super::{File, layout};
use crate::store::{Kind, Lsn, Sink, Space, Store, StoreError, StoreOptions};

/// A clone is the same drive.
#[derive(Clone, Default)]
pub(crate) struct Drive {
    pub(super) disk: Disk,
    history: Arc<Mutex<History>>,
}

#[derive(Default)]
pub(super) struct History {
    pub groups: Vec<Group>,
    /// Each batch that was acknowledged, and how many changes of the disk there had been by then.
    pub acknowledged: Vec<(Lsn, usize)>,
}

/// What shares a commit: all of it is on disk or none.
pub(super) struct Group {
    pub first_lsn: Lsn,
    pub row: Vec<u8>,
    /// Values that go past the log, in order.
    pub large: Vec<(Space, Vec<u8>, Arc<[u8]>)>,
}

impl Drive {
    /// Holds a new file, and knows what becomes of it. A file is complete when it gets its name.
    pub fn recording() -> Result<Self, StoreError> {
        let disk = Disk::default();
        layout::make(disk.clone(), Path::new("(a test's drive)"), SMALL_RING_BYTES)?;
        Ok(Self::of(Disk::recording(disk.bytes())))
    }

    /// Another one that holds the same, and records.
    pub fn again(&self) -> Self {
        Self::of(Disk::recording(self.disk.bytes()))
    }

    /// From now on.
    pub fn fail(&self, fault: Fault) {
        self.disk.fail(fault);
    }

    pub fn has_failed(&self) -> bool {
        self.disk.has_failed()
    }

    /// How often it was called.
    pub fn calls(&self) -> u64 {
        self.disk.calls()
    }

    pub(super) fn of(disk: Disk) -> Self {
        Self { disk, history: Arc::default() }
    }

    /// What a group is about to write.
    pub(super) fn written(&self, first_lsn: Lsn, row: &[u8], large: Vec<(Space, Vec<u8>, Arc<[u8]>)>) {
        self.history().groups.push(Group { first_lsn, row: row.to_vec(), large });
    }

    /// A batch is about to be acknowledged.
    pub(super) fn acknowledge(&self, lsn: Lsn) {
        let changes = self.disk.changes();
        self.history().acknowledged.push((lsn, changes));
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock()
    }
}

impl Store {
    pub(crate) fn open_on(
        drive: &Drive,
        options: StoreOptions,
        sink: Arc<dyn Sink>,
    ) -> Result<Self, StoreError> {
        let path = Path::new("(a test's drive)");
        let store = File::open_with_backend(drive.disk.clone(), path, options, sink).map(Self::of_file)?;
        if let Kind::File(file) = &store.inner.kind {
            // Nothing is enqueued yet.
            let _ = file.shared.drive.set(drive.clone());
        }
        Ok(store)
    }
}
