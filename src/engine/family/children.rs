//! Children: the tasks that a task's calls made. A child is wanted as long as the operation that called it points to
//! it and its parent is open; one that nobody wants is cancelled, unless it is detached. Whoever changes that commits
//! it first and looks afterwards, and a start looks at all of them: so a crash in between loses nothing.
//!
//! Keys: `parent | 0 | child` lists a task's children, `parent | 1 | epoch BE | operation BE` holds the child that the
//! operation waits for, `root | 2 | task` counts the tasks under a root.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;

use crate::authority::{Principal, glob_matches};
use crate::catalog::{Catalog, ToolEntry};
use crate::engine::commit::Commit;
use crate::engine::dispatch::entry::{Entry, EntryState};
use crate::engine::lifecycle::submit::{self, admit, random};
use crate::engine::lifecycle::{self, About, plan_new};
use crate::engine::record::ops::{self, OpState};
use crate::engine::{EngineError, Shared, rows};
use crate::limits;
use crate::store::{Ack, Batch, Snapshot, Space, Store, StoreError};
use crate::task::{Called, CancelRequest, RetryPolicy, State, Task, TaskId};

/// What is told of a child that nobody wants any more.
const UNWANTED: &str = "the task that called it has ended, begun anew or given it up";

/// The bounds of one tree of tasks; the defaults are those of `limits.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeBounds {
    /// Generations under the root.
    pub depth: u32,
    /// Children of one task that are open at once.
    pub open_children: usize,
    /// Tasks under one root in all its life.
    pub tasks: u64,
}

impl Default for TreeBounds {
    fn default() -> Self {
        Self {
            depth: limits::MAX_CALL_DEPTH,
            open_children: limits::MAX_OPEN_CHILDREN,
            tasks: limits::MAX_TREE_TASKS,
        }
    }
}

/// Which call of which task a child came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub parent: TaskId,
    pub epoch: u32,
    pub op: u64,
    pub detached: bool,
}

impl Link {
    pub fn of(task: &Task) -> Option<Self> {
        let (parent, called) = (task.parent?, task.called.as_ref()?);
        Some(Self { parent, epoch: called.epoch, op: called.op, detached: called.detached })
    }
}

/// The open children of one task that are wanted.
pub type Children = BTreeMap<TaskId, Link>;

/// What the trees of tasks share.
#[derive(Default)]
pub struct Families {
    /// Tasks under each root, where somebody asked.
    totals: Mutex<HashMap<TaskId, u64>>,
    /// Those that nobody wants any more, on disk.
    unwanted: Mutex<Vec<TaskId>>,
    pub wake: Notify,
}

impl Families {
    /// Takes room for so many tasks more; `None` where the root has no more.
    pub fn reserve(
        &self,
        store: &Store,
        root: TaskId,
        count: u64,
        bound: u64,
    ) -> Result<Option<Reserved<'_>>, StoreError> {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let total = match totals.get(&root) {
            Some(total) => *total,
            None => store.read(|snapshot| count_tree(snapshot, root))?,
        };
        if total.saturating_add(count) > bound {
            return Ok(None);
        }
        totals.insert(root, total + count);
        Ok(Some(Reserved { families: self, root, count }))
    }

    /// They are not made after all.
    pub fn give_back(&self, root: TaskId, count: u64) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(total) = totals.get_mut(&root) {
            *total = total.saturating_sub(count);
        }
    }

    pub fn knows(&self, root: TaskId) -> bool {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&root)
    }

    pub fn forget(&self, root: TaskId) {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).remove(&root);
    }

    /// To be called after the commit that says so. Takes no task's lock: the writer thread calls it.
    pub fn disown(&self, children: Vec<TaskId>) {
        self.unwanted.lock().unwrap_or_else(PoisonError::into_inner).extend(children);
        self.wake.notify_one();
    }

    /// Roots whose number of tasks is another one in memory than on disk.
    #[cfg(test)]
    pub fn miscounted(&self, store: &Store) -> Result<Vec<(TaskId, u64, u64)>, StoreError> {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found = Vec::new();
        for (root, total) in totals {
            let on_disk = store.read(|snapshot| count_tree(snapshot, root))?;
            found.extend((total != on_disk).then_some((root, total, on_disk)));
        }
        Ok(found)
    }

    fn take_unwanted(&self) -> Vec<TaskId> {
        std::mem::take(&mut *self.unwanted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Room in a tree for tasks that are about to be made; given back unless they are.
pub struct Reserved<'a> {
    families: &'a Families,
    root: TaskId,
    count: u64,
}

impl Reserved<'_> {
    /// They are made.
    pub fn keep(mut self) {
        self.count = 0;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.families.give_back(self.root, self.count);
        }
    }
}

