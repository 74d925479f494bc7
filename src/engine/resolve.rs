//! An effect left and nobody knows whether it arrived: its owner says what became of it, and the task goes on.

use std::time::Duration;

use serde_json::Value;

use super::audit::{self, Deed, Subject};
use super::commit::Commit;
use super::entry::{Anchor, Entry};
use super::feed::{ResourceKey, TaskChange};
use super::ops::{self, OpState};
use super::view::TaskDocument;
use super::{EngineError, TaskEngine, questions, rows, sweep};
use crate::authority::Principal;
use crate::store::{Batch, Guard, Space, StoreError};
use crate::task::{FailedReason, State, Task, TaskEvent, TaskId, WakeOn};

/// What the owner knows of an operation of unknown outcome.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// It arrived, and this is what came back, in the form that the runner documents.
    Done(Value),
    /// It did not arrive: the guest is told that it failed.
    Failed,
    /// Send it again, under the same idempotency key.
    Resend,
}

fn said(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Done(outcome) => outcome.to_string(),
        Resolution::Failed => "failed".to_owned(),
        Resolution::Resend => "resend".to_owned(),
    }
}

impl TaskEngine {
    /// Settles operation `step` of a task whose outcome is unknown; the task goes on from its journal.
    pub async fn resolve(
        &self,
        principal: &Principal,
        id: TaskId,
        step: u64,
        resolution: Resolution,
    ) -> Result<TaskDocument, EngineError> {
        let done = self.resolve_step(principal, id, step, resolution).await;
        self.audited(principal, Subject::of_task(Deed::Resolve, id), done)
    }

    async fn resolve_step(
        &self,
        principal: &Principal,
        id: TaskId,
        step: u64,
        resolution: Resolution,
    ) -> Result<TaskDocument, EngineError> {
        let document = self.task(principal, id)?;
        let shared = &self.shared;
        let wrong = |hint| EngineError::WrongState { task: id, state: document.state.clone(), hint };
        let (task, status, was, rows_of_ops) = shared.store.read(|snapshot| {
            let missing = |space| StoreError::damaged_row(space, id.as_bytes(), "the row is missing");
            let task = rows::read_task(snapshot, id)?.ok_or_else(|| missing(Space::Task))?;
            let status = rows::read_status(snapshot, id)?.ok_or_else(|| missing(Space::Status))?;
            let was = snapshot.get(Space::Status, id.as_bytes())?.ok_or_else(|| missing(Space::Status))?;
            let ops = ops::read_rows(snapshot, id, status.epoch)?;
            let mut status = status;
            if status.state.is_terminal() {
                questions::reopen(snapshot, id, &mut status, u64::MAX)?;
            }
            Ok((task, status, was, ops))
        })?;
        let asked = match status.state {
            State::Failed(FailedReason::UnknownOutcome) => status.error.as_ref().and_then(|error| error.op),
            State::Waiting(_) => status.wake.as_ref().and_then(|wake| {
                wake.on.iter().find_map(|on| match on {
                    WakeOn::Resolution(op) => Some(*op),
                    _ => None,
                })
            }),
            _ => None,
        };
        let asked = asked.ok_or_else(|| wrong("it has no step of unknown outcome"))?;
        let row = rows_of_ops.into_iter().find(|(number, _)| *number == step && step == asked);
        let Some((_, mut row)) = row else {
            return Err(EngineError::NotInQuestion { task: id, step, asked });
        };
        let mut commit = Commit::new();
        let key = id.as_bytes().to_vec();
        commit.add_guard(Guard::Is { space: Space::Status, key, value: was });
        let said = *blake3::hash(said(&resolution).as_bytes()).as_bytes();
        row.state = match resolution {
            Resolution::Resend => OpState::Resend,
            Resolution::Done(outcome) => OpState::Done(self.settled(&mut commit, &task, Some(outcome))?),
            Resolution::Failed => OpState::Done(self.settled(&mut commit, &task, None)?),
        };
        commit.add_put(Space::Op, rows::journal_key(id, status.epoch, step), rows::encode(&row)?);
        let is_waiting = matches!(status.state, State::Waiting(_));
        let mut status = status;
        let now = shared.clock.wall();
        status.updated_at = now;
        status.wake = None;
        if !is_waiting {
            status.state = status.state.after(TaskEvent::Retried)?;
            status.attempt += 1;
            if let Some(at) = status.ended_at {
                commit.add_delete(Space::Ended, sweep::ended_key(at, id));
            }
            (status.failures, status.ended_at, status.error) = (0, None, None);
            status.since = now.max(task.created_at);
        }
        commit.add_put(Space::Status, id.as_bytes().as_slice(), rows::encode(&status)?);
        commit.add_put(Space::Open, id.as_bytes().as_slice(), Vec::new());
        let subject = Subject::of_task(Deed::Resolve, id).tool(&task.tool, &task.component).hash(said);
        audit::admitted(shared, &mut commit, principal, subject)?;
        commit.changed(ResourceKey::Task(id));
        commit.changed(ResourceKey::Tasks(task.principal.clone()));
        commit.happened(id, TaskChange::State(status.shown()));
        let entry = Entry::of(&task, status);
        let logical = now.saturating_sub(task.created_at);
        entry.lock().anchor = Some(match shared.entry(id).and_then(|there| there.lock().anchor) {
            Some(anchor) => anchor,
            None => Anchor { elapsed: shared.clock.elapsed(), logical },
        });
        commit.opens(entry, Duration::ZERO);
        shared.commit(commit)?.await.map_err(|error| match error {
            StoreError::Refused(_) => wrong("somebody else is changing it: look at it again"),
            other => other.into(),
        })?;
        self.task(principal, id)
    }

    fn settled(
        &self,
        batch: &mut Batch,
        task: &Task,
        outcome: Option<Value>,
    ) -> Result<rows::Payload, EngineError> {
        let bytes = self.shared.runner.settle(&task.component, outcome).map_err(EngineError::BadOutcome)?;
        Ok(rows::put_payload(batch, task.id, &bytes))
    }
}
