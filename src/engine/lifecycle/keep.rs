//! How much of a journal a retry keeps.

use std::ops::ControlFlow;

use crate::engine::change::plan::Kept;
use crate::engine::change::value::RowWrite;
use crate::engine::error::EngineError;
use crate::engine::family::messages;
use crate::engine::journal::checkpoint::CheckpointRow;
use crate::engine::journal::pieces::piece_of;
use crate::engine::journal::prefix::read_records;
use crate::engine::journal::records::{KIND_OUTPUT, Record, Segment};
use crate::engine::journal::{checkpoint, ops, records};
use crate::engine::questions::asked;
use crate::engine::record::output;
use crate::engine::rows;
use crate::engine::rows::tree;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{OutputMeta, Status, TaskId};

/// The records before `step` and what they led to, as a retry keeps them; replay brings back the rest.
pub fn keep(
    snapshot: &Snapshot<'_>,
    id: TaskId,
    status: &Status,
    step: u64,
) -> Result<Result<Kept, EngineError>, StoreError> {
    let checkpoint = checkpoint::read(snapshot, id)?;
    let base = checkpoint.as_ref().map_or(0, |row| row.records);
    let damaged = |why| StoreError::damaged_row(Space::Journal, id.as_bytes(), why);
    let journal = read_records(snapshot, id, status.epoch, base)?;
    let (records, awake_nanos) = (journal.records, journal.end.map_or(0, |(awake, _)| awake));

    let mut outputs = checkpoint.as_ref().map_or_else(Vec::new, |row| row.outputs.clone());
    let mut logical = checkpoint.as_ref().map_or(0, |row| row.logical);
    let (mut rest, mut number) = (&records[..], base);
    while number < step && !rest.is_empty() {
        match records::take_record(&mut rest).ok_or_else(|| damaged("a record is unreadable"))? {
            Record::Time { delta, .. } => logical = logical.saturating_add(delta),
            Record::Call { kind: KIND_OUTPUT, payload, .. } => note_output(&mut outputs, payload),
            Record::Call { .. } => {}
        }
        number += 1;
    }
    if number < step || step < base {
        return Ok(Err(EngineError::NoSuchStep { task: id, step, last: number }));
    }
    let kept = &records[..records.len() - rest.len()];
    let mut writes = vec![RowWrite::DeleteAll(Space::Journal)];
    if number > base {
        let head = Segment::head(number - base, awake_nanos, logical);
        let key = rows::journal_key(id, status.epoch, base);
        writes.push(RowWrite::Put(Space::Journal, key.to_vec(), [&head[..], kept].concat()));
    }
    cut_outputs(snapshot, id, status, &outputs, &mut writes)?;
    cut_log(snapshot, id, checkpoint.as_ref(), &mut writes)?;
    messages::give_back(snapshot, id, status.retry, step, &mut writes)?;
    ops::visit_rows(snapshot, id, status.epoch, |number, row| {
        if row.at >= step {
            let key = rows::journal_key(id, status.epoch, number).to_vec();
            writes.push(RowWrite::Delete(Space::Op, key));
            if piece_of(number).is_none() {
                writes.push(RowWrite::Delete(Space::Child, tree::pointer_key(id, status.epoch, number)));
            }
        }
        Ok(())
    })?;
    // Replay makes the reports again, under the same numbers.
    writes.push(RowWrite::DeleteAll(Space::Report));
    Ok(Ok(Kept {
        rows: writes,
        outputs,
        questions: asked::reopened(snapshot, id, status, step)?,
        reports: checkpoint.as_ref().map_or(0, |row| row.reports),
        steps: number,
        awake_nanos,
    }))
}

pub fn note_output(outputs: &mut Vec<OutputMeta>, payload: &[u8]) {
    let Some(record) = output::decode(payload).filter(output::OutputRecord::is_done_well) else { return };
    match outputs.iter_mut().find(|output| output.name == record.name) {
        Some(output) => (output.bytes, output.done) = (record.bytes, record.done),
        None => outputs.push(OutputMeta {
            name: record.name,
            mime_type: record.mime_type,
            bytes: record.bytes,
            done: record.done,
        }),
    }
}

/// Outputs are numbered in the order in which they were opened, so the kept ones come first.
pub fn cut_outputs(
    snapshot: &Snapshot<'_>,
    id: TaskId,
    status: &Status,
    kept: &[OutputMeta],
    writes: &mut Vec<RowWrite>,
) -> Result<(), StoreError> {
    for number in 0..status.outputs.len() {
        let Some(output) = kept.get(number) else {
            writes.push(RowWrite::DeletePrefix(Space::Output, rows::output_prefix(id, number).to_vec()));
            continue;
        };
        snapshot.scan_prefix(Space::Output, &rows::output_prefix(id, number), true, |key, _| {
            if rows::trailing_number(key).is_some_and(|offset| offset < output.bytes) {
                return ControlFlow::Break(());
            }
            writes.push(RowWrite::Delete(Space::Output, key.to_vec()));
            ControlFlow::Continue(())
        })?;
    }
    Ok(())
}

/// The log behind the last checkpoint is written again by replay.
pub fn cut_log(
    snapshot: &Snapshot<'_>,
    id: TaskId,
    checkpoint: Option<&CheckpointRow>,
    writes: &mut Vec<RowWrite>,
) -> Result<(), StoreError> {
    let Some(checkpoint) = checkpoint else {
        writes.push(RowWrite::DeleteAll(Space::Log));
        return Ok(());
    };
    snapshot.scan_prefix(Space::Log, id.as_bytes(), true, |key, _| {
        if rows::trailing_number(key).is_some_and(|offset| offset < checkpoint.log_position) {
            return ControlFlow::Break(());
        }
        writes.push(RowWrite::Delete(Space::Log, key.to_vec()));
        ControlFlow::Continue(())
    })
}
