//! From the store to an export: one read of the task's rows.

use std::ops::ControlFlow;

use super::task::{
    Exported, ExportedError, ExportedHead, PackedCheckpoint, PackedOp, PackedState, PackedTask,
};
use crate::authority::Principal;
use crate::clock::UnixNanos;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::journal::log_tail::split_log_row;
use crate::engine::journal::ops::{OpRow, OpState};
use crate::engine::journal::records::take_record;
use crate::engine::journal::{checkpoint, ops, prefix};
use crate::engine::query::tasks::own;
use crate::engine::questions::asked_by;
use crate::engine::rows;
use crate::limits;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{Task, TaskId};

impl TaskEngine {
    /// A task of this principal with all that its replay needs, as it is on disk. A task that has completed has no journal
    /// any more.
    pub async fn export(&self, principal: &Principal, id: TaskId) -> Result<Exported, EngineError> {
        let (principal, now) = (principal.clone(), self.shared.clock.wall());
        let read = move |snapshot: &Snapshot<'_>| read(snapshot, &principal, (id, true), now);
        let found = self.shared.store.read_long(read).await?;
        let mut exported = found.ok_or(EngineError::NoSuchTask(id))?;
        if exported.component.is_empty() {
            return Err(EngineError::Packed(format!(
                "task {id} is not exported: its tool is no component, and could not be replayed elsewhere"
            )));
        }
        let catalog = self.catalog();
        let entry = catalog.callable(&exported.head.tool);
        let same = entry.filter(|entry| entry.tool.component.as_str() == exported.head.component);
        exported.head.definition = same.and_then(|entry| serde_json::to_value(&entry.tool.definition).ok());
        Ok(exported)
    }

    /// The same as the bytes of a file, which says that it was made at this time.
    pub async fn export_file(
        &self,
        principal: &Principal,
        id: TaskId,
        (is_redacted, exported_at): (bool, UnixNanos),
    ) -> Result<Vec<u8>, EngineError> {
        // One may be large; several at once are many.
        let _alone = self.shared.exporting.lock().await;
        let mut exported = self.export(principal, id).await?;
        exported.head.exported_at = exported_at;
        let exported = if is_redacted { exported.redacted() } else { exported };
        let packed = exported.to_bytes();
        packed.map_err(|error| EngineError::Packed(format!("task {id} is not exported: {error}")))
    }
}

/// A task of this principal, with its component's bytes where they are wanted.
pub(super) fn read(
    snapshot: &Snapshot<'_>,
    principal: &Principal,
    (id, with_component): (TaskId, bool),
    now: u64,
) -> Result<Option<Exported>, StoreError> {
    let Some((task, status)) = own(snapshot, principal, id)? else { return Ok(None) };
    let saved = checkpoint::read(snapshot, id)?;
    let base = saved.as_ref().map_or(0, |row| row.records);
    let journal = prefix::read_records(snapshot, id, status.epoch, base)?;
    let (awake_nanos, logical_nanos) =
        journal.end.or(saved.as_ref().map(|row| (row.awake_nanos, row.logical))).unwrap_or_default();
    let mut packed_ops = Vec::new();
    ops::visit_rows(snapshot, id, status.epoch, |number, row| {
        packed_ops.push(packed_op(snapshot, number, row)?);
        Ok(())
    })?;
    let checkpoint = match saved {
        Some(row) => Some(PackedCheckpoint {
            state: rows::read_payload(snapshot, &row.state)?.to_vec(),
            log_position: row.log_position,
            reports: row.reports,
            logical: row.logical,
            records: row.records,
            awake_nanos: row.awake_nanos,
        }),
        None => None,
    };
    let error = status.error.as_ref();
    let head = ExportedHead {
        longhaul: env!("CARGO_PKG_VERSION").to_owned(),
        redacted: false,
        task: id.to_string(),
        tool: task.tool.clone(),
        definition: None,
        component: task.component.to_string(),
        state: status.state.name().to_owned(),
        reason: status.state.reason().map(str::to_owned),
        error: error
            .map(|error| ExportedError { message: error.message.clone(), detail: error.detail.clone() }),
        attempt: status.attempt,
        records: count(&journal.records),
        first_record: base,
        created_at: task.created_at,
        exported_at: now,
    };
    let component = if with_component { component(snapshot, &task)? } else { Vec::new() };
    let questions = &status.questions;
    let packed = PackedTask {
        id,
        binding: task.binding.clone(),
        arguments: task.arguments.clone(),
        limits: task.limits.clone(),
        grant: without_sources(&task),
        effects: task.effects.clone(),
        seed: status.seed,
        asked: questions.asked,
        keys: questions.keys.clone(),
        asked_by: asked_by(snapshot, id, status.epoch)?,
        reports: status.reports,
        log_end: log_end(snapshot, id)?,
        awake_nanos,
        logical_nanos,
    };
    Ok(Some(Exported {
        head,
        component,
        task: packed,
        records: journal.records,
        ops: packed_ops,
        checkpoint,
        environment: task.environment.clone(),
    }))
}

/// Where secrets are, and which folders are meant, is the server's own.
fn without_sources(task: &Task) -> crate::authority::Grant {
    let mut grant = task.grant.clone();
    grant.secrets.iter_mut().for_each(|secret| secret.from = None);
    grant.files.iter_mut().for_each(|file| file.path = None);
    grant
}

fn component(snapshot: &Snapshot<'_>, task: &Task) -> Result<Vec<u8>, StoreError> {
    match task.component.digest() {
        Some(digest) => Ok(rows::read_blob(snapshot, &digest)?.to_vec()),
        // Closures and tools of other servers have none.
        None => Ok(Vec::new()),
    }
}

fn packed_op(snapshot: &Snapshot<'_>, number: u64, row: OpRow) -> Result<PackedOp, StoreError> {
    let state = match row.state {
        OpState::Intent => PackedState::Intent,
        OpState::Done(payload) => PackedState::Done(rows::read_payload(snapshot, &payload)?.to_vec()),
        OpState::Abandoned => PackedState::Abandoned,
        OpState::Resend => PackedState::Resend,
    };
    Ok(PackedOp { number, at: row.at, hash: row.hash, sends: row.sends, state })
}

fn log_end(snapshot: &Snapshot<'_>, id: TaskId) -> Result<Option<(u64, [u8; 8])>, StoreError> {
    let mut found = None;
    snapshot.scan_prefix(Space::Log, id.as_bytes(), true, |key, row| {
        if let (Some(offset), Some((hash, text))) = (rows::trailing_number(key), split_log_row(row)) {
            found = Some((offset.saturating_add(text.len() as u64), hash));
        }
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn count(records: &[u8]) -> u64 {
    let mut rest = records;
    std::iter::from_fn(|| take_record(&mut rest)).count() as u64
}

/// Fits what a journal may have by default.
const _: () = assert!(limits::MAX_PACKED_RECORDS_BYTES >= limits::DEFAULT_JOURNAL_MIB << 20);
