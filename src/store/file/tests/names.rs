//! Names that cannot be made, given or synced: an error, never silence, and what was acknowledged is there.

use futures::executor::block_on;

use super::super::backup::restore_in;
use super::super::names::Names;
use super::disk::Fault;
use super::*;

const FAULTS: [fn(u64) -> Fault; 2] = [Fault::Once, Fault::From];

fn open_in(names: &Names, folder: &Path) -> Result<Store, StoreError> {
    let opened = File::open_in(names.clone(), folder, small(), Arc::new(NoSink));
    block_on(opened).map(Store::of_file)
}

fn put_one(store: &Store, key: u8) {
    let batch = Batch::new().put(Space::Setting, [key], b"there");
    store.enqueue(batch).and_then(Ack::wait_blocking).unwrap();
}

/// Opens the folder with each call failing in turn. Gives the number of calls, and of those that failed unheard.
fn fail_each(prepared: impl Fn(&Path), expected: &Contents, fault: fn(u64) -> Fault) -> u64 {
    for call in 1.. {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("deep/data");
        prepared(&folder);
        let names = Names::default();
        names.disk.fail(fault(call));
        let opened = open_in(&names, &folder);
        if !names.disk.has_failed() {
            opened.unwrap();
            return call - 1;
        }
        let error = opened.expect_err("a call failed, and the store is open").to_string();
        assert!(error.contains("the disk failed"), "call {call}: {error}");
        // The disk works again.
        let store = open_in(&Names::default(), &folder).unwrap_or_else(|e| panic!("call {call}: {e}"));
        assert_eq!(contents(&store).unwrap(), *expected, "call {call}");
        put_one(&store, 9);
    }
    unreachable!("a store is opened in a bounded number of calls")
}

#[test]
fn a_store_whose_name_cannot_be_made_safe_is_not_opened_and_is_once_it_can() {
    for fault in FAULTS {
        // The folder, the names above it, the file made, synced and named, its name.
        assert!(fail_each(|_| {}, &Contents::default(), fault) >= 7);
    }
}

/// A store of one row, whose process died.
fn killed(folder: &Path) {
    let living = tempfile::tempdir().unwrap();
    let store = Store::open(living.path(), small()).unwrap();
    put_one(&store, 1);
    crate::private::make_folder(folder).unwrap();
    std::fs::copy(living.path().join("longhaul.redb"), folder.join("longhaul.redb")).unwrap();
}

fn closed(folder: &Path) {
    let store = Store::open(folder, small()).unwrap();
    put_one(&store, 1);
    store.close_blocking().unwrap();
}

#[test]
fn a_store_that_was_not_closed_makes_its_name_safe_once_more() {
    let one = Contents::from([((Space::Setting, vec![1]), b"there".to_vec())]);
    for fault in FAULTS {
        // Its process may have died between giving the file its name and syncing the folder.
        assert_eq!(fail_each(killed, &one, fault), 3);
        assert_eq!(fail_each(closed, &one, fault), 2);
    }
}

#[test]
fn a_backup_whose_names_fail_is_no_store_or_a_whole_one() {
    let from = tempfile::tempdir().unwrap();
    let store = Store::open(from.path(), small()).unwrap();
    put_one(&store, 1);
    let expected = contents(&store).unwrap();
    let mut backup = Vec::new();
    store.back_up(0, &mut backup).unwrap();
    let mut unheard = Vec::new();
    for fault in FAULTS {
        for call in 1.. {
            let root = tempfile::tempdir().unwrap();
            let folder = root.path().join("deep/data");
            let names = Names::default();
            names.disk.fail(fault(call));
            let restored = restore_in(&names, &*backup, &folder, 0);
            if !names.disk.has_failed() {
                restored.unwrap();
                assert!(call > 6, "{call} calls");
                break;
            }
            match restored {
                Ok(_) => unheard.push(call),
                Err(error) => assert!(error.to_string().contains("the disk failed"), "call {call}: {error}"),
            }
            // What has the name is whole; where nothing has it, it can be tried again.
            if !folder.join("longhaul.redb").exists() {
                restore_in(&Names::default(), &*backup, &folder, 0).unwrap();
            }
            assert_eq!(contents(&Store::open(&folder, small()).unwrap()).unwrap(), expected, "call {call}");
        }
    }
    // A file system without second names: it is given its name in the other way.
    assert_eq!(unheard.len(), 1, "{unheard:?}");
}
