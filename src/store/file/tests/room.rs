//! Disks that others fill, and that the store fills: new work is refused, nothing latches, ends and cancels go on.

use std::time::Instant;

use super::disk::Fault;
use super::*;
use crate::store::file::reserve::Volume;
use crate::store::{DiskBounds, Need, NoSink};

const MIB: usize = 1 << 20;
const TOTAL: usize = 16 * MIB;
const RESERVE: u64 = TOTAL as u64 / crate::limits::RESERVE_PART_OF_DISK;

fn open(disk: &Disk, options: StoreOptions) -> Result<Store, StoreError> {
    File::open_on_volume(disk, Path::new("test.redb"), options, Arc::new(NoSink)).map(Store::of_file)
}

fn write(store: &Store, need: Need, number: u64, bytes: usize) -> Result<u64, StoreError> {
    let mut batch = Batch::new().put(Space::Journal, number.to_be_bytes(), vec![number as u8; bytes]);
    batch.add_need(need);
    store.enqueue(batch)?.wait_blocking()
}

/// Until it is not refused for want of room any more.
fn write_in_time(store: &Store, need: Need, number: u64, bytes: usize) {
    let begun = Instant::now();
    loop {
        match write(store, need, number, bytes) {
            Err(StoreError::NoSpace { .. }) if begun.elapsed() < Duration::from_secs(20) => {
                std::thread::yield_now();
            }
            done => {
                done.unwrap();
                return;
            }
        }
    }
}

/// A store that was used, and closed, which made its reserve.
fn made() -> Vec<u8> {
    let disk = Disk::limited(Vec::new(), TOTAL, 0);
    let store = open(&disk, small()).unwrap();
    for number in 1..=20 {
        write(&store, Need::Growth, number, 500).unwrap();
    }
    store.close_blocking().unwrap();
    assert_eq!(disk.held(), RESERVE);
    disk.bytes()
}

fn keys(store: &Store) -> Vec<u64> {
    let number = |(_, key): (Space, Vec<u8>)| u64::from_be_bytes(key[..].try_into().unwrap());
    contents(store).unwrap().into_keys().map(number).collect()
}

/// New work until the disk has filled up, then what an end and a cancel write; gives what was acknowledged.
fn work(store: &Store, call: u64) -> Vec<u64> {
    let mut acknowledged: Vec<u64> = (1..=20).collect();
    for number in 21..=60 {
        match write(store, Need::Growth, number, 500) {
            Ok(_) => acknowledged.push(number),
            Err(StoreError::NoSpace { .. }) => {}
            Err(error) => panic!("call {call}: {error}"),
        }
    }
    for (number, need) in [(61, Need::End), (62, Need::Relief), (63, Need::Relief)] {
        write(store, need, number, 500).unwrap_or_else(|error| panic!("call {call}: {need:?}: {error}"));
        acknowledged.push(number);
    }
    acknowledged
}

#[test]
fn a_disk_that_others_fill_at_any_call_latches_nothing_and_goes_on_when_room_is_made() {
    let made = made();
    let calls = {
        let disk = Disk::limited(made.clone(), TOTAL, RESERVE as usize);
        let store = open(&disk, small()).unwrap();
        assert_eq!(work(&store, 0).len(), 63);
        store.close_blocking().unwrap();
        disk.calls()
    };
    assert!(calls > 200, "{calls}");
    for call in 1..=calls {
        let disk = Disk::limited(made.clone(), TOTAL, RESERVE as usize);
        disk.fail(Fault::Full(call));
        let store = open(&disk, small()).unwrap();
        let acknowledged = work(&store, call);
        assert_eq!(keys(&store), acknowledged);
        assert_eq!(store.latched(), None);

        // As after `kill -9`, and as full.
        let crashed = disk.after_crash();
        store.close_blocking().unwrap_or_else(|error| panic!("call {call}: closing: {error}"));
        let store = open(&crashed, small()).unwrap_or_else(|error| panic!("call {call}: {error}"));
        assert_eq!(keys(&store), acknowledged, "call {call}");
        write(&store, Need::Relief, 64, 500).unwrap_or_else(|error| panic!("call {call}: {error}"));
        crashed.fill_by_others(false);
        write_in_time(&store, Need::Growth, 65, 500);
        assert_eq!(store.latched(), None);
        store.close_blocking().unwrap();
        assert_eq!(crashed.held(), RESERVE, "call {call}: it is whole again");
    }
}

