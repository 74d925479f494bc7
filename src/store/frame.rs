//! Log rows: what one group commit wrote, byte for byte as `file/format.md` says.

use std::ops::Range;

use twox_hash::XxHash3_64;

use super::space::Space;

/// Version of a log row's layout, its first byte.
pub(super) const ROW_VERSION: u8 = 1;

pub(super) const CHECK_BYTES: usize = 8;
const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_PREFIX: u8 = 3;
const DIRECT: u8 = 4;

/// One op as it stands in the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Logged<'a> {
    Put {
        space: Space,
        key: &'a [u8],
        value: &'a [u8],
    },
    Delete {
        space: Space,
        key: &'a [u8],
    },
    DeletePrefix {
        space: Space,
        prefix: &'a [u8],
    },
    /// The value was written into the base table by the same commit.
    Direct {
        space: Space,
        key: &'a [u8],
    },
}

impl Logged<'_> {
    pub fn space(&self) -> Space {
        match self {
            Logged::Put { space, .. }
            | Logged::Delete { space, .. }
            | Logged::DeletePrefix { space, .. }
            | Logged::Direct { space, .. } => *space,
        }
    }
}

/// The value is given in parts.
pub(super) fn push_put(out: &mut Vec<u8>, space: Space, key: &[u8], value: &[&[u8]]) {
    let length = value.iter().map(|part| part.len()).sum::<usize>();
    out.reserve(key.len() + length + 8);
    push_key(out, PUT, space, key);
    push_varint(out, length as u64);
    value.iter().for_each(|part| out.extend_from_slice(part));
}

pub(super) fn push_delete(out: &mut Vec<u8>, space: Space, key: &[u8]) {
    push_key(out, DELETE, space, key);
}

pub(super) fn push_delete_prefix(out: &mut Vec<u8>, space: Space, prefix: &[u8]) {
    push_key(out, DELETE_PREFIX, space, prefix);
}

pub(super) fn push_direct(out: &mut Vec<u8>, space: Space, key: &[u8]) {
    push_key(out, DIRECT, space, key);
}

/// Begins a row of `batches` batches, which have so many bytes of ops.
pub(super) fn begin_row(batches: usize, bytes: usize) -> Vec<u8> {
    // Besides the ops: the version, the number of batches, the check, and each batch's number of ops.
    let mut out = Vec::with_capacity(bytes + 5 + CHECK_BYTES + 3 * batches);
    out.push(ROW_VERSION);
    push_varint(&mut out, batches as u64);
    out
}

pub(super) fn push_batch(out: &mut Vec<u8>, ops: usize, frame: &[u8]) {
    push_varint(out, ops as u64);
    out.extend_from_slice(frame);
}

/// Closes the row that is stored at `lsn`.
pub(super) fn end_row(out: &mut Vec<u8>, lsn: u64) {
    let check = check(lsn, out);
    out.extend_from_slice(&check);
}

