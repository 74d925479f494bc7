//! A few open tasks at a time are tried with another version of their component, or moved to it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;

use super::open::{self, Open};
use crate::authority::Principal;
use crate::clock::Clock;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::packed::{Other, Trial, Verdict};
use crate::engine::runner::Runner;
use crate::limits;
use crate::store::{Snapshot, StoreError};
use crate::task::TaskId;

/// What became of some tasks.
#[derive(Clone, Debug)]
pub struct TrialPage<T> {
    pub tasks: Vec<T>,
    /// The last of them, where there are more behind it.
    pub next: Option<TaskId>,
}

/// What became of a task that was to be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moved {
    pub trial: Trial,
    pub moved: Move,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Move {
    Done,
    /// It would not go on, as its trial says.
    Stays,
    /// It would go on, and did not stand still while it was tried.
    Busy,
}

impl TaskEngine {
    /// Tries open tasks of this component that have another version of it, behind `after`: as many as one request takes.
    /// Nothing of it changes a task.
    ///
    /// # Errors
    /// Where the store cannot be read, or nothing here can run components without effects.
    pub async fn try_tasks(
        &self,
        other: &Other,
        after: Option<TaskId>,
    ) -> Result<TrialPage<Trial>, EngineError> {
        let runner = self.trial_runner(other)?;
        let mut slices = self.slices(other, after).await?;
        let mut tasks = Vec::new();
        while let Some(some) = slices.next(&*self.shared.clock) {
            let tried = some.iter().map(|open| self.try_open(open, other, &runner));
            tasks.extend(try_join_all(tried).await?.into_iter().flatten());
        }
        Ok(slices.page(tasks))
    }

    /// Moves those that would go on, each in one commit; the others stay as they are. Which would is found out here. Each
    /// is in the audit.
    ///
    /// # Errors
    /// [`EngineError::NotMovable`] where the component is not served as this; else as [`Self::try_tasks`].
    pub async fn move_tasks(
        &self,
        by: &Principal,
        other: &Other,
        after: Option<TaskId>,
    ) -> Result<TrialPage<Moved>, EngineError> {
        let done = self.move_page(by, other, after).await;
        self.shared.audit.record_error(by, Subject::new(AuditAction::TaskMove), done)
    }

    async fn move_page(
        &self,
        by: &Principal,
        other: &Other,
        after: Option<TaskId>,
    ) -> Result<TrialPage<Moved>, EngineError> {
        let runner = self.trial_runner(other)?;
        self.check_served(other)?;
        let mut slices = self.slices(other, after).await?;
        let mut tasks = Vec::new();
        while let Some(some) = slices.next(&*self.shared.clock) {
            let moved = some.iter().map(|open| self.move_open(by, open, other, &runner));
            tasks.extend(try_join_all(moved).await?.into_iter().flatten());
        }
        Ok(slices.page(tasks))
    }

    async fn slices(&self, other: &Other, after: Option<TaskId>) -> Result<Slices, EngineError> {
        let component = other.component.clone();
        let read = move |snapshot: &Snapshot<'_>| open::with_another(snapshot, &component, after);
        let open = self.shared.store.read_long(read).await?;
        let until = self.shared.clock.elapsed() + Duration::from_secs(limits::TRIAL_REQUEST_SECONDS);
        Ok(Slices { open, count: 0, until })
    }

    async fn try_open(
        &self,
        open: &Open,
        other: &Other,
        runner: &Arc<dyn Runner>,
    ) -> Result<Option<Trial>, EngineError> {
        let _place = self.shared.trying.acquire().await;
        match self.try_task(open.id, other, runner).await {
            Ok(tried) => Ok(tried.map(|(trial, _)| trial)),
            Err(error) => not_tried(open, error).map(Some),
        }
    }

    async fn move_open(
        &self,
        by: &Principal,
        open: &Open,
        other: &Other,
        runner: &Arc<dyn Runner>,
    ) -> Result<Option<Moved>, EngineError> {
        let _place = self.shared.trying.acquire().await;
        match self.move_task(by, open.id, other, runner).await {
            Ok(moved) => Ok(moved),
            Err(error) => Ok(Some(Moved { trial: not_tried(open, error)?, moved: Move::Stays })),
        }
    }
}

/// Open tasks, a few at a time, as far as one request goes.
struct Slices {
    open: Vec<Open>,
    /// Those that were given out.
    count: usize,
    until: Duration,
}

impl Slices {
    fn next(&mut self, clock: &dyn Clock) -> Option<Vec<Open>> {
        let is_over = self.count > 0 && clock.elapsed() >= self.until;
        if is_over || self.count >= limits::MAX_TRIALS_A_REQUEST {
            return None;
        }
        let some: Vec<Open> =
            self.open.iter().skip(self.count).take(limits::MAX_TRIALS_AT_ONCE).cloned().collect();
        self.count += some.len();
        (!some.is_empty()).then_some(some)
    }

    fn page<T>(self, tasks: Vec<T>) -> TrialPage<T> {
        let last = self.count.checked_sub(1).and_then(|last| self.open.get(last)).map(|open| open.id);
        TrialPage { tasks, next: last.filter(|_| self.count < self.open.len()) }
    }
}

/// What stands in the way of one task keeps no other from being tried; what stands in the way of all is an error.
fn not_tried(open: &Open, error: EngineError) -> Result<Trial, EngineError> {
    let words = match error {
        EngineError::Store(StoreError::Damaged { .. }) | EngineError::Packed(_) => error.to_string(),
        error => return Err(error),
    };
    let Open { id, tool, component } = open.clone();
    Ok(Trial { task: id, tool, component, records: 0, verdict: Verdict::NotTried { words } })
}