/// What is tried in the place of a child that failed; part of the commit of its end.
pub struct Successor<'a> {
    id: TaskId,
    link: Link,
    reserved: Reserved<'a>,
}

impl Successor<'_> {
    /// It is committed: it takes the place among its parent's children.
    pub fn take_place(self) -> (TaskId, Link) {
        self.reserved.keep();
        (self.id, self.link)
    }
}

/// Cancels what nobody wants any more, as long as the engine runs.
pub async fn run(shared: Arc<Shared>) {
    loop {
        let told = shared.memory.families.wake.notified();
        if !shared.is_running() {
            return;
        }
        let mut again = Vec::new();
        for id in shared.memory.families.take_unwanted() {
            let Some(entry) = shared.entry(id) else { continue };
            match cancel_unwanted(&shared, &entry) {
                Ok(_) => {}
                Err(EngineError::Store(StoreError::Busy { .. })) => again.push(id),
                Err(error) => {
                    tracing::error!(task = %id, %error, "cannot cancel a child that is not wanted any more");
                }
            }
        }
        if again.is_empty() {
            told.await;
            continue;
        }
        let until = shared.clock.elapsed() + Duration::from_millis(limits::BUSY_RETRY_MS);
        tokio::select! {
            () = shared.clock.sleep_until(until) => {}
            () = told => {}
        }
        shared.memory.families.disown(again);
    }
}

/// A start: joins open children to their open parents, and cancels those that lost theirs while nobody ran.
pub fn adopt(shared: &Arc<Shared>) -> Result<Vec<Ack>, EngineError> {
    let entries: Vec<Arc<Entry>> =
        shared.open_tasks().values().filter(|entry| entry.link.is_some()).cloned().collect();
    let mut unwanted = Vec::new();
    for entry in entries {
        let Some(link) = entry.link else { continue };
        let parent = shared.entry(link.parent);
        let pointed_at = shared.store.read(|snapshot| current(snapshot, link.parent, link.epoch, link.op))?;
        if !link.detached && (parent.is_none() || pointed_at != Some(entry.id)) {
            unwanted.push(entry);
        } else if let Some(parent) = parent {
            parent.children().insert(entry.id, link);
        }
    }
    let acks = unwanted.iter().map(|entry| cancel_unwanted(shared, entry));
    acks.filter_map(Result::transpose).collect()
}

fn cancel_unwanted(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<Option<Ack>, EngineError> {
    let request = CancelRequest { at: shared.clock.wall(), reason: Some(UNWANTED.to_owned()) };
    lifecycle::cancel(shared, &on_behalf(&entry.principal), entry, request, true)
}

/// Whose a child is, who did not do this by its own hand.
pub fn on_behalf(principal: &str) -> Principal {
    Principal::new(principal, Vec::new()).through(Some("a task".into()))
}

/// What is tried where this child has failed: the same tool after a while, or the next that can be reached. It is added
/// to the commit of the child's end.
pub fn successor<'a>(
    shared: &'a Arc<Shared>,
    entry: &Entry,
    state: &EntryState,
    commit: &mut Commit,
) -> Result<Option<Successor<'a>>, EngineError> {
    let Some(link) = entry.link else { return Ok(None) };
    let task = match &state.task {
        Some(task) => Some(task.clone()),
        None => shared.store.read(|snapshot| rows::read_task(snapshot, entry.id))?.map(Arc::new),
    };
    let Some((task, called)) = task.as_deref().and_then(|task| Some((task, task.called.clone()?))) else {
        return Ok(None);
    };
    let catalog = shared.catalog();
    let arguments: Value = serde_json::from_str(&task.arguments)
        .map_err(|error| EngineError::Internal(format!("the stored arguments: {error}")))?;
    let failures = called.failures + 1;
    let policy = RetryPolicy { attempts: called.retries.saturating_add(1), ..RetryPolicy::default() };
    let again = policy.delay_after(failures, u32::from_le_bytes(random()?)).and_then(|delay| {
        let tool = reachable(&catalog, &task.scope, &task.tool, &arguments)?;
        Some((tool, Called { failures, ..called.clone() }, delay))
    });
    let next = again.or_else(|| {
        called.alternatives.iter().enumerate().find_map(|(number, name)| {
            let tool = reachable(&catalog, &task.scope, name, &arguments)?;
            let alternatives = called.alternatives[number + 1..].to_vec();
            Some((tool, Called { failures: 0, alternatives, ..called.clone() }, Duration::ZERO))
        })
    });
    let Some(((tool, rewritten), called, delay)) = next else { return Ok(None) };
    let families = &shared.memory.families;
    let Some(reserved) = families.reserve(&shared.store, task.root, 1, shared.tree.tasks)? else {
        return Ok(None);
    };
    let next = with_arguments(child(shared, task, &tool, called)?, rewritten);
    let id = add(shared, commit, next, delay)?;
    Ok(Some(Successor { id, link, reserved }))
}

