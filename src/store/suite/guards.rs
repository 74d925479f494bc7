//! Guards and leases.

use super::*;

on_every_kind! {
    guards_see_the_batches_before_them_in_the_same_group_and_no_refused_one
    a_guard_sees_the_large_value_of_a_batch_before_it
    a_lease_fences_older_tokens_and_ends_with_the_process
}

const TASK: [u8; 16] = [7; 16];

fn refused(answer: &Result<Lsn, StoreError>) -> Option<usize> {
    match answer {
        Err(StoreError::Refused(refusal)) => Some(refusal.index),
        _ => None,
    }
}

fn absent(key: &[u8]) -> Guard {
    Guard::Absent { space: Space::Idempotency, key: key.to_vec() }
}

fn lease(token: u64) -> Guard {
    Guard::Lease { task: TASK, token }
}

fn guards_see_the_batches_before_them_in_the_same_group_and_no_refused_one(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let is = |value: &[u8]| Guard::Is { space: Space::Idempotency, key: b"a".to_vec(), value: value.into() };
    let put = |value: &[u8]| Batch::new().put(Space::Idempotency, *b"a", value);
    let answers = as_one_group(
        &store,
        vec![
            put(b"1").guard(absent(b"a")),
            put(b"2").guard(absent(b"a")).put(Space::Task, *b"half", *b"x"),
            put(b"3").guard(is(b"2")),
            put(b"4").guard(Guard::Present { space: Space::Task, key: b"half".to_vec() }),
            put(b"5").guard(is(b"1")).guard(absent(b"other")),
            Batch::new().delete_prefix(Space::Idempotency, *b""),
            put(b"6").guard(absent(b"a")),
        ],
    );
    assert_eq!(
        answers.iter().map(refused).collect::<Vec<_>>(),
        [None, Some(0), Some(0), Some(0), None, None, None]
    );
    assert_eq!(answers.iter().flatten().collect::<Vec<_>>(), [&1, &2, &3, &4]);
    let found = contents(&store).unwrap();
    assert_eq!(found.into_values().collect::<Vec<_>>(), [b"6"]);
}

fn a_guard_sees_the_large_value_of_a_batch_before_it(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let large = |byte| vec![byte; crate::limits::MAX_LOGGED_VALUE_BYTES + 1];
    let is =
        |value: Vec<u8>| Guard::Is { space: Space::Idempotency, key: b"a".to_vec(), value: value.into() };
    let put = |value: Vec<u8>| Batch::new().put(Space::Idempotency, *b"a", value);
    store.commit_blocking(put(vec![1])).unwrap();
    let answers = as_one_group(
        &store,
        vec![
            put(large(2)),
            put(large(9)).guard(absent(b"a")),
            put(vec![3]).guard(is(vec![1])),
            put(large(4)).guard(is(large(2))),
            put(large(5)).guard(is(large(2))),
            put(vec![6]).guard(is(large(4))),
        ],
    );
    assert_eq!(
        answers.iter().map(refused).collect::<Vec<_>>(),
        [None, Some(0), Some(0), None, Some(0), None]
    );
    assert_eq!(contents(&store).unwrap().into_values().collect::<Vec<_>>(), [[6]]);
}

fn a_lease_fences_older_tokens_and_ends_with_the_process(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let write = |byte: u8| Batch::new().put(Space::Journal, [byte], *b"x");
    let answers = as_one_group(
        &store,
        vec![
            write(0).guard(lease(1)),
            write(1).lease(TASK, 1),
            write(2).guard(lease(1)),
            // Refused, so it takes no lease either.
            write(3).guard(lease(9)).lease(TASK, 9),
            write(4).guard(lease(1)).lease(TASK, 2),
            write(5).guard(lease(1)),
            write(6).guard(lease(2)).end_lease(TASK),
            write(7).guard(lease(2)),
            Batch::new().lease(TASK, 3),
        ],
    );
    let refused: Vec<_> = (0..answers.len()).filter(|number| refused(&answers[*number]).is_some()).collect();
    assert_eq!(refused, [0, 3, 5, 7]);
    assert!(store.enqueue(Batch::new().guard(lease(3))).unwrap().wait_blocking().is_ok());
    store.close_blocking().unwrap();
    let store = place.open(small()).unwrap();
    let answer = store.enqueue(write(9).guard(lease(3))).unwrap().wait_blocking();
    let words = answer.unwrap_err().to_string();
    assert!(words.contains("lease 3 of task 0707"), "{words}");
}
