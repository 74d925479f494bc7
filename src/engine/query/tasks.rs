//! Reading: what is committed, and nothing else.

use std::ops::{Bound, ControlFlow};
use std::time::Duration;

use super::poll::{Stands, poll_after};
use super::view::TaskView;
use crate::authority::Principal;
use crate::engine::cursor::{filter, open_cursor, seal_cursor};
use crate::engine::error::EngineError;
use crate::engine::feed::ResourceKey;
use crate::engine::handle::TaskEngine;
use crate::engine::journal::records::Segment;
use crate::engine::memory::entry::{EntryState, Live};
use crate::engine::memory::known::Stamp;
use crate::engine::questions::below::Patience;
use crate::engine::rows;
use crate::engine::rows::tree;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{QueuedReason, State, Status, Task, TaskError, TaskEvent, TaskId, ToolResult};
use crate::{clock, limits};

/// Which tasks a list shows.
#[derive(Clone, Debug, Default)]
pub struct TaskQuery {
    pub whose: Whose,
    pub state: Option<String>,
    pub tool: Option<String>,
    /// Its children alone, oldest first.
    pub parent: Option<TaskId>,
    /// Rows; 0 and more than [`limits::MAX_PAGE_ROWS`] mean that many.
    pub limit: usize,
    /// From the page before.
    pub cursor: Option<String>,
}

/// Whose tasks a list shows, as far as the caller sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Whose {
    /// The caller's.
    #[default]
    Own,
    /// Those of the principal of this name.
    Of(String),
    /// Those of all principals.
    All,
}

/// Newest first.
#[derive(Clone, Debug)]
pub struct TaskPage {
    pub tasks: Vec<TaskView>,
    pub next_cursor: Option<String>,
}

/// What there is to say when a task's result is asked for.
#[derive(Clone, Debug)]
pub enum TaskEnd {
    NotYet(TaskView),
    Completed(ToolResult),
    Failed(TaskView, TaskError),
    Cancelled(TaskView),
}

impl TaskEngine {
    /// How long after its creation a task goes, as far as that is known now; `None` is never. One that has
    /// not ended is kept for the whole retention after its end.
    pub fn kept_for(&self, task: &TaskView) -> Option<Duration> {
        let kept = self.shared.retention?;
        let ended = task.ended_at.unwrap_or_else(|| self.shared.clock.wall());
        // A clock that was set back makes it no shorter.
        Some(kept + Duration::from_nanos(ended.saturating_sub(task.created_at)))
    }

    pub async fn tasks(&self, principal: &Principal, query: &TaskQuery) -> Result<TaskPage, EngineError> {
        let limit =
            if query.limit == 0 { limits::MAX_PAGE_ROWS } else { query.limit.min(limits::MAX_PAGE_ROWS) };
        let name = query.list_name(principal);
        let list: Vec<&str> = name.iter().map(String::as_str).collect();
        let open = |cursor: &String| {
            open_cursor(&list, cursor)?.parse::<TaskId>().map_err(|_| EngineError::BadCursor)
        };
        let before = query.cursor.as_ref().map(open).transpose()?;
        let (engine, principal, query) = (self.clone(), principal.clone(), query.clone());
        let read = move |snapshot: &Snapshot<'_>| engine.page(snapshot, &principal, &query, limit, before);
        let mut page = self.shared.store.read(read).await?;
        page.next_cursor = page.next_cursor.map(|place| seal_cursor(&list, &place));
        Ok(page)
    }

