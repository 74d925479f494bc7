//! What a task has reported, for a stream that is told of each of it, once and in order, also after a restart.

use std::ops::{Bound, ControlFlow};

use serde::{Deserialize, Serialize};

use crate::authority::Principal;
use crate::clock::UnixNanos;
use crate::engine::change::commit::commit;
use crate::engine::change::value::Change;
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::rows;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{Report, State, Status, TaskId};

/// A place between two reports: behind the one of that number, in that retry of the task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReportAt {
    pub retry: u32,
    pub number: u64,
}

/// A task's reports behind some place, as of one moment.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Those that were kept, oldest first.
    pub reports: Vec<(ReportAt, Report)>,
    /// Where the newest report stands, and what it left behind, for a stream that found none kept.
    pub newest: (ReportAt, Report),
    pub state: State,
    pub updated_at: UnixNanos,
}

impl TaskEngine {
    pub fn reported(
        &self,
        principal: &Principal,
        id: TaskId,
        after: ReportAt,
        limit: usize,
    ) -> Result<Reported, EngineError> {
        let found = self.shared.store.read(|snapshot| {
            let task = rows::read_task_row(snapshot, id)?;
            if task.is_none_or(|(task, _)| task.principal != principal.name()) {
                return Ok(None);
            }
            let Some(status) = rows::read_status(snapshot, id)? else { return Ok(None) };
            Ok(Some(Reported {
                reports: kept(snapshot, id, after, limit)?,
                newest: newest(&status),
                state: status.state,
                updated_at: status.updated_at,
            }))
        })?;
        found.ok_or(EngineError::NoSuchTask(id))
    }

    /// From here on the task keeps its reports; what is committed after this finds it so.
    pub(in crate::engine) fn keep_reports(&self, id: TaskId) -> Result<(), EngineError> {
        let Some(entry) = self.shared.entry(id) else { return Ok(()) };
        let mut state = entry.lock();
        if state.status.kept_reports.is_some() || state.status.state.is_terminal() {
            return Ok(());
        }
        // The status of a live task knows of reports that are not committed: they go along.
        let status = Status { kept_reports: Some(0), ..state.status.clone() };
        drop(commit(&self.shared, &entry, &mut state, Change::of_status(status), Commit::new())?);
        Ok(())
    }
}

fn newest(status: &Status) -> (ReportAt, Report) {
    let at = ReportAt { retry: status.retry, number: status.reports };
    (at, Report::Progress { progress: status.progress, message: status.message.clone() })
}

fn kept(
    snapshot: &Snapshot<'_>,
    id: TaskId,
    after: ReportAt,
    limit: usize,
) -> Result<Vec<(ReportAt, Report)>, StoreError> {
    let mut found = Vec::new();
    let mut fault = None;
    let start = rows::report_key(id, after.retry, after.number);
    let end = rows::report_key(id, u32::MAX, u64::MAX);
    snapshot.scan(
        Space::Report,
        (Bound::Excluded(&start[..]), Bound::Included(&end[..])),
        false,
        |key, row| {
            let number = rows::trailing_number(key).unwrap_or_default();
            let retry = key.get(16..20).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
            match rows::decode(Space::Report, key, row) {
                Ok(report) => found.push((ReportAt { retry, number }, report)),
                Err(error) => fault = Some(error),
            }
            if found.len() < limit && fault.is_none() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        },
    )?;
    fault.map_or(Ok(found), Err)
}