#[test]
fn what_makes_room_stops_before_the_disk_fails() {
    let disk = Disk::limited(made(), TOTAL, RESERVE as usize);
    let store = open(&disk, StoreOptions { idle: Duration::from_millis(1), ..small() }).unwrap();
    disk.fill_by_others(true);
    let mut acknowledged = 20;
    for need in [Need::Growth, Need::End, Need::Relief] {
        let before = acknowledged;
        let refused = loop {
            match write(&store, need, acknowledged + 1, 5_000) {
                Ok(_) => acknowledged += 1,
                Err(refused) => break refused,
            }
        };
        assert!(matches!(refused, StoreError::NoSpace { .. }), "{need:?}: {refused}");
        assert!(need == Need::Growth || acknowledged > before, "{need:?} had nothing");
        assert!(acknowledged < 500, "the disk never filled up");
    }
    assert_eq!(store.latched(), None);
    let usage = store.usage().unwrap().disk.unwrap();
    assert!(usage.is_full && usage.refused >= 3 && usage.reserve_bytes < RESERVE, "{usage:?}");
    let crashed = disk.after_crash();
    store.close_blocking().unwrap();
    for disk in [disk, crashed] {
        let store = open(&disk, small()).unwrap();
        assert_eq!(keys(&store).len() as u64, acknowledged, "reading needs no room");
        disk.fill_by_others(false);
        write_in_time(&store, Need::Growth, acknowledged + 1, 5_000);
        store.close_blocking().unwrap();
    }
}

#[test]
fn deleted_rows_make_room_though_the_file_takes_as_much_of_its_disk() {
    let disk = Disk::limited(made(), TOTAL, RESERVE as usize);
    let store = open(&disk, StoreOptions { idle: Duration::from_millis(1), ..small() }).unwrap();
    let mut last = 20;
    while write(&store, Need::Growth, last + 1, 100_000).is_ok() {
        last += 1;
        assert!(last < 1_000, "the disk never filled up");
    }
    assert!(last > 60, "{last}: it was refused long before the disk was full");
    assert_eq!(store.latched(), None);
    disk.fill_by_others(true);
    for number in 1..=last {
        let mut batch = Batch::new().delete(Space::Journal, number.to_be_bytes());
        batch.add_need(Need::Relief);
        store.enqueue(batch).unwrap().wait_blocking().unwrap();
    }
    write_in_time(&store, Need::Growth, last + 1, 100_000);
    assert_eq!(store.latched(), None);
    store.close_blocking().unwrap();
}

#[test]
fn an_opening_keeps_of_the_disk_what_the_settings_say() {
    let disk = Disk::limited(made(), TOTAL, RESERVE as usize);
    let set = |reserve: u64, watermark: u64| {
        let bounds = DiskBounds { reserve: Some(reserve), watermark: Some(watermark) };
        StoreOptions { disk: bounds, ..small() }
    };
    let store = open(&disk, set(RESERVE / 2, TOTAL as u64)).unwrap();
    assert!(matches!(write(&store, Need::Growth, 21, 10), Err(StoreError::NoSpace { .. })));
    write(&store, Need::End, 22, 10).unwrap();
    let kept = store.usage().unwrap().disk.unwrap();
    assert_eq!((kept.wanted_reserve_bytes, kept.watermark_bytes), (RESERVE / 2, TOTAL as u64));
    assert!(kept.is_full);
    store.close_blocking().unwrap();
    assert_eq!(disk.held(), RESERVE / 2, "what it held beyond that was given back");
    let store = open(&disk, set(RESERVE, RESERVE * 2)).unwrap();
    write_in_time(&store, Need::Growth, 23, 10);
    assert!(!store.usage().unwrap().disk.unwrap().is_full);
    store.close_blocking().unwrap();
    assert_eq!(disk.held(), RESERVE);
}
