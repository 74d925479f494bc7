//! A journal as it is on disk, and how much of it a retry keeps.

use std::ops::ControlFlow;

use super::records::Segment;
use crate::engine::rows;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::TaskId;

/// A journal as it is on disk.
pub struct JournalRows {
    pub records: Vec<u8>,
    /// Awake and logical nanoseconds at its end, where it has one.
    pub end: Option<(u64, u64)>,
}

/// All records of a journal. A gap, or a row that cannot be read, is damage, and reported as such.
pub fn read_records(
    snapshot: &Snapshot<'_>,
    id: TaskId,
    epoch: u32,
    base: u64,
) -> Result<JournalRows, StoreError> {
    let (mut rows_read, mut expected, mut fault) =
        (JournalRows { records: Vec::new(), end: None }, base, None);
    snapshot.scan_prefix(Space::Journal, &rows::journal_prefix(id, epoch), false, |key, row| {
        match (rows::trailing_number(key), Segment::decode(row)) {
            (Some(first), Some(segment)) if first == expected => {
                rows_read.records.extend_from_slice(segment.records);
                rows_read.end = Some((segment.awake_nanos, segment.logical_nanos));
                expected = first + segment.count;
                ControlFlow::Continue(())
            }
            (_, None) => {
                fault = Some(format!("the segment at record {expected} is unreadable"));
                ControlFlow::Break(())
            }
            (first, _) => {
                fault = Some(format!("record {expected} is missing, the next is {first:?}"));
                ControlFlow::Break(())
            }
        }
    })?;
    match fault {
        Some(why) => Err(StoreError::damaged_row(Space::Journal, id.as_bytes(), why)),
        None => Ok(rows_read),
    }
}
