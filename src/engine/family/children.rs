//! Children: the tasks that a task's calls made. A child is wanted as long as the operation that called it points to
//! it and its parent is open; one that is wanted no more is cancelled, unless it is detached. A change of that is committed
//! it first and looks afterwards, and a start looks at all of them: so a crash in between loses nothing.
//!
//! Keys: `parent | 0 | child` lists a task's children, `parent | 1 | epoch BE | operation BE` holds the child that the
//! operation waits for, `root | 2 | task` counts the tasks under a root.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::authority::{Capability, Principal, glob_matches};
use crate::catalog::{Catalog, ToolEntry};
use crate::engine::change::admit;
use crate::engine::change::admit::admit;
use crate::engine::change::plan::{About, plan_new};
use crate::engine::commit::Commit;
use crate::engine::environment;
use crate::engine::error::EngineError;
use crate::engine::journal::ops;
use crate::engine::journal::ops::OpState;

use crate::engine::link::Link;
use crate::engine::memory::entry::Entry;
use crate::engine::memory::open_task::OpenTask;
use crate::engine::memory::task_trees::Reserved;
use crate::engine::random::random;
use crate::engine::rows;
use crate::engine::rows::tree::{count_tree, current, listing_key, pointer_key, tree_key};
use crate::engine::shared::Shared;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{Called, RetryPolicy, State, Task, TaskId};

/// What is said of a child that is wanted no more.
pub const UNWANTED: &str = "the task that called it has ended, begun anew or given it up";

/// The tree that a task belongs to, read before the locks of its tasks are taken.
pub struct Tree {
    /// The task itself.
    task: Arc<Task>,
    /// How many there are.
    tasks: u64,
}

impl Tree {
    pub async fn of(shared: &Shared, task: Arc<Task>) -> Result<Self, StoreError> {
        let root = task.root;
        let tasks = match shared.memory.trees.total(root) {
            Some(tasks) => tasks,
            None => shared.store.read(move |snapshot| count_tree(snapshot, root)).await?,
        };
        Ok(Self { task, tasks })
    }

    /// Room in it for so many tasks more; `None` where there is none.
    pub fn reserve<'a>(&self, shared: &'a Shared, count: u64) -> Option<Reserved<'a>> {
        shared.memory.trees.reserve(self.task.root, self.tasks, count, shared.tree.tasks)
    }
}

/// The tree of a task that another one called.
pub async fn tree_of(shared: &Shared, entry: &Entry) -> Result<Option<Tree>, StoreError> {
    if entry.link.is_none() {
        return Ok(None);
    }
    let (id, cached) = (entry.id, entry.lock().task.clone());
    let task = match cached {
        Some(task) => Some(task),
        None => shared.store.read(move |snapshot| rows::read_task(snapshot, id)).await?.map(Arc::new),
    };
    match task {
        Some(task) => Tree::of(shared, task).await.map(Some),
        None => Ok(None),
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

/// Whose a child is, who did not do this by its own hand.
pub fn on_behalf(principal: &str) -> Principal {
    Principal::new(principal, Vec::new()).through(Some("a task".into()))
}

/// What is tried where this child has failed: the same tool after a while, or the next that can be reached. It is added
/// to the commit of the child's end.
pub fn successor<'a>(
    shared: &'a Arc<Shared>,
    entry: &Entry,
    tree: &Tree,
    commit: &mut Commit,
) -> Result<Option<Successor<'a>>, EngineError> {
    let Some(link) = entry.link else { return Ok(None) };
    let task = &*tree.task;
    let Some(called) = task.called.clone() else { return Ok(None) };
    let catalog = shared.catalog();
    let arguments: Value = serde_json::from_str(&task.arguments)
        .map_err(|error| EngineError::Internal(format!("the stored arguments: {error}")))?;
    let failures = called.failures + 1;
    let policy = RetryPolicy { attempts: called.retries.saturating_add(1), ..RetryPolicy::default() };
    let standing = shared.standing(&task.principal);
    let reachable = |name: &str| {
        standing.check(Capability::CallTool { name }).ok()?;
        reachable(&catalog, &task.scope, name, &arguments).filter(|(tool, _)| !shared.is_blocked(tool))
    };
    let again = policy.delay_after(failures, u32::from_le_bytes(random()?)).and_then(|delay| {
        let tool = reachable(&task.tool)?;
        Some((tool, Called { failures, ..called.clone() }, delay))
    });
    let next = again.or_else(|| {
        called.alternatives.iter().enumerate().find_map(|(number, name)| {
            let tool = reachable(name)?;
            let alternatives = called.alternatives[number + 1..].to_vec();
            Some((tool, Called { failures: 0, alternatives, ..called.clone() }, Duration::ZERO))
        })
    });
    let Some(((tool, rewritten), called, delay)) = next else { return Ok(None) };
    let Some(reserved) = tree.reserve(shared, 1) else {
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
        environment: environment::of(shared, tool),
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
    let (by, arguments) = (on_behalf(&task.principal), admit::hash_of_text(&task.arguments));
    let change = plan_new(About::of_task(&task), random()?, delay);
    // Whether there is room was asked before: an end that is followed by another try is not refused.
    let open = OpenTask::hold(&shared.shares, &task.principal);
    admit(shared, commit, task, change, &by, arguments, open)?;
    Ok(id)
}

/// A retry keeps the records before `step`: the calls among them whose children went with their parent are made again.
pub async fn restart_lost_calls<'a>(
    shared: &'a Arc<Shared>,
    entry: &Entry,
    step: u64,
    commit: &mut Commit,
) -> Result<Vec<Reserved<'a>>, EngineError> {
    let epoch = entry.lock().status.epoch;
    let id = entry.id;
    let lost = shared.store.read_long(move |snapshot| lost_calls(snapshot, id, epoch, step)).await?;
    let catalog = shared.catalog();
    let mut taken = Vec::new();
    for (task, called) in lost {
        let arguments: Value = serde_json::from_str(&task.arguments)
            .map_err(|error| EngineError::Internal(format!("the stored arguments: {error}")))?;
        if shared.standing(&task.principal).check(Capability::CallTool { name: &task.tool }).is_err() {
            continue;
        }
        if catalog.awaits(&task.tool) {
            return Err(EngineError::NotLoaded { tool: task.tool });
        }
        let reached = reachable(&catalog, &task.scope, &task.tool, &arguments);
        let Some((tool, rewritten)) = reached.filter(|(tool, _)| !shared.is_blocked(tool)) else { continue };
        let tree = Tree::of(shared, Arc::new(task)).await?;
        let Some(reserved) = tree.reserve(shared, 1) else {
            continue;
        };
        let next = with_arguments(child(shared, &tree.task, &tool, called)?, rewritten);
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
