//! What is refused at once: what is too large, and what is too much.

use super::*;
use crate::limits::{
    MAX_BATCH_DIRECT_BYTES, MAX_BATCH_LOG_BYTES, MAX_KEY_BYTES, MAX_LOGGED_VALUE_BYTES, MAX_QUEUED_BATCHES,
    MAX_QUEUED_BYTES,
};

on_every_kind! {
    what_is_over_a_bound_is_refused_and_not_queued
    a_queue_that_is_full_says_so_and_keeps_what_it_has
    a_queue_is_full_by_its_bytes_too
}

fn what_is_over_a_bound_is_refused_and_not_queued(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let at_bound = Batch::new().put(Space::Task, [1; MAX_KEY_BYTES], *b"");
    assert_eq!(store.enqueue(at_bound).unwrap().wait_blocking(), Ok(1));
    let long_key = Batch::new().delete(Space::Task, [1; MAX_KEY_BYTES + 1]);
    let value = vec![0; MAX_LOGGED_VALUE_BYTES];
    let count = MAX_BATCH_LOG_BYTES / value.len() + 1;
    let long_log = (0..count as u8).fold(Batch::new(), |batch, key| batch.put(Space::Task, [key], &value));
    let large = vec![0; MAX_BATCH_DIRECT_BYTES + 1];
    for batch in [long_key, long_log, Batch::new().put(Space::Blob, *b"large", large)] {
        let refused = store.enqueue(batch).unwrap_err();
        assert!(matches!(refused, StoreError::TooLarge { .. }), "{refused}");
    }
    assert_eq!(contents(&store).unwrap().len(), 1);
    assert_eq!(store.usage().unwrap().queued_batches, 0);
}

fn a_queue_that_is_full_says_so_and_keeps_what_it_has(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let go = hold_up(&store);
    let put = |number: usize| Batch::new().put(Space::Task, number.to_be_bytes(), *b"");
    let acks: Vec<_> = (0..MAX_QUEUED_BATCHES).map(|number| store.enqueue(put(number)).unwrap()).collect();
    let busy = store.enqueue(put(MAX_QUEUED_BATCHES)).unwrap_err();
    assert!(matches!(busy, StoreError::Busy { queued: MAX_QUEUED_BATCHES, .. }), "{busy}");
    drop(go);
    for (number, ack) in acks.into_iter().enumerate() {
        assert_eq!(ack.wait_blocking(), Ok(number as u64 + 1));
    }
    assert_eq!(contents(&store).unwrap().len(), MAX_QUEUED_BATCHES);
    assert!(store.enqueue(put(MAX_QUEUED_BATCHES)).unwrap().wait_blocking().is_ok());
}

fn a_queue_is_full_by_its_bytes_too(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let go = hold_up(&store);
    // Of the queue alone: a guard that does not hold spares the disk.
    let guard = Guard::Present { space: Space::Task, key: b"nothing".to_vec() };
    let large = || Batch::new().put(Space::Blob, *b"b", vec![0; MAX_BATCH_DIRECT_BYTES]).guard(guard.clone());
    let fit = MAX_QUEUED_BYTES / large().bytes();
    let acks: Vec<_> = (0..fit).map(|_| store.enqueue(large()).unwrap()).collect();
    let busy = store.enqueue(large()).unwrap_err();
    assert!(matches!(busy, StoreError::Busy { queued, .. } if queued == fit), "{busy}");
    drop(go);
    for ack in acks {
        assert!(matches!(ack.wait_blocking(), Err(StoreError::Refused(_))));
    }
    assert!(matches!(store.commit_blocking(large()), Err(StoreError::Refused(_))));
}
