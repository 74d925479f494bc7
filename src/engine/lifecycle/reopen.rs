//! Taken up again by its owner: an ended task from the start, from a step, or with an outcome that was unknown; and a
//! task that waits for its owner to say what became of an operation. One event, `Reopened`, for all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::Value;

use super::find::Standing;
use super::keep;
use crate::authority::{Capability, Principal};
use crate::clock::UnixNanos;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::change::admit::listed;
use crate::engine::change::charge::{self, Bounded};
use crate::engine::change::commit::commit_event;
use crate::engine::change::lease;
use crate::engine::change::plan::{About, Event, Facts, Keep, plan};
use crate::engine::change::traced::{self, Reopened};
use crate::engine::charge::{Charge, of_task, stored};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::family::children;
use crate::engine::handle::TaskEngine;
use crate::engine::journal::ops;
use crate::engine::journal::ops::{OpRow, OpState};
use crate::engine::link::Link;
use crate::engine::memory::entry::{Anchor, Entry, arguments_in_memory};
use crate::engine::memory::open_task::OpenTask;
use crate::engine::memory::task_trees;
use crate::engine::query::view::TaskView;
use crate::engine::questions::asked;
use crate::engine::random::random;
use crate::engine::rows::tree;
use crate::engine::rows::{self, Payload};
use crate::engine::shared::Shared;
use crate::engine::trace::{self, Tracer};
use crate::limits;
use crate::shares::Pool;
use crate::store::{Guard, Snapshot, Space, StoreError};
use crate::task::{FailedReason, State, Status, Task, TaskId, WakeOn};

/// What the owner knows of an operation of unknown outcome.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// It arrived, and this is what came back, in the form that the runner documents.
    Done(Value),
    /// It did not arrive: for the guest it failed.
    Failed,
    /// Send it again, under the same idempotency key.
    Resend,
}

/// How it is taken up again.
#[derive(Clone)]
enum Reopening {
    Afresh,
    /// With the journal's records before this step.
    From(u64),
    /// With what became of this operation.
    Settled {
        step: u64,
        resolution: Resolution,
    },
}

impl Reopening {
    /// The trace goes on behind how the last try ended.
    fn trace(&self, tracer: Tracer, task: (TaskId, &Status), at: UnixNanos, commit: &mut Commit) {
        let (word, step) = match self {
            Self::Afresh => ("retry", None),
            Self::From(step) => ("retry", Some(*step)),
            Self::Settled { step, .. } => ("resolve", Some(*step)),
        };
        let reopened = Reopened { word, step, at };
        traced::reopen(tracer, task, &reopened, commit);
    }
}

/// An ended task as it is on disk.
struct Ended {
    task: Task,
    status: Status,
    /// The status as the row has it.
    row: Arc<[u8]>,
    keep: Keep,
    settled: Option<(u64, OpRow)>,
    /// The call that it came from still waits for it.
    is_wanted: bool,
    detached_children: Vec<TaskId>,
    charge: Charge,
}

impl TaskEngine {
    /// Tries a failed or cancelled task again, under its id: from the start, or keeping its journal's records
    /// before `from_step`.
    pub async fn retry(
        &self,
        principal: &Principal,
        id: TaskId,
        from_step: Option<u64>,
    ) -> Result<TaskView, EngineError> {
        let reopening = from_step.map_or(Reopening::Afresh, Reopening::From);
        let done = self.reopen(principal, id, AuditAction::Retry, &reopening).await;
        self.shared.audit.record_error(principal, Subject::of_task(AuditAction::Retry, id), done)
    }

    /// Settles operation `step` of a task whose outcome is unknown; the task goes on from its journal.
    pub async fn resolve(
        &self,
        principal: &Principal,
        id: TaskId,
        step: u64,
        resolution: Resolution,
    ) -> Result<TaskView, EngineError> {
        let reopening = Reopening::Settled { step, resolution };
        let done = self.reopen(principal, id, AuditAction::Resolve, &reopening).await;
        self.shared.audit.record_error(principal, Subject::of_task(AuditAction::Resolve, id), done)
    }

    async fn reopen(
        &self,
        by: &Principal,
        id: TaskId,
        action: AuditAction,
        reopening: &Reopening,
    ) -> Result<TaskView, EngineError> {
        match self.find(by, id).await? {
            Standing::Open(entry) => self.settle(by, &entry, reopening).await?,
            Standing::Ended(_) => self.reopen_ended(by, id, action, reopening).await?,
        }
        self.task(by, id).await
    }

