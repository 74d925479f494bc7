use std::ops::ControlFlow;

use super::*;

#[test]
fn rows_survive_closing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let store = Store::open(&path, StoreOptions::default()).unwrap();
    assert_eq!(store.boot(), 1);
    let batch = Batch::new().put(Space::Task, b"a", b"1").put(Space::Task, b"b", b"2").put(
        Space::Blob,
        b"big",
        vec![7; 1_000_000],
    );
    assert_eq!(store.enqueue(batch).unwrap().wait_blocking(), Ok(1));
    assert_eq!(store.enqueue(Batch::new().delete(Space::Task, b"a")).unwrap().wait_blocking(), Ok(2));
    store.close_blocking().unwrap();

    let store = Store::open(&path, StoreOptions::default()).unwrap();
    assert_eq!(store.boot(), 2);
    store
        .read(|snapshot| {
            assert_eq!(snapshot.get(Space::Task, b"a")?, None);
            assert_eq!(snapshot.get(Space::Task, b"b")?.as_deref(), Some(&b"2"[..]));
            assert_eq!(snapshot.get(Space::Blob, b"big")?.map(|value| value.len()), Some(1_000_000));
            let mut keys = Vec::new();
            snapshot.scan(Space::Task, .., false, |key, _| {
                keys.push(key.to_vec());
                ControlFlow::Continue(())
            })?;
            assert_eq!(keys, [b"b"]);
            Ok(())
        })
        .unwrap();
    assert_eq!(store.enqueue(Batch::new().delete(Space::Task, b"b")).unwrap().wait_blocking(), Ok(3));
}
