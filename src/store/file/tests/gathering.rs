//! When the writer waits for those whom it has answered, and when it does not.

use futures::FutureExt;

use super::*;
use crate::limits::{MAX_GROUP_BYTES, MIN_GATHERED_ANSWERS};
use crate::store::Lsn;
use crate::store::file::drive::Drive;
use crate::store::file::shared::Waits;
use crate::store::suite::{Calls, hold_up};

/// More than enough to be waited for.
const MANY: usize = 2 * MIN_GATHERED_ANSWERS;
const FOR_EVER: Duration = Duration::from_secs(3600);

pub(super) fn put(number: usize) -> Batch {
    Batch::new().put(Space::Task, number.to_be_bytes(), b"row")
}

/// The groups that a drive got, as the number of the first batch of each.
pub(super) fn groups(drive: &Drive) -> Vec<Lsn> {
    drive.history().groups.iter().map(|group| group.first_lsn).collect()
}

/// A store whose writer waits so long for those that it has answered.
fn open_gathering(gather: Duration) -> (Drive, Store) {
    let drive = Drive::recording().unwrap();
    let options = StoreOptions { gather, ..small() };
    let store = Store::open_on(&drive, options, Arc::new(Calls)).unwrap();
    (drive, store)
}

/// So many share a commit, and are answered.
fn answer(store: &Store, count: usize) {
    let answers = as_one_group(store, (0..count).map(put).collect());
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

/// The writer of a store that has answered many, so that it waits for the half of them.
fn gathering() -> (Drive, Store) {
    let (drive, store) = open_gathering(FOR_EVER);
    answer(&store, MANY);
    (drive, store)
}

/// Queues a batch, and comes back when the writer waits for others to come with it.
fn enqueue_first(store: &Store) -> Ack {
    let mut first = store.enqueue(put(0)).unwrap();
    let is_gathering = || {
        let queue = file(store).shared.queue();
        matches!(queue.writer, Waits::Gathering(_)) && queue.hurried == 1
    };
    while !is_gathering() {
        assert_eq!((&mut first).now_or_never(), None, "the first had a commit for itself");
        std::thread::yield_now();
    }
    first
}

const FIRST: Lsn = 1;
const SECOND: Lsn = FIRST + MANY as Lsn;

#[test]
fn after_many_answers_the_half_of_them_share_the_next_commit() {
    let (drive, store) = gathering();
    let first = enqueue_first(&store);
    let others: Vec<_> = (1..MANY / 2).map(|number| store.enqueue(put(number)).unwrap()).collect();
    for (number, ack) in [first].into_iter().chain(others).enumerate() {
        assert_eq!(ack.wait_blocking(), Ok(SECOND + number as Lsn));
    }
    assert_eq!(groups(&drive), [FIRST, SECOND]);
}

#[test]
fn an_answer_comes_after_the_sync_of_its_group() {
    let (drive, store) = gathering();
    let acks: Vec<_> = (0..MANY / 2).map(|number| store.enqueue(put(number)).unwrap()).collect();
    assert!(acks.into_iter().all(|ack| ack.wait_blocking().is_ok()));
    let syncs = drive.disk.images().syncs();
    let acknowledged = drive.history().acknowledged.clone();
    assert_eq!(acknowledged.iter().filter(|(lsn, _)| *lsn > 0).count(), MANY + MANY / 2);
    for (lsn, changes) in acknowledged.into_iter().filter(|(lsn, _)| *lsn > 0) {
        assert!(syncs.contains(&(changes - 1)), "commit {lsn}: the last of {changes} changes is no sync");
    }
}

#[test]
fn few_answers_are_followed_by_no_wait() {
    let (drive, store) = open_gathering(FOR_EVER);
    answer(&store, MIN_GATHERED_ANSWERS - 1);
    for number in 0..MIN_GATHERED_ANSWERS {
        assert!(store.enqueue(put(number)).unwrap().wait_blocking().is_ok());
    }
    let alone = (0..MIN_GATHERED_ANSWERS).map(|number| (MIN_GATHERED_ANSWERS + number) as Lsn);
    assert_eq!(groups(&drive), [FIRST].into_iter().chain(alone).collect::<Vec<_>>());
}

#[test]
fn answers_that_none_waits_for_are_followed_by_no_wait() {
    let (drive, store) = open_gathering(FOR_EVER);
    let go = hold_up(&store);
    (1..MANY).for_each(|number| drop(store.enqueue(put(number)).unwrap()));
    let last = store.enqueue(put(MANY)).unwrap();
    drop(go);
    assert_eq!(last.wait_blocking(), Ok(SECOND - 1));
    assert_eq!(store.enqueue(put(0)).unwrap().wait_blocking(), Ok(SECOND));
    assert_eq!(groups(&drive), [FIRST, SECOND]);
}

#[test]
fn the_wait_is_over_after_its_time() {
    let (drive, store) = open_gathering(Duration::from_millis(1));
    answer(&store, MANY);
    assert_eq!(store.enqueue(put(0)).unwrap().wait_blocking(), Ok(SECOND));
    assert_eq!(groups(&drive), [FIRST, SECOND]);
}

#[test]
fn an_owner_that_blocks_a_thread_ends_the_wait() {
    let (drive, store) = gathering();
    let first = enqueue_first(&store);
    assert_eq!(store.commit_blocking(put(1)), Ok(SECOND + 1));
    assert_eq!(first.wait_blocking(), Ok(SECOND));
    assert_eq!(groups(&drive), [FIRST, SECOND]);
}

#[test]
fn as_much_as_a_group_holds_ends_the_wait() {
    let (drive, store) = gathering();
    let first = enqueue_first(&store);
    let large = Batch::new().put(Space::Blob, b"large", vec![1; MAX_GROUP_BYTES]);
    // Both are more than a group holds.
    assert_eq!(store.enqueue(large).unwrap().wait_blocking(), Ok(SECOND + 1));
    assert_eq!(first.wait_blocking(), Ok(SECOND));
    assert_eq!(groups(&drive), [FIRST, SECOND, SECOND + 1]);
}

#[test]
fn closing_ends_the_wait() {
    let (drive, store) = gathering();
    let first = enqueue_first(&store);
    store.close_blocking().unwrap();
    assert_eq!(first.wait_blocking(), Ok(SECOND));
    assert_eq!(groups(&drive), [FIRST, SECOND]);
}
