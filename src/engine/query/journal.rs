//! A task's journal, record by record.

use super::tasks::own;
use crate::authority::Principal;
use crate::engine::error::EngineError;
use crate::engine::family::calling;
use crate::engine::family::calling::{KIND_CALLS, KIND_SEND};
use crate::engine::handle::TaskEngine;
use crate::engine::journal::records::{KIND_OUTPUT, Record};
use crate::engine::journal::{checkpoint, prefix, records};
use crate::engine::questions::KIND_MODELS;
use crate::engine::record::output;
use crate::engine::runner::Runner;
use crate::engine::state::guest;
use crate::engine::state::guest::KIND_STATE;
use crate::store::Snapshot;
use crate::task::TaskId;

/// A task's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalView {
    pub task: TaskId,
    /// Which of the task's journals it is: a retry or a checkpoint begins a fresh one.
    pub epoch: u32,
    pub records: Vec<RecordView>,
}

/// A record of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordView {
    /// Number of the record: what [`TaskEngine::retry`] takes.
    pub step: u64,
    /// What kind of record it is, in the runner's words.
    pub kind: String,
    /// What it stands for, where that is known.
    pub about: Option<String>,
    pub bytes: u64,
}

impl TaskEngine {
    /// The records that a restart would replay.
    pub async fn journal(&self, principal: &Principal, id: TaskId) -> Result<JournalView, EngineError> {
        let runner = self.runner.clone();
        let principal = principal.clone();
        let read = move |snapshot: &Snapshot<'_>| {
            let Some((_, status)) = own(snapshot, &principal, id)? else { return Ok(None) };
            let base = checkpoint::read(snapshot, id)?.map_or(0, |row| row.records);
            let journal = prefix::read_records(snapshot, id, status.epoch, base)?;
            let records = views(&journal.records, base, &*runner);
            Ok(Some(JournalView { task: id, epoch: status.epoch, records }))
        };
        let found = self.shared.store.read(read).await?;
        found.ok_or(EngineError::NoSuchTask(id))
    }
}

/// The records of a journal, of which the first has the number `base`.
pub(in crate::engine) fn views(records: &[u8], base: u64, runner: &dyn Runner) -> Vec<RecordView> {
    let (mut rest, mut views) = (records, Vec::new());
    while let Some(record) = records::take_record(&mut rest) {
        let step = base.saturating_add(views.len() as u64);
        let view = |kind: &str, about, bytes: usize| RecordView {
            step,
            kind: kind.to_owned(),
            about,
            bytes: bytes as u64,
        };
        views.push(match record {
            Record::Time { delta, .. } => view("time", Some(format!("+{} ms", delta / 1_000_000)), 0),
            Record::Call { kind: KIND_OUTPUT, payload, .. } => {
                view("output", output::decode(payload).map(|record| record.name), payload.len())
            }
            Record::Call { kind: KIND_STATE, payload, .. } => {
                view("state", guest::describe(payload), payload.len())
            }
            Record::Call { kind, payload, .. } => {
                let (name, about) = match kind {
                    KIND_MODELS => ("models.granted", None),
                    KIND_CALLS..=KIND_SEND => calling::describe(kind, payload),
                    _ => runner.describe(kind, payload),
                };
                view(name, about, payload.len())
            }
        });
    }
    views
}
