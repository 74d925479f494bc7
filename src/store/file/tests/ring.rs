//! The ring of the log: what lies in it, what is taken for a record and what is not.

use redb::StorageBackend;

use super::super::ring::{RingRows, SECTOR_BYTES};
use super::*;

const PATH: &str = "test.redb";

/// Keeps its rows in the ring.
fn roomy() -> StoreOptions {
    StoreOptions { ring_bytes: 256 * 1024, max_unfolded_bytes: 1024 * 1024, ..small() }
}

/// Puts rows, each in a commit of its own.
fn put_rows(store: &Store, numbers: std::ops::Range<u16>) {
    numbers.for_each(|number| put(store, Space::Journal, number.to_be_bytes(), vec![number as u8; 600]));
}

fn rows(disk: &Disk) -> Result<usize, StoreError> {
    Ok(contents(&open(disk, roomy())?)?.len())
}

/// A crash after so many commits.
fn crashed(commits: u16) -> Disk {
    let disk = Disk::default();
    let store = open(&disk, roomy()).unwrap();
    put_rows(&store, 0..commits);
    Disk::holding(disk.bytes())
}

/// Position and number of each record in the ring of a store that was never folded.
fn records(disk: &Disk) -> Vec<(u64, u64)> {
    let layout = Layout::of(disk.clone(), Path::new(PATH), 0).unwrap();
    let mut rows = RingRows::new(layout.ring.as_deref(), 0, None);
    let mut found = Vec::new();
    loop {
        let at = rows.at;
        match rows.next() {
            Some(row) => found.push((at, row.unwrap().0)),
            None => return found,
        }
    }
}

fn flip(disk: &Disk, at: u64) {
    let mut byte = [0];
    disk.read(at, &mut byte).unwrap();
    disk.write(at, &[byte[0] ^ 1]).unwrap();
}

#[test]
fn a_commit_is_one_write_and_one_sync_and_the_first_of_an_opening_is_redbs() {
    let disk = Disk::recording(Vec::new());
    let store = open(&disk, roomy()).unwrap();
    put_rows(&store, 0..2);
    for number in 2..20 {
        let before = disk.changes();
        put_rows(&store, number..number + 1);
        assert_eq!(disk.changes() - before, 2, "commit {number}");
    }
    drop(store);
    let disk = crashed(20);
    let numbers: Vec<u64> = records(&disk).iter().map(|(_, lsn)| *lsn).collect();
    assert_eq!(numbers, (2..=20).collect::<Vec<u64>>());
    assert_eq!(rows(&disk), Ok(20));
}

#[test]
fn a_broken_record_is_the_torn_commit_if_it_is_the_last_and_damage_if_it_is_not() {
    let made = crashed(20);
    let records = records(&made);
    let (last, _) = records[records.len() - 1];
    for (at, lsn) in records {
        for byte in [0, 9, 13, 25, 100, 600] {
            let disk = Disk::holding(made.bytes());
            flip(&disk, layout::HEADER_BYTES + at + byte);
            let before = disk.bytes();
            let checked = opening::check(disk.clone(), Path::new(PATH), 1024 * 1024);
            if at == last {
                assert_eq!(checked.unwrap().1, 19, "byte {byte}");
                assert_eq!(rows(&disk), Ok(19), "byte {byte}");
                continue;
            }
            let words = rows(&disk).unwrap_err().to_string();
            assert!(words.contains("damaged") && words.contains("A disk that lies"), "{lsn}: {words}");
            assert_eq!(checked.unwrap_err().to_string(), words);
            assert!(disk.bytes() == before, "the file was touched");
        }
    }
}

#[test]
fn records_that_are_gone_with_those_before_them_are_damage() {
    let made = crashed(20);
    let (at, _) = records(&made)[10];
    let disk = Disk::holding(made.bytes());
    // A record between two that are there.
    disk.write(layout::HEADER_BYTES + at, &vec![0; 2 * SECTOR_BYTES]).unwrap();
    let words = rows(&disk).unwrap_err().to_string();
    assert!(words.contains("the commits 12 to") && words.contains("acknowledged and are gone"), "{words}");
    // Redb's part as it is without the opening's first commit.
    let before = Disk::default();
    drop(open(&before, roomy()).unwrap());
    let disk = Disk::holding(made.bytes());
    let from = layout::HEADER_BYTES + 256 * 1024;
    let made_empty = before.bytes();
    let fresh = &made_empty[from as usize..];
    disk.set_len(from + fresh.len() as u64).unwrap();
    disk.write(from, fresh).unwrap();
    let words = rows(&disk).unwrap_err().to_string();
    assert!(words.contains("log row 1 should come first and is missing"), "{words}");
}