fn with_arguments(task: Task, rewritten: Option<String>) -> Task {
    let arguments = rewritten.unwrap_or_else(|| task.arguments.clone());
    Task { arguments, ..task }
}

/// The tool, where it is there, may be called and takes these arguments; and their text, where the tool takes them
/// otherwise than they are written.
pub fn reachable(
    catalog: &Catalog,
    scope: &[String],
    name: &str,
    arguments: &Value,
) -> Option<(Arc<ToolEntry>, Option<String>)> {
    let tool = catalog.callable(name).filter(|_| scope.iter().any(|glob| glob_matches(glob, name)))?;
    let rewritten = match tool.accept(arguments).ok()? {
        Cow::Borrowed(_) => None,
        Cow::Owned(taken) => Some(taken.to_string()),
    };
    Some((tool.clone(), rewritten))
}

/// A new task of this tool, which has all else from `like`.
pub fn child(shared: &Shared, like: &Task, tool: &ToolEntry, called: Called) -> Result<Task, EngineError> {
    let millis = shared.clock.wall() / 1_000_000;
    let tool = &tool.tool;
    let mut bounds = tool.limits.clone();
    if let Some(seconds) = called.timeout_seconds {
        bounds.total_seconds = bounds.total_seconds.min(seconds);
    }
    Ok(Task {
        id: TaskId::new(millis, &random()?),
        tool: tool.definition.name.clone(),
        component: tool.component.clone(),
        binding: tool.binding.clone(),
        created_at: millis * 1_000_000,
        limits: bounds,
        grant: tool.grant.clone(),
        retry: tool.retry.clone(),
        effects: tool.effects.clone(),
        idempotency_key: None,
        called: Some(called),
        ..like.clone()
    })
}

/// Adds a child to a commit; it is run once that is applied and `delay` is over.
pub fn add(shared: &Shared, commit: &mut Commit, task: Task, delay: Duration) -> Result<TaskId, EngineError> {
    let id = task.id;
    commit.add_put(Space::Child, tree_key(task.root, id), []);
    if let Some(link) = Link::of(&task) {
        commit.add_put(Space::Child, listing_key(link.parent, id), []);
        let pointer = pointer_key(link.parent, link.epoch, link.op);
        commit.add_put(Space::Child, pointer, id.as_bytes().as_slice());
    }
    let (by, arguments) = (on_behalf(&task.principal), submit::hash_of_text(&task.arguments));
    let change = plan_new(About::of_task(&task), random()?, delay);
    admit(shared, commit, task, change, &by, arguments)?;
    Ok(id)
}

/// The child that an operation waits for; none where it was given up.
pub fn current(
    snapshot: &Snapshot<'_>,
    parent: TaskId,
    epoch: u32,
    op: u64,
) -> Result<Option<TaskId>, StoreError> {
    let row = snapshot.get(Space::Child, &pointer_key(parent, epoch, op))?;
    Ok(row.as_deref().and_then(rows::trailing_id))
}

/// Whether nothing more comes of an operation: what is tried after a child stands in the commit of its end.
pub fn is_over(snapshot: &Snapshot<'_>, parent: TaskId, epoch: u32, op: u64) -> Result<bool, StoreError> {
    let Some(child) = current(snapshot, parent, epoch, op)? else { return Ok(true) };
    Ok(rows::read_status(snapshot, child)?.is_none_or(|status| status.state.is_terminal()))
}

