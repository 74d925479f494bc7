//! What a start takes up: the rows of open tasks. Their journals are read when they are dispatched.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::attempt::interruption;
use super::{block, due, orphans};
use crate::engine::change::commit::commit_event;
use crate::engine::change::plan::Event;
use crate::engine::error::EngineError;
use crate::engine::memory::entry::{Anchor, Entry, arguments_in_memory};
use crate::engine::memory::open_task::OpenTask;
use crate::engine::questions::resume::resume;
use crate::engine::rows;
use crate::engine::shared::Shared;
use crate::store::{Ack, Snapshot, Space, StoreError};
use crate::task::{State, Status, Task, TaskId};

/// An open task, without its arguments: all of those together may be much.
struct Found {
    task: Task,
    status: Status,
    past_bytes: u64,
}

/// Entries for all open tasks; interrupted ones are queued again, sleepers get their timers.
pub async fn recover(shared: &Arc<Shared>) -> Result<(), EngineError> {
    let has_any = shared.store.read(has_open_tasks).await?;
    let found = if has_any { shared.store.read_long(open_tasks).await? } else { Vec::new() };
    let mut acks: Vec<Ack> = Vec::new();
    for Found { task, status, past_bytes } in found {
        let open = OpenTask::hold(&shared.shares, &task.principal);
        let entry = shared.open_entry(&task, status, open);
        entry.past_bytes.store(past_bytes, Ordering::Relaxed);
        match as_found(shared, &task, &entry) {
            Err(EngineError::Store(why)) if why.passes() => {
                shared.open_tasks().insert(entry.id, entry.clone());
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
    shared.memory.open_tasks().insert(entry.id, entry.clone());
    // One that waits for nothing was about to go on, also where its state says that it waits.
    let Some(wake) = state.status.wake.clone() else {
        let stands_still = state.status.state.blocked().is_some();
        drop(state);
        if !stands_still {
            shared.memory.ready.push(entry.clone());
        }
        return;
    };
    // What was left of the wait when it was written is all that can be left now: a wall clock that was set back
    // while no process ran cannot stretch it.
    let due = wake.due.map(|due| due.saturating_sub(task.created_at));
    let at_least = due.map_or(0, |due| due.saturating_sub(wake.remaining_nanos));
    let logical = shared.clock.wall().saturating_sub(task.created_at).max(at_least);
    state.anchor = Some(Anchor { elapsed: shared.clock.elapsed(), logical });
    due::arm(shared, entry, &state);
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

fn open_tasks(snapshot: &Snapshot<'_>) -> Result<Vec<Found>, StoreError> {
    let mut ids = Vec::new();
    snapshot.scan_prefix(Space::Open, &[], false, |key, _| {
        ids.extend(rows::trailing_id(key));
        ControlFlow::Continue(())
    })?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        match read_open(snapshot, id) {
            Ok(one) => found.push(one),
            // One unreadable task must not keep the others from going on.
            Err(error) => tracing::error!(task = %id, %error, "an open task cannot be taken up"),
        }
    }
    Ok(found)
}

fn read_open(snapshot: &Snapshot<'_>, id: TaskId) -> Result<Found, StoreError> {
    let missing = |space| StoreError::damaged_row(space, id.as_bytes(), "the row is missing");
    let (task, arguments) = rows::read_task_row(snapshot, id)?.ok_or_else(|| missing(Space::Task))?;
    let status = rows::read_status(snapshot, id)?.ok_or_else(|| missing(Space::Status))?;
    Ok(Found { task, status, past_bytes: arguments_in_memory(arguments.most_bytes()) })
}
