//! Whether an open task would go on with another component: its journal is replayed with it, without effects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::pack;
use super::replay::{Instead, ReplayEnd, Replayed, Stage};
use super::task::{Exported, PackedState};
use crate::authority::{Grant, Principal};
use crate::catalog::Component;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::journal::pieces::piece_of;
use crate::engine::probe::Difference;
use crate::engine::rows;
use crate::engine::runner::Runner;
use crate::limits;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{ComponentId, Status, Task, TaskId};

/// What became of one task's replay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trial {
    pub task: TaskId,
    pub tool: String,
    /// The component that it has.
    pub component: ComponentId,
    /// Records in its journal, those before its checkpoint included.
    pub records: u64,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It comes to the end of its journal, and would go on there.
    GoesOn,
    /// It does otherwise than the journal says.
    Differs(Difference),
    /// It ends before its journal does, or cannot begin.
    Fails { words: String },
    /// It was not replayed, or not to an end.
    NotTried { words: String },
}

impl Verdict {
    /// In words, for a person.
    pub fn words(&self) -> String {
        match self {
            Self::GoesOn => "would go on".to_owned(),
            Self::Differs(Difference { record, journal, guest }) => {
                format!("differs at step {record}: the journal has {journal}, the component does {guest}")
            }
            Self::Fails { words } => format!("would not go on: {words}"),
            Self::NotTried { words } => format!("was not tried: {words}"),
        }
    }
}

/// What a task may get in the place of its component.
#[derive(Clone)]
pub struct Other {
    pub component: Arc<Component>,
    pub bytes: Arc<[u8]>,
    /// The most that its tasks are given; `None` is what each of its tools has.
    pub offered: Option<Grant>,
}

impl Other {
    /// The task as it would be with this component; its grant is never more than it was. Or why it cannot have it.
    pub fn instead(&self, task: &Task) -> Result<Task, String> {
        let tools = &self.component.tools;
        let Some(entry) = tools.iter().find(|entry| entry.tool.definition.name == task.tool) else {
            return Err(format!("the component has no tool {} any more", task.tool));
        };
        let arguments = serde_json::from_str(&task.arguments).unwrap_or_default();
        entry.accept(&arguments).map_err(|error| format!("its arguments do not fit any more: {error}"))?;
        let given = self.offered.as_ref().unwrap_or(&entry.tool.grant);
        Ok(Task {
            component: self.component.id.clone(),
            binding: entry.tool.binding.clone(),
            grant: task.grant.within(given),
            ..task.clone()
        })
    }
}

/// A task as it was when it was tried: what a move of it supposes.
pub struct Tried {
    pub task: Task,
    /// As it would be.
    pub instead: Task,
    pub status: Status,
    /// The rows of both.
    pub task_row: Arc<[u8]>,
    pub status_row: Arc<[u8]>,
    /// The number of the record behind its journal.
    pub end: u64,
    /// Its operations by number: the hash of each, and whether it has an outcome.
    pub ops: Vec<(u64, u64, bool)>,
}

impl TaskEngine {
    /// Replays the journal of an open task with another component. Nothing of it changes the task. `runner` must let
    /// nothing out, as a played sandbox does. `None` where the task has ended; what would be moved, where it would go on.
    ///
    /// # Errors
    /// Where the store cannot be read; what the task comes to is no error.
    pub(in crate::engine) async fn try_task(
        &self,
        id: TaskId,
        other: &Other,
        runner: &Arc<dyn Runner>,
    ) -> Result<Option<(Trial, Option<Tried>)>, EngineError> {
        let now = self.shared.clock.wall();
        let read = move |snapshot: &Snapshot<'_>| Found::read(snapshot, id, now);
        let Some(found) = self.shared.store.read_long(read).await? else { return Ok(None) };
        let (verdict, instead) = found.tried(other, runner).await?;
        let Found { exported, task, status, task_row, status_row } = found;
        let trial = Trial {
            task: id,
            tool: task.tool.clone(),
            component: task.component.clone(),
            records: exported.end(),
            verdict,
        };
        let (end, ops) = (exported.end(), exported.known_ops());
        let tried = instead.filter(|_| trial.verdict == Verdict::GoesOn).map(|instead| Tried {
            task,
            instead,
            status,
            task_row,
            status_row,
            end,
            ops,
        });
        Ok(Some((trial, tried)))
    }
}

