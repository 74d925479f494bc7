//! A task gets another version of its component: one commit, which holds only while the task stands where it was tried.

use std::sync::Arc;

use super::page::{Move, Moved};
use crate::authority::Principal;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::change::charge::{self, Bounded};
use crate::engine::change::commit::commit_event;
use crate::engine::change::lease;
use crate::engine::change::plan::Event;
use crate::engine::change::traced::{self, Reopened};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::feed::ResourceKey;
use crate::engine::handle::TaskEngine;
use crate::engine::journal::ops::Op;
use crate::engine::lifecycle::attempt::interruption;
use crate::engine::lifecycle::block;
use crate::engine::memory::entry::{Entry, EntryState, Live};
use crate::engine::packed::{Other, Tried};
use crate::engine::questions::resume::resume;
use crate::engine::rows;
use crate::engine::runner::Runner;
use crate::engine::shared::Shared;
use crate::engine::trace;
use crate::limits;
use crate::store::{Ack, Guard, Need, Space, StoreError};
use crate::task::TaskId;

/// What became of one commit.
enum Put {
    Done,
    /// The task does not stand where it was tried, or is at work.
    Changed,
    Ended,
}

/// What was handed over.
enum Handed {
    /// A live instance goes with it: memory has changed as well.
    WithInstance(Ack),
    Alone(Ack),
    Not(Put),
}

impl TaskEngine {
    /// What runs a component without effects.
    pub(super) fn trial_runner(&self, other: &Other) -> Result<Arc<dyn Runner>, EngineError> {
        self.runner.without_effects().ok_or_else(|| EngineError::NotTriable {
            name: other.component.name.clone(),
            why: "nothing here runs components without effects".to_owned(),
        })
    }

    /// Whether calls of the component get just this version, with just these powers.
    pub(super) fn check_served(&self, other: &Other) -> Result<(), EngineError> {
        let catalog = self.catalog();
        let component = &other.component;
        let name = component.name.clone();
        let why = match catalog.component(&name) {
            Some(served) if self.shared.memory.blocks.has(&name, &served.id) => {
                "it is blocked: unblock it first"
            }
            Some(served)
                if served.id == component.id && served.holdings.grant == component.holdings.grant =>
            {
                return Ok(());
            }
            Some(_) => "another version of it is served by now: look again",
            None => "it is not served: approve it first",
        };
        Err(EngineError::NotMovable { name, why: why.to_owned() })
    }

    /// `None` where the task has ended.
    pub(super) async fn move_task(
        &self,
        by: &Principal,
        id: TaskId,
        other: &Other,
        runner: &Arc<dyn Runner>,
    ) -> Result<Option<Moved>, EngineError> {
        let mut busy = None;
        for _ in 0..limits::MAX_MOVE_TRIES {
            let Some((trial, tried)) = self.try_task(id, other, runner).await? else { return Ok(None) };
            let Some(tried) = tried else { return Ok(Some(Moved { trial, moved: Move::Stays })) };
            match self.put(by, &tried, other).await? {
                Put::Done => return Ok(Some(Moved { trial, moved: Move::Done })),
                Put::Ended => return Ok(None),
                Put::Changed => busy = Some(trial),
            }
        }
        Ok(busy.map(|trial| Moved { trial, moved: Move::Busy }))
    }

    async fn put(&self, by: &Principal, tried: &Tried, other: &Other) -> Result<Put, EngineError> {
        let shared = &self.shared;
        let entry = match shared.entry(tried.task.id) {
            Some(entry) => entry,
            None if shared.is_running() => return Ok(Put::Ended),
            // Nothing runs: the rows alone change, and the next start takes the task up with them.
            None => Entry::of(&tried.task, tried.status.clone()),
        };
        self.check_served(other)?;
        crate::crash_point!("task-moving");
        let handed = loop {
            let handed = hand_over(shared, by, tried, &entry, &mut entry.lock());
            match handed {
                Err(EngineError::Store(why)) if why.passes() => shared.pause(&why).await,
                handed => break handed?,
            }
        };
        let was_stopped = matches!(handed, Handed::WithInstance(_));
        let is_there = match handed {
            Handed::Not(put) => return Ok(put),
            Handed::WithInstance(ack) => lease::has_arrived(shared, &entry, ack).await?,
            Handed::Alone(ack) => match ack.await {
                Ok(_) => true,
                Err(StoreError::Refused(_)) => false,
                Err(error) => return Err(error.into()),
            },
        };
        if !is_there {
            return Ok(Put::Changed);
        }
        crate::crash_point!("task-moved");
        if shared.is_running() && entry.lock().status.state.blocked().is_some() {
            // The version that it had may be blocked alone.
            block::settle_one(shared, &entry).await?;
        } else if was_stopped {
            // What a model or an endpoint was asked was left alone with the instance.
            resume(shared, &entry);
        }
        Ok(Put::Done)
    }
}

