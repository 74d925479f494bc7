//! Making a backup of a store that is open. One read transaction of redb holds base and log as of one moment for as
//! long as it takes; commits go on, and pages that they free are not used again meanwhile.

use std::io::{BufWriter, Write};
use std::sync::Arc;

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableError,
};

use super::super::base::{self, guarded};
use super::super::layout::RINGLESS_FORMAT;
use super::super::log::read_log;
use super::super::open::Meta;
use super::super::ring::{Pin, Ring, RingRows};
use super::super::run::Rows;
use super::super::shared::Shared;
use super::error::BackupError;
use super::stream::{Counts, Head, LOG, Output, RUN};
use super::summary::BackupSummary;
use crate::store::error::StoreError;
use crate::store::frame;
use crate::store::options::Lsn;
use crate::store::space::Space;

/// Writes what is committed by now. Nothing of a damaged store is passed on: it is an error, which the stream says.
pub(in crate::store) fn make(
    shared: &Shared,
    made_at: u64,
    out: impl Write,
) -> Result<BackupSummary, BackupError> {
    let (transaction, pinned) = begin(shared)?;
    let meta = guarded("table meta", || Meta::of(&transaction).map_err(|e| failed("table meta", e)))?;
    // A store that has not committed since it was opened has written no number of this opening.
    let boot = meta.boot.max(shared.boot);
    let (folded, base_bytes) = (meta.position.folded, meta.position.base_bytes);
    let in_ring = pinned.map_or_else(|| Ok(Vec::new()), |pinned| pinned.rows(meta.position.ring))?;
    let head = Head { format: RINGLESS_FORMAT, boot, made_at, folded, base_bytes };
    let mut output = Output::begin(BufWriter::new(out), &head)?;
    let written = guarded("the file", || Ok(write_all(&transaction, folded, in_ring, &mut output)));
    match written.map_err(BackupError::from).flatten() {
        Ok(counts) => {
            let (bytes, digest) = output.end(counts)?;
            Ok(counts.summary(&head, bytes, digest))
        }
        Err(why) => {
            output.give_up(&why);
            Err(why)
        }
    }
}

/// The ring as of the same moment as a transaction. What it has of the log is read at once, so that the writer need not
/// wait for the backup's end.
struct Pinned {
    ring: Arc<Ring>,
    head: u64,
    _pin: Pin,
}

impl Pinned {
    fn rows(self, from: u64) -> Result<Vec<(Lsn, Vec<u8>)>, StoreError> {
        RingRows::new(Some(&self.ring), from, Some(self.head)).collect()
    }
}

fn begin(shared: &Shared) -> Result<(ReadTransaction, Option<Pinned>), StoreError> {
    let state = shared.read_state();
    let db = state.db()?;
    let begun = guarded("the file", || db.begin_read().map_err(|error| failed("the store", error)))?;
    let pinned = state.ring.as_ref().map(|ring| {
        let span = state.ring_span;
        Pinned { ring: ring.clone(), head: span.head, _pin: ring.pin(span.tail) }
    });
    Ok((begun, pinned))
}

fn write_all(
    transaction: &ReadTransaction,
    folded: u64,
    in_ring: Vec<(Lsn, Vec<u8>)>,
    output: &mut Output<impl Write>,
) -> Result<Counts, BackupError> {
    let mut counts = Counts::default();
    for &space in Space::ALL {
        match transaction.open_table(base::table(space)) {
            Ok(table) => counts.rows += write_runs(space, &table, output)?,
            Err(TableError::TableDoesNotExist(_)) => {}
            Err(error) => return Err(failed(space, error).into()),
        }
    }
    let log = transaction.open_table(base::LOG).map_err(|error| failed("the log", error))?;
    let mut target = Ok(());
    counts.last_lsn = read_log(&log, &mut in_ring.into_iter().map(Ok), folded, |lsn, row| {
        let damaged = |why: String| StoreError::damaged(format_args!("log row {lsn}"), why);
        let batches = frame::read_row(lsn, row, |_| ()).map_err(damaged)?;
        counts.log_rows += 1;
        if target.is_ok() {
            target = output.record(LOG, &[&lsn.to_le_bytes(), row]);
        }
        Ok(batches)
    })?;
    target.map(|()| counts)
}

/// Gives the number of rows.
fn write_runs(
    space: Space,
    table: &ReadOnlyTable<&'static [u8], &'static [u8]>,
    output: &mut Output<impl Write>,
) -> Result<u64, BackupError> {
    let expected = table.len().map_err(|error| failed(space, error))?;
    let (mut runs, mut rows) = (0, 0);
    for run in table.iter().map_err(|error| failed(space, error))? {
        let (key, run) = run.map_err(|error| failed(space, error))?;
        let (key, run) = (key.value(), run.value());
        rows += Rows::of(space, key, run)?.len() as u64;
        runs += 1;
        output.record(RUN, &[&[space.id()], &(key.len() as u32).to_le_bytes(), key, run])?;
    }
    if runs != expected {
        let why = format!("{runs} runs are found of {expected}");
        return Err(StoreError::damaged(format_args!("space {space}"), why).into());
    }
    Ok(rows)
}

fn failed(what: impl std::fmt::Display, error: impl Into<redb::Error>) -> StoreError {
    StoreError::of_redb(format!("reading {what}"), error)
}
