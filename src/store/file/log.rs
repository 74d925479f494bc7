//! The log, whose rows lie in the ring or in redb's table: read in the order of their numbers.

use redb::ReadOnlyTable;

use crate::store::error::StoreError;
use crate::store::options::Lsn;

/// Visits the rows behind `folded`, each by its number; `visit` gives how many batches the row has. The ring is asked
/// for its next row where the table does not have it. Gives the number of the last batch.
pub(super) fn read_log(
    table: &ReadOnlyTable<u64, &'static [u8]>,
    ring: &mut dyn Iterator<Item = Result<(Lsn, Vec<u8>), StoreError>>,
    folded: Lsn,
    mut visit: impl FnMut(Lsn, &[u8]) -> Result<u64, StoreError>,
) -> Result<Lsn, StoreError> {
    let failed = |error: redb::StorageError| StoreError::of_redb("reading the log", error);
    let misses = |found: Lsn, next: Lsn| {
        let why = format!("log row {next} should come first and is missing");
        StoreError::damaged(format_args!("log row {found}"), why)
    };
    let mut rows = table.range(folded + 1..).map_err(failed)?;
    let mut waiting = rows.next().transpose().map_err(failed)?;
    let mut last = folded;
    loop {
        let next = last + 1;
        if let Some((lsn, row)) = waiting.take_if(|(lsn, _)| lsn.value() == next) {
            last += visit(lsn.value(), row.value())?;
            waiting = rows.next().transpose().map_err(failed)?;
            continue;
        }
        match ring.next().transpose()? {
            Some((lsn, row)) if lsn == next => last += visit(lsn, &row)?,
            Some((lsn, _)) => return Err(misses(lsn, next)),
            None => break,
        }
    }
    waiting.map_or(Ok(last), |(lsn, _)| Err(misses(lsn.value(), last + 1)))
}
