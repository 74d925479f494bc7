//! A task is due: its timer has fired, or is set.

use std::sync::Arc;
use std::time::Duration;

use super::end::{By, Ending, end, total_time_over};
use super::wake;
use crate::engine::error::EngineError;
use crate::engine::family::children;
use crate::engine::memory::entry::{Anchor, Entry, EntryState};
use crate::engine::rows;
use crate::engine::rows::open::decode_open;
use crate::engine::shared::Shared;
use crate::limits;
use crate::shares::Pool;
use crate::store::Space;
use crate::task::{TaskId, WakeOn};

/// A timer of this task has fired.
pub async fn due(shared: &Arc<Shared>, id: TaskId) {
    let Some(entry) = awakened(shared, id).await else { return };
    match due_now(shared, &entry) {
        Due::Nothing => {}
        Due::TotalTime => match end_overdue(shared, &entry).await {
            Ok(()) => {}
            Err(EngineError::Store(why)) if why.passes() => shared.look_again(id, &why),
            Err(error) => tracing::error!(task = %id, %error, "cannot end a task whose total time is over"),
        },
        Due::Look(on) => {
            shared.memory.state.watchers.set(id, &on);
            let date = shared.date();
            match shared.store.read(move |snapshot| wake::any_met(snapshot, id, &on, date)).await {
                Ok(false) => {}
                Ok(true) => shared.memory.ready.push(entry),
                Err(error) => {
                    tracing::error!(task = %id, %error, "cannot tell whether a task's wait is over")
                }
            }
        }
    }
}

/// The entry of a task whose timer has fired; `None` where it goes on resting, or has ended.
async fn awakened(shared: &Arc<Shared>, id: TaskId) -> Option<Arc<Entry>> {
    match shared.memory.entry(id) {
        Some(entry) => Some(entry),
        None if !has_room_awake(shared, id) => {
            let again = Duration::from_millis(limits::WAKE_RETRY_MS);
            shared.memory.timers.set(id, shared.clock.elapsed() + again);
            None
        }
        None if rests_on(shared, id).await.unwrap_or(false) => {
            // It may have been loaded and have ended meanwhile.
            if !shared.memory.is_open(id) {
                shared.memory.timers.clear(id);
                shared.memory.state.watchers.forget(id);
            }
            None
        }
        None => shared.load(id).unwrap_or_else(|error| {
            tracing::error!(task = %id, %error, "a task that is due cannot be read; it is looked at again");
            let again = Duration::from_millis(limits::UNREADABLE_RETRY_MS);
            shared.memory.timers.set(id, shared.clock.elapsed() + again);
            None
        }),
    }
}

/// Whether its principal has room for one more task that does not rest. Else the many that are due at once would leave
/// none for their instances, and all would wait for each other.
fn has_room_awake(shared: &Shared, id: TaskId) -> bool {
    let more = limits::OPEN_TASK_BYTES - limits::RESTING_TASK_BYTES;
    shared
        .memory
        .principal_of_resting(id)
        .is_none_or(|who| shared.shares.check(Pool::TaskMemory, &who, more).is_ok())
}

/// Whether what a resting task waits for is not there, by its rows; where that is not known it is looked at as others are.
async fn rests_on(shared: &Arc<Shared>, id: TaskId) -> Option<bool> {
    let anchor = shared.memory.anchor_of_resting(id)?;
    let read = shared.store.read(move |snapshot| {
        let row = snapshot.get(Space::Open, id.as_bytes())?;
        let row = row.map(|row| decode_open(id.as_bytes(), &row)).transpose()?.flatten();
        Ok(row.zip(rows::read_status(snapshot, id)?))
    });
    let (row, status) = read.await.ok()??;
    let on = status.wake?.on;
    let due = row.due_after();
    if anchor.now(&*shared.clock) >= due {
        return Some(false);
    }
    // As in `due_now`: what comes after the question sets the timer again.
    shared.memory.state.watchers.set(id, &on);
    shared.memory.timers.set(id, anchor.moment(due));
    let date = shared.date();
    let met = shared.store.read(move |snapshot| wake::any_met(snapshot, id, &on, date)).await;
    Some(!met.ok()?)
}

/// What is to be done for a task whose timer has fired.
enum Due {
    Nothing,
    TotalTime,
    /// To see whether one of these is there.
    Look(Vec<WakeOn>),
}

fn due_now(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Due {
    let state = entry.lock();
    // After an attempt it is looked for what came meanwhile.
    let stands_still = state.status.state.is_terminal() || state.status.state.blocked().is_some();
    if state.is_driven || stands_still {
        return Due::Nothing;
    }
    let now = state.anchor.map_or(0, |anchor| anchor.now(&*shared.clock));
    if now >= entry.total_nanos() {
        return Due::TotalTime;
    }
    let is_over = |at: u64| at.saturating_sub(entry.created_at) <= now;
    let wake = state.status.wake.clone().filter(|wake| !wake.due.is_some_and(is_over));
    let Some(wake) = wake else {
        // It waits for nothing any more: it is queued, or was about to be.
        drop(state);
        shared.memory.ready.push(entry.clone());
        return Due::Nothing;
    };
    // Before the store is asked: a nudge that comes after the question sets the timer again.
    shared.memory.timers.set(entry.id, moment_due(entry, &state));
    if wake.on.is_empty() { Due::Nothing } else { Due::Look(wake.on) }
}

async fn end_overdue(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<(), EngineError> {
    let tree = children::tree_of(shared, entry).await?;
    let mut state = entry.lock();
    let stands_still = state.status.state.is_terminal() || state.status.state.blocked().is_some();
    if !state.is_driven && !stands_still {
        let over = Ending::Failed(total_time_over(entry));
        drop(end(shared, entry, &mut state, &over, By::Itself(tree.as_ref()))?);
    }
    Ok(())
}

/// When this process has to look at a task that is not live: its wake, or the end of its total time.
pub fn moment_due(entry: &Entry, state: &EntryState) -> Duration {
    let total = entry.total_nanos();
    let wake = state.status.wake.as_ref().and_then(|wake| wake.due);
    let logical = wake.map_or(total, |at| at.saturating_sub(entry.created_at).min(total));
    state.anchor.unwrap_or(Anchor { elapsed: Duration::ZERO, logical: 0 }).moment(logical)
}

/// Sets the timer of a task that has no instance. What it waits for besides the timer may be there already.
pub fn arm(shared: &Shared, entry: &Entry, state: &EntryState) {
    if state.status.state.blocked().is_some() {
        return;
    }
    let waits_for_more = state.status.wake.as_ref().is_some_and(|wake| !wake.on.is_empty());
    let at = if waits_for_more { shared.clock.elapsed() } else { moment_due(entry, state) };
    shared.memory.timers.set(entry.id, at);
}
