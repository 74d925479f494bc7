//! A component is blocked: its tasks stand still where they are, and no new ones are made, until it is unblocked. The
//! row that says so is committed first and the tasks follow; a start looks at all of them, and no instance is given
//! without a look: so a crash in between leaves nothing that runs.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::authority::Principal;
use crate::clock::UnixNanos;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::change::commit::commit_event;
use crate::engine::change::lease;
use crate::engine::change::plan::Event;
use crate::engine::commit::Commit;
use crate::engine::effect::Effect;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::memory::entry::{Entry, EntryState};
use crate::engine::questions::resume::resume;
use crate::engine::rows::{self, BlockRow, ComponentRow};
use crate::engine::shared::Shared;
use crate::limits;
use crate::store::{Ack, Guard, Need, Snapshot, Space, StoreError};
use crate::task::{ComponentId, TaskId};

/// A component that is blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockView {
    /// What was named: its name, or its digest.
    pub name: String,
    pub at: UnixNanos,
    /// Its versions that are known, by their digests.
    pub components: Vec<ComponentId>,
}

/// What a name stands for.
struct Named {
    /// Under which the row stands.
    name: String,
    components: Vec<ComponentId>,
}

impl TaskEngine {
    /// Blocks the component of this name or digest, or the one that has a tool of this name: its tasks stand still, and
    /// calls of its tools are refused. Durable, and audited.
    pub async fn block(&self, by: &Principal, what: &str) -> Result<BlockView, EngineError> {
        let done = self.block_named(by, what).await;
        self.shared.audit.record_error(by, Subject::new(AuditAction::ComponentBlock), done)
    }

    /// Lets the tasks of a blocked component go on where they were.
    pub async fn unblock(&self, by: &Principal, what: &str) -> Result<BlockView, EngineError> {
        let done = self.unblock_named(by, what).await;
        self.shared.audit.record_error(by, Subject::new(AuditAction::ComponentUnblock), done)
    }

    /// What is blocked, by name.
    pub fn blocked(&self) -> Vec<BlockView> {
        self.shared.memory.blocks.list().into_iter().map(|(name, row)| view(name, row)).collect()
    }

    async fn block_named(&self, by: &Principal, what: &str) -> Result<BlockView, EngineError> {
        let shared = &self.shared;
        let Named { name, components } = self.named(what).await?;
        // A row that is there stays: since then its tasks stand still. What is known of it by now is added.
        let at = shared.memory.blocks.get(&name).map_or_else(|| shared.date(), |row| row.at);
        let row = BlockRow { at, components };
        let mut commit = Commit::new().put(Space::Setting, rows::blocked_key(&name), rows::encode(&row)?);
        commit.add_need(Need::Relief);
        commit.add_effect(Effect::ComponentBlocked { name: name.clone(), row: row.clone() });
        let subject = Subject { note: Some(&name), ..Subject::new(AuditAction::ComponentBlock) };
        shared.audit.record_admitted(&mut commit, by, subject)?;
        shared.commit(commit)?.await?;
        crate::crash_point!("blocked");
        settle_all(shared).await?;
        Ok(view(name, row))
    }

    async fn unblock_named(&self, by: &Principal, what: &str) -> Result<BlockView, EngineError> {
        let shared = &self.shared;
        let missing = || EngineError::NotBlocked(what.chars().take(limits::MAX_TOOL_NAME_CHARS).collect());
        let (name, row) = match shared.memory.blocks.get(what) {
            Some(row) => (what.to_owned(), row),
            None => {
                let name = self.named(what).await.map_err(|_| missing())?.name;
                let row = shared.memory.blocks.get(&name).ok_or_else(missing)?;
                (name, row)
            }
        };
        let key = rows::blocked_key(&name);
        let guard = Guard::Present { space: Space::Setting, key: key.as_bytes().to_vec() };
        let mut commit = Commit::new().guard(guard).delete(Space::Setting, key);
        commit.add_effect(Effect::ComponentUnblocked(name.clone()));
        let subject = Subject { note: Some(&name), ..Subject::new(AuditAction::ComponentUnblock) };
        shared.audit.record_admitted(&mut commit, by, subject)?;
        shared.commit(commit)?.await.map_err(|error| match error {
            StoreError::Refused(_) => missing(),
            error => error.into(),
        })?;
        crate::crash_point!("unblocked");
        settle_all(shared).await?;
        Ok(view(name, row))
    }

