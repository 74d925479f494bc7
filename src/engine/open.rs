//! Opening an engine, starting it and stopping it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::catalog::{Inspection, Operator, ToolBounds};
use crate::clock::{Bounded, Clock, SystemClock};
use crate::engine::approvals;
use crate::engine::audit::Audit;
use crate::engine::commit::Commit;
use crate::engine::dispatch::{due, flush, instances};
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::lifecycle::{orphans, recovery, rest, retention};
use crate::engine::memory::Memory;
use crate::engine::memory::components::StoredComponents;
use crate::engine::memory::counters::ModelUsage;
use crate::engine::memory::entry::Anchor;
use crate::engine::memory::flush::Dirty;
use crate::engine::memory::gates::Gates;
use crate::engine::memory::hosts::ToldHosts;
use crate::engine::memory::spending::{Spending, SpendingBounds, day_of};
use crate::engine::memory::task_trees::TreeBounds;
use crate::engine::memory::turns::Turns;
use crate::engine::narrowed;
use crate::engine::next::{Commands, without_commands};
use crate::engine::ports::{InspectError, Models, Reader, Sampler};
use crate::engine::probe::Probe;
use crate::engine::query::metrics;
use crate::engine::query::metrics::Metrics;
use crate::engine::query::recount;
use crate::engine::rows;
use crate::engine::runner::Runner;
use crate::engine::shared::Shared;
use crate::engine::state::expiry;
use crate::engine::trace;
use crate::limits;
use crate::shares::{Account, Bound, Bounds, Pool};
use crate::store::{Snapshot, Space, Store, StoreOptions, Usage};
use crate::task::ComponentId;

/// How an engine is opened; the default is right for most.
pub struct EngineOptions {
    pub store: StoreOptions,
    pub clock: Arc<dyn Clock>,
    /// Instances that live at once; see [`limits::MAX_LIVE_INSTANCES`].
    pub live_instances: usize,
    /// How long ended tasks are kept; `None` is for ever.
    pub retention: Option<Duration>,
    /// What samples where no client can.
    pub sampler: Option<Arc<dyn Sampler>>,
    /// Models that the operator has configured.
    pub models: Option<Arc<dyn Models>>,
    /// What may be spent on them in a day.
    pub spending: SpendingBounds,
    /// How far tasks may call tasks.
    pub tree: TreeBounds,
    /// How long rows of the audit are kept; `None` is for ever.
    pub audit_retention: Option<Duration>,
    /// What is kept of each task's steps, from [`limits::MIN_TRACE_KIB`] to [`limits::MAX_TRACE_KIB`]; 0 is nothing.
    pub trace_kib: u64,
    /// What there is of each thing, and who has how much of it; one for a process, which its wings share. `None` is one by
    /// the limits, with room for `live_instances`.
    pub shares: Option<Arc<Account>>,
    /// Every principal but `local` is known by a token: the tasks of one without do nothing more in its name. By default
    /// a program may have principals of its own.
    pub tokens_alone: bool,
    /// What single tools may do in all, by their names.
    pub tool_bounds: BTreeMap<String, ToolBounds>,
    /// What components that are added are granted.
    pub operator: Operator,
    /// They are granted all that they request.
    pub trusts_all: bool,
    /// Says what of them is approved where no person is; read whenever one is added.
    pub lock_file: Option<PathBuf>,
    /// Reads the files of components that are added, where the engine's own process may not.
    pub reader: Option<Reader>,
    /// The value of a variable that a component is granted, asked for when a task of it is made: by default this process's.
    pub environment: fn(&str) -> Option<String>,
    /// How a person does what the engine advises in logs and in the errors of tasks; by default no command is named.
    pub commands: Commands,
    /// Looks at the root tasks of an engine that is there to try one.
    pub probe: Option<Arc<Probe>>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            store: StoreOptions::default(),
            clock: Arc::new(SystemClock::default()),
            live_instances: limits::MAX_LIVE_INSTANCES,
            retention: Some(Duration::from_secs(limits::DEFAULT_RETENTION_SECONDS)),
            sampler: None,
            models: None,
            spending: SpendingBounds::default(),
            tree: TreeBounds::default(),
            audit_retention: Some(Duration::from_secs(limits::DEFAULT_AUDIT_RETENTION_SECONDS)),
            trace_kib: limits::DEFAULT_TRACE_KIB,
            shares: None,
            tokens_alone: false,
            tool_bounds: BTreeMap::new(),
            operator: Operator::default(),
            trusts_all: false,
            lock_file: None,
            reader: None,
            environment: |name| std::env::var(name).ok(),
            commands: without_commands,
            probe: None,
        }
    }
}

