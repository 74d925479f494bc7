//! Rows: large ones, scans, snapshots, and what is there after closing.

use std::ops::Bound;

use super::*;
use crate::limits::MAX_LOGGED_VALUE_BYTES;

on_every_kind! {
    rows_survive_closing
    a_large_value_is_a_row_like_others
    scans_go_both_ways_between_any_bounds
    a_deleted_prefix_takes_all_that_begin_so_and_nothing_else
    a_snapshot_does_not_change_while_it_is_read
    closing_commits_what_is_queued_and_takes_no_more
    the_last_handle_closes
}

fn rows_survive_closing(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    assert_eq!(store.boot(), 1);
    let batch = Batch::new().put(Space::Task, b"a", b"1").put(Space::Task, b"b", b"2");
    assert_eq!(store.enqueue(batch).unwrap().wait_blocking(), Ok(1));
    assert_eq!(store.enqueue(Batch::new().delete(Space::Task, b"a")).unwrap().wait_blocking(), Ok(2));
    store.close_blocking().unwrap();

    let store = place.open(small()).unwrap();
    assert_eq!((store.boot(), store.usage().unwrap().last_lsn), (2, 2));
    assert_eq!(contents(&store).unwrap(), Contents::from([((Space::Task, b"b".to_vec()), b"2".to_vec())]));
    assert_eq!(store.commit_blocking(Batch::new().delete(Space::Task, b"b")), Ok(3));
}

fn a_large_value_is_a_row_like_others(place: &dyn Place) {
    let mut store = place.open(small()).unwrap();
    let large = |byte| vec![byte; MAX_LOGGED_VALUE_BYTES + 1];
    let parts = Batch::new().put(Space::Blob, *b"b", large(1)).put(Space::Blob, *b"a", *b"small");
    store.commit_blocking(parts.put(Space::Blob, *b"c", large(2)).delete(Space::Blob, *b"c")).unwrap();
    put(&store, Space::Blob, b"d", large(3));
    put(&store, Space::Blob, b"b", large(4));
    put(&store, Space::Blob, b"a", large(5));
    put(&store, Space::Blob, b"d", b"small again");
    for _ in 0..2 {
        let rows = contents(&store).unwrap();
        let rows: Vec<_> = rows.iter().map(|((_, key), value)| (&key[..], value[0], value.len())).collect();
        let length = MAX_LOGGED_VALUE_BYTES + 1;
        assert_eq!(rows, [(&b"a"[..], 5, length), (b"b", 4, length), (b"d", b's', 11)]);
        let is = |key: &[u8], value: Vec<u8>| {
            let key = key.to_vec();
            store.commit_blocking(Batch::new().guard(Guard::Is {
                space: Space::Blob,
                key,
                value: value.into(),
            }))
        };
        assert!(is(b"b", large(4)).is_ok());
        assert!(is(b"b", large(1)).is_err());
        store.close_blocking().unwrap();
        store = place.open(small()).unwrap();
    }
}

fn scans_go_both_ways_between_any_bounds(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    // Enough that some rows are in memory and some are not, where that makes a difference.
    (0..200u8).for_each(|number| put(&store, Space::Journal, [number], vec![number; 50]));
    put(&store, Space::Op, [100], b"another space");
    let scan = |from: Bound<u8>, to: Bound<u8>, reverse: bool, most: usize| {
        let mut found = Vec::new();
        let (from, to) = (from.map(|key| [key]), to.map(|key| [key]));
        let range = (from.as_ref().map(|key| &key[..]), to.as_ref().map(|key| &key[..]));
        store
            .read_blocking(|snapshot| {
                snapshot.scan(Space::Journal, range, reverse, |key, value| {
                    assert_eq!(value, vec![key[0]; 50]);
                    found.push(key[0]);
                    if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })
            })
            .unwrap();
        found
    };
    use Bound::{Excluded, Included, Unbounded};
    let all: Vec<_> = (0..200).collect();
    assert_eq!(scan(Unbounded, Unbounded, false, 999), all);
    assert!(scan(Unbounded, Unbounded, true, 999).into_iter().eq(all.into_iter().rev()));
    assert_eq!(scan(Included(7), Excluded(10), false, 999), [7, 8, 9]);
    assert_eq!(scan(Excluded(7), Included(10), true, 999), [10, 9, 8]);
    assert_eq!(scan(Included(198), Unbounded, false, 999), [198, 199]);
    assert_eq!(scan(Unbounded, Excluded(150), true, 2), [149, 148]);
    for (from, to) in [(Included(9), Included(8)), (Excluded(8), Excluded(8)), (Included(250), Unbounded)] {
        assert!(scan(from, to, false, 999).is_empty());
    }
}

