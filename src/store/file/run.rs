//! Runs: neighbouring rows of a space, stored as one value of its base table under the first row's key.

use std::ops::Range;

use crate::limits::MAX_RUN_BYTES;
use crate::store::error::StoreError;
use crate::store::frame::{self, CHECK_BYTES, Input, push_bytes, range_within};
use crate::store::space::Space;

const RUN_VERSION: u8 = 1;
/// Bytes of a row in a run besides its key and value, at most.
const ROW_OVERHEAD_BYTES: usize = 8;

/// Where the rows of a run lie in its bytes.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Row>);

/// Its key and its value.
type Row = (Range<usize>, Range<usize>);

impl Rows {
    /// Of a run that was read under that key, after verifying it.
    pub fn of(space: Space, key: &[u8], run: &[u8]) -> Result<Self, StoreError> {
        let damaged = |why: &str| StoreError::damaged_row(space, key, why);
        let body_bytes = run.len().checked_sub(CHECK_BYTES).ok_or_else(|| damaged("the run is too short"))?;
        let (body, found) = run.split_at(body_bytes);
        if check(space, body) != found {
            return Err(damaged("the run does not match its check"));
        }
        Self::parse(run, body)
            .map(Self)
            .ok()
            .filter(|rows| rows.len() > 0 && rows.key(run, 0) == key)
            .ok_or_else(|| damaged("the run does not belong here"))
    }

    fn parse(run: &[u8], body: &[u8]) -> Result<Vec<Row>, String> {
        let mut input = Input(body);
        if input.byte()? != RUN_VERSION {
            return Err("another version".into());
        }
        let at = |part: &[u8]| range_within(run, part);
        let mut rows = Vec::new();
        while !input.0.is_empty() {
            rows.push((at(input.bytes()?), at(input.bytes()?)));
        }
        Ok(rows)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn key<'a>(&self, run: &'a [u8], number: usize) -> &'a [u8] {
        &run[self.0[number].0.clone()]
    }

    pub fn value<'a>(&self, run: &'a [u8], number: usize) -> &'a [u8] {
        &run[self.0[number].1.clone()]
    }

    /// The number of the row of that key, or of the first one behind it.
    pub fn find(&self, run: &[u8], key: &[u8]) -> Result<usize, usize> {
        self.0.binary_search_by(|row| run[row.0.clone()].cmp(key))
    }
}

/// Writes rows, which are in order, as runs: `store` gets the key and the bytes of each. Runs are filled to
/// `MAX_RUN_BYTES`, or evenly, which leaves room in all of them where rows come in between others.
pub(super) fn write_runs<E>(
    space: Space,
    rows: &[(&[u8], &[u8])],
    evenly: bool,
    mut store: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let size = |(key, value): &(&[u8], &[u8])| key.len() + value.len() + ROW_OVERHEAD_BYTES;
    let room = MAX_RUN_BYTES - CHECK_BYTES - 1;
    let all: usize = rows.iter().map(size).sum();
    let room = if evenly { all.div_ceil(all.div_ceil(room).max(1)) } else { room };
    let mut run = Vec::with_capacity(MAX_RUN_BYTES.min(all + CHECK_BYTES + 1));
    let mut rest = rows;
    while let Some((first, _)) = rest.first() {
        run.clear();
        run.push(RUN_VERSION);
        let mut used = 0;
        while let Some(row) = rest.first()
            && (used == 0 || used + size(row) <= room)
        {
            used += size(row);
            push_bytes(&mut run, row.0);
            push_bytes(&mut run, row.1);
            rest = &rest[1..];
        }
        let check = check(space, &run);
        run.extend_from_slice(&check);
        store(first, &run)?;
    }
    Ok(())
}

fn check(space: Space, body: &[u8]) -> [u8; CHECK_BYTES] {
    frame::check(space.id().into(), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(rows: &[(&[u8], &[u8])], evenly: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut runs = Vec::new();
        let stored: Result<(), ()> = write_runs(Space::Journal, rows, evenly, |key, run| {
            runs.push((key.to_vec(), run.to_vec()));
            Ok(())
        });
        stored.unwrap();
        runs
    }

    #[test]
    fn rows_are_packed_to_the_bound_and_read_as_written() {
        let keys: Vec<_> = (0..100u32).map(u32::to_be_bytes).collect();
        let large = vec![9; 3 * MAX_RUN_BYTES];
        let value = |number: usize| if number == 50 { &large[..] } else { &large[..300] };
        let rows: Vec<_> = keys.iter().enumerate().map(|(number, key)| (&key[..], value(number))).collect();
        for evenly in [false, true] {
            let runs = runs(&rows, evenly);
            let mut found = Vec::new();
            for (key, run) in &runs {
                let rows = Rows::of(Space::Journal, key, run).unwrap();
                assert!(run.len() <= MAX_RUN_BYTES || rows.len() == 1);
                found.extend((0..rows.len()).map(|number| (rows.key(run, number), rows.value(run, number))));
            }
            assert_eq!(found, rows);
            assert!(runs.len() <= 8, "{} runs", runs.len());
        }
    }

    #[test]
    fn a_run_that_is_damaged_or_stands_elsewhere_is_refused() {
        let (key, run) = runs(&[(b"a", b"1"), (b"b", b"2")], false).remove(0);
        assert!(Rows::of(Space::Journal, &key, &run).is_ok());
        assert!(Rows::of(Space::Journal, b"b", &run).is_err());
        assert!(Rows::of(Space::Op, &key, &run).is_err());
        for length in 0..run.len() {
            assert!(Rows::of(Space::Journal, &key, &run[..length]).is_err());
        }
        for bit in 0..run.len() * 8 {
            let mut flipped = run.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Rows::of(Space::Journal, &key, &flipped).is_err());
        }
    }
}
