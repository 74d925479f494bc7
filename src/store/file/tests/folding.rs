//! Rows on their way into the base tables.

use std::sync::mpsc;

use super::*;

/// Rows of the base table, whatever lies over them.
fn base_rows(store: &Store, space: Space) -> usize {
    use std::ops::Bound;
    let state = file(store).state();
    let snapshot = state.snapshot().unwrap();
    let all = (Bound::Unbounded, Bound::Unbounded);
    let mut rows = snapshot.base().rows(space, all, false).unwrap();
    let mut count = 0;
    while rows.key().is_some() {
        count += 1;
        rows.advance().unwrap();
    }
    count
}

fn is_folded(store: &Store) -> bool {
    let state = file(store).state();
    state.overlay.frozen.weight == 0
}

#[test]
fn what_shares_a_group_shares_a_row_of_the_log() {
    let store = open(&Disk::default(), small()).unwrap();
    let before = store.usage().unwrap().unfolded_rows;
    let answers =
        as_one_group(&store, (0..5u8).map(|key| Batch::new().put(Space::Task, [key], *b"")).collect());
    assert_eq!(answers, [1, 2, 3, 4, 5].map(Ok));
    put(&store, Space::Task, *b"t", *b"");
    // The writer reports when it turns to the next group.
    store.enqueue(Batch::new()).unwrap().wait_blocking().unwrap();
    let rows = store.usage().unwrap().unfolded_rows - before;
    assert_eq!(rows, 2, "one log row for the group and one for the last batch");
}

#[test]
fn folding_under_load_keeps_the_unfolded_end_bounded() {
    let disk = Disk::default();
    let options = StoreOptions {
        max_unfolded_bytes: 64 * 1024,
        ring_bytes: 256 * 1024,
        fold_slice_rows: 16,
        ..small()
    };
    let store = open(&disk, options).unwrap();
    let mut most = 0;
    for round in 0..200u32 {
        let acks: Vec<_> = (0..20u32)
            .map(|number| {
                let key = [number.to_be_bytes(), round.to_be_bytes()].concat();
                store.enqueue(Batch::new().put(Space::Journal, key, vec![round as u8; 150])).unwrap()
            })
            .collect();
        for ack in acks {
            ack.wait_blocking().unwrap();
        }
        most = most.max(store.usage().unwrap().unfolded_bytes);
    }
    let group_bytes = 20 * 200;
    assert!(most <= (options.max_unfolded_bytes + group_bytes) as u64, "{most} bytes were unfolded");
    assert!(most > 32 * 1024, "{most}: the test is to fill the log");
    assert!(base_rows(&store, Space::Journal) > 3_000);
    let rows = contents(&store).unwrap();
    assert_eq!(rows.len(), 4_000);
    store.close_blocking().unwrap();
    assert!(contents(&open(&disk, options).unwrap()).unwrap() == rows);
}

/// Rows that are frozen and not folded yet.
fn frozen_rows(store: &Store) -> usize {
    file(store).state().overlay.frozen.space(Space::Journal).entries.len()
}

/// How many folds such numbers show, one after the other, and of how many rows.
fn folds(frozen: &[usize]) -> (usize, usize) {
    let folds = frozen.windows(2).map(|pair| pair[0].saturating_sub(pair[1])).filter(|rows| *rows > 0);
    folds.fold((0, 0), |(count, all), rows| (count + 1, all + rows))
}

#[test]
fn a_fold_between_commits_has_several_slices() {
    let options =
        StoreOptions { max_unfolded_bytes: 64 * 1024, ring_bytes: 256 * 1024, fold_slice_rows: 4, ..small() };
    let store = open(&Disk::default(), options).unwrap();
    let frozen = (0..1_000u16).map(|number| {
        put(&store, Space::Journal, number.to_be_bytes(), vec![1; 150]);
        frozen_rows(&store)
    });
    let (count, rows) = folds(&frozen.collect::<Vec<_>>());
    assert!(rows > 500 && rows >= 10 * count, "{count} folds of {rows} rows");
}

/// Its effects, which see how many rows are frozen, queue the next one: so the writer always finds one that waits.
fn enqueue_and_go_on(store: Store, number: u16, see: mpsc::Sender<usize>) {
    let next = store.clone();
    let effects = call(move |_| {
        see.send(frozen_rows(&next)).unwrap();
        if number > 0 {
            enqueue_and_go_on(next, number - 1, see);
        }
    });
    let batch = Batch::new().put(Space::Journal, number.to_be_bytes(), vec![1; 150]);
    drop(store.enqueue(batch.effects(effects)).unwrap());
}