    /// An open task that waits for what became of an operation.
    async fn settle(
        &self,
        by: &Principal,
        entry: &Arc<Entry>,
        reopening: &Reopening,
    ) -> Result<(), EngineError> {
        let shared = &self.shared;
        let id = entry.id;
        let task = shared.store.read(move |snapshot| rows::read_task(snapshot, id)).await?;
        let task = task.ok_or(EngineError::NoSuchTask(id))?;
        check_may_call(shared, by, &task)?;
        let ack = {
            let mut state = entry.lock();
            let shown = state.status.shown().to_string();
            if state.status.state.is_terminal() {
                // Since it was found.
                return Err(EngineError::being_changed(id));
            }
            let Reopening::Settled { step, resolution } = reopening else {
                return Err(EngineError::WrongState { task: id, state: shown, hint: NOT_ENDED });
            };
            let (row, tracer) = shared.store.read_held(id, |snapshot| {
                let row = in_question(snapshot, id, &state.status, *step)?;
                Ok((row, trace::read(snapshot, id, shared.trace_blocks)?))
            })?;
            let row = row?;
            let mut more = Commit::new();
            let wall = shared.clock.wall();
            reopening.trace(tracer, (id, &state.status), wall, &mut more);
            let row = self.settled(&mut more, &task, row, resolution)?;
            shared.audit.record_admitted(
                &mut more,
                by,
                subject_of(&task, AuditAction::Resolve, reopening),
            )?;
            let keep = Keep::All { questions: Vec::new() };
            let event = Event::Reopened { keep, settled: Some((*step, row)) };
            commit_event(shared, entry, &mut state, event, more)?
        };
        match lease::has_arrived(shared, entry, ack).await? {
            true => Ok(()),
            false => Err(EngineError::being_changed(entry.id)),
        }
    }

    async fn reopen_ended(
        &self,
        by: &Principal,
        id: TaskId,
        action: AuditAction,
        reopening: &Reopening,
    ) -> Result<(), EngineError> {
        let shared = &self.shared;
        let mut commit = Commit::new();
        let (asked, blocks) = (reopening.clone(), shared.trace_blocks);
        let (ended, tracer) = shared
            .store
            .read_long(move |snapshot| {
                Ok((Ended::read(snapshot, id, &asked)?, trace::read(snapshot, id, blocks)?))
            })
            .await?;
        let Ended { mut task, status, row, keep, settled, is_wanted, detached_children, charge } = ended?;
        check_may_call(shared, by, &task)?;
        let settled = match (settled, reopening) {
            (Some((step, row)), Reopening::Settled { resolution, .. }) => {
                Some((step, self.settled(&mut commit, &task, row, resolution)?))
            }
            _ => None,
        };
        commit.add_guard(Guard::Is { space: Space::Status, key: id.as_bytes().to_vec(), value: row });
        if !is_wanted {
            // It stands on its own from here on, or the next start would cancel it.
            task.called = None;
            rows::put_task(&mut commit, &task)?;
        }
        let (link, about) = (Link::of(&task), About::of_task(&task));
        let wall = shared.clock.wall();
        reopening.trace(tracer, (id, &status), wall, &mut commit);
        let facts = Facts { wall, ..Facts::default() };
        let event = Event::Reopened { keep, settled };
        let mut change = plan(about, &status, event, facts).map_err(|_| EngineError::WrongState {
            task: id,
            state: status.state.to_string(),
            hint: NOT_ENDED,
        })?;
        change.add_to(id, listed(&task), &mut commit)?;
        shared.audit.record_admitted(&mut commit, by, subject_of(&task, action, reopening))?;

        shared.shares.admit(Pool::StoredBytes, &task.principal, limits::CHARGE_STEP_BYTES)?;
        let open = OpenTask::take(&shared.shares, &task.principal)?;
        let entry = shared.open_entry(&task, change.status, open);
        let logical = wall.saturating_sub(task.created_at);
        let past_bytes = arguments_in_memory(task.arguments.len() as u64);
        entry.past_bytes.store(past_bytes, Ordering::Relaxed);
        entry.lock().anchor = Some(Anchor { elapsed: shared.clock.elapsed(), logical });
        let detached =
            detached_children.into_iter().filter_map(|child| Some((child, shared.entry(child)?.link?)));
        entry.children().extend(detached.filter(|(_, link)| link.detached));
        let reserved = match reopening {
            Reopening::From(step) => children::restart_lost_calls(shared, &entry, *step, &mut commit).await?,
            Reopening::Afresh | Reopening::Settled { .. } => Vec::new(),
        };
        let parent = link.and_then(|link| shared.entry(link.parent));
        let ack = {
            // Held until it is queued: the task cannot end before it is its parent's child again.
            let mut siblings = parent.as_ref().map(|parent| parent.children());
            {
                let mut state = entry.lock();
                state.charge = Some(charge);
                let charge = charge::add(shared, &entry, &state, &mut commit, Bounded::Nothing, false)?;
                state.charge = Some(charge);
            }
            // Without a running engine the rows alone change: the next start takes the task up.
            if shared.is_running() {
                commit.stage(entry);
            }
            let ack = shared.commit(commit)?;
            if let (Some(siblings), Some(link)) = (&mut siblings, link) {
                siblings.insert(id, link);
            }
            ack
        };
        match ack.await {
            Ok(_) => {
                reserved.into_iter().for_each(task_trees::Reserved::keep);
                Ok(())
            }
            Err(error) => {
                // Another one who took it up before is the parent's child with good reason.
                if let Some(parent) = parent.filter(|_| !shared.memory.is_open(id)) {
                    parent.children().remove(&id);
                }
                Err(match error {
                    StoreError::Refused(_) => EngineError::being_changed(id),
                    other => other.into(),
                })
            }
        }
    }