/// All records from one on are gone, and nothing behind them is there to show it. While the log is folded, the base tables
/// have a part of what those records said.
#[test]
fn what_is_folded_proves_the_records_that_it_came_from() {
    let options = StoreOptions { max_unfolded_bytes: 32 * 1024, ..roomy() };
    let disk = Disk::default();
    let store = open(&disk, options).unwrap();
    let (mut refused, mut mixed) = (0, 0);
    for commits in 1..=60 {
        put_rows(&store, commits - 1..commits);
        if commits % 4 > 0 {
            continue;
        }
        let made = Disk::holding(disk.bytes());
        let (folded, folded_rows) = folded(&made);
        for (at, lsn) in records(&made).into_iter().filter(|(_, lsn)| *lsn > folded) {
            let disk = Disk::holding(made.bytes());
            let rest = layout::HEADER_BYTES + at..layout::HEADER_BYTES + 256 * 1024;
            disk.write(rest.start, &vec![0; (rest.end - rest.start) as usize]).unwrap();
            let checked = opening::check(disk.clone(), Path::new(PATH), 1024 * 1024);
            match rows(&disk) {
                Ok(rows) => assert_eq!((rows as u64, checked.is_ok()), (lsn - 1, true), "of {commits}"),
                Err(error) => {
                    let words = error.to_string();
                    let lost = format!("the commits {lsn} to ");
                    assert!(words.contains(&lost) && words.contains("acknowledged and are gone"), "{words}");
                    assert_eq!(checked.unwrap_err(), error);
                    refused += 1;
                    mixed += usize::from(folded_rows >= lsn);
                }
            }
        }
    }
    assert!(refused > 100 && mixed > 30, "{refused} were refused, {mixed} would show rows of later commits");
}

/// Up to which commit the base tables hold everything, and how many rows they have by now.
fn folded(made: &Disk) -> (u64, u64) {
    let rows = opening::check(made.clone(), Path::new(PATH), 1024 * 1024).unwrap().0;
    let db = redb_of(&Disk::holding(made.bytes()));
    let transaction = redb::ReadableDatabase::begin_read(&db).unwrap();
    (opening::Meta::of(&transaction).unwrap().position.folded, rows)
}

#[test]
fn bytes_that_a_caller_wrote_pass_for_no_record() {
    let disk = Disk::default();
    let options = StoreOptions { ring_bytes: 1024 * 1024, max_unfolded_bytes: 4 * 1024 * 1024, ..small() };
    let store = open(&disk, options).unwrap();
    put_rows(&store, 0..5);
    let bytes = disk.bytes();
    let (at, _) = records(&disk)[3];
    let from = (layout::HEADER_BYTES + at) as usize;
    // A record as it is on the disk, at each place where a sector of a later one may begin.
    let copied = &bytes[from..from + 2 * SECTOR_BYTES];
    let mut value = Vec::new();
    for shift in 0..SECTOR_BYTES {
        value.extend_from_slice(copied);
        value.extend(std::iter::repeat_n(0, shift % 7));
    }
    value.truncate(150 * 1024);
    put(&store, Space::Journal, *b"copies", &value);
    put_rows(&store, 10..12);
    // The last commit is torn, and behind it lies what a longer one wrote.
    let crashed = Disk::holding(disk.bytes());
    assert_eq!(rows(&Disk::holding(disk.bytes())), Ok(8));
    let ends = records(&crashed);
    let (copies, _) = ends[ends.len() - 3];
    flip(&crashed, layout::HEADER_BYTES + copies);
    for (at, _) in &ends[ends.len() - 2..] {
        crashed.write(layout::HEADER_BYTES + at, &vec![0; 2 * SECTOR_BYTES]).unwrap();
    }
    assert_eq!(rows(&crashed), Ok(5));
}