#[test]
fn while_batches_wait_few_rows_are_not_worth_a_fold() {
    let options = StoreOptions {
        max_unfolded_bytes: 1024 * 1024,
        ring_bytes: 1024 * 1024,
        fold_slice_rows: 1,
        ..small()
    };
    let store = open(&Disk::default(), options).unwrap();
    let (see, seen) = mpsc::channel();
    enqueue_and_go_on(store.clone(), 3_000, see);
    let (count, rows) = folds(&seen.iter().collect::<Vec<_>>());
    assert!(rows > 1_000 && rows >= 10 * count, "{count} folds of {rows} rows");
}

#[test]
fn what_came_and_went_does_not_reach_the_base() {
    let disk = Disk::default();
    let store = open(&disk, small()).unwrap();
    for task in 0..200u8 {
        for sequence in 0..5u8 {
            put(&store, Space::Journal, [task, sequence], vec![1; 50]);
            // Only what is alive when a layer is frozen may be folded: one task, and the one before it,
            // whose rows are still to be removed.
            assert!(base_rows(&store, Space::Journal) <= 10);
        }
        let end = Batch::new().delete_prefix(Space::Journal, [task]).delete(Space::Open, [task]).put(
            Space::Result,
            [task],
            vec![2; 20],
        );
        store.enqueue(end).unwrap().wait_blocking().unwrap();
    }
    assert!(base_rows(&store, Space::Result) > 100);
    assert_eq!(base_rows(&store, Space::Open), 0);
}

#[test]
fn a_deleted_prefix_reaches_rows_that_were_folded_long_ago() {
    let disk = Disk::default();
    let store = open(&disk, small()).unwrap();
    let fill = |space| (0..400u16).for_each(|number| put(&store, space, number.to_be_bytes(), vec![1; 50]));
    fill(Space::Journal);
    fill(Space::Task);
    assert_eq!(base_rows(&store, Space::Journal), 400);
    store.enqueue(Batch::new().delete_prefix(Space::Journal, *b"\x00")).unwrap().wait_blocking().unwrap();
    let left =
        |store: &Store| contents(store).unwrap().keys().filter(|(of, _)| *of == Space::Journal).count();
    assert_eq!(left(&store), 144);
    store.close_blocking().unwrap();
    let store = open(&disk, small()).unwrap();
    assert_eq!(left(&store), 144);
    for _ in 0..2 {
        (0..400u16).for_each(|number| put(&store, Space::Status, number.to_be_bytes(), vec![1; 50]));
    }
    assert_eq!((left(&store), base_rows(&store, Space::Journal)), (144, 144));
}

#[test]
fn idle_time_finishes_what_was_begun() {
    let options = StoreOptions { idle: Duration::from_millis(1), ..small() };
    let store = open(&Disk::default(), options).unwrap();
    (0..100u8).for_each(|number| put(&store, Space::Journal, [number], vec![1; 50]));
    // The writer works on by itself; nothing is queued that could make it. What is left in memory is not worth folding.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !is_folded(&store) || base_rows(&store, Space::Journal) <= 90 {
        assert!(std::time::Instant::now() < deadline, "idle folding does not end");
        std::thread::yield_now();
    }
}

#[test]
fn the_folded_part_of_the_log_is_removed() {
    let disk = Disk::default();
    let store = open(&disk, ringless()).unwrap();
    (0..2_000u16).for_each(|number| put(&store, Space::Journal, (number % 50).to_be_bytes(), vec![1; 50]));
    let usage = store.usage().unwrap();
    store.close_blocking().unwrap();
    let db = redb_of(&Disk::holding(disk.bytes()));
    let log = redb::ReadableDatabase::begin_read(&db).unwrap().open_table(base::LOG).unwrap();
    let rows = redb::ReadableTableMetadata::len(&log).unwrap();
    assert!(rows < usage.unfolded_rows + 64, "{rows} rows for {} unfolded ones", usage.unfolded_rows);
}

/// Rows of the log on disk, and whether redb has to repair the file to read them.
fn log_rows(disk: &Disk) -> (u64, bool) {
    let repaired = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = repaired.clone();
    let mut builder = redb::Builder::new();
    builder.set_repair_callback(move |_| seen.store(true, Ordering::Relaxed));
    let layout = Layout::of(Disk::holding(disk.bytes()), Path::new("test.redb"), 0).unwrap();
    let db = builder.create_with_backend(layout.redb).unwrap();
    let log = redb::ReadableDatabase::begin_read(&db).unwrap().open_table(base::LOG).unwrap();
    let rows = redb::ReadableTableMetadata::len(&log).unwrap();
    (rows, repaired.load(Ordering::Relaxed))
}

