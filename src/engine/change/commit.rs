//! A change becomes true: one commit with what the task's instance has not committed yet. It is queued first, and only
//! then does memory follow, so that an error leaves memory as it was, in one place for all that happens to a task.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::charge::{self, Bounded};
use super::draft::{Draft, Parts};
use super::plan::{About, Event, Facts, plan};
use super::traced;
use super::value::{Change, Instance};
use crate::engine::commit::Commit;
use crate::engine::effect::Effect;
use crate::engine::error::EngineError;
use crate::engine::feed::ResourceKey;
use crate::engine::link::Link;
use crate::engine::memory::entry::{Entry, EntryState, begins};
use crate::engine::rows;
use crate::engine::rows::open::Listed;
use crate::engine::shared::Shared;
use crate::store::{Ack, Guard, Need, Space, StoreError};
use crate::task::Task;

/// Commits a change of an open task, with what `more` adds. The order of calls is that of commits: the caller holds
/// the task's lock until the commit is queued.
pub fn commit(
    shared: &Arc<Shared>,
    entry: &Entry,
    state: &mut EntryState,
    change: Change,
    more: Commit,
) -> Result<Ack, StoreError> {
    let place = traced::leave(state, &change);
    let committed = commit_change(shared, entry, state, change, more);
    if committed.is_err() {
        traced::stay(state, place);
    }
    committed
}

fn commit_change(
    shared: &Arc<Shared>,
    entry: &Entry,
    state: &mut EntryState,
    mut change: Change,
    more: Commit,
) -> Result<Ack, StoreError> {
    if change.instance == Instance::Stays
        && let Some(left) = state.left()
    {
        // The row of a live task says how far it is, as each of its own commits does.
        change.status.steps = left.steps;
        change.effects.push(Effect::Changed(ResourceKey::Task(entry.id)));
    }
    let has_records = change.instance != Instance::GoesUnrecorded;
    let parts = Parts { has_records, has_status: false, is_marked: change.instance == Instance::Stays };
    let drafted = state.draft(entry, parts)?;
    let goes = matches!(change.instance, Instance::Goes | Instance::GoesUnrecorded);
    let (mut commit, queued) = match drafted {
        Some(Draft { commit, queued }) => (commit, Some(queued)),
        None if state.live.is_some() => {
            // Also where nothing is pending: what was committed last may have been refused.
            let mut commit = Commit::under_lease(entry.id, state.lease);
            if goes {
                // There is no later commit to trace it in.
                state.draft_trace(entry.id, &mut commit);
            }
            (commit, None)
        }
        None if state.is_leaving => {
            // Its instance may have lost its lease, and then what memory says is void.
            let key = entry.id.as_bytes().to_vec();
            let value = rows::encode_status(&state.status)?.into();
            (Commit::new().guard(Guard::Is { space: Space::Status, key, value }), None)
        }
        None => (Commit::new(), None),
    };
    if goes {
        commit = commit.end_lease(entry.id);
    }
    let past_bytes = if goes { state.past_bytes() } else { entry.listed().past_bytes };
    let listed = Listed { past_bytes, ..entry.listed() };
    change.list_anew(listed, &state.status);
    change.add_to(entry.id, listed, &mut commit)?;
    commit.add_need(need_of(&change));
    let mut commit = commit.and(more);
    if change.instance == Instance::Begins {
        // What the guest does next is written soon, and comes after it.
        commit.be_patient();
    }
    let is_over = change.status.state.is_terminal();
    let charge = charge::add(shared, entry, state, &mut commit, Bounded::Nothing, is_over)?;
    let ack = shared.commit(commit)?;
    state.charge = Some(charge);
    // From here on the change will be on disk, or the process ends without it.
    if let Some(queued) = queued {
        state.mark_queued(&queued);
    }
    match change.instance {
        Instance::Stays | Instance::Begins => {}
        Instance::Goes | Instance::GoesUnrecorded => {
            entry.past_bytes.store(state.past_bytes(), Ordering::Relaxed);
            (state.live, state.lease, state.is_leaving) = (None, 0, true);
            // Sleepers are many: what they were asked for is read again when they wake.
            state.task = None;
        }
    }
    if change.status.since != state.status.since {
        entry.count_total_from(state.status.since, change.status.since);
    }
    state.rewritten += u64::from(change.rewrites_past());
    if state.status.questions.open != change.status.questions.open {
        entry.count_questions(&shared.shares, &change.status);
    }
    entry.begins.store(begins(&change.status), Ordering::Relaxed);
    (state.status, state.status_dirty) = (change.status, false);
    Ok(ack)
}

/// Plans what the event makes of a task, and commits it.
pub fn commit_event(
    shared: &Arc<Shared>,
    entry: &Entry,
    state: &mut EntryState,
    event: Event<'_>,
    more: Commit,
) -> Result<Ack, EngineError> {
    let facts = Facts { left: state.left(), ..moment(shared, state) };
    let change = plan(About::of(entry), &state.status, event, facts)?;
    Ok(commit(shared, entry, state, change, more)?)
}

/// Commits what the instance has not committed yet, with what `more` adds, under its lease.
pub fn commit_pending(
    shared: &Arc<Shared>,
    entry: &Entry,
    state: &mut EntryState,
    parts: Parts,
    more: Commit,
) -> Result<Ack, StoreError> {
    let (commit, queued) = match state.draft(entry, parts)? {
        Some(Draft { commit, queued }) => (commit, Some(queued)),
        None => (Commit::under_lease(entry.id, state.lease), None),
    };
    let mut commit = commit.and(more);
    if state.status.cancel.is_some() {
        // It was asked to end, and cleans up.
        commit.add_need(Need::End);
    }
    let charge = charge::add(shared, entry, state, &mut commit, Bounded::Growth, false)?;
    let ack = shared.commit(commit)?;
    state.charge = Some(charge);
    if let Some(queued) = queued {
        state.mark_queued(&queued);
    }
    Ok(ack)
}

/// What a change may have of a disk that is nearly full: where it ends something, or lets it go from memory, all that
/// there is for that; new attempts and what they add wait.
fn need_of(change: &Change) -> Need {
    let is_over = change.status.state.is_terminal();
    match (change.status.cancel.is_some(), change.instance) {
        (true, _) if is_over || change.instance == Instance::Stays => Need::Relief,
        (true, _) | (_, Instance::Goes | Instance::GoesUnrecorded) => Need::End,
        (false, _) if is_over => Need::End,
        (false, _) => Need::Growth,
    }
}

/// What the clocks say to a task.
pub fn moment(shared: &Shared, state: &EntryState) -> Facts<'static> {
    Facts {
        wall: shared.clock.wall(),
        logical: state.anchor.map_or(0, |anchor| anchor.now(&*shared.clock)),
        ..Facts::default()
    }
}

impl<'a> About<'a> {
    pub fn of_task(task: &'a Task) -> Self {
        Self { id: task.id, principal: &task.principal, created_at: task.created_at, link: Link::of(task) }
    }

    pub fn of(entry: &'a Entry) -> Self {
        Self { id: entry.id, principal: &entry.principal, created_at: entry.created_at, link: entry.link }
    }
}
