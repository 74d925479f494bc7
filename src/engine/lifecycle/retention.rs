//! Retention: ended tasks go after a while, with all that belonged to them, and so do rows of the audit, so
//! that the file does not grow for ever. In small commits, oldest first; a crash in between leaves whole tasks or none.

use std::collections::{BTreeSet, HashMap};
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::calendar::Calendar;
use crate::authority::Principal;
use crate::clock::UnixNanos;
use crate::engine::audit::{self, AuditAction, Subject};
use crate::engine::change::admit;
use crate::engine::charge;
use crate::engine::commit::Commit;
use crate::engine::effect::Effect;
use crate::engine::error::EngineError;
use crate::engine::feed::ResourceKey;
use crate::engine::handle::TaskEngine;
use crate::engine::rows::{self, ComponentRow, Payload, ended_key, tree};
use crate::engine::shared::Shared;
use crate::limits;
use crate::store::{Ack, Guard, Need, Snapshot, Space, StoreError};
use crate::task::{ComponentId, Status, Task, TaskId};

/// What a sweep took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub tasks: u64,
    pub blobs: u64,
    pub components: u64,
    /// Rows of the audit.
    pub audit: u64,
}

/// Sweeps now and then, as long as the engine runs.
pub async fn run(engine: TaskEngine) {
    let mut running = engine.shared.memory.running.subscribe();
    let mut next = engine.shared.clock.elapsed() + Duration::from_millis(limits::SWEEP_DELAY_MS);
    let mut calendar = Calendar::new(&*engine.shared.clock);
    loop {
        tokio::select! {
            () = engine.shared.clock.sleep_until(next) => {}
            _ = running.wait_for(|running| !running) => return,
        }
        match engine.sweep_by(&mut calendar).await {
            Ok(swept) if swept == Swept::default() => {}
            Ok(swept) => tracing::info!(?swept, "swept what was kept long enough"),
            Err(error) => tracing::warn!(%error, "the sweep could not finish; it is tried again"),
        }
        next = engine.shared.clock.elapsed() + Duration::from_secs(limits::SWEEP_INTERVAL_SECONDS);
    }
}

impl TaskEngine {
    /// Deletes the tasks that ended longer ago than the retention, and components that nothing needs.
    pub async fn sweep(&self) -> Result<Swept, EngineError> {
        self.sweep_as_of(self.shared.clock.wall()).await
    }

    /// The same, by a calendar.
    pub(in crate::engine) async fn sweep_by(&self, calendar: &mut Calendar) -> Result<Swept, EngineError> {
        self.sweep_as_of(calendar.now(&*self.shared.clock)).await
    }