#[test]
fn a_closed_store_has_no_log_to_read_and_nothing_to_repair() {
    let disk = Disk::default();
    let options = StoreOptions { max_unfolded_bytes: 1024 * 1024, ..ringless() };
    let store = open(&disk, options).unwrap();
    (0..200u8).for_each(|number| put(&store, Space::Journal, [number], vec![number; 1_000]));
    store.enqueue(Batch::new().delete_prefix(Space::Journal, [7])).unwrap().wait_blocking().unwrap();
    let large = Batch::new().put(Space::Blob, *b"large", vec![1; 300 * 1024]);
    let last_lsn = store.enqueue(large).unwrap().wait_blocking().unwrap();
    assert_eq!(base_rows(&store, Space::Journal), 0, "nothing is folded yet");
    assert!(log_rows(&disk).0 > 200);
    let rows = contents(&store).unwrap();
    store.close_blocking().unwrap();
    assert_eq!(log_rows(&disk), (0, false));
    let store = open(&disk, options).unwrap();
    assert!(contents(&store).unwrap() == rows);
    let usage = store.usage().unwrap();
    assert_eq!((usage.unfolded_rows, usage.unfolded_bytes, usage.last_lsn), (0, 0, last_lsn));
    assert_eq!(base_rows(&store, Space::Journal), 199);
}

#[test]
fn a_crash_while_idle_leaves_little_log_to_read_and_nothing_to_repair() {
    let disk = Disk::default();
    let options =
        StoreOptions { max_unfolded_bytes: 1024 * 1024, idle: Duration::from_millis(1), ..ringless() };
    let store = open(&disk, options).unwrap();
    for round in 0..3u8 {
        (0..200u8).for_each(|number| put(&store, Space::Journal, [round, number], vec![number; 1_000]));
        let bound = crate::limits::MAX_IDLE_UNFOLDED_BYTES as u64;
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let is_settled = || log_rows(&disk) == (store.usage().unwrap().unfolded_rows, false);
        while store.usage().unwrap().unfolded_bytes > bound || !is_settled() {
            assert!(std::time::Instant::now() < deadline, "{:?}, {:?}", store.usage(), log_rows(&disk));
            std::thread::yield_now();
        }
        let crashed = open(&Disk::holding(disk.bytes()), options).unwrap();
        assert!(contents(&crashed).unwrap() == contents(&store).unwrap());
    }
}

#[test]
fn an_opening_has_its_number_on_disk_before_anything_else_of_it() {
    let disk = Disk::default();
    let boot_after = |disk: &Disk| open(&Disk::holding(disk.bytes()), small()).unwrap().boot();
    for boot in 1..4u64 {
        let store = open(&disk, small()).unwrap();
        assert_eq!(store.boot(), boot);
        // Nothing of this opening is durable, so another one may have its number.
        assert_eq!(boot_after(&disk), boot);
        put(&store, Space::Task, [1], vec![1]);
        assert_eq!(boot_after(&disk), boot + 1);
    }
    drop(open(&disk, small()).unwrap());
    assert_eq!(boot_after(&disk), 5, "closing counts too");
}

#[test]
fn dead_space_is_given_back_at_the_next_start() {
    let disk = Disk::default();
    let store = open(&disk, small()).unwrap();
    (0..100u8).for_each(|number| put(&store, Space::Blob, [number], vec![number; 1024 * 1024]));
    // The last one stays, at the end of the file, which redb therefore cannot cut by itself.
    let delete = (0..99u8).fold(Batch::new(), |batch, number| batch.delete(Space::Blob, [number]));
    store.enqueue(delete).unwrap().wait_blocking().unwrap();
    for number in 0..1_000u16 {
        put(&store, Space::Status, number.to_be_bytes(), vec![1; 50]);
        if base_rows(&store, Space::Blob) == 1 {
            break;
        }
    }
    assert_eq!(base_rows(&store, Space::Blob), 1);
    let rows = contents(&store).unwrap();
    let crashed = Disk::holding(disk.bytes());
    store.close_blocking().unwrap();
    let before = disk.bytes().len();
    assert!(before > 100 * 1024 * 1024, "{before} bytes before");
    // Not after a crash, when a start waits for the store.
    let recovered = open(&crashed, small()).unwrap();
    assert!(crashed.bytes().len() >= before, "{} bytes", crashed.bytes().len());
    assert!(contents(&recovered).unwrap() == rows);
    drop(recovered);
    let store = open(&disk, small()).unwrap();
    let after = disk.bytes().len();
    assert!(after < before / 10, "{after} bytes of {before} are left");
    assert!(contents(&store).unwrap() == rows);
}
