//! What all parts of one engine share, and the one way from the engine to the disk.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::catalog::{Catalog, Operator};
use crate::clock::{Clock, UnixNanos};
use crate::engine::audit::Audit;
use crate::engine::commit::Commit;
use crate::engine::effect::Effects;
use crate::engine::feed::ResourceKey;
use crate::engine::memory::Memory;
use crate::engine::memory::components::StoredComponents;
use crate::engine::memory::entry::{Anchor, Entry};
use crate::engine::memory::flush::Dirty;
use crate::engine::memory::gates::Gates;
use crate::engine::memory::hosts::ToldHosts;
use crate::engine::memory::open_task::OpenTask;
use crate::engine::memory::resting::OpenTasks;
use crate::engine::memory::spending::Spending;
use crate::engine::memory::task_trees::TreeBounds;
use crate::engine::memory::turns::Turns;
use crate::engine::next::{Commands, NextAction};
use crate::engine::ports::remote::Remotes;
use crate::engine::ports::{Models, Reader, Sampler};
use crate::engine::probe::Probe;
use crate::engine::rows;
use crate::shares::{Account, Pool};
use crate::store::{Ack, Batch, Space, Store, StoreError};
use crate::task::{ComponentId, Status, Task, TaskId};

/// What all parts of one engine share.
pub struct Shared {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    /// When the store was opened, by the wall clock.
    pub opened: Anchor,
    pub memory: Arc<Memory>,
    pub catalog: RwLock<Arc<Catalog>>,
    /// Held by what makes another catalog out of the one that is there.
    pub catalog_changes: tokio::sync::Mutex<()>,
    pub dirty: Dirty,
    /// Places for open tasks that are tried with another component.
    pub trying: Semaphore,
    /// Held by the export of a task.
    pub exporting: tokio::sync::Mutex<()>,
    /// Tools that have bounds of their own.
    pub gates: Gates,
    pub live: Arc<Semaphore>,
    pub live_bound: usize,
    pub retention: Option<Duration>,
    pub tree: TreeBounds,
    pub audit_retention: Option<Duration>,
    /// How many blocks are kept of each task's trace.
    pub trace_blocks: u32,
    /// Who has how much of what.
    pub shares: Arc<Account>,
    /// What components are granted, and whether all get what they request: for those that are added while it runs.
    pub operator: Operator,
    pub trusts_all: bool,
    /// Says what of them is approved where no person is.
    pub lock_file: Option<PathBuf>,
    pub reader: Option<Reader>,
    pub environment: fn(&str) -> Option<String>,
    /// How a person does what is advised.
    pub commands: Commands,
    pub audit: Audit,
    pub told_hosts: ToldHosts,
    /// Other MCP servers, where there are any, and how their tools are answered.
    pub remotes: OnceLock<(Remotes, Operator)>,
    /// A sweep has looked at the components in the store since the last task went.
    pub are_components_swept: AtomicBool,
    /// Components that this process stored. Their catalog may be set later: only the end of a task's retention, as
    /// ever, takes those that nothing names.
    pub stored_here: Mutex<BTreeSet<ComponentId>>,
    /// Components that attempts have found in the store.
    pub stored_components: StoredComponents,
    /// Held by a sweep while it looks whether anybody else needs a blob and says that it goes: nothing may be
    /// enqueued in between that refers to it.
    pub sweeping: RwLock<()>,
    pub sampler: Option<Arc<dyn Sampler>>,
    /// Models that the operator has configured.
    pub models: Option<Arc<dyn Models>>,
    /// What principals have spent on models today.
    pub spending: Spending,
    /// Samples of the endpoint at once.
    pub sampling: Arc<Turns>,
    /// Where the engine was opened: guests run on threads of their own.
    pub runtime: Handle,
    pub leases: AtomicU64,
    /// Looks at root tasks, where the engine was opened to try one.
    pub probe: Option<Arc<Probe>>,
}