fn a_deleted_prefix_takes_all_that_begin_so_and_nothing_else(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let keys: [&[u8]; 8] = [b"", b"a", b"a\xff", b"a\xff\xff", b"a\xff\xff0", b"b", b"\xff", b"\xff\xff"];
    let left = |prefix: &[u8]| {
        let batch = keys.iter().fold(Batch::new(), |batch, key| batch.put(Space::Op, key, *b"v"));
        store.commit_blocking(batch.put(Space::Open, *b"a", *b"v")).unwrap();
        store.commit_blocking(Batch::new().delete_prefix(Space::Op, prefix)).unwrap();
        let rows = contents(&store).unwrap();
        assert!(rows.contains_key(&(Space::Open, b"a".to_vec())));
        rows.into_keys().filter(|(space, _)| *space == Space::Op).map(|(_, key)| key).collect::<Vec<_>>()
    };
    for prefix in [&b"a"[..], b"a\xff", b"a\xff\xff", b"\xff", b"\xff\xff", b"", b"c"] {
        let expected: Vec<_> = keys.iter().filter(|key| !key.starts_with(prefix)).collect();
        assert_eq!(left(prefix).iter().collect::<Vec<_>>(), expected, "{prefix:?}");
    }
    // Of a batch the later word counts.
    let batch = Batch::new().put(Space::Op, *b"x1", *b"").delete_prefix(Space::Op, *b"x").put(
        Space::Op,
        *b"x2",
        *b"",
    );
    store.commit_blocking(batch).unwrap();
    let found = store.read_blocking(|snapshot| {
        Ok((snapshot.contains(Space::Op, b"x1")?, snapshot.contains(Space::Op, b"x2")?))
    });
    assert_eq!(found, Ok((false, true)));
}

fn a_snapshot_does_not_change_while_it_is_read(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    put(&store, Space::Task, b"k", b"1");
    let (before, after, ack) = store
        .read_blocking(|snapshot| {
            let before = snapshot.get(Space::Task, b"k")?;
            let ack = store.enqueue(Batch::new().put(Space::Task, *b"k", *b"2"))?;
            Ok((before, snapshot.get(Space::Task, b"k")?, ack))
        })
        .unwrap();
    assert_eq!((before.as_deref(), after.as_deref()), (Some(&b"1"[..]), Some(&b"1"[..])));
    assert_eq!(ack.wait_blocking(), Ok(2));
    assert_eq!(
        store.read_blocking(|snapshot| snapshot.get(Space::Task, b"k")).unwrap().as_deref(),
        Some(&b"2"[..])
    );
}

fn closing_commits_what_is_queued_and_takes_no_more(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let other = store.clone();
    let go = hold_up(&store);
    let put = |number: u8| Batch::new().put(Space::Task, [number], *b"");
    let acks: Vec<_> = (0..50).map(|number| store.enqueue(put(number)).unwrap()).collect();
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| store.close_blocking());
        // Closed to new batches at once, and open for what is queued.
        while other.enqueue(Batch::new()).is_ok() {
            std::thread::yield_now();
        }
        drop(go);
        assert_eq!(closing.join().unwrap(), Ok(()));
    });
    for (number, ack) in acks.into_iter().enumerate() {
        assert_eq!(ack.wait_blocking(), Ok(number as u64 + 1));
    }
    assert_eq!(other.enqueue(put(99)).unwrap_err(), StoreError::Closed);
    assert_eq!(other.read_blocking(|_| Ok(())), Err(StoreError::Closed));
    assert_eq!(other.latched(), None);
    assert_eq!(contents(&place.open(small()).unwrap()).unwrap().len(), 50);
}

fn the_last_handle_closes(place: &dyn Place) {
    let store = place.open(small()).unwrap();
    let other = store.clone();
    drop(store);
    drop(other.enqueue(Batch::new().put(Space::Task, *b"k", *b"v")).unwrap());
    drop(other);
    let store = place.open(small()).unwrap();
    assert_eq!((store.boot(), contents(&store).unwrap().len()), (2, 1));
}
