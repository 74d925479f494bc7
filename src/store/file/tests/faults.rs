//! Disks that fail, and disks that are full.

use super::disk::Fault;
use super::*;

const BATCHES: u64 = 40;

/// Puts batches until one fails; gives how many were acknowledged, and the failure.
fn work(store: &Store) -> (u64, Option<StoreError>) {
    let mut acknowledged = 0;
    let mut failure = None;
    for number in 1..=BATCHES {
        let batch = Batch::new()
            .put(Space::Journal, number.to_be_bytes(), vec![number as u8; 200])
            .delete(Space::Journal, (number - 1).to_be_bytes())
            .put(Space::Setting, b"batches", number.to_be_bytes());
        match store.enqueue(batch).and_then(Ack::wait_blocking) {
            Ok(lsn) => {
                assert_eq!(failure, None, "an acknowledgement after a failure");
                assert_eq!(lsn, number);
                acknowledged = number;
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    (acknowledged, failure)
}

/// Starts again on what the failing disk holds: what was acknowledged is there, and no half of anything.
fn check(disk: &Disk, acknowledged: u64) {
    let store = open(&Disk::holding(disk.bytes()), small()).unwrap();
    let found = contents(&store).unwrap();
    let count = found.get(&(Space::Setting, b"batches".to_vec()));
    let count = count.map_or(0, |bytes| u64::from_be_bytes(bytes[..].try_into().unwrap()));
    assert!(count >= acknowledged, "{acknowledged} were acknowledged, {count} are there");
    assert_eq!(found.len(), if count == 0 { 0 } else { 2 });
    assert!(count == 0 || found.contains_key(&(Space::Journal, count.to_be_bytes().to_vec())));
}

fn fail_at_every_call(fault: fn(u64) -> Fault) {
    let calls = {
        let disk = Disk::default();
        let store = open(&disk, small()).unwrap();
        assert_eq!(work(&store), (BATCHES, None));
        disk.calls()
    };
    for call in 1..=calls {
        let disk = Disk::default();
        disk.fail(fault(call));
        let store = match open(&disk, small()) {
            Ok(store) => store,
            Err(error) => {
                assert!(error.to_string().contains("the disk failed"), "call {call}: {error}");
                continue;
            }
        };
        let mut latch = store.on_latch();
        let (acknowledged, failure) = work(&store);
        if let Some(failure) = &failure {
            let words = failure.to_string();
            assert!(matches!(failure, StoreError::Latched(_)), "call {call}: {words}");
            for part in ["test.redb", "failed", "Restart longhaul"] {
                assert!(words.contains(part), "call {call}: '{part}' is not in '{words}'");
            }
            assert!(latch.has_changed().unwrap());
            assert_eq!(latch.borrow_and_update().as_deref(), Some(&*words));
            assert_eq!(store.latched().as_deref(), Some(&*words));
            assert_eq!(store.enqueue(Batch::new()).unwrap_err(), *failure);
            assert_eq!(store.close_blocking().unwrap_err(), *failure);
            assert!(disk.syncs_after_failure() <= 1, "call {call}: a failed sync was tried again");
        } else {
            assert_eq!(acknowledged, BATCHES);
            drop(store);
        }
        check(&disk, acknowledged);
    }
}

#[test]
fn a_call_that_fails_latches_and_loses_nothing_acknowledged() {
    fail_at_every_call(Fault::Once);
}

#[test]
fn a_disk_that_stays_dead_latches_and_loses_nothing_acknowledged() {
    fail_at_every_call(Fault::From);
}

#[test]
fn a_full_disk_is_named_and_loses_nothing_acknowledged() {
    let disk = Disk::default();
    let store = open(&disk, small()).unwrap();
    assert_eq!(store.enqueue(Batch::new().put(Space::Task, *b"k", *b"v")).unwrap().wait_blocking(), Ok(1));
    disk.fill_up(disk.bytes().len());
    let mut acknowledged = 1;
    let failure = loop {
        let batch = Batch::new().put(Space::Blob, [acknowledged as u8], vec![7; 100_000]);
        match store.enqueue(batch).and_then(Ack::wait_blocking) {
            Ok(lsn) => acknowledged = lsn,
            Err(failure) => break failure,
        }
        assert!(acknowledged < 200, "the disk never filled up");
    };
    assert!(failure.to_string().contains("the disk is full"), "{failure}");
    drop(store);
    let store = open(&Disk::holding(disk.bytes()), small()).unwrap();
    assert!(contents(&store).unwrap().len() as u64 >= acknowledged);
}