    /// The principal's open tasks, the newest first, and a few that ended last and that no task called: as many as a host
    /// can bear that makes something of each.
    pub async fn tasks_in_view(&self, principal: &Principal) -> Result<Vec<TaskView>, EngineError> {
        let (engine, principal) = (self.clone(), principal.clone());
        let read = move |snapshot: &Snapshot<'_>| {
            let mut tasks = Vec::new();
            for id in engine.newest_open(snapshot, &principal)? {
                let found = engine.view(snapshot, &principal, id, engine.held_if_free(id))?;
                tasks.extend(found.map(|(view, ..)| view.shortened()));
            }
            let most = limits::MAX_LISTED_TASKS.min(tasks.len() + limits::MAX_LISTED_ENDED_TASKS);
            let (mut before, mut looked) = (None, 0);
            while tasks.len() < most && looked < limits::MAX_PAGE_SCAN_ROWS {
                let slice = last_ended(snapshot, before.as_deref())?;
                let Some((key, _)) = slice.last() else { break };
                (before, looked) = (Some(key.clone()), looked + slice.len());
                for (_, id) in slice {
                    if tasks.len() == most {
                        break;
                    }
                    tasks.extend(engine.called_by(snapshot, &principal, id)?);
                }
            }
            Ok(tasks)
        };
        Ok(self.shared.store.read(read).await?)
    }

    /// The task as lists show it, if the principal called it and no task did.
    fn called_by(
        &self,
        snapshot: &Snapshot<'_>,
        principal: &Principal,
        id: TaskId,
    ) -> Result<Option<TaskView>, StoreError> {
        let task = rows::read_task(snapshot, id)?;
        if task.is_none_or(|task| task.parent.is_some() || task.principal != principal.name()) {
            return Ok(None);
        }
        let found = self.view(snapshot, principal, id, self.held_if_free(id))?;
        Ok(found.map(|(view, ..)| view.shortened()))
    }

    fn newest_open(&self, snapshot: &Snapshot<'_>, principal: &Principal) -> Result<Vec<TaskId>, StoreError> {
        let prefix = rows::by_principal_prefix(principal.name());
        let (mut open, mut scanned) = (Vec::new(), 0);
        snapshot.scan_prefix(Space::ByPrincipal, &prefix, true, |key, _| {
            open.extend(rows::trailing_id(key).filter(|id| self.shared.memory.is_open(*id)));
            scanned += 1;
            let is_enough = open.len() == limits::MAX_LISTED_TASKS || scanned == limits::MAX_PAGE_SCAN_ROWS;
            if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(open)
    }

    /// Waits until a task has ended, at most so long; the task as it is then.
    pub async fn wait(
        &self,
        principal: &Principal,
        id: TaskId,
        at_most: Duration,
    ) -> Result<TaskView, EngineError> {
        let Some(mut watcher) = self.shared.memory.feed.watch() else {
            return self.task(principal, id).await;
        };
        watcher.add(ResourceKey::Task(id));
        let waiting = async {
            loop {
                let view = self.task(principal, id).await?;
                if view.state.is_terminal() {
                    return Ok(view);
                }
                watcher.next().await;
            }
        };
        match clock::timeout(at_most, waiting).await {
            Some(ended) => ended,
            None => self.task(principal, id).await,
        }
    }

    fn page(
        &self,
        snapshot: &Snapshot<'_>,
        principal: &Principal,
        query: &TaskQuery,
        limit: usize,
        before: Option<TaskId>,
    ) -> Result<TaskPage, StoreError> {
        if let Some(parent) = query.parent {
            return self.page_of_children(snapshot, principal, query, limit, before, parent);
        }
        let (space, key): (_, Box<dyn Fn(TaskId) -> Vec<u8>>) = match query.listed(principal) {
            Some(name) => (Space::ByPrincipal, Box::new(move |id| rows::by_principal_key(name, id))),
            None => (Space::Task, Box::new(|id: TaskId| id.as_bytes().to_vec())),
        };
        let start = key(TaskId::from_bytes([0; 16]));
        let end = key(before.unwrap_or(TaskId::from_bytes([0xff; 16])));
        let bounds = (Bound::Included(&start[..]), Bound::Excluded(&end[..]));
        let (mut tasks, mut next_cursor, mut last) = (Vec::new(), None, None);
        let (mut scanned, mut failed) = (0, None);
        // Only as far as the page needs: what it costs must not grow with the tasks that there are.
        snapshot.scan(space, bounds, true, |key, _| {
            let Some(id) = rows::trailing_id(key) else { return ControlFlow::Continue(()) };
            if tasks.len() == limit || scanned == limits::MAX_PAGE_SCAN_ROWS {
                // There is one more behind the last that was looked at.
                next_cursor = last.map(|id: TaskId| id.to_string());
                return ControlFlow::Break(());
            }
            (scanned, last) = (scanned + 1, Some(id));
            match self.view(snapshot, principal, id, self.held_if_free(id)) {
                Ok(Some((view, ..))) if query.fits(&view) => tasks.push(view.shortened()),
                Ok(_) => {}
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(TaskPage { tasks, next_cursor })
    }

    /// The children of a task that is this principal's; ids grow with time, so a cursor is the last one shown.
    fn page_of_children(
        &self,
        snapshot: &Snapshot<'_>,
        principal: &Principal,
        query: &TaskQuery,
        limit: usize,
        after: Option<TaskId>,
        parent: TaskId,
    ) -> Result<TaskPage, StoreError> {
        let ids = tree::list(snapshot, parent, limits::MAX_PAGE_SCAN_ROWS, |id| {
            after.is_none_or(|after| id > after)
        })?;
        let (mut tasks, mut next_cursor) = (Vec::new(), None);
        for (number, id) in ids.iter().enumerate() {
            if let Some((view, ..)) = self.view(snapshot, principal, *id, self.held_if_free(*id))?
                && query.fits(&view)
            {
                tasks.push(view.shortened());
            }
            let is_last = number + 1 == ids.len();
            if (tasks.len() == limit && !is_last) || (is_last && ids.len() == limits::MAX_PAGE_SCAN_ROWS) {
                next_cursor = Some(id.to_string());
                break;
            }
        }
        Ok(TaskPage { tasks, next_cursor })
    }

    /// Waits for the locks of tasks: not within a read of the store.
    pub(in crate::engine) fn held(&self, id: TaskId) -> Held {
        let entry = self.shared.memory.entry(id);
        let place = entry.as_ref().and_then(|entry| self.shared.queue_place(entry));
        let (replaying, live, is_settled) = entry.map_or((None, None, true), |entry| {
            let state = entry.lock();
            let live = state.live.as_deref();
            let is_settled = live.is_none_or(Live::is_settled);
            (replaying(&state), live.map(|live| (state.lease, live.enqueued)), is_settled)
        });
        let stamp = Stamp { live, asking: self.shared.asking_below(id, Patience::Waits) };
        Held { replaying, place, stamp, is_settled }
    }

    /// The same as far as nothing has to be waited for, within a read of the store.
    pub(in crate::engine) fn held_if_free(&self, id: TaskId) -> Held {
        let entry = self.shared.memory.entry(id);
        let place = entry.as_ref().and_then(|entry| self.shared.queue_place(entry));
        let replaying = entry.and_then(|entry| match entry.try_lock() {
            Some(state) => replaying(&state),
            // A task that is being changed runs, once any does.
            None => self.shared.is_running().then_some(false),
        });
        let stamp = Stamp { live: None, asking: self.shared.asking_below(id, Patience::None) };
        Held { replaying, place, stamp, is_settled: false }
    }

    /// `None` for another principal's task as for one that does not exist.
    pub(in crate::engine) fn view(
        &self,
        snapshot: &Snapshot<'_>,
        principal: &Principal,
        id: TaskId,
        held: Held,
    ) -> Result<Option<(TaskView, Task, Status)>, StoreError> {
        let replaying = held.replaying;
        let Some((task, mut status)) = own(snapshot, principal, id)? else { return Ok(None) };
        // A start takes up all that ran before it dispatches anything. From then on a running row without an
        // instance is only older than the instance's end, whose commit is on its way.
        if !self.shared.is_running() {
            status.state = self.as_a_start_finds_it(&task, &status, replaying);
        }
        let steps = if status.state.is_terminal() { status.steps } else { steps(snapshot, &status, id)? };
        let view = TaskView::new(&task, &status, steps);
        let view = view.with_questions(snapshot, &task, &status)?;
        let view = view.with_questions_below(snapshot, &held.stamp.asking)?;
        Ok(Some((self.as_held(view, &held), task, status)))
    }

    /// Adds what memory alone says, at this moment.
    pub(in crate::engine) fn as_held(&self, mut view: TaskView, held: &Held) -> TaskView {
        view.is_replaying = held.replaying == Some(true);
        view.queue_place = held.place.filter(|_| !view.state.is_terminal());
        view.poll_after = poll_after(Stands::of(&view), self.shared.clock.wall());
        view
    }
}

impl TaskEngine {
    /// Where a task stands that no engine runs: as the next start has it, with the components that are blocked by then.
    fn as_a_start_finds_it(&self, task: &Task, status: &Status, replaying: Option<bool>) -> State {
        let stands = match status.state {
            State::Running if replaying.is_none() => State::Queued(QueuedReason::Interrupted),
            stands => stands,
        };
        let settled = match (self.shared.memory.blocks.since(&task.component), stands.blocked()) {
            (Some(at), None) => stands.after(TaskEvent::Blocked(at.max(status.since))),
            (None, Some(_)) => stands.after(TaskEvent::Unblocked),
            (Some(_), Some(_)) | (None, None) => return stands,
        };
        // One that has ended stays as it is.
        settled.unwrap_or(stands)
    }
}

/// What memory knows of a task besides its rows.
pub(in crate::engine) struct Held {
    /// Whether its instance replays; `None` where there is none.
    replaying: Option<bool>,
    /// Its place among those that wait for an instance.
    place: Option<u64>,
    pub stamp: Stamp,
    /// All that its instance has handed over is on disk.
    pub is_settled: bool,
}

/// The rows of a task that this principal sees.
pub(in crate::engine) fn own(
    snapshot: &Snapshot<'_>,
    principal: &Principal,
    id: TaskId,
) -> Result<Option<(Task, Status)>, StoreError> {
    let task = rows::read_task(snapshot, id)?.filter(|task| principal.sees(&task.principal));
    let Some(task) = task else { return Ok(None) };
    Ok(rows::read_status(snapshot, id)?.map(|status| (task, status)))
}

impl TaskQuery {
    /// What its cursors are bound to.
    fn list_name(&self, principal: &Principal) -> [String; 5] {
        let parent = self.parent.map(|parent| parent.to_string());
        let (list, name) = match self.listed(principal) {
            Some(name) => ("tasks", name),
            None => ("all tasks", principal.name()),
        };
        [
            list.to_owned(),
            name.to_owned(),
            filter(self.state.as_deref()),
            filter(self.tool.as_deref()),
            filter(parent.as_deref()),
        ]
    }

    /// Whose tasks these are; `None` is those of all principals.
    fn listed<'a>(&'a self, principal: &'a Principal) -> Option<&'a str> {
        match &self.whose {
            Whose::All if principal.oversees() => None,
            Whose::Of(name) => Some(name),
            Whose::Own | Whose::All => Some(principal.name()),
        }
    }

    fn fits(&self, view: &TaskView) -> bool {
        self.state.as_ref().is_none_or(|state| *state == view.state.name())
            && self.tool.as_ref().is_none_or(|tool| *tool == view.tool)
    }
}

fn replaying(state: &EntryState) -> Option<bool> {
    state.live.as_ref().map(|live| live.journal.is_replaying())
}

/// Records on disk so far.
fn steps(snapshot: &Snapshot<'_>, status: &Status, id: TaskId) -> Result<u64, StoreError> {
    let mut steps = status.steps;
    snapshot.scan_prefix(Space::Journal, &rows::journal_prefix(id, status.epoch), true, |key, row| {
        if let (Some(first), Some(segment)) = (rows::trailing_number(key), Segment::decode(row)) {
            steps = first + segment.count;
        }
        ControlFlow::Break(())
    })?;
    Ok(steps)
}

/// Some tasks of all principals, the one that ended last first, behind the key `before`; each with its key.
fn last_ended(snapshot: &Snapshot<'_>, before: Option<&[u8]>) -> Result<Vec<(Vec<u8>, TaskId)>, StoreError> {
    let mut ended = Vec::new();
    let range = (Bound::Unbounded, before.map_or(Bound::Unbounded, Bound::Excluded));
    snapshot.scan(Space::Ended, range, true, |key, _| {
        ended.extend(rows::trailing_id(key).map(|id| (key.to_vec(), id)));
        if ended.len() < limits::MAX_PAGE_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(ended)
}
