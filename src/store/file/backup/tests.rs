//! Backups of stores that are written to, and what damage to one comes to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::BackupError;
use crate::limits::{MAX_LOGGED_VALUE_BYTES, RESTORED_BOOT_GAP};
use crate::store::{Batch, NoSink, Space, Store, StoreError, StoreOptions};

type Contents = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

/// Folds early and in small slices, and is never idle.
fn small() -> StoreOptions {
    StoreOptions {
        max_unfolded_bytes: 16 * 1024,
        ring_bytes: 32 * 1024,
        fold_slice_rows: 4,
        idle: Duration::from_secs(3600),
        cache_bytes: 1024 * 1024,
        ..StoreOptions::default()
    }
}

fn contents(store: &Store) -> Contents {
    let mut contents = Contents::new();
    let read = store.read_blocking(|snapshot| {
        Space::ALL.iter().try_for_each(|&space| {
            snapshot.scan(space, .., false, |key, value| {
                contents.insert((space, key.to_vec()), value.to_vec());
                ControlFlow::Continue(())
            })
        })
    });
    read.expect("read");
    contents
}

/// With rows that are folded, rows that are not, deleted ones, and large ones.
fn fill(store: &Store, rows: u32) {
    for row in 0..rows {
        let value = vec![row as u8; if row % 40 == 7 { MAX_LOGGED_VALUE_BYTES + 1 } else { 100 }];
        let batch = Batch::new().put(Space::Journal, row.to_be_bytes(), value);
        let batch = batch.put(Space::Task, row.to_le_bytes(), vec![1; 30]);
        store.commit_blocking(batch.delete(Space::Task, (row / 2).to_le_bytes())).expect("written");
    }
}

fn backup_of(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    let made = store.back_up(7, &mut bytes).expect("made");
    assert_eq!(Store::verify_backup(&*bytes).expect("whole"), made);
    assert_eq!((made.bytes, made.made_at), (bytes.len() as u64, 7));
    bytes
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder");
    names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_restored_store_has_every_row_whether_its_source_runs_is_closed_or_was_killed() {
    let living = tempfile::tempdir().unwrap();
    let store = Store::open(living.path(), small()).unwrap();
    fill(&store, 200);
    let rows = contents(&store);
    let running = backup_of(&store);
    let killed = tempfile::tempdir().unwrap();
    fs::copy(living.path().join("longhaul.redb"), killed.path().join("longhaul.redb")).unwrap();
    let boot = store.boot();
    store.close_blocking().unwrap();
    let read = |folder: &Path| {
        let store = Store::open_to_read(folder, small(), Arc::new(NoSink)).unwrap();
        backup_of(&store)
    };
    for (what, backup) in
        [("running", running), ("killed", read(killed.path())), ("closed", read(living.path()))]
    {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("deep/data");
        let restored = Store::restore(&*backup, &data, 5).unwrap();
        assert_eq!(restored.log_rows == 0, what == "closed", "{what}: some of it is in the log alone");
        assert_eq!(files(&data), ["longhaul.redb"], "{what}");
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&data), mode(&data.join("longhaul.redb"))), (0o700, 0o600));
        Store::check(&data).unwrap();
        let store = Store::open(&data, small()).unwrap();
        assert_eq!(contents(&store), rows, "{what}");
        assert!(store.boot() > boot + RESTORED_BOOT_GAP, "{what}: {}", store.boot());
        // Numbers go on where they were, and what is written holds.
        fill(&store, 5);
        let rows = contents(&store);
        store.close_blocking().unwrap();
        assert_eq!(contents(&Store::open(&data, small()).unwrap()), rows);
    }
}

#[test]
fn a_store_that_was_never_written_is_restored_as_one() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let backup = backup_of(&Store::open(from.path(), small()).unwrap());
    Store::restore(&*backup, to.path(), 0).unwrap();
    assert!(contents(&Store::open(to.path(), small()).unwrap()).is_empty());
}

/// Every batch writes its number under one key of each of several spaces, so that a torn state shows.
#[test]
fn a_backup_is_one_moment_of_a_store_that_is_written_to_and_has_all_that_was_acknowledged_before() {
    const SPACES: [Space; 4] = [Space::Task, Space::Journal, Space::State, Space::Report];
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), small()).unwrap();
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|threads| {
        threads.spawn(|| {
            for number in 1u64.. {
                let batch = SPACES.iter().fold(Batch::new(), |batch, &space| {
                    let value = number.to_be_bytes().repeat(20);
                    batch.put(space, (number % 97).to_be_bytes(), value.clone()).put(space, *b"last", value)
                });
                store.commit_blocking(batch).unwrap();
                acknowledged.store(number, Ordering::Release);
                if stop.load(Ordering::Acquire) {
                    return;
                }
            }
        });
        for turn in 0..25 {
            let before = acknowledged.load(Ordering::Acquire);
            let backup = backup_of(&store);
            let to = tempfile::tempdir().unwrap();
            Store::restore(&*backup, to.path(), turn).unwrap();
            let rows = contents(&Store::open_to_read(to.path(), small(), Arc::new(NoSink)).unwrap());
            let of = |space| -> BTreeMap<_, _> {
                rows.iter().filter(|((at, _), _)| *at == space).map(|((_, k), v)| (k, v)).collect()
            };
            let first = of(SPACES[0]);
            assert!(SPACES.iter().all(|&space| of(space) == first), "turn {turn}: one moment");
            let last =
                first.get(&b"last".to_vec()).map_or(0, |v| u64::from_be_bytes(v[..8].try_into().unwrap()));
            assert!(last >= before, "turn {turn}: {last}, and {before} was acknowledged");
        }
        stop.store(true, Ordering::Release);
    });
    assert!(acknowledged.load(Ordering::Acquire) > 25, "it was written to meanwhile");
}