impl TaskEngine {
    /// Opens, or creates, the store in `folder`; one process owns it. Nothing runs before [`Self::start`].
    pub async fn open(
        folder: &Path,
        runner: Arc<dyn Runner>,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        let memory = Arc::new(Memory::new(options.clock.clone()));
        let store = Store::open_async(folder, options.store, memory.clone()).await?;
        let engine = Self::with_store(store, memory, runner, options).await?;
        if let Err(error) = engine.count_once().await {
            // It goes on; what is counted from here on is a part, and the next start counts all.
            tracing::warn!(%error, "what principals keep in the store could not be counted");
        }
        Ok(engine)
    }

    /// A store of its own that is on no disk and gone with the engine: for what is only tried.
    pub(in crate::engine) async fn open_in_memory(
        runner: Arc<dyn Runner>,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        let memory = Arc::new(Memory::new(options.clock.clone()));
        let store = Store::open_in_memory(options.store, memory.clone()).await?;
        Self::with_store(store, memory, runner, options).await
    }

    /// Opens the store in `folder` to look at it: what would write is refused, and the file stays as it is, whatever
    /// state it is in. Any number of processes may do so while none owns it.
    pub async fn open_to_read(
        folder: &Path,
        runner: Arc<dyn Runner>,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        let memory = Arc::new(Memory::new(options.clock.clone()));
        let (folder, of_store, sink) = (folder.to_owned(), options.store, memory.clone());
        let opened = tokio::task::spawn_blocking(move || Store::open_to_read(&folder, of_store, sink)).await;
        let store = opened.map_err(|error| EngineError::Internal(error.to_string()))??;
        Self::with_store(store, memory, runner, options).await
    }

