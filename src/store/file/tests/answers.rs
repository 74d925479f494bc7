//! Who learns of a commit that many share.

use std::sync::mpsc;

use futures::FutureExt;

use super::gathering::{groups, put};
use super::*;
use crate::store::file::drive::Drive;
use crate::store::suite::hold_up;

/// More than are answered from the writer's own thread.
const MANY: usize = 1_000;

fn many_threads(workers: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().unwrap()
}

/// Opened within the runtime, whose tasks then give the answers.
fn open_within(runtime: &tokio::runtime::Runtime) -> Store {
    let _within = runtime.enter();
    open(&Disk::default(), small()).unwrap()
}

#[test]
fn all_who_share_a_commit_are_answered_each_with_its_own() {
    let runtime = many_threads(2);
    let store = open_within(&runtime);
    runtime.block_on(async {
        let refused = || put(0).guard(Guard::Present { space: Space::Task, key: b"nothing".to_vec() });
        let batches = (0..MANY).map(|number| if number % 10 == 3 { refused() } else { put(number) });
        let acks: Vec<_> = batches.map(|batch| store.enqueue(batch).unwrap()).collect();
        let mut lsn = 0;
        for (number, ack) in acks.into_iter().enumerate() {
            let answer = ack.await;
            if number % 10 == 3 {
                assert!(matches!(answer, Err(StoreError::Refused(_))), "{answer:?}");
            } else {
                lsn += 1;
                assert_eq!(answer, Ok(lsn));
            }
        }
    });
}

/// Of the first and the last of so many that share a commit.
fn effects_come_before_any_answer(among: usize) {
    let runtime = many_threads(2);
    let store = open_within(&runtime);
    let (tell, seen) = mpsc::channel();
    let go = hold_up(&store);
    let mut first = store.enqueue(put(0)).unwrap();
    let between: Vec<_> = (1..among).map(|number| store.enqueue(put(number)).unwrap()).collect();
    let effects = call(move |_| {
        let answer = (&mut first).now_or_never();
        tell.send((answer, first)).unwrap();
    });
    let last = store.enqueue(put(among).effects(effects)).unwrap();
    drop(go);
    let (before, first) = seen.recv().unwrap();
    assert_eq!(before, None, "an answer came before the effects of all");
    assert_eq!(first.wait_blocking(), Ok(1));
    assert_eq!(last.wait_blocking(), Ok(among as u64 + 1));
    for (number, ack) in between.into_iter().enumerate() {
        assert_eq!(ack.wait_blocking(), Ok(number as u64 + 2));
    }
}

#[test]
fn no_answer_comes_before_the_effects_of_all_who_share_its_commit() {
    effects_come_before_any_answer(1);
    effects_come_before_any_answer(MANY);
}

#[test]
fn a_runtime_that_has_ended_keeps_nobody_waiting() {
    let runtime = many_threads(2);
    let store = open_within(&runtime);
    drop(runtime);
    let acks: Vec<_> = (0..MANY).map(|number| store.enqueue(put(number)).unwrap()).collect();
    for (number, ack) in acks.into_iter().enumerate() {
        assert_eq!(ack.wait_blocking(), Ok(number as u64 + 1));
    }
}

fn patient(number: usize) -> Batch {
    let mut batch = put(number);
    batch.be_patient();
    batch
}

#[test]
fn a_patient_batch_goes_along_with_the_next() {
    let drive = Drive::recording().unwrap();
    let options = StoreOptions { patience: Duration::from_secs(3600), ..small() };
    let store = Store::open_on(&drive, options, Arc::new(NoSink)).unwrap();
    let first = store.commit_blocking(put(0)).unwrap();
    let waiting = store.enqueue(patient(1)).unwrap();
    let next = store.commit_blocking(put(2)).unwrap();
    assert_eq!((waiting.wait_blocking(), next), (Ok(first + 1), first + 2));
    assert_eq!(groups(&drive), [first, first + 1], "the two are one commit");
}

#[test]
fn a_patient_batch_that_stays_alone_is_committed_all_the_same() {
    let drive = Drive::recording().unwrap();
    let store = Store::open_on(&drive, small(), Arc::new(NoSink)).unwrap();
    for number in 0..3 {
        assert_eq!(store.enqueue(patient(number)).unwrap().wait_blocking(), Ok(number as u64 + 1));
    }
    let waiting = store.enqueue(patient(3)).unwrap();
    store.close_blocking().unwrap();
    assert_eq!(waiting.wait_blocking(), Ok(4), "closing waits for it");
    assert_eq!(groups(&drive), [1, 2, 3, 4]);
}

/// A sweep waits with every other thread of the runtime waiting for it: no task could give it the answer.
#[test]
fn a_thread_that_blocks_needs_no_other() {
    let runtime = many_threads(1);
    let store = open_within(&runtime);
    let blocking = async move {
        let acks: Vec<_> = (0..MANY).map(|number| store.enqueue(put(number)).unwrap()).collect();
        let answer = store.commit_blocking(Batch::new());
        drop(acks);
        answer
    };
    let answer = runtime.block_on(runtime.spawn(blocking));
    assert_eq!(answer.unwrap(), Ok(MANY as u64));
}
