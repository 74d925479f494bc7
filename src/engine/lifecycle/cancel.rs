//! Cancellation by an owner, or by the task that had called a child and needs it no more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::end::{By, Ending, end};
use super::find::Standing;
use crate::authority::Principal;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::change::commit::commit_event;
use crate::engine::change::lease;
use crate::engine::change::plan::Event;
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::memory::entry::Entry;
use crate::engine::query::view::TaskView;
use crate::engine::shared::Shared;
use crate::store::{Ack, StoreError};
use crate::task::{CancelRequest, TaskId, WakeOn};

impl TaskEngine {
    /// Asks a task to end, or ends it at once where its guest does not listen. A task that has ended already stays
    /// as it is.
    pub async fn cancel(
        &self,
        principal: &Principal,
        id: TaskId,
        reason: Option<String>,
    ) -> Result<TaskView, EngineError> {
        let done = self.cancel_task(principal, id, reason).await;
        self.shared.audit.record_error(principal, Subject::of_task(AuditAction::Cancel, id), done)
    }

    /// Cancels a task whose call its client gave up, unless another call has found it since: that one goes on.
    pub async fn give_up(
        &self,
        principal: &Principal,
        id: TaskId,
        reason: &str,
    ) -> Result<TaskView, EngineError> {
        let is_joined = |entry: Arc<Entry>| entry.joined.load(Ordering::Relaxed);
        if self.shared.entry(id).is_some_and(is_joined) {
            return self.task(principal, id).await;
        }
        self.cancel(principal, id, Some(reason.to_owned())).await
    }

    async fn cancel_task(
        &self,
        principal: &Principal,
        id: TaskId,
        reason: Option<String>,
    ) -> Result<TaskView, EngineError> {
        let subject = Subject::of_task(AuditAction::Cancel, id);
        let entry = match self.find(principal, id).await? {
            Standing::Open(entry) => entry,
            Standing::Ended(view) => {
                self.shared.audit.record_repeated(principal, subject, "ended");
                return Ok(*view);
            }
        };
        let request = CancelRequest { at: self.shared.clock.wall(), reason };
        let listens = self.shared.is_running();
        loop {
            let cancelled = cancel_anyway(&self.shared, principal, &entry, &request, listens).await?;
            let Some(ack) = cancelled else {
                self.shared.audit.record_repeated(principal, subject, "cancelled_already");
                break;
            };
            if lease::has_arrived(&self.shared, &entry, ack).await? {
                break;
            }
        }
        self.task(principal, id).await
    }
}

/// The same, also where the disk has no room for what its guest has not committed: that is given up.
pub async fn cancel_anyway(
    shared: &Arc<Shared>,
    by: &Principal,
    entry: &Arc<Entry>,
    request: &CancelRequest,
    may_listen: bool,
) -> Result<Option<Ack>, EngineError> {
    match cancel(shared, by, entry, request.clone(), may_listen) {
        Err(EngineError::Store(StoreError::NoSpace { .. })) if entry.lock().live.is_some() => {}
        cancelled => return cancelled,
    }
    lease::drop_pending(shared, entry).await?;
    let cancelled = cancel(shared, by, entry, request.clone(), may_listen);
    if cancelled.is_err() {
        lease::go_on(shared, entry).await;
    }
    cancelled
}

/// Asks a task to end, or ends it at once where its guest does not listen, or cannot (`may_listen`); `None` where that
/// has happened already.
pub fn cancel(
    shared: &Arc<Shared>,
    by: &Principal,
    entry: &Arc<Entry>,
    request: CancelRequest,
    may_listen: bool,
) -> Result<Option<Ack>, EngineError> {
    let mut state = entry.lock();
    if state.status.state.is_terminal() {
        return Ok(None);
    }
    let listens = match &state.live {
        Some(live) => live.handles_cancellation,
        None => state.status.wake.as_ref().is_some_and(|wake| wake.on.contains(&WakeOn::Cancellation)),
    };
    // It stands still, and hears nothing.
    let may_listen = may_listen && state.status.state.blocked().is_none();
    if !(listens && may_listen) {
        return end(shared, entry, &mut state, &Ending::Cancelled(Some(request)), By::Caller(by)).map(Some);
    }
    if state.status.cancel.is_some() {
        return Ok(None);
    }
    let mut more = Commit::new();
    let subject = Subject::of_task(AuditAction::Cancel, entry.id).owned_by(&entry.principal);
    shared.audit.record_admitted(&mut more, by, subject)?;
    commit_event(shared, entry, &mut state, Event::CancelRequested(request), more).map(Some)
}