    /// The operation's row with what became of it.
    fn settled(
        &self,
        commit: &mut Commit,
        task: &Task,
        row: OpRow,
        resolution: &Resolution,
    ) -> Result<OpRow, EngineError> {
        let outcome = match resolution {
            Resolution::Resend => return Ok(OpRow { state: OpState::Resend, ..row }),
            Resolution::Done(outcome) => Some(outcome.clone()),
            Resolution::Failed => None,
        };
        let bytes = self.runner.settle(&task.component, outcome).map_err(EngineError::BadOutcome)?;
        Ok(OpRow { state: OpState::Done(rows::put_payload(commit, task.id, &bytes)), ..row })
    }
}

/// A task that is taken up again is called again: by a caller that may not, as little as the first time. Nor is it done
/// in the name of a principal that may not, whose task another one takes up.
fn check_may_call(shared: &Shared, by: &Principal, task: &Task) -> Result<(), EngineError> {
    if !by.may_call(&task.tool) {
        return Err(EngineError::NoSuchTool { name: task.tool.clone(), near: None });
    }
    let call = Capability::CallTool { name: &task.tool };
    if by.name() != task.principal && shared.standing(&task.principal).check(call).is_err() {
        let state = format!("of {}, which may not call {} now", task.principal, task.tool);
        return Err(EngineError::WrongState { task: task.id, state, hint: OWNER_MAY_NOT });
    }
    match shared.memory.blocks.since(&task.component) {
        Some(_) => Err(EngineError::Blocked { tool: task.tool.clone() }),
        None => Ok(()),
    }
}

const OWNER_MAY_NOT: &str =
    "it needs a token of that name which may; without one it can be cancelled and deleted";
const NOT_ENDED: &str = "only a failed or cancelled task can be retried";

impl Ended {
    fn read(
        snapshot: &Snapshot<'_>,
        id: TaskId,
        reopening: &Reopening,
    ) -> Result<Result<Self, EngineError>, StoreError> {
        let missing = |space| StoreError::damaged_row(space, id.as_bytes(), "the row is missing");
        let task = rows::read_task(snapshot, id)?.ok_or_else(|| missing(Space::Task))?;
        let row = snapshot.get(Space::Status, id.as_bytes())?.ok_or_else(|| missing(Space::Status))?;
        let status = rows::decode_status(id, &row)?;
        let (keep, settled) = match reopening {
            Reopening::Afresh => match random() {
                Ok(seed) => (Keep::Nothing { seed }, None),
                Err(error) => return Ok(Err(error)),
            },
            Reopening::From(step) => match keep::keep(snapshot, id, &status, *step)? {
                Ok(kept) => (Keep::Before(kept), None),
                Err(error) => return Ok(Err(error)),
            },
            Reopening::Settled { step, .. } => {
                let row = match in_question(snapshot, id, &status, *step)? {
                    Ok(row) => row,
                    Err(error) => return Ok(Err(error)),
                };
                let questions = asked::reopened(snapshot, id, &status, u64::MAX)?;
                (Keep::All { questions }, Some((*step, row)))
            }
        };
        let charge = charge_of(snapshot, &task)?;
        let is_wanted = tree::is_wanted(snapshot, &task)?;
        let detached_children = tree::list(snapshot, id, usize::MAX, |_| true)?;
        Ok(Ok(Self { task, status, row, keep, settled, is_wanted, detached_children, charge }))
    }
}

/// What it is counted with, and of that what another try may take away.
fn charge_of(snapshot: &Snapshot<'_>, task: &Task) -> Result<Charge, StoreError> {
    let arguments = Payload::Inline(task.arguments.as_bytes().to_vec());
    let measured = of_task(snapshot, task.id, &arguments)?;
    Ok(stored(snapshot, task.id)?.with(&measured.of))
}

/// The row of the operation whose outcome a person is to tell, if `step` is that one.
fn in_question(
    snapshot: &Snapshot<'_>,
    id: TaskId,
    status: &Status,
    step: u64,
) -> Result<Result<OpRow, EngineError>, StoreError> {
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
    let Some(asked) = asked else {
        let (state, hint) = (status.shown().to_string(), "it has no step of unknown outcome");
        return Ok(Err(EngineError::WrongState { task: id, state, hint }));
    };
    let row = if step == asked { ops::read_row(snapshot, id, status.epoch, step)? } else { None };
    Ok(row.ok_or(EngineError::NotInQuestion { task: id, step, asked }))
}

/// The row of the audit: what an owner says became of an operation stands there as its hash.
fn subject_of<'a>(task: &'a Task, action: AuditAction, reopening: &Reopening) -> Subject<'a> {
    let subject = Subject::of_task(action, task.id).tool(&task.tool, &task.component);
    let subject = subject.owned_by(&task.principal);
    let Reopening::Settled { resolution, .. } = reopening else { return subject };
    let text = match resolution {
        Resolution::Done(outcome) => outcome.to_string(),
        Resolution::Failed => "failed".to_owned(),
        Resolution::Resend => "resend".to_owned(),
    };
    subject.hash(*blake3::hash(text.as_bytes()).as_bytes())
}
