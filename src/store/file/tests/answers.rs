//! Who learns of a commit that many share.

use super::*;

/// More than are answered from the writer's own thread.
const MANY: usize = 1_000;

fn many_threads(workers: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().unwrap()
}

fn put(number: usize) -> Batch {
    Batch::new().put(Space::Task, number.to_be_bytes(), b"row")
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
