//! The ring of the log: a stretch of the file that commits are written to one behind the other, with one sync each, and
//! from its start again where it ends. A *position* counts all bytes that ever went into it; where a position lies in
//! the stretch is its rest by the ring's size.
//!
//! A record's head has a check that is seeded with the file's secret and the record's position. So neither bytes that a
//! guest wrote nor what an earlier round left there pass for a record.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::whole::Whole;
use crate::limits::{MAX_BATCH_LOG_BYTES, MAX_GROUP_BYTES};
use crate::store::error::StoreError;
use crate::store::frame::{CHECK_BYTES, check};
use crate::store::options::Lsn;

/// Is on the disk as a whole or not at all; records begin with one.
pub(super) const SECTOR_BYTES: usize = 512;
/// Of a record: number of its first batch u64, bytes of its row u32, check of the row, check of the head.
const HEAD_BYTES: usize = 8 + 4 + CHECK_BYTES + CHECK_BYTES;
/// A group of batches, or one that is larger by itself, with what a row has besides them.
pub(super) const MAX_ROW_BYTES: usize = MAX_BATCH_LOG_BYTES + 2 * MAX_GROUP_BYTES;
/// What a search reads at once.
const PIECE_BYTES: usize = 1024 * 1024;

pub(super) struct Ring {
    whole: Arc<Whole>,
    /// Where in the file it begins.
    from: u64,
    bytes: u64,
    secret: u64,
    /// Positions from which on readers need what is there.
    pins: Mutex<Vec<u64>>,
}

/// What a record says of itself.
struct Head {
    lsn: Lsn,
    row_bytes: usize,
    check: [u8; CHECK_BYTES],
}

/// From a position on nothing is written over while this is there.
pub(super) struct Pin {
    ring: Arc<Ring>,
    at: u64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.ring.pins.lock();
        if let Some(number) = pins.iter().position(|at| *at == self.at) {
            pins.swap_remove(number);
        }
    }
}

/// What a record takes of the ring.
pub(super) fn record_bytes(row_bytes: usize) -> u64 {
    (HEAD_BYTES + row_bytes).next_multiple_of(SECTOR_BYTES) as u64
}

impl Ring {
    pub fn new(whole: Arc<Whole>, from: u64, bytes: u64, secret: u64) -> Self {
        Self { whole, from, bytes, secret, pins: Mutex::default() }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn pin(self: &Arc<Self>, at: u64) -> Pin {
        self.pins.lock().push(at);
        Pin { ring: self.clone(), at }
    }

    /// The first position that is still needed, if the log's own need begins at `tail`.
    pub fn needed_from(&self, tail: u64) -> u64 {
        self.pins.lock().iter().copied().fold(tail, u64::min)
    }

    /// Makes the record of a row at a position.
    pub fn encode(&self, at: u64, lsn: Lsn, row: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&lsn.to_le_bytes());
        out.extend_from_slice(&(row.len() as u32).to_le_bytes());
        out.extend_from_slice(&check(self.seed(at), row));
        let head = check(self.seed(at), out);
        out.extend_from_slice(&head);
        out.extend_from_slice(row);
        out.resize(record_bytes(row.len()) as usize, 0);
    }

