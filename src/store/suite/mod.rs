//! What every kind of store does, run on every kind: guards, leases, the order of commits and of what follows them,
//! refusals, large values, scans both ways, prefixes, snapshots, closing. What only the file has is tested there.

mod effects;
mod guards;
mod model;
mod refusals;
mod rows;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::file::tests::disk::Disk;
use super::memory::Rows;
use super::*;

/// Everything that a store holds, by space and key.
pub(super) type Contents = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

/// What a store can be opened on again and again.
pub(super) trait Place {
    fn open(&self, options: StoreOptions) -> Result<Store, StoreError>;
}

/// A folder of the machine's own disk, removed with its tests.
struct Folder(tempfile::TempDir);

impl Default for Folder {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Place for Folder {
    fn open(&self, options: StoreOptions) -> Result<Store, StoreError> {
        block_on(Store::open_async(&self.0.path().join("data"), options, Arc::new(Calls)))
    }
}

impl Place for Disk {
    fn open(&self, options: StoreOptions) -> Result<Store, StoreError> {
        File::open_with_backend(self.clone(), Path::new("test.redb"), options, Arc::new(Calls))
            .map(Store::of_file)
    }
}

impl Place for Rows {
    fn open(&self, _: StoreOptions) -> Result<Store, StoreError> {
        Ok(Store::of_memory(Memory::open(self, Arc::new(Calls))))
    }
}

/// Each of these functions is a test, once on each kind.
macro_rules! on_every_kind {
    ($($test:ident)*) => {
        mod file_on_disk {
            $(#[test]
            fn $test() {
                super::$test(&super::Folder::default());
            })*
        }

        mod file_in_memory {
            $(#[test]
            fn $test() {
                super::$test(&super::Disk::default());
            })*
        }

        mod model {
            $(#[test]
            fn $test() {
                super::$test(&super::Rows::default());
            })*
        }
    };
}
use on_every_kind;

/// The effects of a batch, in a store that tests opened: called with what became of it.
type Call = Box<dyn FnOnce(Result<(), &StoreError>) + Send>;

pub(super) struct Calls;

impl Sink for Calls {
    fn applied(&self, effects: Effects) {
        effects.downcast::<Call>().unwrap()(Ok(()));
    }

    fn withdrawn(&self, effects: Effects, why: &StoreError) {
        effects.downcast::<Call>().unwrap()(Err(why));
    }
}

pub(super) fn call(call: impl FnOnce(Result<(), &StoreError>) + Send + 'static) -> Effects {
    let call: Call = Box::new(call);
    Box::new(call)
}

/// Folds early and in small slices, goes round its ring, and is never idle.
pub(super) fn small() -> StoreOptions {
    StoreOptions {
        max_unfolded_bytes: 4 * 1024,
        ring_bytes: 16 * 1024,
        fold_slice_rows: 4,
        idle: Duration::from_secs(3600),
        cache_bytes: 1024 * 1024,
        ..StoreOptions::default()
    }
}

pub(super) fn contents(store: &Store) -> Result<Contents, StoreError> {
    store.read_blocking(|snapshot| {
        let mut contents = Contents::new();
        for &space in Space::ALL {
            snapshot.scan(space, .., false, |key, value| {
                contents.insert((space, key.to_vec()), value.to_vec());
                ControlFlow::Continue(())
            })?;
        }
        Ok(contents)
    })
}

/// How many times the usual work tests do that can never do enough.
pub(super) fn scale() -> usize {
    std::env::var("LONGHAUL_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1)
}

/// Queue all of these so that they share one group, where there are groups: the writer is held up by its sink
/// meanwhile.
pub(super) fn as_one_group(store: &Store, batches: Vec<Batch>) -> Vec<Result<Lsn, StoreError>> {
    let go = hold_up(store);
    let acks: Vec<_> = batches.into_iter().map(|batch| store.enqueue(batch).unwrap()).collect();
    drop(go);
    acks.into_iter().map(Ack::wait_blocking).collect()
}

/// Nothing is committed until what this gives is dropped.
pub(super) fn hold_up(store: &Store) -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel::<()>();
    let (park, is_parked) = mpsc::channel::<()>();
    let hold = Batch::new().effects(call(move |_| {
        park.send(()).unwrap();
        wait.recv().unwrap_err();
    }));
    drop(store.enqueue(hold).unwrap());
    is_parked.recv().unwrap();
    go
}

pub(super) fn put(store: &Store, space: Space, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    store.enqueue(Batch::new().put(space, key, value)).unwrap().wait_blocking().unwrap();
}
