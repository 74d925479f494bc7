//! Named outputs and the log of a task, piece by piece.

use std::ops::{Bound, ControlFlow};

use super::tasks::own;
use crate::authority::Principal;
use crate::catalog::show_hidden;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::journal::log_tail::split_log_row;
use crate::engine::rows;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{OutputMeta, TaskId};

/// A piece of an output or of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    pub bytes: Vec<u8>,
    pub mime_type: String,
    /// Bytes of the whole, so far.
    pub total: u64,
    /// It will not grow any more.
    pub done: bool,
}

impl TaskEngine {
    /// A piece of a named output.
    pub async fn output(
        &self,
        principal: &Principal,
        id: TaskId,
        name: &str,
        offset: u64,
        limit: usize,
    ) -> Result<Slice, EngineError> {
        let (principal, wanted) = (principal.clone(), name.to_owned());
        let read = move |snapshot: &Snapshot<'_>| {
            let Some((_, status)) = own(snapshot, &principal, id)? else { return Ok(None) };
            let named = |output: &OutputMeta| output.name == wanted;
            // Also as documents spell it.
            let shown = |output: &OutputMeta| show_hidden(&output.name) == wanted;
            let outputs = &status.outputs;
            let found = outputs.iter().position(named).or_else(|| outputs.iter().position(shown));
            let Some(number) = found else {
                let have = status.outputs.into_iter().map(|output| output.name).collect();
                return Ok(Some(Err(have)));
            };
            let meta = &status.outputs[number];
            let bytes = read_pieces(
                snapshot,
                Space::Output,
                &rows::output_prefix(id, number),
                offset,
                limit,
                whole_row,
            )?;
            let done = meta.done || status.state.is_terminal();
            Ok(Some(Ok(Slice { bytes, mime_type: meta.mime_type.clone(), total: meta.bytes, done })))
        };
        let found = self.shared.store.read(read).await?;
        match found {
            None => Err(EngineError::NoSuchTask(id)),
            Some(Err(have)) => Err(EngineError::NoSuchOutput { task: id, name: name.to_owned(), have }),
            Some(Ok(slice)) => Ok(slice),
        }
    }

    /// A piece of the task's log: stdout, stderr and log lines.
    pub async fn log(
        &self,
        principal: &Principal,
        id: TaskId,
        offset: u64,
        limit: usize,
    ) -> Result<Slice, EngineError> {
        let principal = principal.clone();
        let read = move |snapshot: &Snapshot<'_>| {
            let Some((_, status)) = own(snapshot, &principal, id)? else { return Ok(None) };
            let bytes = read_pieces(snapshot, Space::Log, id.as_bytes(), offset, limit, log_text)?;
            let mut total = 0;
            snapshot.scan_prefix(Space::Log, id.as_bytes(), true, |key, row| {
                let length = log_text(row).map_or(0, <[u8]>::len) as u64;
                total = rows::trailing_number(key).unwrap_or(0) + length;
                ControlFlow::Break(())
            })?;
            let mime_type = "text/plain; charset=utf-8".to_owned();
            Ok(Some(Slice { bytes, mime_type, total, done: status.state.is_terminal() }))
        };
        let found = self.shared.store.read(read).await?;
        found.ok_or(EngineError::NoSuchTask(id))
    }
}

fn whole_row(row: &[u8]) -> Option<&[u8]> {
    Some(row)
}

fn log_text(row: &[u8]) -> Option<&[u8]> {
    split_log_row(row).map(|(_, text)| text)
}

/// Bytes from `offset` on, at most `limit`, of rows that are keyed by their offset.
fn read_pieces(
    snapshot: &Snapshot<'_>,
    space: Space,
    prefix: &[u8],
    offset: u64,
    limit: usize,
    text: fn(&[u8]) -> Option<&[u8]>,
) -> Result<Vec<u8>, StoreError> {
    let numbered = |number: u64| [prefix, &number.to_be_bytes()].concat();
    // The piece with the first byte that is asked for begins there or before.
    let mut first = prefix.to_vec();
    let before: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(prefix), Bound::Included(&numbered(offset)));
    snapshot.scan(space, before, true, |key, _| {
        first = key.to_vec();
        ControlFlow::Break(())
    })?;
    let mut bytes = Vec::new();
    let from: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(&first), Bound::Included(&numbered(u64::MAX)));
    snapshot.scan(space, from, false, |key, row| {
        let (Some(at), Some(piece)) = (rows::trailing_number(key), text(row)) else {
            return ControlFlow::Continue(());
        };
        let skip = usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX).min(piece.len());
        let room = limit - bytes.len();
        bytes.extend(piece[skip..].iter().take(room));
        if bytes.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(bytes)
}
