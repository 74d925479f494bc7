//! Files that are locked, newer, foreign or damaged.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

const FLIPS: usize = 500;
const BATCHES: u32 = 120;

#[test]
fn a_second_opening_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), small()).unwrap();
    let path = folder.path().join("longhaul.redb");
    assert_eq!(Store::open(folder.path(), small()).unwrap_err(), StoreError::Locked { path });
    store.close_blocking().unwrap();
    Store::open(folder.path(), small()).unwrap();
}

#[test]
fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er");
    let store = Store::open(&path, small()).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("longhaul.redb"))), (0o700, 0o600));
    drop(store);
    let left = std::fs::read_dir(&path).unwrap().count();
    assert_eq!(left, 2, "nothing but the store and its reserve is left in the folder");
}

/// Where the file gets its name before it has its bytes, another program made it.
#[test]
fn a_file_without_a_byte_is_no_new_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("longhaul.redb");
    drop(crate::private::create(&path).unwrap());
    let words = Store::open(folder.path(), small()).unwrap_err().to_string();
    assert!(words.contains("it is empty") && words.contains("restore a backup"), "{words}");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0, "it was touched");
}

/// What a power cut may leave of the file that is to become the store: nothing of it counts before it has its name.
#[test]
fn a_store_that_was_half_made_is_made_again() {
    let disk = Disk::recording(Vec::new());
    layout::make(disk.clone(), Path::new("test.redb"), SMALL_RING_BYTES).unwrap();
    let (mut dice, mut images) = (Dice(31), disk.images());
    for cut in 0..=disk.changes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("longhaul.redb.new"), images.cut(cut, &mut dice)).unwrap();
        let store = Store::open(folder.path(), small()).unwrap();
        assert_eq!(contents(&store).unwrap().len(), 0, "cut {cut}");
        store.close_blocking().unwrap();
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 2, "cut {cut}: only the store and its reserve are left");
    }
}

#[test]
fn what_the_file_has_behind_the_end_of_its_log_is_proof_of_a_loss() {
    let (disk, _) = filled(false, ringless());
    let last = super::super::later::newest_row(&disk, 0).unwrap();
    assert_eq!(last, Some(BATCHES.into()), "the rows themselves, and no others");
    assert_eq!(super::super::later::newest_row(&disk, u64::from(BATCHES) - 1).unwrap(), None);
    assert_eq!(super::super::later::newest_row(&disk, u64::from(BATCHES) - 2).unwrap(), last);
}

/// A store that was closed, or not, with rows in the base tables and in the log.
fn filled(is_closed: bool, options: StoreOptions) -> (Disk, Contents) {
    let disk = Disk::default();
    let store = open(&disk, options).unwrap();
    for number in 0..BATCHES {
        let batch = Batch::new().put(Space::Journal, number.to_be_bytes(), vec![number as u8; 100]).put(
            Space::Task,
            (number * 7919).to_le_bytes(),
            vec![number as u8; 30],
        );
        store.enqueue(batch).unwrap().wait_blocking().unwrap();
    }
    let rows = contents(&store).unwrap();
    let crashed = Disk::holding(disk.bytes());
    store.close_blocking().unwrap();
    (if is_closed { disk } else { crashed }, rows)
}