/// A task that may be tried, by one read.
struct Found {
    exported: Exported,
    task: Task,
    status: Status,
    task_row: Arc<[u8]>,
    status_row: Arc<[u8]>,
}

impl Found {
    /// `None` where it has ended.
    fn read(snapshot: &Snapshot<'_>, id: TaskId, now: u64) -> Result<Option<Self>, StoreError> {
        let owner = Principal::local().overseeing();
        let rows = (snapshot.get(Space::Task, id.as_bytes())?, snapshot.get(Space::Status, id.as_bytes())?);
        let (Some(task_row), Some(status_row)) = rows else { return Ok(None) };
        let (Some(task), Some(status)) = (rows::read_task(snapshot, id)?, rows::read_status(snapshot, id)?)
        else {
            return Ok(None);
        };
        if status.state.is_terminal() {
            return Ok(None);
        }
        let exported = pack::read(snapshot, &owner, (id, false), now)?;
        Ok(exported.map(|exported| Self { exported, task, status, task_row, status_row }))
    }

    async fn tried(
        &self,
        other: &Other,
        runner: &Arc<dyn Runner>,
    ) -> Result<(Verdict, Option<Task>), EngineError> {
        let instead = match other.instead(&self.task) {
            Ok(instead) => instead,
            Err(words) => return Ok((Verdict::Fails { words }, None)),
        };
        let bytes = self.exported.bytes();
        if bytes > limits::MAX_TRIED_BYTES {
            let limit = limits::MAX_TRIED_BYTES;
            let words = format!(
                "its journal and its operations have {bytes} bytes, and at most {limit} are replayed"
            );
            return Ok((Verdict::NotTried { words }, None));
        }
        let of_other = Instead {
            component: &other.bytes,
            binding: &instead.binding,
            grant: instead.grant.clone(),
            owner_state: &instead.owner_state,
        };
        let at_most = Duration::from_secs(limits::MAX_TRIAL_SECONDS);
        let stage = Stage { folder: None, until: None, at_most, folders: BTreeMap::new() };
        let verdict = match self.exported.replay_with(stage, runner.clone(), Some(of_other)).await {
            Ok(replayed) => verdict_of(replayed),
            Err(EngineError::Packed(words)) => Verdict::NotTried { words },
            Err(error) => return Err(error),
        };
        Ok((verdict, Some(instead)))
    }
}

fn verdict_of(replayed: Replayed) -> Verdict {
    match (replayed.end, replayed.difference) {
        (ReplayEnd::Live | ReplayEnd::Stopped | ReplayEnd::Completed(_), None) => Verdict::GoesOn,
        (ReplayEnd::TooLong, _) => Verdict::NotTried {
            words: format!("its replay takes longer than {} s", limits::MAX_TRIAL_SECONDS),
        },
        (_, Some(difference)) => Verdict::Differs(difference),
        (ReplayEnd::Differs { message }, None) => Verdict::Fails { words: message },
        (ReplayEnd::Trapped { message, .. }, None) => {
            Verdict::Fails { words: format!("it traps: {message}") }
        }
        (ReplayEnd::Failed { reason: "host_fault" | "refused", message }, None) => {
            Verdict::NotTried { words: message }
        }
        (ReplayEnd::Failed { reason, message }, None) => {
            Verdict::Fails { words: format!("it ends as {reason}: {message}") }
        }
    }
}

impl Exported {
    /// The number of the record behind its journal.
    fn end(&self) -> u64 {
        self.head.first_record.saturating_add(self.head.records)
    }

    fn bytes(&self) -> u64 {
        let outcomes = self.ops.iter().map(|op| match &op.state {
            PackedState::Done(outcome) => outcome.len() as u64,
            PackedState::Intent | PackedState::Abandoned | PackedState::Resend => 0,
        });
        self.records.len() as u64 + outcomes.sum::<u64>()
    }

    fn known_ops(&self) -> Vec<(u64, u64, bool)> {
        let is_done = |state: &PackedState| matches!(state, PackedState::Done(_) | PackedState::Abandoned);
        let own = self.ops.iter().filter(|op| piece_of(op.number).is_none());
        own.map(|op| (op.number, op.hash, is_done(&op.state))).collect()
    }
}
