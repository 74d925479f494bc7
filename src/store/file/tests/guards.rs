//! Guards, leases, groups and the order of telling.

use std::sync::{Mutex, mpsc};

use super::*;

const TASK: [u8; 16] = [7; 16];

/// Queue all of these so that they share one group: the writer is held up by its sink meanwhile.
fn as_one_group(store: &Store, batches: Vec<Batch>) -> Vec<Result<Lsn, StoreError>> {
    let (go, wait) = mpsc::channel::<()>();
    let (parked, is_parked) = mpsc::channel::<()>();
    let hold = Batch::new().effects(call(move |_| {
        parked.send(()).unwrap();
        wait.recv().unwrap();
    }));
    let hold = store.enqueue(hold).unwrap();
    is_parked.recv().unwrap();
    let acks: Vec<_> = batches.into_iter().map(|batch| store.enqueue(batch).unwrap()).collect();
    go.send(()).unwrap();
    hold.wait_blocking().unwrap();
    acks.into_iter().map(Ack::wait_blocking).collect()
}

fn open_in_memory() -> Store {
    open(&Disk::holding(Vec::new()), small()).unwrap()
}

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

#[test]
fn guards_see_the_batches_before_them_in_the_same_group_and_no_refused_one() {
    let store = open_in_memory();
    let is = |value: &[u8]| Guard::Is { space: Space::Idempotency, key: b"a".to_vec(), value: value.into() };
    let put = |value: &[u8]| Batch::new().put(Space::Idempotency, *b"a", value);
    let rows_before = store.usage().unwrap().unfolded_rows;
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
    store.enqueue(Batch::new().put(Space::Task, *b"t", *b"")).unwrap().wait_blocking().unwrap();
    // The writer reports when it turns to the next group.
    store.enqueue(Batch::new()).unwrap().wait_blocking().unwrap();
    let rows = store.usage().unwrap().unfolded_rows - rows_before;
    assert_eq!(rows, 2, "one log row for the group and one for the last batch");
}

#[test]
fn a_lease_fences_older_tokens_and_ends_with_the_process() {
    let disk = Disk::default();
    let store = open(&disk, small()).unwrap();
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
    let store = open(&disk, small()).unwrap();
    let answer = store.enqueue(write(9).guard(lease(3))).unwrap().wait_blocking();
    let words = answer.unwrap_err().to_string();
    assert!(words.contains("lease 3 of task 0707"), "{words}");
}

#[test]
fn effects_come_in_the_order_of_commits_each_once_and_what_is_applied_can_be_read() {
    let store = open_in_memory();
    let told = Arc::new(Mutex::new(Vec::new()));
    let batches = (0..100u8).map(|number| {
        let (told, reader) = (told.clone(), store.clone());
        let batch = Batch::new().put(Space::Event, [number], [number]).effects(call(move |became| {
            let found = reader.read(|snapshot| snapshot.get(Space::Event, &[number])).unwrap();
            let is_refused = matches!(became, Err(StoreError::Refused(_)));
            assert_eq!(is_refused, became.is_err());
            told.lock().unwrap().push((number, is_refused, found.is_some()));
        }));
        if number % 10 == 3 { batch.guard(lease(1)) } else { batch }
    });
    let acks: Vec<_> = batches.map(|batch| store.enqueue(batch).unwrap()).collect();
    for ack in acks {
        let _ = ack.wait_blocking();
    }
    let expected = (0..100u8).map(|number| (number, number % 10 == 3, number % 10 != 3));
    assert_eq!(*told.lock().unwrap(), expected.collect::<Vec<_>>());
}

#[test]
fn what_is_not_taken_is_withdrawn_before_its_caller_knows() {
    let store = open_in_memory();
    let withdrawn = Arc::new(Mutex::new(Vec::new()));
    let enqueue = |batch: Batch| {
        let withdrawn = withdrawn.clone();
        let note = move |became: Result<(), &StoreError>| {
            withdrawn.lock().unwrap().push(became.unwrap_err().clone())
        };
        store.enqueue(batch.effects(call(note))).unwrap_err()
    };
    let too_large = enqueue(Batch::new().put(Space::Task, [0; crate::limits::MAX_KEY_BYTES + 1], *b""));
    store.clone().close_blocking().unwrap();
    let closed = enqueue(Batch::new());
    assert!(matches!(too_large, StoreError::TooLarge { .. }), "{too_large}");
    assert_eq!(closed, StoreError::Closed);
    assert_eq!(*withdrawn.lock().unwrap(), [too_large, closed]);
}

#[test]
fn a_batch_without_writes_waits_for_those_before_it_and_has_their_number() {
    let store = open_in_memory();
    let write = store.enqueue(Batch::new().put(Space::Task, *b"k", *b"v")).unwrap();
    let barrier = store.enqueue(Batch::new()).unwrap();
    assert_eq!(barrier.wait_blocking(), Ok(1));
    assert_eq!(write.wait_blocking(), Ok(1));
}
