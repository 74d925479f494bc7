//! Rows of the log that lie somewhere in the file and that its log does not reach. A row is written once the commits
//! before it are synced. So where the log ends two commits before such a row, or more, the disk has lost what it had
//! said was safe. Where it ends right before it, that row is a commit that was torn, as any crash may leave it.

use std::io;
use std::path::Path;

use redb::StorageBackend;

use super::ring::{MAX_ROW_BYTES, Ring, SECTOR_BYTES};
use crate::limits::{MAX_SEARCHED_BYTES, MAX_SEARCHED_RING_BYTES};
use crate::store::error::StoreError;
use crate::store::frame;
use crate::store::options::Lsn;

const PAGE_BYTES: usize = 4096;
/// Pages that are read at once.
const PIECE_PAGES: usize = 256;

// A leaf of redb's file format 3, of a table from u64 to bytes: a kind, a pad, the number of pairs, the end of each
// value within the page, the keys, the values.
const LEAF: u8 = 1;
const HEADER_BYTES: usize = 4;
const END_BYTES: usize = 4;
const KEY_BYTES: usize = 8;

/// How much of a file's parts is searched for what the disk has lost, bytes.
#[derive(Clone, Copy)]
pub(super) struct Searched {
    /// Of redb's part; one that is larger is not searched at all.
    redb: u64,
    /// Of the ring, behind the end of the log.
    ring: u64,
}

impl Searched {
    pub const AT_START: Self = Self { redb: MAX_SEARCHED_BYTES, ring: MAX_SEARCHED_RING_BYTES };
    const AFTER_A_CLOSE: Self = Self { redb: 0, ring: SECTOR_BYTES as u64 };
    pub const TO_READ: Self = Self { redb: 0, ring: u64::MAX };
    pub const ALL: Self = Self { redb: u64::MAX, ring: u64::MAX };
}

/// Where a log ends.
#[derive(Clone, Copy)]
pub(super) struct LogEnd {
    /// The last opening that wrote ended as it should.
    pub was_closed: bool,
    pub last_lsn: Lsn,
    /// Where it ended at the least when the base tables were last changed.
    pub reached: Lsn,
    /// Position in the ring.
    pub head: u64,
}

/// After a crash: that the file holds no row of the log, and no change of a base table, which was written after commits that
/// are not there. That is proof of a disk that says of a write that it is safe before it is.
pub(super) fn none_is_lost(
    end: LogEnd,
    file: &impl StorageBackend,
    ring: Option<&Ring>,
    path: &Path,
    searched: Searched,
) -> Result<(), StoreError> {
    let last = end.last_lsn;
    // Where redb's part shows the end of an opening, the next one's records would begin at the end of the log.
    let searched = if end.was_closed { Searched::AFTER_A_CLOSE } else { searched };
    let search = || {
        let in_ring = ring.map(|ring| ring.newest_behind(end.head, last, searched.ring)).transpose()?;
        if let Some(newest) = in_ring.flatten() {
            return Ok(Some(newest));
        }
        if file.len()? <= searched.redb { newest_row(file, last) } else { Ok(None) }
    };
    let newest = search().map_err(|error| StoreError::io(format!("opening {}", path.display()), &error))?;
    let proof = match newest {
        Some(newest) => {
            let proof = format!("the file has parts of commit {newest}, which was begun after them");
            Some((end.reached.max(newest - 1), proof))
        }
        None if end.reached > last => {
            Some((end.reached, "its tables have what followed from them".to_owned()))
        }
        None => None,
    };
    proof.map_or(Ok(()), |(until, proof)| {
        let lost = format!(
            "the commits {} to {until} were acknowledged and are gone, since {proof}. The disk, its controller or the \
             machine's host said that they were safe before they were: see \"A disk that lies\" in docs/operators.md",
            last + 1,
        );
        Err(StoreError::damaged(path.display(), lost))
    })
}

/// The highest number of a whole row behind `last` and the one that may follow it, if the file has one.
pub(super) fn newest_row(file: &impl StorageBackend, last: Lsn) -> io::Result<Option<Lsn>> {
    let length = file.len()?;
    let mut newest = None;
    let mut piece = vec![0; PIECE_PAGES * PAGE_BYTES];
    let mut at = 0;
    while at < length {
        let bytes = (length - at).min(piece.len() as u64) as usize;
        file.read(at, &mut piece[..bytes])?;
        for (number, page) in piece[..bytes].chunks_exact(PAGE_BYTES).enumerate() {
            let floor = newest.unwrap_or(last + 1);
            let found = newest_in_page(file, at + (number * PAGE_BYTES) as u64, page, floor, length)?;
            newest = found.or(newest);
        }
        at += bytes as u64;
    }
    Ok(newest)
}

/// The highest number above `floor` of a whole row in this page, if it is a page of rows at all. Large rows go on
/// behind the page.
fn newest_in_page(
    file: &impl StorageBackend,
    at: u64,
    page: &[u8],
    floor: Lsn,
    length: u64,
) -> io::Result<Option<Lsn>> {
    if page[0] != LEAF {
        return Ok(None);
    }
    let pairs = usize::from(u16::from_le_bytes([page[2], page[3]]));
    let keys = HEADER_BYTES + pairs * END_BYTES;
    let values = keys + pairs * KEY_BYTES;
    if pairs == 0 || values > page.len() {
        return Ok(None);
    }
    let end_of = |number: usize| {
        let from = HEADER_BYTES + number * END_BYTES;
        page[from..].first_chunk::<END_BYTES>().map_or(0, |end| u32::from_le_bytes(*end) as usize)
    };
    for number in (0..pairs).rev() {
        let key = page[keys + number * KEY_BYTES..].first_chunk::<KEY_BYTES>();
        let lsn = key.map_or(0, |key| u64::from_le_bytes(*key));
        if lsn <= floor {
            continue;
        }
        let (start, end) = (if number == 0 { values } else { end_of(number - 1) }, end_of(number));
        let is_possible = start >= values && end > start && end - start <= MAX_ROW_BYTES;
        if !is_possible || at + end as u64 > length {
            continue;
        }
        let is_whole = if end <= page.len() {
            frame::is_whole(lsn, &page[start..end])
        } else {
            let mut row = vec![0; end - start];
            file.read(at + start as u64, &mut row)?;
            frame::is_whole(lsn, &row)
        };
        if is_whole {
            return Ok(Some(lsn));
        }
    }
    Ok(None)
}