/// Hands the commit over that moves the task, under its lock.
fn hand_over(
    shared: &Arc<Shared>,
    by: &Principal,
    tried: &Tried,
    entry: &Arc<Entry>,
    state: &mut EntryState,
) -> Result<Handed, EngineError> {
    if state.status.state.is_terminal() {
        return Ok(Handed::Not(Put::Ended));
    }
    let commit = moving(shared, by, tried)?;
    let handed = match &state.live {
        Some(live) if is_where_tried(state, live, tried) => interrupted(shared, entry, state, commit)?,
        Some(_) => return Ok(Handed::Not(Put::Changed)),
        None => alone(shared, tried, entry, state, commit)?,
    };
    // Who prepares an attempt reads it again.
    state.task = None;
    state.rewritten += 1;
    Ok(handed)
}

/// The rows that tie a task to its component, while they are what they were and the component is there.
fn moving(shared: &Shared, by: &Principal, tried: &Tried) -> Result<Commit, EngineError> {
    let Tried { task, instead, task_row, .. } = tried;
    let key = task.id.as_bytes().to_vec();
    let component = instead.component.as_str().as_bytes().to_vec();
    let mut commit = Commit::new()
        .guard(Guard::Is { space: Space::Task, key, value: task_row.clone() })
        .guard(Guard::Present { space: Space::Component, key: component })
        .with_need(Need::End);
    rows::put_task(&mut commit, instead)?;
    let note = format!("from {}", task.component);
    let subject = Subject { note: Some(&note), ..Subject::of_task(AuditAction::TaskMove, task.id) };
    let subject = subject.tool(&task.tool, &instead.component).owned_by(&task.principal);
    shared.audit.record_admitted(&mut commit, by, subject)?;
    commit.changed(ResourceKey::Task(task.id));
    Ok(commit)
}

/// Whether a live instance waits for what is on disk alone, with just the journal that was tried: it loses nothing where
/// it goes, and no answer to a request of it is under way.
fn is_where_tried(state: &EntryState, live: &Live, tried: &Tried) -> bool {
    let mut ops: Vec<_> =
        live.ops.known.iter().map(|(number, op)| (*number, op.hash(), is_done(op))).collect();
    ops.sort_unstable();
    let same_journal = state.status.epoch == tried.status.epoch && live.journal.next_number() == tried.end;
    live.idles && same_journal && !live.journal.is_replaying() && !state.has_pending() && ops == tried.ops
}

fn is_done(op: &Op) -> bool {
    matches!(op, Op::Done { .. } | Op::Abandoned { .. })
}

fn interrupted(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    commit: Commit,
) -> Result<Handed, EngineError> {
    let place = traced::moved(state);
    let handed = commit_event(shared, entry, state, Event::Interrupted, interruption().and(commit));
    if handed.is_err() {
        traced::stay(state, place);
    }
    let ack = handed?;
    entry.stop.send_modify(|count| *count += 1);
    Ok(Handed::WithInstance(ack))
}

/// No instance lives: whatever has become of the task since it was tried shows in its status.
fn alone(
    shared: &Arc<Shared>,
    tried: &Tried,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    commit: Commit,
) -> Result<Handed, EngineError> {
    let (id, key) = (entry.id, entry.id.as_bytes().to_vec());
    let mut commit = commit.guard(Guard::Is { space: Space::Status, key, value: tried.status_row.clone() });
    let tracer = shared.store.read_held(id, |snapshot| trace::read(snapshot, id, shared.trace_blocks))?;
    let reopened = Reopened { word: "move", step: None, at: shared.clock.wall() };
    traced::reopen(tracer, (id, &tried.status), &reopened, &mut commit);
    let charge = charge::add(shared, entry, state, &mut commit, Bounded::Nothing, false)?;
    let ack = shared.commit(commit)?;
    state.charge = Some(charge);
    Ok(Handed::Alone(ack))
}
