//! Random batches against a plain map: guards, deleted prefixes, large values, folding, reopening, scans.

use std::ops::{Bound, ControlFlow};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::limits::MAX_LOGGED_VALUE_BYTES;
use crate::store::counts;

#[derive(Debug, Clone)]
enum Step {
    Put(Space, Vec<u8>, u8),
    PutLarge(Space, Vec<u8>, u8),
    Delete(Space, Vec<u8>),
    DeletePrefix(Space, Vec<u8>),
    Absent(Space, Vec<u8>),
    Present(Space, Vec<u8>),
    Is(Space, Vec<u8>, u8),
    Count(u8, i64),
}

#[derive(Debug, Clone)]
enum Turn {
    /// Queued at once, so that they may share a group.
    Commit(Vec<Vec<Step>>),
    Reopen,
    Look {
        space: Space,
        from: Bound<Vec<u8>>,
        to: Bound<Vec<u8>>,
        prefix: Vec<u8>,
    },
}

fn space() -> impl Strategy<Value = Space> {
    prop_oneof![Just(Space::Journal), Just(Space::Blob)]
}

/// Few and alike, so that they meet; with the bytes at which prefixes end oddly.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (space(), key(), any::<u8>()).prop_map(|(space, key, byte)| Step::Put(space, key, byte)),
        1 => (space(), key(), any::<u8>()).prop_map(|(space, key, byte)| Step::PutLarge(space, key, byte)),
        4 => (space(), key()).prop_map(|(space, key)| Step::Delete(space, key)),
        3 => (space(), key()).prop_map(|(space, key)| Step::DeletePrefix(space, key)),
        1 => (space(), key()).prop_map(|(space, key)| Step::Absent(space, key)),
        1 => (space(), key()).prop_map(|(space, key)| Step::Present(space, key)),
        1 => (space(), key(), any::<u8>()).prop_map(|(space, key, byte)| Step::Is(space, key, byte)),
        4 => (0..3u8, -40..60i64).prop_map(|(kind, change)| Step::Count(kind, change)),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![key().prop_map(Bound::Included), key().prop_map(Bound::Excluded), Just(Bound::Unbounded)]
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        6 => prop::collection::vec(prop::collection::vec(step(), 0..5), 1..6).prop_map(Turn::Commit),
        1 => Just(Turn::Reopen),
        2 => (space(), bound(), bound(), key())
            .prop_map(|(space, from, to, prefix)| Turn::Look { space, from, to, prefix }),
    ]
}

/// Most are small, and some so large that a few of them fill a run.
fn value(byte: u8) -> Vec<u8> {
    let length = if byte.is_multiple_of(4) { 2_500 } else { 0 };
    vec![byte; length + usize::from(byte % 64)]
}

fn large(byte: u8) -> Vec<u8> {
    vec![byte; MAX_LOGGED_VALUE_BYTES + 1]
}

fn count(kind: u8) -> Count {
    match kind {
        0 => Count::Task([7; 16]),
        kind => Count::Named { kind, name: "ann".into() },
    }
}

fn batch(steps: &[Step]) -> Batch {
    steps.iter().cloned().fold(Batch::new(), |batch, step| match step {
        Step::Put(space, key, byte) => batch.put(space, key, value(byte)),
        Step::PutLarge(space, key, byte) => batch.put(space, key, large(byte)),
        Step::Delete(space, key) => batch.delete(space, key),
        Step::DeletePrefix(space, prefix) => batch.delete_prefix(space, prefix),
        Step::Absent(space, key) => batch.guard(Guard::Absent { space, key }),
        Step::Present(space, key) => batch.guard(Guard::Present { space, key }),
        Step::Is(space, key, byte) => batch.guard(Guard::Is { space, key, value: value(byte).into() }),
        Step::Count(kind, change) => {
            let mut batch = batch;
            batch.add_count(count(kind), change);
            batch
        }
    })
}

/// The index of the guard that does not hold, if any.
fn refusal(model: &Contents, steps: &[Step]) -> Option<usize> {
    let holds = steps.iter().filter_map(|step| match step {
        Step::Absent(space, key) => Some(!model.contains_key(&(*space, key.clone()))),
        Step::Present(space, key) => Some(model.contains_key(&(*space, key.clone()))),
        Step::Is(space, key, byte) => Some(model.get(&(*space, key.clone())) == Some(&value(*byte))),
        _ => None,
    });
    holds.enumerate().find(|(_, holds)| !holds).map(|(index, _)| index)
}

