//! The store as a whole: on files, and on a disk that forgets, fails and fills up.

mod answers;
mod crash;
mod damage;
pub(in crate::store) mod disk;
mod faults;
mod folding;
mod gathering;
mod names;
mod reading;
mod ring;
mod room;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::layout::{FORMAT, Layout};
use super::open as opening;
use super::{File, base, gate, layout};
use crate::store::ack::Ack;
use crate::store::suite::{Contents, Place, as_one_group, call, contents, put, scale, small};
use crate::store::{
    Batch, Durability, Guard, Kind, NoSink, Snapshot, Space, Store, StoreError, StoreOptions,
};
use disk::Disk;

/// Of a disk in memory, whose images are many.
pub(crate) const SMALL_RING_BYTES: u64 = 16 * 1024;

/// A file in memory has a small ring, which many of its tests go round.
pub(in crate::store) fn with_small_ring(options: StoreOptions) -> StoreOptions {
    StoreOptions { ring_bytes: options.ring_bytes.min(64 * SMALL_RING_BYTES), ..options }
}

/// As an earlier longhaul made its file.
fn ringless() -> StoreOptions {
    StoreOptions { ring_bytes: 0, ..small() }
}

/// Redb's part of what a disk holds.
fn redb_of(disk: &Disk) -> redb::Database {
    let layout = Layout::of(disk.clone(), Path::new("test.redb"), 0).unwrap();
    redb::Builder::new().create_with_backend(layout.redb).unwrap()
}

fn open(disk: &Disk, options: StoreOptions) -> Result<Store, StoreError> {
    disk.open(options)
}

fn file(store: &Store) -> &File {
    match &store.inner.kind {
        Kind::File(file) => file,
        Kind::Memory(_) => panic!("not a file"),
    }
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