    pub(in crate::engine) async fn with_store(
        store: Store,
        memory: Arc<Memory>,
        runner: Arc<dyn Runner>,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        let clock: Arc<dyn Clock> = Arc::new(Bounded(options.clock));
        let shares = options.shares.unwrap_or_else(|| account_for(options.live_instances));
        memory.tokens.are_needed.store(options.tokens_alone, Ordering::Relaxed);
        let (loaded, account) = (memory.clone(), shares.clone());
        let load = move |snapshot: &Snapshot<'_>| {
            loaded.tokens.load(snapshot)?;
            loaded.blocks.load(snapshot)?;
            narrowed::load(&account, snapshot)?;
            recount::load(&account, snapshot)
        };
        store.read(load).await?;
        // Before anything is written. Another account was not given to this memory.
        let _ = memory.account.set(shares.clone());
        let gates = store.read(move |snapshot| Gates::open(options.tool_bounds, snapshot)).await?;
        let (bounds, today) = (options.spending, day_of(clock.wall()));
        let spending = store.read(move |snapshot| Spending::load(bounds, today, snapshot)).await?;
        let shared = Shared {
            memory,
            audit: Audit::new(store.boot(), clock.clone()),
            store,
            told_hosts: ToldHosts::default(),
            remotes: OnceLock::new(),
            opened: Anchor { elapsed: clock.elapsed(), logical: clock.wall() },
            clock,
            catalog: RwLock::default(),
            dirty: Dirty::default(),
            gates,
            live: Arc::new(Semaphore::new(options.live_instances)),
            live_bound: options.live_instances,
            are_components_swept: AtomicBool::new(false),
            catalog_changes: tokio::sync::Mutex::default(),
            trying: Semaphore::new(limits::MAX_TRIALS_AT_ONCE),
            exporting: tokio::sync::Mutex::default(),
            stored_here: Mutex::default(),
            stored_components: StoredComponents::default(),
            sweeping: RwLock::default(),
            retention: options.retention,
            sampler: options.sampler,
            models: options.models,
            spending,
            sampling: Turns::new(shares.clone(), Pool::Sampling),
            runtime: Handle::current(),
            tree: options.tree,
            audit_retention: options.audit_retention,
            trace_blocks: trace::blocks_of(options.trace_kib),
            shares,
            operator: options.operator,
            trusts_all: options.trusts_all,
            lock_file: options.lock_file,
            reader: options.reader,
            environment: options.environment,
            commands: options.commands,
            leases: AtomicU64::new(1),
            probe: options.probe,
        };
        Ok(Self { shared: Arc::new(shared), runner })
    }

    /// Takes up the open tasks where they are and begins to run them.
    pub async fn start(&self) -> Result<(), EngineError> {
        recovery::recover(&self.shared).await?;
        self.shared.memory.running.send_replace(true);
        let (engine, shared, runner) = (self.clone(), self.shared.clone(), self.runner.clone());
        // From one task, which wakes one thread for all of them while the first callers come.
        tokio::spawn(async move {
            tokio::spawn(instances::dispatch(shared.clone(), runner));
            tokio::spawn(due::run(shared.clone()));
            tokio::spawn(orphans::run(shared.clone()));
            tokio::spawn(write_audit(shared.clone()));
            tokio::spawn(expiry::run(shared.clone()));
            tokio::spawn(approvals::expiry::run(shared.clone()));
            tokio::spawn(flush::run(shared.clone()));
            // What looks at a task keeps it in memory.
            if shared.probe.is_none() {
                tokio::spawn(rest::run(shared.clone()));
            }
            retention::start(&engine);
        });
        Ok(())
    }

    /// Stops dispatch, lets each instance reach a commit, and closes the store. Open tasks go on with the
    /// next start.
    pub async fn shutdown(&self) {
        self.shared.memory.running.send_replace(false);
        self.shared.memory.ready.wake.notify_one();
        self.shared.memory.timers.wake.notify_one();
        self.shared.dirty.wake.notify_one();
        self.shared.memory.trees.wake.notify_one();
        self.shared.memory.settles.notify_one();
        self.shared.memory.state.expiry.notify_one();
        let all = u32::try_from(self.shared.live_bound).unwrap_or(u32::MAX);
        let grace = Duration::from_secs(limits::SHUTDOWN_GRACE_SECONDS);
        // Each attempt gives its permit back when it has ended; one that does not is cut off by its lease.
        if tokio::time::timeout(grace, self.shared.live.acquire_many(all)).await.is_err() {
            tracing::warn!("some guests did not stop in time; they are taken up from their last commit");
        }
        if let Err(error) = self.shared.flush_audit().await {
            tracing::warn!(%error, "what was refused last is not in the audit");
        }
        if let Err(error) = self.shared.store.clone().close().await {
            tracing::error!(%error, "the store did not close cleanly; the next start repairs it");
        }
    }

    /// Why the store takes nothing any more, if so. What was acknowledged is safe; start again.
    pub fn latched(&self) -> Option<Arc<str>> {
        self.shared.store.latched()
    }

    /// Ends when the store has failed, with the reason.
    pub async fn failed(&self) -> Arc<str> {
        let mut latch = self.shared.store.on_latch();
        match latch.wait_for(Option::is_some).await.map(|why| why.clone()) {
            Ok(Some(why)) => why,
            // Closed without ever failing.
            _ => std::future::pending().await,
        }
    }

    pub async fn inspect(&self, component: Arc<[u8]>) -> Result<Inspection, InspectError> {
        self.runner.inspect(component).await
    }

    /// Keeps a component's bytes, so that its tasks resume without the file it came from.
    pub async fn store_component(&self, bytes: Arc<[u8]>, name: &str) -> Result<ComponentId, EngineError> {
        let id = ComponentId::of_bytes(&bytes);
        let key = id.as_str().as_bytes().to_vec();
        self.shared.stored_here.lock().insert(id.clone());
        let looked_up = key.clone();
        if self.shared.store.read(move |snapshot| snapshot.contains(Space::Component, &looked_up)).await? {
            return Ok(id);
        }
        let row = rows::ComponentRow {
            name: name.to_owned(),
            bytes: bytes.len() as u64,
            installed_at: self.shared.clock.wall(),
        };
        let mut commit = Commit::new().put(Space::Component, key, rows::encode(&row)?);
        rows::put_blob(&mut commit, *blake3::hash(&bytes).as_bytes(), b"component", bytes);
        self.shared.commit(commit)?.await?;
        Ok(id)
    }

    pub fn metrics(&self) -> Metrics {
        metrics::read(&self.shared)
    }

    /// What each model was asked and cost since the process started, by its name.
    pub fn model_usage(&self) -> BTreeMap<String, ModelUsage> {
        self.shared.memory.models.by_name()
    }

    /// On a disk that is full: room for a small file next to the store, from what is kept in reserve.
    pub fn give_room(&self, bytes: u64) {
        self.shared.store.give_room(bytes);
    }

    pub fn usage(&self) -> Result<Usage, EngineError> {
        Ok(self.shared.store.usage()?)
    }
}

/// Writes what the audit notes, as long as the engine runs.
async fn write_audit(shared: Arc<Shared>) {
    let running = shared.memory.running.subscribe();
    shared.audit.run(&shared.store, running, |commit| shared.commit(commit)).await;
}

/// Where a program gives no account, the number that it asks for is what its owner gets.
fn account_for(live_instances: usize) -> Arc<Account> {
    let mut bounds = Bounds::default();
    bounds[Pool::Instances] = Bound::for_owner(live_instances as u64);
    Account::new(bounds)
}
