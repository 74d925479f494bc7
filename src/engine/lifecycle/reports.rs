//! What a task has reported, for a stream that gets each of it, once and in order, also after a restart.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::find::Standing;
use crate::authority::Principal;
use crate::clock::UnixNanos;
use crate::engine::change::commit::commit_event;
use crate::engine::change::lease;
use crate::engine::change::plan::Event;
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::memory::entry::Entry;
use crate::engine::rows;
use crate::engine::shared::Shared;
use crate::store::{Ack, Snapshot, Space, StoreError};
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
    pub async fn reported(
        &self,
        principal: &Principal,
        id: TaskId,
        after: ReportAt,
        limit: usize,
    ) -> Result<Reported, EngineError> {
        let principal = principal.clone();
        let read = move |snapshot: &Snapshot<'_>| {
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
        };
        let found = self.shared.store.read(read).await?;
        found.ok_or(EngineError::NoSuchTask(id))
    }

    /// From here on the task keeps its reports; what is committed after this finds it so.
    pub(in crate::engine) async fn keep_reports(
        &self,
        principal: &Principal,
        id: TaskId,
    ) -> Result<(), EngineError> {
        let Standing::Open(entry) = self.find(principal, id).await? else { return Ok(()) };
        while let Some(ack) = enqueue_keeping(&self.shared, &entry)? {
            if lease::has_arrived(&self.shared, &entry, ack).await? {
                break;
            }
        }
        Ok(())
    }
}

/// `None` where they are kept already, or there will be none.
fn enqueue_keeping(shared: &Arc<Shared>, entry: &Entry) -> Result<Option<Ack>, EngineError> {
    let mut state = entry.lock();
    if state.status.kept_reports.is_some() || state.status.state.is_terminal() {
        return Ok(None);
    }
    // The status of a live task knows of reports that are not committed: they go along.
    commit_event(shared, entry, &mut state, Event::ReportsWanted, Commit::new()).map(Some)
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
