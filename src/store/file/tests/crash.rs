//! Power cuts at any point of the work, with any of the unsynced sectors on the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::limits::MAX_LOGGED_VALUE_BYTES;

const IMAGES: usize = 1_500;

/// What a run did to its disk, and what it may have left of its batches.
struct Run {
    disk: Disk,
    /// Contents after so many batches.
    states: Vec<Contents>,
    /// The disk's number of changes when batch `index + 1` was committed.
    committed: Vec<usize>,
    /// The disk's number of changes when the store was open.
    opened: usize,
}

fn counter() -> (Space, Vec<u8>) {
    (Space::Setting, b"batches".to_vec())
}

/// What `check` writes.
fn extra() -> (Space, Vec<u8>) {
    (Space::Task, b"extra".to_vec())
}

fn run(options: StoreOptions, seed: u64, batches: usize) -> Run {
    go_on(Disk::recording(Vec::new()), vec![Contents::new()], options, seed, batches)
}

/// Batches of rows that come and go, some at once and some alone, with folding all the while, on a disk that
/// holds the last of `states`.
fn go_on(disk: Disk, mut states: Vec<Contents>, options: StoreOptions, seed: u64, batches: usize) -> Run {
    let mut dice = Dice(seed);
    let store = open(&disk, options).unwrap();
    let opened = disk.changes();
    let before = states.len() - 1;
    let mut state = states[before].clone();
    let committed = Arc::new(Mutex::new(vec![0; before]));
    let mut acks = Vec::new();
    for number in (before as u64 + 1..).take(batches) {
        let mut batch = Batch::new();
        for _ in 0..1 + dice.below(5) {
            let key = vec![dice.below(6) as u8, dice.below(6) as u8];
            let byte = dice.next() as u8;
            match dice.below(40) {
                0 => {
                    let value = vec![byte; MAX_LOGGED_VALUE_BYTES + 1];
                    state.insert((Space::Blob, key.clone()), value.clone());
                    batch.add_put(Space::Blob, key, value);
                }
                1..=4 => {
                    state.remove(&(Space::Blob, key.clone()));
                    batch.add_delete(Space::Blob, key);
                }
                5..=8 => {
                    let prefix = key[..1].to_vec();
                    state.retain(|(space, key), _| *space != Space::Journal || !key.starts_with(&prefix));
                    batch.add_delete_prefix(Space::Journal, prefix);
                }
                _ => {
                    let value = vec![byte; dice.below(300)];
                    state.insert((Space::Journal, key.clone()), value.clone());
                    batch.add_put(Space::Journal, key, value);
                }
            }
        }
        let (space, key) = counter();
        state.insert((space, key.clone()), number.to_le_bytes().to_vec());
        batch.add_put(space, key, number.to_le_bytes());
        states.push(state.clone());
        let (clock, committed) = (disk.clone(), committed.clone());
        let batch = batch.effects(call(move |_| committed.lock().push(clock.changes())));
        acks.push(store.enqueue(batch).unwrap());
        if dice.below(3) > 0 {
            for ack in acks.drain(..) {
                ack.wait_blocking().unwrap();
            }
        }
    }
    store.close_blocking().unwrap();
    let committed = std::mem::take(&mut *committed.lock());
    assert_eq!(committed.len(), before + batches);
    Run { disk, states, committed, opened }
}

fn numbered(found: &Contents) -> usize {
    found.get(&counter()).map_or(0, |bytes| u64::from_le_bytes(bytes[..].try_into().unwrap()) as usize)
}

/// Opens what a power cut left; the contents must be those after some batch at or behind the last
/// acknowledged one, and the store must go on from there. Gives the number of that batch.
fn check(run: &Run, disk: &Disk, acknowledged: usize, options: StoreOptions) -> usize {
    let store = open(disk, options).unwrap();
    let mut found = contents(&store).unwrap();
    let batches = numbered(&found);
    assert!(batches >= acknowledged, "{acknowledged} were acknowledged, {batches} are there");
    found.remove(&extra());
    assert!(found == run.states[batches], "the contents are those of no batch");
    let (space, key) = extra();
    let answer = store.enqueue(Batch::new().put(space, key, b"v"));
    assert!(answer.unwrap().wait_blocking().unwrap() > batches as u64);
    batches
}

