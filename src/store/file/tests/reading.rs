//! Readers: what was acknowledged is there, and the file stays as it is.

use std::fs;
use std::path::Path;

use super::*;

fn store_with(folder: &Path, rows: std::ops::Range<u32>) -> Store {
    // No idle commit changes the file while it is copied.
    let options = StoreOptions { idle: Duration::from_secs(3600), ..StoreOptions::default() };
    let store = Store::open(folder, options).unwrap();
    for row in rows {
        let batch = Batch::new().put(Space::Setting, row.to_be_bytes(), *b"value");
        store.commit_blocking(batch).unwrap();
    }
    store
}

fn count(store: &Store) -> usize {
    let mut count = 0;
    let counting = |snapshot: &Snapshot<'_>| {
        snapshot.scan_prefix(Space::Setting, b"", false, |_, _| {
            count += 1;
            std::ops::ControlFlow::Continue(())
        })
    };
    store.read_blocking(counting).unwrap();
    count
}

fn file(folder: &Path) -> std::path::PathBuf {
    folder.join("longhaul.redb")
}

/// As a process that was killed leaves it: the file of a store that is still open.
fn crashed(rows: u32) -> tempfile::TempDir {
    let (living, left) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = store_with(living.path(), 0..rows);
    fs::copy(file(living.path()), file(left.path())).unwrap();
    store.close_blocking().unwrap();
    left
}

fn closed(rows: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    store_with(folder.path(), 0..rows).close_blocking().unwrap();
    folder
}

#[test]
fn a_reader_sees_all_that_was_acknowledged_and_changes_no_byte() {
    for (what, folder, rows) in [
        ("closed", closed(40), 40),
        ("crashed, with an unfolded log", crashed(40), 40),
        ("never written", closed(0), 0),
        ("crashed at once", crashed(0), 0),
    ] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(file(folder.path()), fs::Permissions::from_mode(0o400)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
        let before = fs::read(file(folder.path())).unwrap();
        for _ in 0..2 {
            let store =
                Store::open_to_read(folder.path(), StoreOptions::default(), Arc::new(NoSink)).unwrap();
            assert_eq!(count(&store), rows, "{what}");
            assert_eq!(store.usage().unwrap().last_lsn, rows as u64, "{what}");
            store.close_blocking().unwrap();
        }
        Store::check(folder.path()).unwrap();
        assert_eq!(fs::read(file(folder.path())).unwrap(), before, "{what}");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn a_reader_writes_nothing_and_says_so() {
    let folder = closed(1);
    let store = Store::open_to_read(folder.path(), StoreOptions::default(), Arc::new(NoSink)).unwrap();
    let refused = store.commit_blocking(Batch::new().put(Space::Setting, *b"key", *b"value"));
    assert!(matches!(refused, Err(StoreError::ReadOnly { .. })), "{refused:?}");
    store.close_blocking().unwrap();
    let nothing = tempfile::tempdir().unwrap();
    assert!(Store::open_to_read(nothing.path(), StoreOptions::default(), Arc::new(NoSink)).is_err());
    assert_eq!(fs::read_dir(nothing.path()).unwrap().count(), 0, "and makes nothing");
}

#[test]
fn readers_share_the_file_and_a_writer_has_it_alone() {
    let folder = closed(3);
    let reader = || Store::open_to_read(folder.path(), StoreOptions::default(), Arc::new(NoSink));
    let (one, two) = (reader().unwrap(), reader().unwrap());
    assert_eq!((count(&one), count(&two)), (3, 3));
    let writer = || Store::open(folder.path(), StoreOptions::default());
    assert!(matches!(writer(), Err(StoreError::Locked { .. })));
    drop(one);
    assert!(matches!(writer(), Err(StoreError::Locked { .. })));
    drop(two);
    let store = writer().unwrap();
    assert!(matches!(reader(), Err(StoreError::Locked { .. })));
    assert!(matches!(Store::check(folder.path()), Err(StoreError::Locked { .. })));
    store.close_blocking().unwrap();
}

#[test]
fn a_store_behind_a_link_or_in_a_folder_that_others_write_is_not_opened() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    type Make<'a> = &'a dyn Fn(&Path);
    let stores: [(&str, Make<'_>); 4] = [
        ("the file is a link", &|folder| {
            fs::rename(file(folder), folder.join("elsewhere")).unwrap();
            symlink("elsewhere", file(folder)).unwrap();
        }),
        ("the new file is a link", &|folder| {
            fs::remove_file(file(folder)).unwrap();
            symlink("elsewhere", folder.join("longhaul.redb.new")).unwrap();
        }),
        ("others write the file", &|folder| {
            fs::set_permissions(file(folder), fs::Permissions::from_mode(0o622)).unwrap();
        }),
        ("others write the folder", &|folder| {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        }),
    ];
    for (what, make) in stores {
        let folder = closed(1);
        make(folder.path());
        let refused = Store::open(folder.path(), StoreOptions::default());
        assert!(matches!(refused, Err(StoreError::NotPrivate(_))), "{what}: {refused:?}");
        assert!(
            Store::open_to_read(folder.path(), StoreOptions::default(), Arc::new(NoSink)).is_err(),
            "{what}"
        );
        assert!(Store::check(folder.path()).is_err(), "{what}");
        assert!(!folder.path().join("elsewhere").symlink_metadata().is_ok_and(|it| it.len() == 0), "{what}");
    }
}