#[test]
fn a_backup_that_is_cut_altered_or_goes_on_makes_no_store() {
    let from = tempfile::tempdir().unwrap();
    let store = Store::open(from.path(), small()).unwrap();
    fill(&store, 30);
    let whole = backup_of(&store);
    let refused = |bytes: &[u8], what: &str| {
        let to = tempfile::tempdir().unwrap();
        let error = Store::restore(bytes, to.path(), 0).expect_err(what);
        assert_eq!(files(to.path()), [""; 0], "{what}");
        assert_eq!(Store::verify_backup(bytes).expect_err(what).to_string(), error.to_string());
        error
    };
    let step = whole.len() / 60 + 1;
    for length in (0..whole.len()).step_by(step).chain(whole.len() - 40..whole.len()) {
        let error = refused(&whole[..length], &format!("{length} bytes"));
        assert!(matches!(error, BackupError::CutOff { .. } | BackupError::Foreign), "{length}: {error}");
    }
    for at in (0..whole.len()).step_by(step).chain(whole.len() - 40..whole.len()) {
        let mut altered = whole.clone();
        altered[at] ^= 1 << (at % 8);
        refused(&altered, &format!("byte {at}"));
    }
    let longer = [&whole[..], b"x"].concat();
    assert!(refused(&longer, "longer").to_string().contains("more stands behind it"));
    assert!(matches!(refused(b"", "nothing"), BackupError::Foreign));
}

#[test]
fn what_is_there_is_not_written_over() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let backup = backup_of(&Store::open(from.path(), small()).unwrap());
    let path = to.path().join("longhaul.redb");
    fs::write(&path, b"mine").unwrap();
    let refused = Store::restore(&*backup, to.path(), 0).unwrap_err();
    assert!(matches!(refused, BackupError::Occupied { .. }), "{refused}");
    assert_eq!((fs::read(&path).unwrap(), files(to.path()).len()), (b"mine".to_vec(), 1));
    fs::rename(&path, to.path().join("longhaul.redb.restoring")).unwrap();
    let refused = Store::restore(&*backup, to.path(), 0).unwrap_err();
    assert!(matches!(refused, BackupError::Leftover { .. }), "{refused}");
    assert_eq!(files(to.path()), ["longhaul.redb.restoring"]);
}

/// Takes so many bytes, and fails.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.min(bytes.len()) {
            0 => Err(io::ErrorKind::StorageFull.into()),
            taken => {
                self.0 -= taken;
                Ok(taken)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_target_that_fails_is_an_error_and_the_store_goes_on() {
    let from = tempfile::tempdir().unwrap();
    let store = Store::open(from.path(), small()).unwrap();
    fill(&store, 30);
    let whole = backup_of(&store).len();
    for room in [0, 100, whole / 2, whole - 1] {
        let failed = store.back_up(0, Full(room)).unwrap_err();
        assert!(matches!(failed, BackupError::Write(_)), "{failed}");
    }
    fill(&store, 5);
    store.close_blocking().unwrap();
}

#[test]
fn damage_is_told_and_not_passed_on() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(from.path(), small()).unwrap();
    fill(&store, 60);
    store.close_blocking().unwrap();
    let path = from.path().join("longhaul.redb");
    let mut bytes = fs::read(&path).unwrap();
    // The bytes of one row, in a page that no start reads, behind the ring.
    let at = bytes.windows(100).rposition(|window| *window == [33; 100]).expect("the row's bytes");
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let store = Store::open_to_read(from.path(), small(), Arc::new(NoSink)).unwrap();
    let mut backup = Vec::new();
    let seen = store.back_up(0, &mut backup).unwrap_err();
    assert!(matches!(seen, BackupError::Store(StoreError::Damaged { .. })), "{seen}");
    let passed_on = Store::restore(&*backup, to.path(), 0).unwrap_err();
    assert!(matches!(passed_on, BackupError::Unfinished(_)), "{passed_on}");
    assert!(passed_on.to_string().contains("the run does not match its check"), "{passed_on}");
}