/// Raise the format version, as a later longhaul would.
fn made_newer(disk: &Disk) {
    let db = redb_of(disk);
    let transaction = db.begin_write().unwrap();
    let newer = (FORMAT + 1).to_le_bytes();
    transaction.open_table(base::META).unwrap().insert("format", &newer[..]).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_newer_format_is_refused_and_the_file_left_as_it_is() {
    let (disk, _) = filled(true, small());
    made_newer(&disk);
    let closed = disk.bytes();
    // As a crash of the newer version would leave it: redb has to repair it before it can be read.
    let crashed = {
        let db = redb_of(&disk);
        let transaction = db.begin_write().unwrap();
        transaction.open_table(base::META).unwrap().insert("later", &[1u8][..]).unwrap();
        transaction.commit().unwrap();
        disk.bytes()
    };
    for bytes in [closed, crashed] {
        let disk = Disk::holding(bytes.clone());
        let error = open(&disk, small()).unwrap_err();
        let path = "test.redb".into();
        assert_eq!(error, StoreError::NewerFormat { path, found: FORMAT + 1, supported: FORMAT });
        assert!(disk.bytes() == bytes, "the file was touched");
    }
}

#[test]
fn a_gated_file_reads_as_changed_and_is_changed_in_the_same_order_once_open() {
    use redb::StorageBackend;
    let mut dice = Dice(5);
    let original: Vec<u8> = (0..20_000).map(|number| number as u8).collect();
    let (plain, behind) = (Disk::recording(original.clone()), Disk::recording(original.clone()));
    let gated = gate::Gated::new(behind.clone());
    for turn in 0..600 {
        if turn == 400 {
            assert!(behind.bytes() == original, "changed before it was open");
            gated.open().unwrap();
        }
        let at = dice.below(25_000) as u64;
        let disks: [&dyn StorageBackend; 2] = [&plain, &gated];
        match dice.below(5) {
            0 => disks.map(|disk| disk.set_len(at).unwrap()),
            1 => disks.map(|disk| disk.sync_data().unwrap()),
            _ => {
                let data = vec![turn as u8; dice.below(9_000)];
                disks.map(|disk| disk.write(at, &data).unwrap())
            }
        };
        let found = disks.map(|disk| {
            let mut bytes = vec![0; disk.len().unwrap() as usize];
            disk.read(0, &mut bytes).unwrap();
            bytes
        });
        assert!(found[0] == found[1], "turn {turn}");
    }
    assert!(plain.same_changes(&behind));
}

#[test]
fn the_sync_of_the_header_comes_with_the_next_one_and_before_another_length() {
    use redb::StorageBackend;
    for grows in [false, true] {
        let disk = Disk::recording(vec![0; 8_192]);
        let gated = gate::Gated::new(disk.clone());
        gated.write(0, &[1; 320]).unwrap();
        gated.sync_data().unwrap();
        gated.open().unwrap();
        let expected = Disk::recording(vec![0; 8_192]);
        expected.write(0, &[1; 320]).unwrap();
        assert!(disk.same_changes(&expected), "a sync of its own");
        if grows {
            gated.set_len(16_384).unwrap();
            expected.sync_data().unwrap();
            expected.set_len(16_384).unwrap();
        } else {
            gated.sync_data().unwrap();
            expected.sync_data().unwrap();
        }
        gated.set_len(20_480).unwrap();
        expected.set_len(20_480).unwrap();
        assert!(disk.same_changes(&expected));
    }
}

#[test]
fn a_database_that_is_given_up_writes_nothing_and_lets_its_file_go() {
    let (disk, rows) = filled(true, small());
    let db = redb_of(&disk);
    let bytes = disk.bytes();
    base::abandon(db);
    assert!(disk.bytes() == bytes, "it was ended by a commit");
    assert_eq!(contents(&open(&disk, small()).unwrap()).unwrap(), rows);
    // A reader of a file that is refused holds no lock of it any more.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("longhaul.redb");
    let db = || redb::Database::create(&path);
    base::abandon(db().unwrap());
    drop(db().unwrap());
}

#[test]
fn a_foreign_file_is_refused() {
    for bytes in [vec![0; 100], b"not a store".to_vec(), vec![0xff; 10_000]] {
        let error = open(&Disk::holding(bytes), small()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
    let disk = Disk::default();
    let db = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
    let transaction = db.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("other")).unwrap();
    transaction.commit().unwrap();
    drop(db);
    let error = open(&disk, small()).unwrap_err();
    assert!(error.to_string().contains("is this a longhaul store?"), "{error}");
}

/// What a damaged store still shows: it may refuse, but must not lie.
fn read_damaged(disk: &Disk, rows: &Contents) -> Result<Contents, StoreError> {
    let store = open(disk, small())?;
    let mut found = contents(&store)?;
    for (key, value) in &found {
        assert!(rows.get(key) == Some(value), "a row that was never written");
    }
    for ((space, key), value) in rows {
        match store.read_blocking(|snapshot| snapshot.get(*space, key))? {
            Some(found) => assert!(*found == **value, "a value that was never written"),
            None => drop(found.remove(&(*space, key.clone()))),
        }
    }
    store.close_blocking()?;
    Ok(found)
}

/// Flip one bit at a time; gives every set of rows that a damaged store showed instead of all of them.
fn flip_bits(disk: &Disk, rows: &Contents, seed: u64) -> Vec<Contents> {
    let bytes = disk.bytes();
    let mut dice = Dice(seed);
    let mut incomplete = Vec::new();
    for _ in 0..FLIPS * scale() {
        let bit = dice.below(bytes.len() * 8);
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let disk = Disk::holding(damaged);
        match catch_unwind(AssertUnwindSafe(|| read_damaged(&disk, rows))) {
            Ok(Ok(found)) if found == *rows => {}
            Ok(Ok(found)) => incomplete.push(found),
            Ok(Err(error)) => assert!(!error.to_string().is_empty()),
            Err(_) => panic!("bit {bit}, seed {seed}"),
        }
    }
    incomplete
}

#[test]
fn a_check_finds_what_a_start_does_not_and_changes_nothing() {
    for is_closed in [true, false] {
        let (disk, rows) = filled(is_closed, small());
        let bytes = disk.bytes();
        let check = |disk: &Disk| opening::check(disk.clone(), Path::new("test.redb"), 1024 * 1024);
        let (found, log_rows) = check(&disk).unwrap();
        assert_eq!(found == rows.len() as u64, is_closed, "{found} rows in the base tables");
        assert_eq!(log_rows == 0, is_closed, "{log_rows} rows in the log");
        assert!(disk.bytes() == bytes, "the file was touched");
        let mut dice = Dice(21);
        for _ in 0..FLIPS / 2 {
            let bit = dice.below(bytes.len() * 8);
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let damaged = Disk::holding(damaged);
            let before = damaged.bytes();
            let checked = check(&damaged);
            assert!(damaged.bytes() == before, "bit {bit}: the file was touched");
            let shown = catch_unwind(AssertUnwindSafe(|| read_damaged(&damaged, &rows)));
            // Of a commit that looks torn the one before is as good; that is no damage to either.
            let hides = matches!(&shown, Ok(Ok(found)) if *found != rows) && is_closed;
            let refuses = matches!(&shown, Ok(Err(_)));
            assert!(checked.is_err() || !(hides || refuses), "bit {bit}: {checked:?}, and then {shown:?}");
        }
    }
}

#[test]
fn a_flipped_bit_in_a_closed_store_shows_no_wrong_row() {
    let (disk, rows) = filled(true, small());
    // A damaged index may hide rows from a store that was closed cleanly: nothing verifies it then.
    flip_bits(&disk, &rows, 11);
}

#[test]
fn a_flipped_bit_in_a_crashed_store_costs_the_last_commit_at_most() {
    let (disk, rows) = filled(false, ringless());
    let mut without_last = rows.clone();
    without_last.retain(|_, value| value[0] != BATCHES as u8 - 1);
    for found in flip_bits(&disk, &rows, 12) {
        // One sync a commit: damage in the last commit's pages looks like a commit that was torn.
        assert!(found == without_last, "{} of {} rows", found.len(), rows.len());
    }
}

/// The log's newest end is in the ring then, and redb's part as after a clean close.
#[test]
fn a_flipped_bit_in_header_or_ring_costs_the_last_commit_at_most() {
    let options = StoreOptions { ring_bytes: 256 * 1024, max_unfolded_bytes: 1024 * 1024, ..small() };
    let (disk, rows) = filled(false, options);
    let bytes = disk.bytes();
    let mut without_last = rows.clone();
    without_last.retain(|_, value| value[0] != BATCHES as u8 - 1);
    let written = (layout::HEADER_BYTES as usize + BATCHES as usize * 512) * 8;
    let (mut dice, mut refused) = (Dice(14), 0);
    for _ in 0..FLIPS {
        let bit = dice.below(written);
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match read_damaged(&Disk::holding(damaged), &rows) {
            Ok(found) => assert!(found == rows || found == without_last, "bit {bit}: {} rows", found.len()),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > FLIPS / 4, "{refused}");
    flip_bits(&disk, &rows, 15);
}

#[test]
fn a_flipped_bit_in_a_crashed_strict_store_costs_nothing_unnoticed() {
    let (disk, rows) = filled(false, StoreOptions { durability: Durability::Strict, ..small() });
    assert_eq!(flip_bits(&disk, &rows, 13).len(), 0);
}