    /// Writes at a position, over what is not needed any more.
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let (at, left) = self.place(at);
        let (here, at_start) = bytes.split_at(bytes.len().min(left));
        self.whole.write(self.from + at, here)?;
        if at_start.is_empty() { Ok(()) } else { self.whole.write(self.from, at_start) }
    }

    /// Writes the record at a position once more. After a sync that failed the system may have it in memory alone, as if it
    /// were on the disk, and would sync nothing.
    pub fn write_again(&self, at: u64) -> io::Result<()> {
        let Some((lsn, row)) = self.record(at)? else { return Ok(()) };
        let mut record = Vec::new();
        self.encode(at, lsn, &row, &mut record);
        self.write(at, &record)
    }

    pub fn sync(&self) -> io::Result<()> {
        self.whole.sync()
    }

    /// The record at a position, if there is a whole one.
    fn record(&self, at: u64) -> io::Result<Option<(Lsn, Vec<u8>)>> {
        let mut sector = [0; SECTOR_BYTES];
        self.read(at, &mut sector)?;
        let Some(head) = self.head(at, &sector) else { return Ok(None) };
        if record_bytes(head.row_bytes) > self.bytes {
            return Ok(None);
        }
        let mut row = vec![0; head.row_bytes];
        let here = head.row_bytes.min(SECTOR_BYTES - HEAD_BYTES);
        row[..here].copy_from_slice(&sector[HEAD_BYTES..HEAD_BYTES + here]);
        if here < row.len() {
            self.read(at + SECTOR_BYTES as u64, &mut row[here..])?;
        }
        Ok((check(self.seed(at), &row) == head.check).then_some((head.lsn, row)))
    }

    /// The highest number of a record behind `last` and the one that may follow it, if one was begun from `at` on, in
    /// the first `most` bytes behind the one that was begun at `at`, if one was.
    pub fn newest_behind(&self, at: u64, last: Lsn, most: u64) -> io::Result<Option<Lsn>> {
        let mut sector = [0; SECTOR_BYTES];
        self.read(at, &mut sector)?;
        let begun = self.head(at, &sector).map_or(0, |head| record_bytes(head.row_bytes));
        let most = most.saturating_add(begun).min(self.bytes);
        let mut newest = None;
        let mut piece = vec![0; PIECE_BYTES.min(most as usize)];
        let mut done = 0;
        while done < most {
            let bytes = (most - done).min(piece.len() as u64) as usize;
            self.read(at + done, &mut piece[..bytes])?;
            for (number, sector) in piece[..bytes].chunks_exact(SECTOR_BYTES).enumerate() {
                let place = at + done + (number * SECTOR_BYTES) as u64;
                // What stands there may be from the next round, where what made room for it is gone.
                for place in [place, place + self.bytes] {
                    let lsn = self.head(place, sector).map_or(0, |head| head.lsn);
                    if lsn > newest.unwrap_or(last + 1) {
                        newest = Some(lsn);
                    }
                }
            }
            done += bytes as u64;
        }
        Ok(newest)
    }

    fn head(&self, at: u64, sector: &[u8]) -> Option<Head> {
        let (head, stated) = sector.get(..HEAD_BYTES)?.split_at(HEAD_BYTES - CHECK_BYTES);
        let (lsn, rest) = head.split_first_chunk::<8>()?;
        let (row_bytes, check_of_row) = rest.split_first_chunk::<4>()?;
        let (lsn, row_bytes) = (u64::from_le_bytes(*lsn), u32::from_le_bytes(*row_bytes) as usize);
        // Most of what is no record is known without reckoning.
        if lsn == 0 || row_bytes > MAX_ROW_BYTES || check(self.seed(at), head) != stated {
            return None;
        }
        Some(Head { lsn, row_bytes, check: check_of_row.try_into().ok()? })
    }

    fn seed(&self, at: u64) -> u64 {
        self.secret.wrapping_add(at)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let (at, left) = self.place(at);
        let (here, at_start) = out.split_at_mut(out.len().min(left));
        self.whole.read(self.from + at, here)?;
        if at_start.is_empty() { Ok(()) } else { self.whole.read(self.from, at_start) }
    }

    /// Where a position lies, and how many bytes there are up to the end.
    fn place(&self, at: u64) -> (u64, usize) {
        let place = at % self.bytes;
        (place, (self.bytes - place) as usize)
    }
}

/// The rows in the ring from a position on, in their order, up to the first one that is not whole, or to an end.
pub(super) struct RingRows<'a> {
    ring: Option<&'a Ring>,
    /// Of the next one.
    pub at: u64,
    /// Of the one before.
    pub last: Option<u64>,
    end: Option<u64>,
}

impl<'a> RingRows<'a> {
    pub fn new(ring: Option<&'a Ring>, at: u64, end: Option<u64>) -> Self {
        Self { ring, at, last: None, end }
    }
}

impl Iterator for RingRows<'_> {
    type Item = Result<(Lsn, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.end.is_some_and(|end| self.at >= end) {
            return None;
        }
        match self.ring?.record(self.at) {
            Ok(Some((lsn, row))) => {
                self.last = Some(self.at);
                self.at += record_bytes(row.len());
                Some(Ok((lsn, row)))
            }
            Ok(None) if self.end.is_some() => {
                let place = format!("the log's ring, position {}", self.at);
                Some(Err(StoreError::damaged(place, "the record does not match its check")))
            }
            Ok(None) => None,
            Err(error) => Some(Err(StoreError::io("reading the log's ring", &error))),
        }
    }
}