#[test]
fn what_an_earlier_round_left_is_no_record_and_a_full_ring_takes_the_other_way() {
    let options = StoreOptions { ring_bytes: 8 * 1024, max_unfolded_bytes: 1024 * 1024, ..small() };
    let disk = Disk::default();
    let store = open(&disk, options).unwrap();
    for round in 0..40u16 {
        put_rows(&store, round * 10..round * 10 + 10);
        // Larger than the ring.
        put(&store, Space::State, round.to_be_bytes(), vec![1; 9 * 1024]);
        let crashed = open(&Disk::holding(disk.bytes()), options).unwrap();
        assert!(contents(&crashed).unwrap() == contents(&store).unwrap(), "round {round}");
    }
    assert_eq!(contents(&store).unwrap().len(), 440);
    let usage = store.usage().unwrap();
    assert!(usage.unfolded_rows < 60, "{usage:?}");
    store.close_blocking().unwrap();
    assert_eq!(contents(&open(&disk, options).unwrap()).unwrap().len(), 440);
}

#[test]
fn a_reader_keeps_what_it_reads_from_being_written_over() {
    let disk = Disk::default();
    let options = StoreOptions { ring_bytes: 16 * 1024, max_unfolded_bytes: 1024 * 1024, ..small() };
    let store = open(&disk, options).unwrap();
    put_rows(&store, 0..4);
    let (ring, span) = {
        let state = file(&store).state();
        (state.ring.clone().unwrap(), state.ring_span)
    };
    let read = || -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        RingRows::new(Some(&ring), span.tail, Some(span.head)).collect()
    };
    let rows = read().unwrap();
    let pin = ring.pin(span.tail);
    put_rows(&store, 10..100);
    assert_eq!(read().unwrap(), rows);
    drop(pin);
    put_rows(&store, 100..200);
    assert!(read().unwrap_err().to_string().contains("does not match its check"));
    assert_eq!(contents(&store).unwrap().len(), 194);
}

#[test]
fn a_store_of_an_earlier_longhaul_stays_as_it_is() {
    let disk = Disk::default();
    let store = open(&disk, ringless()).unwrap();
    put_rows(&store, 0..50);
    store.close_blocking().unwrap();
    assert!(disk.bytes().starts_with(b"redb"));
    let store = open(&disk, roomy()).unwrap();
    put_rows(&store, 50..100);
    let crashed = Disk::holding(disk.bytes());
    store.close_blocking().unwrap();
    for disk in [disk, crashed] {
        assert_eq!(rows(&disk), Ok(100));
        assert!(disk.bytes().starts_with(b"redb"));
        let db = redb_of(&disk);
        let transaction = redb::ReadableDatabase::begin_read(&db).unwrap();
        let meta = transaction.open_table(base::META).unwrap();
        let format = meta.get("format").unwrap().map(|row| row.value().to_vec());
        assert_eq!(format.as_deref(), Some(&layout::RINGLESS_FORMAT.to_le_bytes()[..]));
    }
}

#[test]
fn a_file_whose_beginning_is_not_its_own_is_refused_and_left_as_it_is() {
    let (closed, crashed) = (Disk::default(), crashed(10));
    drop(open(&closed, roomy()).unwrap());
    let from = layout::HEADER_BYTES as usize + 256 * 1024;
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let cases: [(&str, Change<'_>, &str); 4] = [
        ("the header is damaged", &|bytes| bytes[26] ^= 1, "does not match its check"),
        ("its mark is", &|bytes| bytes[3] ^= 1, "damaged"),
        ("redb's part alone", &|bytes| drop(bytes.drain(..from)), "header and the newest part of its log"),
        ("the ring alone", &|bytes| bytes.truncate(from), "ends before"),
    ];
    for (what, change, expected) in cases {
        for disk in [&closed, &crashed] {
            let mut bytes = disk.bytes();
            change(&mut bytes);
            let disk = Disk::holding(bytes.clone());
            let words = open(&disk, roomy()).unwrap_err().to_string();
            assert!(words.contains(expected), "{what}: {words}");
            assert!(disk.bytes() == bytes, "{what}: it was touched");
        }
    }
}
