//! What a start takes up: the list of open tasks. Of those that wait it says all that is to be known before they go on; of
//! the others, and of all where a component is blocked, their rows are read. Journals are read when they are dispatched.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::attempt::interruption;
use super::{block, due, orphans};
use crate::clock::UnixNanos;
use crate::engine::change::commit::commit_event;
use crate::engine::change::plan::Event;
use crate::engine::error::EngineError;
use crate::engine::memory::entry::{Anchor, Entry, arguments_in_memory};
use crate::engine::memory::open_task::OpenTask;
use crate::engine::memory::resting::Resting;
use crate::engine::questions::resume::resume;
use crate::engine::rows;
use crate::engine::rows::open::{OpenRow, decode_open};
use crate::engine::shared::Shared;
use crate::store::{Ack, Snapshot, Space, StoreError};
use crate::task::{State, Status, Task, TaskId};

/// An open task, without its arguments: all of those together may be much.
struct Found {
    task: Task,
    status: Status,
    past_bytes: u64,
}

/// What the list of open tasks comes to.
#[derive(Default)]
struct Listed {
    resting: Vec<Rests>,
    /// Of each principal, how many of those tasks it has, and how many questions they ask.
    counts: HashMap<Arc<str>, (u64, u64)>,
    found: Vec<Found>,
}

/// A task that waits.
struct Rests {
    id: TaskId,
    resting: Resting,
    /// When it is to be looked at.
    at: Duration,
}

/// What a start goes by.
#[derive(Clone, Copy)]
struct Start {
    wall: UnixNanos,
    elapsed: Duration,
    /// Of each task its own rows say whether it may go on.
    reads_all: bool,
}

/// Tasks that wait rest and get their timers; all others have entries, and interrupted ones are queued again.
pub async fn recover(shared: &Arc<Shared>) -> Result<(), EngineError> {
    let start = Start {
        wall: shared.clock.wall(),
        elapsed: shared.clock.elapsed(),
        reads_all: shared.probe.is_some() || !shared.memory.blocks.list().is_empty(),
    };
    let has_any = shared.store.read(has_open_tasks).await?;
    let read = move |snapshot: &Snapshot<'_>| open_tasks(snapshot, start);
    let Listed { resting, counts, found } =
        if has_any { shared.store.read_long(read).await? } else { Listed::default() };
    lay_down(shared, resting, &counts);
    let mut acks: Vec<Ack> = Vec::new();
    for Found { task, status, past_bytes } in found {
        let open = OpenTask::hold(&shared.shares, &task.principal);
        let entry = shared.open_entry(&task, status, open);
        entry.past_bytes.store(past_bytes, Ordering::Relaxed);
        match as_found(shared, &task, &entry) {
            Err(EngineError::Store(why)) if why.passes() => {
                shared.open_tasks().insert(entry.clone());
                tokio::spawn(take_up_later(shared.clone(), task, entry));
                continue;
            }
            found => acks.extend(found?),
        }
        take_up(shared, &task, &entry);
        resume(shared, &entry);
        if acks.len() >= crate::limits::MAX_GROUP_BATCHES {
            for ack in acks.drain(..) {
                ack.await?;
            }
        }
    }
    acks.extend(orphans::adopt(shared).await?);
    for ack in acks {
        ack.await?;
    }
    Ok(())
}

/// What a start says of an open task: that the process that ran it is gone, and whether its component is blocked.
fn as_found(shared: &Arc<Shared>, task: &Task, entry: &Arc<Entry>) -> Result<Vec<Ack>, EngineError> {
    let mut acks = Vec::from_iter(interrupted(shared, entry)?);
    acks.extend(block::settle(shared, entry, &mut entry.lock(), &task.component)?);
    Ok(acks)
}

