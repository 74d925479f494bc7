//! What follows from a batch: its number, its mark, its effects; in which order, and what of it when it is refused or
//! lost.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::limits::MAX_KEY_BYTES;

on_every_kind! {
    effects_come_in_the_order_of_commits_each_once_and_what_is_applied_can_be_read
    a_batch_without_writes_waits_for_those_before_it_and_has_their_number
    a_mark_is_set_before_the_effects_and_not_by_a_refused_batch
    what_is_not_taken_is_withdrawn_before_its_caller_knows
    a_sink_that_panics_latches_and_what_is_queued_behind_is_withdrawn
}

fn refused_guard() -> Guard {
    Guard::Lease { task: [7; 16], token: 1 }
}

fn effects_come_in_the_order_of_commits_each_once_and_what_is_applied_can_be_read(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let batches = (0..100u8).map(|number| {
        let (calls, reader) = (calls.clone(), store.clone());
        let batch = Batch::new().put(Space::Event, [number], [number]).effects(call(move |became| {
            let found = reader.read_blocking(|snapshot| snapshot.get(Space::Event, &[number])).unwrap();
            let is_refused = matches!(became, Err(StoreError::Refused(_)));
            assert_eq!(is_refused, became.is_err());
            calls.lock().push((number, is_refused, found.is_some()));
        }));
        if number % 10 == 3 { batch.guard(refused_guard()) } else { batch }
    });
    let acks: Vec<_> = batches.map(|batch| store.enqueue(batch).unwrap()).collect();
    for ack in acks {
        let _ = ack.wait_blocking();
    }
    let expected = (0..100u8).map(|number| (number, number % 10 == 3, number % 10 != 3));
    assert_eq!(*calls.lock(), expected.collect::<Vec<_>>());
}

fn a_batch_without_writes_waits_for_those_before_it_and_has_their_number(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let write = store.enqueue(Batch::new().put(Space::Task, *b"k", *b"v")).unwrap();
    let barrier = store.enqueue(Batch::new()).unwrap();
    assert_eq!(barrier.wait_blocking(), Ok(1));
    assert_eq!(write.wait_blocking(), Ok(1));
}

fn a_mark_is_set_before_the_effects_and_not_by_a_refused_batch(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let mark = Arc::new(AtomicU64::new(0));
    let (tell, seen) = mpsc::channel();
    let read = mark.clone();
    let mut batch = Batch::new().effects(call(move |_| tell.send(read.load(Ordering::Acquire)).unwrap()));
    batch.add_mark(mark.clone(), 7);
    store.enqueue(batch).unwrap().wait_blocking().unwrap();
    assert_eq!(seen.recv(), Ok(7));
    let mut refused = Batch::new().guard(refused_guard());
    refused.add_mark(mark.clone(), 8);
    assert!(store.enqueue(refused).unwrap().wait_blocking().is_err());
    assert_eq!(mark.load(Ordering::Acquire), 7);
}

fn what_is_not_taken_is_withdrawn_before_its_caller_knows(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let withdrawn = Arc::new(Mutex::new(Vec::new()));
    let enqueue = |batch: Batch| {
        let withdrawn = withdrawn.clone();
        let note = move |became: Result<(), &StoreError>| withdrawn.lock().push(became.unwrap_err().clone());
        store.enqueue(batch.effects(call(note))).unwrap_err()
    };
    let too_large = enqueue(Batch::new().put(Space::Task, [0; MAX_KEY_BYTES + 1], *b""));
    store.clone().close_blocking().unwrap();
    let closed = enqueue(Batch::new());
    assert!(matches!(too_large, StoreError::TooLarge { .. }), "{too_large}");
    assert_eq!(closed, StoreError::Closed);
    assert_eq!(*withdrawn.lock(), [too_large, closed]);
}

fn a_sink_that_panics_latches_and_what_is_queued_behind_is_withdrawn(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let latch = store.on_latch();
    let before = store.enqueue(Batch::new().put(Space::Task, *b"a", *b"1")).unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let panics = Batch::new().put(Space::Task, *b"b", *b"2").effects(call(move |_| {
        wait.recv().unwrap();
        panic!("in a sink")
    }));
    let panics = store.enqueue(panics).unwrap();
    let (tell, withdrawn) = mpsc::channel();
    let behind = Batch::new().put(Space::Task, *b"c", *b"3").effects(call(move |became| {
        tell.send(became.map_err(Clone::clone)).unwrap();
        panic!("and again")
    }));
    let behind = store.enqueue(behind).unwrap();
    let last = store.enqueue(Batch::new()).unwrap();
    go.send(()).unwrap();
    assert_eq!(before.wait_blocking(), Ok(1));
    // Its sender is gone with the panic: never acknowledged.
    assert!(panics.wait_blocking().is_err());
    let latched = behind.wait_blocking().unwrap_err();
    assert!(latched.to_string().contains("panicked"), "{latched}");
    assert_eq!(withdrawn.recv().unwrap(), Err(latched.clone()));
    assert_eq!(last.wait_blocking(), Err(latched.clone()));
    assert_eq!(store.enqueue(Batch::new()).unwrap_err(), latched);
    assert!(latch.has_changed().unwrap());
    assert_eq!(store.latched().map(StoreError::Latched), Some(latched.clone()));
    assert_eq!(store.close_blocking(), Err(latched));
}
