//! Reading a backup: every record by its own check, their order, their number, and the digest of all.

use std::io::Read;

use super::super::layout::FORMAT;
use super::super::run::Rows;
use super::error::BackupError;
use super::stream::{Counts, END, HEAD, Head, Input, LOG, RUN, UNFINISHED, unfinished};
use super::summary::BackupSummary;
use crate::store::error::StoreError;
use crate::store::frame;
use crate::store::space::Space;

/// A record that holds by itself; whether all of them do is known at the end.
pub(super) enum Record<'a> {
    Run { space: Space, key: &'a [u8], run: &'a [u8] },
    Log { lsn: u64, row: &'a [u8] },
}

/// Reads all of a backup. An error says what is wrong with it, and where.
pub(in crate::store) fn verify(input: impl Read) -> Result<BackupSummary, BackupError> {
    read(input, |_| Ok(()), |_, _| Ok(()))
}

/// Visits the head, then every record. What was visited holds only if this returns without an error.
pub(super) fn read(
    input: impl Read,
    mut begin: impl FnMut(&Head) -> Result<(), BackupError>,
    mut visit: impl FnMut(&Head, Record<'_>) -> Result<(), BackupError>,
) -> Result<BackupSummary, BackupError> {
    let (mut input, head) = Input::begin(input)?;
    if head.format > FORMAT {
        let path = "the backup".into();
        return Err(StoreError::NewerFormat { path, found: head.format, supported: FORMAT }.into());
    }
    begin(&head)?;
    let mut found = Counts { last_lsn: head.folded, ..Counts::default() };
    let mut last_run: Option<(Space, Vec<u8>)> = None;
    loop {
        let place = input.place();
        let altered = |why: String| BackupError::altered(&*place, why);
        match input.next()? {
            (RUN, payload) if found.log_rows == 0 => {
                let (space, key, run) = split_run(payload).ok_or_else(|| altered("a run is cut".into()))?;
                let rows = Rows::of(space, key, run).map_err(|error| altered(error.to_string()))?;
                if last_run.as_ref().is_some_and(|(in_space, last)| (*in_space, &**last) >= (space, key)) {
                    return Err(altered("a run is out of order".into()));
                }
                found.rows += rows.len() as u64;
                last_run = Some((space, rows.key(run, rows.len() - 1).to_vec()));
                visit(&head, Record::Run { space, key, run })?;
            }
            (LOG, payload) => {
                let (lsn, row) =
                    payload.split_first_chunk::<8>().ok_or_else(|| altered("a row is cut".into()))?;
                let lsn = u64::from_le_bytes(*lsn);
                if lsn != found.last_lsn + 1 {
                    return Err(altered(format!("log row {lsn} follows {}", found.last_lsn)));
                }
                found.last_lsn += frame::read_row(lsn, row, |_| ()).map_err(altered)?;
                found.log_rows += 1;
                visit(&head, Record::Log { lsn, row })?;
            }
            (END, payload) => {
                let payload = payload.to_vec();
                let (stated, bytes, digest) = input.finish(&payload)?;
                if stated != found {
                    return Err(altered(format!("it holds {found:?} and tells {stated:?}")));
                }
                return Ok(found.summary(&head, bytes, digest));
            }
            (UNFINISHED, payload) => return Err(unfinished(payload)),
            (HEAD | RUN, _) => return Err(altered("a record is out of order".into())),
            (kind, _) => return Err(altered(format!("a record of kind {kind} is not known here"))),
        }
    }
}

fn split_run(payload: &[u8]) -> Option<(Space, &[u8], &[u8])> {
    let ([space], payload) = payload.split_first_chunk::<1>()?;
    let (length, payload) = payload.split_first_chunk::<4>()?;
    let (key, run) = payload.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((Space::from_id(*space)?, key, run))
}