/// The process that ran it is gone.
fn interrupted(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<Option<Ack>, EngineError> {
    let mut state = entry.lock();
    if state.status.state != State::Running {
        return Ok(None);
    }
    commit_event(shared, entry, &mut state, Event::Interrupted, interruption()).map(Some)
}

/// The disk has no room to say that it was interrupted: until it has, the task can be read and cancelled.
async fn take_up_later(shared: Arc<Shared>, task: Task, entry: Arc<Entry>) {
    loop {
        match as_found(&shared, &task, &entry) {
            Err(EngineError::Store(why)) if why.passes() => shared.pause(&why).await,
            Err(error) => {
                tracing::error!(task = %task.id, %error, "an open task cannot be taken up");
                return;
            }
            Ok(_) => break,
        }
    }
    if !entry.lock().status.state.is_terminal() {
        take_up(&shared, &task, &entry);
        resume(&shared, &entry);
    }
}

fn take_up(shared: &Arc<Shared>, task: &Task, entry: &Arc<Entry>) {
    let mut state = entry.lock();
    shared.memory.open_tasks().insert(entry.clone());
    // One that waits for nothing was about to go on, also where its state says that it waits.
    let Some(wake) = state.status.wake.clone() else {
        let stands_still = state.status.state.blocked().is_some();
        drop(state);
        if !stands_still {
            shared.memory.ready.push(entry.clone());
        }
        return;
    };
    let logical = logical_time(shared.clock.wall(), task.created_at, wake.due, wake.remaining_nanos);
    state.anchor = Some(Anchor { elapsed: shared.clock.elapsed(), logical });
    due::arm(shared, entry, &state);
    shared.memory.settles.notify_one();
}

/// Where a task's own time stands. What was left of the wait when it was written is all that can be left now: a wall clock
/// that was set back while no process ran cannot stretch it.
fn logical_time(wall: UnixNanos, created_at: UnixNanos, due: Option<UnixNanos>, remaining: u64) -> u64 {
    let due = due.map(|due| due.saturating_sub(created_at));
    let at_least = due.map_or(0, |due| due.saturating_sub(remaining));
    wall.saturating_sub(created_at).max(at_least)
}

fn lay_down(shared: &Shared, resting: Vec<Rests>, counts: &HashMap<Arc<str>, (u64, u64)>) {
    let mut open = shared.open_tasks();
    for (who, (tasks, questions)) in counts {
        open.hold(&shared.shares, who, *tasks, *questions);
    }
    for Rests { id, resting, at } in resting {
        shared.memory.timers.set(id, at);
        open.lay_down(id, resting);
    }
}

/// Mostly there are none, and no other thread need be asked to read them.
fn has_open_tasks(snapshot: &Snapshot<'_>) -> Result<bool, StoreError> {
    let mut has_any = false;
    snapshot.scan_prefix(Space::Open, &[], false, |_, _| {
        has_any = true;
        ControlFlow::Break(())
    })?;
    Ok(has_any)
}

fn open_tasks(snapshot: &Snapshot<'_>, start: Start) -> Result<Listed, StoreError> {
    let (mut listed, mut ids) = (Listed::default(), Vec::new());
    snapshot.scan_prefix(Space::Open, &[], false, |key, row| {
        let Some(id) = rows::trailing_id(key) else { return ControlFlow::Continue(()) };
        match decode_open(key, row) {
            Ok(Some(row)) if !start.reads_all && row.asks[1] == 0 => listed.take(id, row, start),
            Ok(_) => ids.push(id),
            Err(error) => {
                tracing::warn!(task = %id, %error, "what a task waits for is read of the task itself");
                ids.push(id);
            }
        }
        ControlFlow::Continue(())
    })?;
    listed.found.reserve(ids.len());
    for id in ids {
        match read_open(snapshot, id) {
            Ok(one) => listed.found.push(one),
            // One unreadable task must not keep the others from going on.
            Err(error) => tracing::error!(task = %id, %error, "an open task cannot be taken up"),
        }
    }
    Ok(listed)
}

impl Listed {
    /// A task that is to rest.
    fn take(&mut self, id: TaskId, row: OpenRow, start: Start) {
        let logical = logical_time(start.wall, row.created_at, row.due, row.remaining_nanos);
        let anchor = Anchor { elapsed: start.elapsed, logical };
        let at = if row.looks { start.elapsed } else { anchor.moment(row.due_after()) };
        let principal = match self.counts.get_key_value(row.principal.as_str()) {
            Some((name, _)) => name.clone(),
            None => row.principal.into(),
        };
        let questions = u32::try_from(row.asks[0]).unwrap_or(u32::MAX);
        let counts = self.counts.entry(principal.clone()).or_default();
        *counts = (counts.0 + 1, counts.1 + u64::from(questions));
        let resting = Resting {
            number: 0,
            principal,
            anchor: Some(anchor),
            link: row.link.map(Box::new),
            children: None,
            past_bytes: row.past_bytes,
            questions,
            has_asked: row.has_asked,
            is_queued: questions == 0 && matches!(row.state, State::Queued(_)),
            is_joined: false,
        };
        self.resting.push(Rests { id, resting, at });
    }
}

fn read_open(snapshot: &Snapshot<'_>, id: TaskId) -> Result<Found, StoreError> {
    let missing = |space| StoreError::damaged_row(space, id.as_bytes(), "the row is missing");
    let (task, arguments) = rows::read_task_row(snapshot, id)?.ok_or_else(|| missing(Space::Task))?;
    let status = rows::read_status(snapshot, id)?.ok_or_else(|| missing(Space::Status))?;
    Ok(Found { task, status, past_bytes: arguments_in_memory(arguments.most_bytes()) })
}