    /// The component that is meant, as it is served or as the store knows it.
    async fn named(&self, what: &str) -> Result<Named, EngineError> {
        let id = ComponentId::from_stored(what.to_owned());
        if id.digest().is_some() {
            return Ok(Named { name: what.to_owned(), components: vec![id] });
        }
        let catalog = self.catalog();
        let of_tool = catalog.callable(what).map(|entry| entry.tool.component_name.clone());
        let is_component = |name: &str| {
            catalog.component(name).is_some()
                || catalog.callables().any(|entry| entry.tool.component_name == name)
        };
        let name = if is_component(what) { what.to_owned() } else { of_tool.unwrap_or(what.to_owned()) };
        let wanted = name.clone();
        let read = move |snapshot: &Snapshot<'_>| stored_as(snapshot, &wanted);
        let mut components = self.shared.store.read(read).await?;
        components.extend(catalog.component(&name).map(|component| component.id.clone()));
        let of_name = catalog.callables().filter(|entry| entry.tool.component_name == name);
        components.extend(of_name.map(|entry| entry.tool.component.clone()));
        components.sort();
        components.dedup();
        if components.is_empty() {
            let name = what.chars().take(limits::MAX_TOOL_NAME_CHARS).collect();
            return Err(EngineError::NoComponentNamed(name));
        }
        Ok(Named { name, components })
    }
}

fn view(name: String, row: BlockRow) -> BlockView {
    BlockView { name, at: row.at, components: row.components }
}

/// Components that were stored under this name.
fn stored_as(snapshot: &Snapshot<'_>, name: &str) -> Result<Vec<ComponentId>, StoreError> {
    let mut found = Vec::new();
    snapshot.scan_prefix(Space::Component, &[], false, |key, row| {
        let is_it =
            rows::decode::<ComponentRow>(Space::Component, key, row).is_ok_and(|row| row.name == name);
        found.extend(String::from_utf8(key.to_vec()).ok().filter(|_| is_it).map(ComponentId::from_stored));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Brings the open tasks to where the blocks want them. Where no engine runs, the next start does.
async fn settle_all(shared: &Arc<Shared>) -> Result<(), EngineError> {
    if !shared.is_running() {
        return Ok(());
    }
    let open = shared.open_tasks().ids();
    // Those of a slice share the disk's time; those that rest do so again when it is done.
    for some in open.chunks(limits::MAX_GROUP_BATCHES) {
        let entries: Vec<Arc<Entry>> = some.iter().filter_map(|id| shared.entry(*id)).collect();
        futures::future::try_join_all(entries.iter().map(|entry| settle_one(shared, entry))).await?;
    }
    Ok(())
}

/// The same of one task.
pub(in crate::engine) async fn settle_one(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
) -> Result<(), EngineError> {
    let Some(component) = component_of(shared, entry).await? else { return Ok(()) };
    loop {
        let settled = settle(shared, entry, &mut entry.lock(), &component);
        let ack = match settled {
            Ok(Some(ack)) => ack,
            Ok(None) => return Ok(()),
            Err(EngineError::Store(why)) if why.passes() => {
                shared.pause(&why).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        if lease::has_arrived(shared, entry, ack).await? {
            // What an endpoint was asked for was left alone when the task was stopped.
            resume(shared, entry);
            return Ok(());
        }
    }
}

/// `None` where it has gone meanwhile.
async fn component_of(shared: &Shared, entry: &Entry) -> Result<Option<ComponentId>, StoreError> {
    let (id, cached): (TaskId, _) = (entry.id, entry.lock().task.clone());
    if let Some(task) = cached {
        return Ok(Some(task.component.clone()));
    }
    let task = shared.store.read(move |snapshot| rows::read_task_row(snapshot, id)).await?;
    Ok(task.map(|(task, _)| task.component))
}

/// Stops a task whose component is blocked, or lets it go on where that is over; `None` where it stands where it should.
/// Its instance leaves memory with all that it has recorded.
pub fn settle(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    state: &mut EntryState,
    component: &ComponentId,
) -> Result<Option<Ack>, EngineError> {
    let now = state.status.state;
    if now.is_terminal() {
        return Ok(None);
    }
    let event = match (shared.memory.blocks.since(component), now.blocked()) {
        (Some(at), None) => Event::Blocked { since: at.max(state.status.since) },
        (None, Some(_)) => Event::Unblocked { at: shared.date() },
        (Some(_), Some(_)) | (None, None) => return Ok(None),
    };
    let is_blocked = matches!(event, Event::Blocked { .. });
    let ack = commit_event(shared, entry, state, event, Commit::new().with_need(Need::End))?;
    if is_blocked {
        shared.memory.timers.clear(entry.id);
        entry.stop.send_modify(|count| *count += 1);
    }
    Ok(Some(ack))
}