fn cut_anywhere(options: StoreOptions, seed: u64) {
    let run = run(options, seed, 60);
    cut_from(&run, run.opened, IMAGES * scale() / 3, options, seed);
}

/// Cuts the power at so many moments of the run, none of them before `first` changes.
fn cut_from(run: &Run, first: usize, images: usize, options: StoreOptions, seed: u64) {
    let mut dice = Dice(!seed);
    let span = run.disk.changes() - first;
    let mut cuts: Vec<_> = (0..images).map(|_| first + dice.below(span + 1)).collect();
    cuts.sort_unstable();
    let mut cutter = run.disk.images();
    for cut in cuts {
        let disk = Disk::recording(cutter.cut(cut, &mut dice));
        let acknowledged = run.committed.iter().take_while(|at| **at <= cut).count();
        let checked = catch_unwind(AssertUnwindSafe(|| {
            let batches = check(run, &disk, acknowledged, options);
            // And now and then once more, while it recovers, goes on or closes: what it had shown must
            // still be there.
            if dice.below(4) == 0 {
                let again = dice.below(disk.changes() + 1);
                let image = disk.images().cut(again, &mut dice);
                check(run, &Disk::holding(image), batches, options);
            }
        }));
        assert!(checked.is_ok(), "cut after {cut} changes, seed {seed}");
    }
}

#[test]
fn a_power_cut_loses_nothing_acknowledged_and_halves_nothing() {
    cut_anywhere(small(), 1);
}

#[test]
fn nor_does_one_of_a_store_without_a_ring() {
    cut_anywhere(ringless(), 10);
    cut_anywhere(StoreOptions { idle: Duration::from_micros(20), fold_slice_rows: 1, ..ringless() }, 11);
}

#[test]
fn nor_does_one_where_the_ring_has_room_for_few() {
    cut_anywhere(StoreOptions { ring_bytes: 4 * 1024, ..small() }, 12);
}

#[test]
fn nor_do_several_one_after_the_other() {
    for seed in 20..20 + 2 * scale() as u64 {
        let mut run = run(small(), seed, 20);
        let mut dice = Dice(!seed);
        for turn in 0..8 {
            let cut = run.opened + dice.below(run.disk.changes() + 1 - run.opened);
            let acknowledged = run.committed.iter().take_while(|at| **at <= cut).count();
            let disk = Disk::recording(run.disk.images().cut(cut, &mut dice));
            let store = open(&disk, small()).unwrap();
            let batches = numbered(&contents(&store).unwrap());
            assert!(batches >= acknowledged, "seed {seed}, turn {turn}: {batches} of {acknowledged}");
            // Its process dies too, before it has written anything.
            let image = Disk::recording(disk.bytes());
            drop(store);
            let before = run.states[..=batches].to_vec();
            run = go_on(image, before, small(), seed * 100 + turn, 20);
        }
    }
}

#[test]
fn nor_does_one_under_two_phase_commits() {
    cut_anywhere(StoreOptions { durability: Durability::Strict, ..small() }, 2);
}

#[test]
fn nor_does_one_while_idle_work_goes_on() {
    cut_anywhere(StoreOptions { idle: Duration::from_micros(20), fold_slice_rows: 1, ..small() }, 3);
}

#[test]
fn nor_does_one_while_the_store_is_closing() {
    // All of the log is still to be folded then.
    let options = StoreOptions { max_unfolded_bytes: 1024 * 1024, ring_bytes: 1024 * 1024, ..small() };
    let run = run(options, 4, 60);
    let closing = run.committed.last().copied().unwrap();
    assert!(run.disk.changes() - closing > 20, "closing is to change the disk");
    cut_from(&run, closing, IMAGES * scale() / 6, options, 4);
}

#[test]
fn nor_does_one_while_a_closed_store_is_opened_and_goes_on() {
    let first = run(small(), 5, 60);
    for seed in 6..9 {
        let disk = Disk::recording(first.disk.bytes());
        let next = go_on(disk, first.states.clone(), small(), seed, 4);
        cut_from(&next, 0, IMAGES * scale() / 12, small(), seed);
    }
}