impl Shared {
    pub fn open_tasks(&self) -> MutexGuard<'_, OpenTasks> {
        self.memory.open_tasks()
    }

    /// The entry of an open task, loaded where the task rests. Not within a read of the store, and not from what a commit
    /// brings about: both have `memory.entry`.
    pub fn entry(&self, id: TaskId) -> Option<Arc<Entry>> {
        self.load(id).unwrap_or_else(|error| {
            tracing::error!(task = %id, %error, "a task that waits cannot be read");
            None
        })
    }

    /// The same, with what was wrong with the rows of one that rests.
    pub fn load(&self, id: TaskId) -> Result<Option<Arc<Entry>>, StoreError> {
        loop {
            let number = {
                let open = self.open_tasks();
                match (open.get(id), open.resting(id)) {
                    (Some(entry), _) => return Ok(Some(entry)),
                    (None, Some(resting)) => resting.number,
                    (None, None) => return Ok(None),
                }
            };
            // As long as it rests nothing is written of it, and all that was written is there.
            let missing = |space| StoreError::damaged_row(space, id.as_bytes(), "the row is missing");
            let (task, status) = self.store.read_held(id, |snapshot| {
                let (task, _) = rows::read_task_row(snapshot, id)?.ok_or_else(|| missing(Space::Task))?;
                let status = rows::read_status(snapshot, id)?.ok_or_else(|| missing(Space::Status))?;
                Ok((task, status))
            })?;
            let entry = self.new_entry(&task, status);
            let mut open = self.open_tasks();
            // Another one may have loaded it meanwhile, and it may rest again.
            let Some((resting, held, questions)) = open.take_resting(id, Some(number)) else { continue };
            resting.take_up(&entry);
            entry.put_held(held, questions);
            open.insert(entry.clone());
            drop(open);
            self.memory.settles.notify_one();
            return Ok(Some(entry));
        }
    }

    fn new_entry(&self, task: &Task, status: Status) -> Arc<Entry> {
        let entry = Entry::of(task, status);
        if let Some(gate) = self.gates.of(&task.tool) {
            // It is new: nothing else has set it.
            let _ = entry.gate.set(gate.clone());
        }
        entry
    }

    /// The entry of a task that is open, or will be; `open` is its place among those of its principal.
    pub fn open_entry(&self, task: &Task, status: Status, open: OpenTask) -> Arc<Entry> {
        let entry = self.new_entry(task, status);
        entry.count_questions(&self.shares, &entry.lock().status);
        *entry.open.lock() = Some(open);
        entry
    }

    /// What looks at this task, if anything does.
    pub fn probe_of(&self, entry: &Entry) -> Option<&Arc<Probe>> {
        self.probe.as_ref().filter(|_| entry.link.is_none())
    }

    /// Its place among the tasks that wait for an instance.
    pub fn queue_place(&self, entry: &Entry) -> Option<u64> {
        self.memory.ready.place(entry, |who| self.shares.used_by(Pool::Instances, who))
    }

    /// The command that does this, behind these words; nothing where there is none.
    pub fn advised(&self, before: &str, next: &NextAction) -> String {
        (self.commands)(next).map_or_else(String::new, |command| format!("{before}{command}"))
    }

    /// The store was busy, and takes more after a moment; or its disk was full, which lasts longer.
    pub async fn pause(&self, why: &StoreError) {
        tokio::time::sleep(why.pause()).await;
    }

    /// The date that times to live go by: what the wall clock said when the store was opened, and the time since by the
    /// clock that cannot be set.
    pub fn date(&self) -> UnixNanos {
        self.opened.now(&*self.clock)
    }

    pub fn is_running(&self) -> bool {
        self.memory.is_running()
    }

    /// Never given before: the boot number in the upper half makes those of earlier processes void.
    pub fn next_lease(&self) -> u64 {
        self.store.boot() << 32 | self.leases.fetch_add(1, Ordering::Relaxed)
    }

    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().clone()
    }

    pub fn set_catalog(&self, catalog: Arc<Catalog>) {
        self.replace_catalog(catalog);
        self.memory.feed.changed(&[ResourceKey::Tools]);
    }

    /// Gives the one before.
    pub fn replace_catalog(&self, catalog: Arc<Catalog>) -> Arc<Catalog> {
        let before = std::mem::replace(&mut *self.catalog.write(), catalog);
        self.memory.powers.note();
        self.memory.parked.release(&self.memory.ready);
        before
    }

    /// The store did not take what was due for this task: it is looked at again after a moment.
    pub fn look_again(&self, id: TaskId, why: &StoreError) {
        let at = self.clock.elapsed() + why.pause();
        self.memory.timers.set(id, at);
    }

    /// See [`TaskEngine::tool_known`](crate::engine::handle::TaskEngine::tool_known).
    pub async fn tool_known(&self, name: &str) {
        self.memory.powers.until(|| (!self.catalog().awaits(name)).then_some(())).await;
    }

    /// See [`TaskEngine::loaded`](crate::engine::handle::TaskEngine::loaded).
    pub async fn loaded(&self) {
        self.memory.powers.until(|| (!self.catalog().is_loading()).then_some(())).await;
    }

    /// Hands a commit over. The order of calls is the order of commits. An error means that nothing was queued and
    /// that nothing follows.
    pub fn commit(&self, commit: Commit) -> Result<Ack, StoreError> {
        let _others = self.sweeping.read();
        self.hand_over(commit)
    }

    /// Hands over what `decide` says once all that is on its way has arrived, and lets nothing through meanwhile. For
    /// threads that may block.
    pub fn commit_alone<T>(
        &self,
        decide: impl FnOnce() -> Result<(Commit, T), StoreError>,
    ) -> Result<(Ack, T), StoreError> {
        let _alone = self.sweeping.write();
        self.store.commit_blocking(Batch::new())?;
        let (commit, decided) = decide()?;
        Ok((self.hand_over(commit)?, decided))
    }

    fn hand_over(&self, commit: Commit) -> Result<Ack, StoreError> {
        let Commit { mut batch, effects, opened } = commit;
        // Most commits of a guest have none.
        if !effects.is_empty() {
            let staged = self.memory.stage(opened);
            batch = batch.effects(Box::new(Effects::new(staged, effects)));
        }
        self.store.enqueue(batch)
    }

    /// Writes what the audit has noted and not written yet.
    pub async fn flush_audit(&self) -> Result<(), StoreError> {
        self.audit.flush_all(&self.store, |commit| self.commit(commit)).await
    }
}