fn apply(model: &mut Contents, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Put(space, key, byte) => drop(model.insert((*space, key.clone()), value(*byte))),
            Step::PutLarge(space, key, byte) => drop(model.insert((*space, key.clone()), large(*byte))),
            Step::Delete(space, key) => drop(model.remove(&(*space, key.clone()))),
            Step::DeletePrefix(space, prefix) => {
                model.retain(|(of, key), _| of != space || !key.starts_with(prefix));
            }
            Step::Count(kind, change) => {
                let key = (Space::Count, count(*kind).key());
                let there = model.get(&key).map_or(0, |row| read_count(&key.1, row).unwrap());
                match counts::row(there.saturating_add_signed(*change)).unwrap() {
                    Some(row) => drop(model.insert(key, row)),
                    None => drop(model.remove(&key)),
                }
            }
            Step::Absent(..) | Step::Present(..) | Step::Is(..) => {}
        }
    }
}

fn look(
    store: &Store,
    model: &Contents,
    space: Space,
    range: (Bound<&[u8]>, Bound<&[u8]>),
    prefix: &[u8],
) -> Result<(), TestCaseError> {
    use std::ops::RangeBounds;
    for reverse in [false, true] {
        let expected = |wanted: &dyn Fn(&[u8]) -> bool| {
            let rows = model.iter().filter(|((of, key), _)| *of == space && wanted(key));
            let mut rows: Vec<_> = rows.map(|((_, key), value)| (key.clone(), value.clone())).collect();
            if reverse {
                rows.reverse();
            }
            rows
        };
        let mut found = Vec::new();
        let mut by_prefix = Vec::new();
        store
            .read_blocking(|snapshot| {
                snapshot.scan(space, range, reverse, |key, value| {
                    found.push((key.to_vec(), value.to_vec()));
                    ControlFlow::Continue(())
                })?;
                snapshot.scan_prefix(space, prefix, reverse, |key, value| {
                    by_prefix.push((key.to_vec(), value.to_vec()));
                    if by_prefix.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })
            })
            .unwrap();
        prop_assert_eq!(found, expected(&|key| RangeBounds::<[u8]>::contains(&range, key)));
        let mut first = expected(&|key| key.starts_with(prefix));
        first.truncate(3);
        prop_assert_eq!(by_prefix, first);
    }
    Ok(())
}

fn play(turns: &[Turn], place: &dyn Place, options: StoreOptions) -> Result<(), TestCaseError> {
    let mut store = place.open(options).unwrap();
    let mut model = Contents::new();
    let mut boot = 1;
    let mut last_lsn = 0;
    for turn in turns {
        match turn {
            Turn::Commit(batches) => {
                let acks: Vec<_> = batches.iter().map(|steps| store.enqueue(batch(steps)).unwrap()).collect();
                for (steps, ack) in batches.iter().zip(acks) {
                    let answer = ack.wait_blocking();
                    let Some(expected) = refusal(&model, steps) else {
                        let writes = !batch(steps).is_empty();
                        last_lsn += u64::from(writes);
                        prop_assert_eq!(answer, Ok(last_lsn));
                        apply(&mut model, steps);
                        continue;
                    };
                    let Err(StoreError::Refused(refusal)) = answer else {
                        return Err(TestCaseError::fail(format!("{answer:?} where a guard does not hold")));
                    };
                    prop_assert_eq!(refusal.index, expected);
                }
            }
            Turn::Reopen => {
                store.close_blocking().unwrap();
                store = place.open(options).unwrap();
                boot += 1;
                prop_assert_eq!(store.boot(), boot);
            }
            Turn::Look { space, from, to, prefix } => {
                let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
                look(&store, &model, *space, range, prefix)?;
            }
        }
        for (space, key) in model.keys() {
            let found = store.read_blocking(|snapshot| snapshot.get(*space, key)).unwrap();
            prop_assert_eq!(found.as_deref(), model.get(&(*space, key.clone())).map(Vec::as_slice));
        }
        prop_assert!(contents(&store).unwrap() == model);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 192 * scale() as u32,
        max_shrink_iters: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_store_in_a_file_is_a_map(turns in prop::collection::vec(turn(), 1..40)) {
        let options = StoreOptions { max_unfolded_bytes: 2048, fold_slice_rows: 1, ..small() };
        play(&turns, &Disk::default(), options)?;
    }

    #[test]
    fn the_store_in_memory_is_a_map(turns in prop::collection::vec(turn(), 1..40)) {
        play(&turns, &Rows::default(), small())?;
    }

    #[test]
    fn the_store_in_a_file_is_a_map_when_idle_in_between(turns in prop::collection::vec(turn(), 1..30)) {
        let idle = Duration::from_micros(50);
        let options = StoreOptions { max_unfolded_bytes: 1024, fold_slice_rows: 1, idle, ..small() };
        play(&turns, &Disk::default(), options)?;
    }
}
