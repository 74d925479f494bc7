//! The store as a whole: on files, and on a disk that forgets, fails and fills up.

mod answers;
mod basics;
mod crash;
mod damage;
pub(super) mod disk;
mod faults;
mod folding;
mod guards;
mod model;
mod reading;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::open::{self as opening, FORMAT};
use super::{File, base, gate};
use crate::store::ack::Ack;
use crate::store::{
    Batch, Durability, Effects, Guard, Kind, Lsn, NoSink, Sink, Snapshot, Space, Store, StoreError,
    StoreOptions,
};
use disk::Disk;

/// Everything that a store holds, by space and key.
type Contents = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

/// Folds early and in small slices, and is never idle.
fn small() -> StoreOptions {
    StoreOptions {
        max_unfolded_bytes: 4 * 1024,
        fold_slice_rows: 4,
        idle: Duration::from_secs(3600),
        cache_bytes: 1024 * 1024,
        ..StoreOptions::default()
    }
}

fn open(disk: &Disk, options: StoreOptions) -> Result<Store, StoreError> {
    File::open_with_backend(disk.clone(), Path::new("test.redb"), options, Arc::new(Calls))
        .map(Store::of_file)
}

fn file(store: &Store) -> &File {
    let Kind::File(file) = &store.inner.kind;
    file
}

/// The effects of a batch, in a store that tests opened: called with what became of it.
type Call = Box<dyn FnOnce(Result<(), &StoreError>) + Send>;

struct Calls;

impl Sink for Calls {
    fn applied(&self, effects: Effects) {
        effects.downcast::<Call>().unwrap()(Ok(()));
    }

    fn withdrawn(&self, effects: Effects, why: &StoreError) {
        effects.downcast::<Call>().unwrap()(Err(why));
    }
}

fn call(call: impl FnOnce(Result<(), &StoreError>) + Send + 'static) -> Effects {
    let call: Call = Box::new(call);
    Box::new(call)
}

fn contents(store: &Store) -> Result<Contents, StoreError> {
    store.read(|snapshot| {
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
fn scale() -> usize {
    std::env::var("LONGHAUL_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1)
}

/// Numbers that look random and are the same in every run.
pub(super) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