    async fn sweep_as_of(&self, now: UnixNanos) -> Result<Swept, EngineError> {
        let mut swept = Swept { audit: self.sweep_audit(now).await?, ..Swept::default() };
        let Some(kept) = self.shared.retention else { return Ok(swept) };
        let before = before(now, kept);
        let mut from = Vec::new();
        loop {
            let start = from.clone();
            let read = move |snapshot: &Snapshot<'_>| ended_before(snapshot, &start, before);
            let slice = self.shared.store.read_long(read).await?;
            // What stays is passed over until the next sweep.
            let Some(last) = slice.last() else { break };
            from.clone_from(&last.key);
            for doomed in slice {
                let shared = self.shared.clone();
                let (ack, blobs) = blocking(move || enqueue_deletion(&shared, &doomed, None)).await?;
                crate::crash_point!("sweeping");
                let deleted = ack.await;
                crate::crash_point!("swept");
                match deleted {
                    Ok(_) => (swept.tasks, swept.blobs) = (swept.tasks + 1, swept.blobs + blobs),
                    // Its owner took it up again in this moment, or its parent is open.
                    Err(StoreError::Refused(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        // Also once in each process: the sweep before may have been cut off here.
        let is_due = swept.tasks > 0 || !self.shared.are_components_swept.load(Ordering::Relaxed);
        // While components are being added, it is not known which are needed.
        if is_due && self.shared.catalog().is_loading() {
            self.shared.are_components_swept.store(false, Ordering::Relaxed);
        } else if is_due {
            self.shared.are_components_swept.store(false, Ordering::Relaxed);
            swept.components = self.sweep_components(swept.tasks > 0).await?;
            self.shared.are_components_swept.store(true, Ordering::Relaxed);
        }
        Ok(swept)
    }

    /// Rows of the audit that are older than its own retention.
    async fn sweep_audit(&self, now: UnixNanos) -> Result<u64, EngineError> {
        let Some(kept) = self.shared.audit_retention else { return Ok(0) };
        let (before, mut count) = (before(now, kept), 0);
        loop {
            let old =
                self.shared.store.read_long(move |snapshot| audit::older_than(snapshot, before)).await?;
            if old.is_empty() {
                return Ok(count);
            }
            count += old.iter().filter(|key| !audit::is_of_list(key)).count() as u64;
            let none = Commit::new().with_need(Need::Relief);
            let commit = old.into_iter().fold(none, |commit, key| commit.delete(Space::Audit, key));
            self.shared.commit(commit)?.await?;
        }
    }

    /// Components that are neither served nor named by any task that is kept; without `with_new` those alone that
    /// earlier processes stored.
    async fn sweep_components(&self, with_new: bool) -> Result<u64, EngineError> {
        let shared = &self.shared;
        let catalog = shared.catalog();
        let mut needed: BTreeSet<ComponentId> =
            catalog.tools().map(|entry| entry.tool.component.clone()).collect();
        // What waits for approval is served without its file.
        needed.extend(catalog.unapproved().map(|waiting| waiting.component.id.clone()));
        // What was added is served again by the next start, also where this one could not.
        let added = self.added().await?;
        let versions = added.iter().flat_map(|added| added.versions());
        needed.extend(versions.map(|version| version.component.clone()));
        let stored = shared.store.read_long(components).await?;
        if stored.iter().all(|component| needed.contains(component)) {
            return Ok(0);
        }
        let mut from = Bound::Unbounded;
        loop {
            let start = from.clone();
            let (used, last) = shared.store.read_long(move |snapshot| used(snapshot, start)).await?;
            needed.extend(used);
            match last {
                Some(last) => from = Bound::Excluded(last.as_bytes().to_vec()),
                None => break,
            }
        }
        let mut count = 0;
        for component in stored.into_iter().filter(|component| !needed.contains(component)) {
            let Some(digest) = component.digest() else { continue };
            let stored_here = &self.shared.stored_here;
            if !with_new && stored_here.lock().contains(&component) {
                continue;
            }
            // What is served now stays: components are stored and named in the catalog before the start.
            let commit = Commit::new()
                .with_need(Need::Relief)
                .delete(Space::Component, component.as_str().as_bytes())
                .delete(Space::BlobRef, rows::blob_reference(digest, b"component"))
                .delete(Space::Blob, digest.as_slice());
            self.shared.commit(commit)?.await?;
            self.shared.stored_components.forget_all();
            self.runner.forget(&component);
            count += 1;
        }
        Ok(count)
    }
}

fn before(now: UnixNanos, kept: Duration) -> UnixNanos {
    now.saturating_sub(u64::try_from(kept.as_nanos()).unwrap_or(u64::MAX))
}

pub(super) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, EngineError> {
    let done = tokio::task::spawn_blocking(read).await;
    Ok(done.map_err(|error| EngineError::Internal(error.to_string()))??)
}

/// A task that has ended and is to go.
pub(super) struct Doomed {
    /// Of its row among those that have ended.
    key: Vec<u8>,
    pub id: TaskId,
    /// Blobs that it refers to.
    digests: BTreeSet<[u8; 32]>,
}

impl Doomed {
    pub fn of(ended_at: u64, id: TaskId) -> Self {
        Self { key: ended_key(ended_at, id), id, digests: BTreeSet::new() }
    }
}

/// Finds the blobs of tasks that are to go. By the references, since rows that named some went with the journal.
pub(super) fn find_blobs(snapshot: &Snapshot<'_>, doomed: &mut [Doomed]) -> Result<(), StoreError> {
    let mut by_id: HashMap<TaskId, &mut Doomed> = doomed.iter_mut().map(|one| (one.id, one)).collect();
    if by_id.is_empty() {
        return Ok(());
    }
    snapshot.scan_prefix(Space::BlobRef, &[], false, |key, _| {
        if let Some((digest, referrer)) = key.split_first_chunk::<32>()
            && let Some(one) = <[u8; 16]>::try_from(referrer).ok().map(TaskId::from_bytes)
            && let Some(one) = by_id.get_mut(&one)
        {
            one.digests.insert(*digest);
        }
        ControlFlow::Continue(())
    })
}

/// Hands the deletion of one task over, and says how many blobs go with it. With `by` its owner deletes it, which the
/// audit has.
pub(super) fn enqueue_deletion(
    shared: &Shared,
    doomed: &Doomed,
    by: Option<&Principal>,
) -> Result<(Ack, u64), StoreError> {
    let delete = || {
        let (mut commit, task, blobs) =
            shared.store.read_blocking(|snapshot| delete_task(snapshot, doomed))?;
        if let (Some(by), Some(task)) = (by, task) {
            let subject = Subject::of_task(AuditAction::Delete, task.id).tool(&task.tool, &task.component);
            shared.audit.record_admitted(&mut commit, by, subject.owned_by(&task.principal))?;
        }
        Ok((commit, blobs))
    };
    let (commit, blobs) = delete()?;
    if blobs == 0 {
        return Ok((shared.commit(commit)?, 0));
    }
    // Another task may be about to refer to the same blob: let what is on its way arrive, look again, and let
    // nothing through until the deletion stands in the queue. What comes after it brings the blob again.
    shared.commit_alone(delete)
}

fn ended_before(snapshot: &Snapshot<'_>, from: &[u8], before: u64) -> Result<Vec<Doomed>, StoreError> {
    let mut found: Vec<Doomed> = Vec::new();
    let end = before.to_be_bytes();
    let bounds = (Bound::Excluded(from), Bound::Excluded(&end[..]));
    snapshot.scan(Space::Ended, bounds, false, |key, _| {
        let doomed = |id| Doomed { key: key.to_vec(), id, digests: BTreeSet::new() };
        found.extend(rows::trailing_id(key).map(doomed));
        if found.len() < limits::SWEEP_SLICE_TASKS {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    find_blobs(snapshot, &mut found)?;
    Ok(found)
}

/// All rows of one task, and the blobs that only it refers to; with the task and how many blobs they are. Refused if it
/// is open again, or if it is the child of a task that is open: that may still ask for it.
fn delete_task(
    snapshot: &Snapshot<'_>,
    Doomed { key, id, digests }: &Doomed,
) -> Result<(Commit, Option<Task>, u64), StoreError> {
    let (id, bytes) = (*id, id.as_bytes().as_slice());
    let mut commit = Commit::new()
        .with_need(Need::Relief)
        .guard(Guard::Absent { space: Space::Open, key: bytes.to_vec() })
        .guard(Guard::Present { space: Space::Ended, key: key.clone() })
        .delete(Space::Ended, key.clone());
    let row = rows::read_task_row(snapshot, id)?;
    if let Some((task, arguments)) = &row {
        commit.add_delete(Space::ByPrincipal, rows::by_principal_key(&task.principal, id));
        let more = charge::more(snapshot, id)?;
        let all = charge::first(charge::length(snapshot, arguments)?) + more;
        commit.add_count(charge::bytes_of(task.principal.as_str().into()), -charge::change(all));
        commit.add_count(charge::more_of(id), -charge::change(more));
        tree::sweep(snapshot, task, &mut commit)?;
        if let Some(parent) = task.parent {
            commit.add_guard(Guard::Absent { space: Space::Open, key: parent.as_bytes().to_vec() });
        }
        for claim in claims(snapshot, task, arguments)? {
            commit.add_delete(Space::Idempotency, claim);
        }
    }
    if let Some(status) = rows::read_status(snapshot, id)? {
        tell_of(&mut commit, row.as_ref().map(|(task, _)| task), &status, id);
    }
    let mut blobs = 0;
    for digest in digests {
        let own = rows::blob_reference(*digest, bytes);
        let mut others = 0;
        snapshot.scan_prefix(Space::BlobRef, digest, false, |key, _| {
            others += u64::from(key != own);
            if others == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        commit.add_delete(Space::BlobRef, own);
        if others == 0 {
            commit.add_delete(Space::Blob, digest.as_slice());
            blobs += 1;
        }
    }
    let spaces = [
        Space::Journal,
        Space::Op,
        Space::Output,
        Space::Log,
        Space::Message,
        Space::Question,
        Space::Report,
        Space::Trace,
    ];
    for space in spaces {
        commit.add_delete_prefix(space, bytes);
    }
    for space in [Space::Task, Space::Status, Space::Result, Space::Checkpoint] {
        commit.add_delete(space, bytes);
    }
    Ok((commit, row.map(|(task, _)| task), blobs))
}

/// Who is subscribed to what is gone looks again, and finds nothing.
fn tell_of(commit: &mut Commit, task: Option<&Task>, status: &Status, id: TaskId) {
    let outputs = status.outputs.iter().map(|output| ResourceKey::Output(id, output.name.as_str().into()));
    let of_task = [ResourceKey::Task(id), ResourceKey::Result(id), ResourceKey::Log(id)];
    let list = task.map(|task| ResourceKey::Tasks(task.principal.clone()));
    for key in of_task.into_iter().chain(outputs).chain(list) {
        commit.add_effect(Effect::Changed(key));
    }
    // Which lists it no more.
    if let Some(parent) = task.and_then(|task| task.parent) {
        commit.add_effect(Effect::Rewritten(parent));
    }
}

/// The idempotency rows that stand for this task.
fn claims(snapshot: &Snapshot<'_>, task: &Task, arguments: &Payload) -> Result<Vec<[u8; 32]>, StoreError> {
    let mut keys = match &task.idempotency_key {
        Some(key) => vec![rows::idempotency_key("key", &task.principal, &task.tool, key)],
        None => {
            let bytes = rows::read_payload(snapshot, arguments)?;
            let text = String::from_utf8_lossy(&bytes);
            let key = |text: &str| rows::idempotency_key("dedupe", &task.principal, &task.tool, text);
            // The second is an earlier version's.
            vec![key(&admit::canonical_text(&text)), key(&text)]
        }
    };
    keys.dedup();
    let mut claims = Vec::new();
    for key in keys {
        let row: Option<rows::IdempotencyRow> = rows::read_row(snapshot, Space::Idempotency, &key)?;
        claims.extend(row.filter(|row| row.task == task.id).map(|_| key));
    }
    Ok(claims)
}

fn components(snapshot: &Snapshot<'_>) -> Result<Vec<ComponentId>, StoreError> {
    let mut found = Vec::new();
    snapshot.scan_prefix(Space::Component, &[], false, |key, row| {
        let known = rows::decode::<ComponentRow>(Space::Component, key, row).is_ok();
        found.extend(String::from_utf8(key.to_vec()).ok().filter(|_| known).map(ComponentId::from_stored));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// The components of a slice of tasks, and where the slice ended; `None` behind the last.
fn used(
    snapshot: &Snapshot<'_>,
    from: Bound<Vec<u8>>,
) -> Result<(BTreeSet<ComponentId>, Option<TaskId>), StoreError> {
    let (mut ids, mut used) = (Vec::new(), BTreeSet::new());
    let start = match &from {
        Bound::Excluded(key) => Bound::Excluded(&key[..]),
        Bound::Included(key) => Bound::Included(&key[..]),
        Bound::Unbounded => Bound::Unbounded,
    };
    snapshot.scan(Space::Task, (start, Bound::Unbounded), false, |key, _| {
        ids.extend(rows::trailing_id(key));
        if ids.len() < limits::SWEEP_SCAN_TASKS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for id in &ids {
        if let Some((task, _)) = rows::read_task_row(snapshot, *id)? {
            used.insert(task.component);
        }
    }
    let last = ids.last().copied().filter(|_| ids.len() == limits::SWEEP_SCAN_TASKS);
    Ok((used, last))
}

/// Started with the engine, unless everything is kept for ever.
pub fn start(engine: &TaskEngine) {
    if engine.shared.retention.is_some() || engine.shared.audit_retention.is_some() {
        tokio::spawn(run(engine.clone()));
    }
}
