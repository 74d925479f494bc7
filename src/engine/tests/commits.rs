//! What lives in memory alone follows the commit that it belongs to.

use super::commit::Commit;
use super::effect::Effect;
use super::*;
use crate::engine::memory::entry::Entry;
use crate::store::{Guard, StoreError};

fn id() -> TaskId {
    TaskId::from_bytes([7; 16])
}

/// Opens a task, if nothing stands under its key.
fn opens() -> Commit {
    let entry = Entry::new(id(), "me".to_owned(), START, 60, crate::task::Status::new(START, [0; 32]), None);
    let guard = Guard::Absent { space: Space::Setting, key: b"there".to_vec() };
    let mut commit = Commit::new().guard(guard).put(Space::Setting, b"there", b"");
    commit.add_effect(Effect::Opened { task: entry.id, after: Duration::ZERO });
    commit.stage(entry);
    commit
}

#[tokio::test]
async fn an_entry_is_open_once_its_commit_is_applied_and_never_without_it() {
    let world = World::new();
    let engine = world.open(Closures::new()).await;
    let memory = &engine.shared.memory;
    let ack = engine.shared.commit(opens()).expect("queued");
    ack.await.expect("applied");
    assert!(memory.entry(id()).is_some() && !memory.has_staged());

    memory.open_tasks().remove(id()).expect("it is open");
    let refused = engine.shared.commit(opens()).expect("queued").await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert!(memory.entry(id()).is_none() && !memory.has_staged());

    engine.shutdown().await;
    assert_eq!(engine.shared.commit(opens()).expect_err("closed"), StoreError::Closed);
    assert!(memory.entry(id()).is_none() && !memory.has_staged());
}

/// Of two who open the same task at once, what the one that is refused had staged is not taken for the other's.
#[tokio::test]
async fn each_commit_opens_the_entry_that_it_staged() {
    let world = World::new();
    let engine = world.open(Closures::new()).await;
    let entry = |total| {
        Entry::new(id(), "me".to_owned(), START, total, crate::task::Status::new(START, [0; 32]), None)
    };
    let memory = &engine.shared.memory;
    let (first, second) = (memory.stage(vec![entry(1)]), memory.stage(vec![entry(2)]));
    assert_eq!(memory.unstage(second, id()).map(|entry| entry.total_seconds()), Some(2));
    assert_eq!(memory.unstage(first, id()).map(|entry| entry.total_seconds()), Some(1));
    assert!(memory.unstage(first, id()).is_none());
    engine.shutdown().await;
}