/// Reads the row stored at `lsn`, op by op; gives its number of batches. Whatever is wrong with it is found
/// before the first op is visited, or reported as an error.
pub(super) fn read_row(lsn: u64, row: &[u8], mut visit: impl FnMut(Logged<'_>)) -> Result<u64, String> {
    let body_bytes = row.len().checked_sub(CHECK_BYTES).ok_or("the row is too short")?;
    let (body, found) = row.split_at(body_bytes);
    if check(lsn, body) != found {
        return Err("the row does not match its check".into());
    }
    read_body(body, &mut visit)
}

/// Whether it is the row that was written at `lsn`, byte for byte.
pub(super) fn is_whole(lsn: u64, row: &[u8]) -> bool {
    let split = row.len().checked_sub(CHECK_BYTES).map(|body_bytes| row.split_at(body_bytes));
    split.is_some_and(|(body, found)| body.first() == Some(&ROW_VERSION) && check(lsn, body) == found)
}

/// The same for a row that was just made.
pub(super) fn read_own_row(row: &[u8], mut visit: impl FnMut(Logged<'_>)) -> Result<u64, String> {
    read_body(&row[..row.len().saturating_sub(CHECK_BYTES)], &mut visit)
}

/// Reads the ops of one batch.
pub(super) fn read_ops(frame: &[u8], mut visit: impl FnMut(Logged<'_>)) -> Result<(), String> {
    let mut input = Input(frame);
    while !input.0.is_empty() {
        visit(input.op()?);
    }
    Ok(())
}

/// Where a part lies in the bytes that it is a part of.
pub(super) fn range_within(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

fn read_body(body: &[u8], visit: &mut impl FnMut(Logged<'_>)) -> Result<u64, String> {
    let mut input = Input(body);
    match input.byte()? {
        ROW_VERSION => {}
        other => return Err(format!("the row has version {other}, which is not known here")),
    }
    let batches = input.varint()?;
    for _ in 0..batches {
        for _ in 0..input.varint()? {
            visit(input.op()?);
        }
    }
    if input.0.is_empty() { Ok(batches) } else { Err("the row goes on behind its last batch".into()) }
}

/// Tells damaged bytes, and bytes in the wrong place. Against chance, not against malice: who can write the file
/// can write a check.
pub(super) fn check(place: u64, bytes: &[u8]) -> [u8; CHECK_BYTES] {
    XxHash3_64::oneshot_with_seed(place, bytes).to_le_bytes()
}

fn push_key(out: &mut Vec<u8>, kind: u8, space: Space, key: &[u8]) {
    out.push(kind);
    out.push(space.id());
    push_bytes(out, key);
}

pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes yet to be read.
pub(super) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn byte(&mut self) -> Result<u8, String> {
        let (first, rest) = self.0.split_first().ok_or("it ends early")?;
        self.0 = rest;
        Ok(*first)
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number is too long".into())
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = usize::try_from(self.varint()?).map_err(|_| "a length is too large")?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or("it ends early")?;
        self.0 = rest;
        Ok(bytes)
    }

    fn op(&mut self) -> Result<Logged<'a>, String> {
        let kind = self.byte()?;
        let id = self.byte()?;
        let space = Space::from_id(id).ok_or_else(|| format!("space {id} is not known here"))?;
        let key = self.bytes()?;
        Ok(match kind {
            PUT => Logged::Put { space, key, value: self.bytes()? },
            DELETE => Logged::Delete { space, key },
            DELETE_PREFIX => Logged::DeletePrefix { space, prefix: key },
            DIRECT => Logged::Direct { space, key },
            other => return Err(format!("op {other} is not known here")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Vec<u8> {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        push_put(&mut first, Space::Journal, b"key", &[&[7; 100], &[7; 200]]);
        push_delete(&mut first, Space::Wake, b"");
        push_delete_prefix(&mut second, Space::Op, b"prefix");
        push_direct(&mut second, Space::Blob, b"digest");
        let mut row = begin_row(2, first.len() + second.len());
        let room = row.capacity();
        push_batch(&mut row, 2, &first);
        push_batch(&mut row, 2, &second);
        end_row(&mut row, 9);
        assert_eq!(row.capacity(), room, "nothing is moved");
        row
    }

    #[test]
    fn a_row_reads_as_written() {
        let (row, mut number) = (row(), 0);
        let batches = read_row(9, &row, |op| {
            let expected = match number {
                0 => Logged::Put { space: Space::Journal, key: b"key", value: &[7; 300] },
                1 => Logged::Delete { space: Space::Wake, key: b"" },
                2 => Logged::DeletePrefix { space: Space::Op, prefix: b"prefix" },
                _ => Logged::Direct { space: Space::Blob, key: b"digest" },
            };
            assert_eq!(op, expected);
            number += 1;
        });
        assert_eq!((batches, number), (Ok(2), 4));
        assert_eq!(read_own_row(&row, |_| number += 1), Ok(2));
        assert_eq!(number, 8);
    }

    #[test]
    fn a_damaged_cut_or_misplaced_row_is_refused() {
        let row = row();
        assert!(read_row(10, &row, |_| {}).is_err());
        for length in 0..row.len() {
            assert!(read_row(9, &row[..length], |_| {}).is_err());
        }
        for bit in 0..row.len() * 8 {
            let mut flipped = row.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read_row(9, &flipped, |_| panic!("no op of a damaged row is visited")).is_err());
        }
    }
}