/// A task's children that `keep` takes, oldest first, at most so many.
pub fn list(
    snapshot: &Snapshot<'_>,
    parent: TaskId,
    limit: usize,
    mut keep: impl FnMut(TaskId) -> bool,
) -> Result<Vec<TaskId>, StoreError> {
    let mut found = Vec::new();
    snapshot.scan_prefix(Space::Child, &prefix(parent, LISTING), false, |key, _| {
        found.extend(rows::trailing_id(key).filter(|id| keep(*id)));
        if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

pub fn is_child(snapshot: &Snapshot<'_>, parent: TaskId, child: TaskId) -> Result<bool, StoreError> {
    Ok(snapshot.get(Space::Child, &listing_key(parent, child))?.is_some())
}

/// Whether a task that is taken up again is still what its parent waits for, or was detached from it. One that
/// no task called is.
pub fn is_wanted(snapshot: &Snapshot<'_>, task: &Task) -> Result<bool, StoreError> {
    let Some(link) = Link::of(task) else { return Ok(true) };
    let is_open = snapshot.get(Space::Open, link.parent.as_bytes())?.is_some();
    let pointed_at = current(snapshot, link.parent, link.epoch, link.op)?;
    Ok(link.detached || (is_open && pointed_at == Some(task.id)))
}

/// A retry keeps the records before `step`: the calls among them whose children went with their parent are made again.
pub fn restart_lost_calls<'a>(
    shared: &'a Arc<Shared>,
    entry: &Entry,
    step: u64,
    commit: &mut Commit,
) -> Result<Vec<Reserved<'a>>, EngineError> {
    let epoch = entry.lock().status.epoch;
    let lost = shared.store.read(|snapshot| lost_calls(snapshot, entry.id, epoch, step))?;
    let catalog = shared.catalog();
    let mut taken = Vec::new();
    for (task, called) in lost {
        let arguments: Value = serde_json::from_str(&task.arguments)
            .map_err(|error| EngineError::Internal(format!("the stored arguments: {error}")))?;
        let reached = reachable(&catalog, &task.scope, &task.tool, &arguments);
        let Some((tool, rewritten)) = reached else { continue };
        let families = &shared.memory.families;
        let Some(reserved) = families.reserve(&shared.store, task.root, 1, shared.tree.tasks)? else {
            continue;
        };
        let next = with_arguments(child(shared, &task, &tool, called)?, rewritten);
        let link = Link::of(&next);
        let id = add(shared, commit, next, Duration::ZERO)?;
        entry.children().extend(link.map(|link| (id, link)));
        taken.push(reserved);
    }
    Ok(taken)
}

/// The last children of kept calls that are cancelled, or about to be, since their parent had ended.
fn lost_calls(
    snapshot: &Snapshot<'_>,
    parent: TaskId,
    epoch: u32,
    step: u64,
) -> Result<Vec<(Task, Called)>, StoreError> {
    let mut lost = Vec::new();
    for (number, row) in ops::read_rows(snapshot, parent, epoch)? {
        if row.at >= step || !matches!(row.state, OpState::Intent) {
            continue;
        }
        let Some(child) = current(snapshot, parent, epoch, number)? else { continue };
        let went_along = rows::read_status(snapshot, child)?.is_some_and(|status| {
            let reason = status.cancel.and_then(|cancel| cancel.reason);
            !status.state.is_terminal()
                || (status.state == State::Cancelled && reason.as_deref() == Some(UNWANTED))
        });
        let task = rows::read_task(snapshot, child)?.filter(|_| went_along);
        let of_call = task.and_then(|task| task.called.clone().map(|called| (task, called)));
        lost.extend(of_call.filter(|(_, called)| !called.detached));
    }
    Ok(lost)
}

/// A task is swept: what lists it, and what it listed.
pub fn sweep(snapshot: &Snapshot<'_>, task: &Task, batch: &mut Batch) -> Result<(), StoreError> {
    batch.add_delete_prefix(Space::Child, task.id.as_bytes().as_slice());
    if let Some(parent) = task.parent {
        batch.add_delete(Space::Child, listing_key(parent, task.id));
        // The root counts all that it ever had, as long as it is there itself.
        if snapshot.get(Space::Task, task.root.as_bytes())?.is_none() {
            batch.add_delete(Space::Child, tree_key(task.root, task.id));
        }
    }
    Ok(())
}

/// Prefix of the keys of all that a task's operations point to.
pub fn pointers(task: TaskId) -> Vec<u8> {
    prefix(task, POINTER)
}

/// Holds the child that an operation waits for; empty where it was given up.
pub fn pointer_key(parent: TaskId, epoch: u32, op: u64) -> Vec<u8> {
    let mut key = prefix(parent, POINTER);
    key.extend_from_slice(&epoch.to_be_bytes());
    key.extend_from_slice(&op.to_be_bytes());
    key
}

const LISTING: u8 = 0;
const POINTER: u8 = 1;
const TREE: u8 = 2;

fn listing_key(parent: TaskId, child: TaskId) -> Vec<u8> {
    let mut key = prefix(parent, LISTING);
    key.extend_from_slice(child.as_bytes());
    key
}

fn tree_key(root: TaskId, task: TaskId) -> Vec<u8> {
    let mut key = prefix(root, TREE);
    key.extend_from_slice(task.as_bytes());
    key
}

fn prefix(task: TaskId, kind: u8) -> Vec<u8> {
    let mut key = task.as_bytes().to_vec();
    key.push(kind);
    key
}

fn count_tree(snapshot: &Snapshot<'_>, root: TaskId) -> Result<u64, StoreError> {
    let mut count = 0;
    snapshot.scan_prefix(Space::Child, &prefix(root, TREE), false, |_, _| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}
