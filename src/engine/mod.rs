//! Lives here: running tasks: submit, view, list, cancel, retry; dispatch; the journal; recovery; the ports.
//! May import: `catalog`, `store` and the ground. Never here: WASM, MCP, redb.
//! Read first: `ports.rs`, then `record/recorder.rs`, then `lifecycle/attempt.rs`.

mod applied;
mod audit;
mod commit;
mod dispatch;
mod effect;
mod error;
mod family;
mod feed;
mod journal;
mod library;
mod lifecycle;
mod memory;
mod ports;
mod query;
pub mod questions;
mod record;
mod rows;
mod runners;
mod shelf;
mod state;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

pub use audit::{AuditDocument, AuditPage, AuditQuery, Deed, Subject, Verdict};
pub use error::{EngineError, ErrorKind};
pub use family::calling::{Addressee, CallRefusal, Calling, ChildCall, ChildEnd, op_hash};
pub use family::children::TreeBounds;
pub use family::messages;
pub use feed::{Feed, Follower, ResourceKey, Signal, TaskChange, Watcher};
pub use journal::last_lines::LastBytes;
pub use journal::records::Next;
pub use library::{Call, EngineBuilder, TaskHandle};
pub use lifecycle::Resolution;
pub use lifecycle::retention::Swept;
pub use lifecycle::submit::{Submission, Submitted};
pub use ports::{Attempt, BoxFuture, ComponentSource, Divergence, InspectError, Outcome, Runner, Suspension};
pub use query::cursor::{open_cursor, seal_cursor};
pub use query::metrics::Metrics;
pub use query::tasks::{JournalDocument, RecordDocument, Slice, TaskEnd, TaskPage, TaskQuery};
#[cfg(feature = "cli")]
pub(crate) use query::view::resolve_command;
pub use query::view::{
    ErrorDocument, OutputDocument, ProgressDocument, TaskDocument, TraceDocument, output_uri, percent_decode,
    percent_encode, rfc3339,
};
pub use record::ops::{Op, OpHandle};
pub use record::output::{OutputError, OutputOp, call_hash};
pub use record::recorder::{Recorder, RecorderError};
pub use record::refused::{InLog, NamedHosts};
pub use record::reports::{ReportAt, Reported};
pub use runners::closures;
pub use runners::remote::{
    Listing, RemoteCall, RemoteEnd, RemoteFault, RemotePolicy, RemoteTools, Remotes, Report,
};
pub use shelf::{Shelf, ShelfRow, ShelfWrite};
pub use state::{StateEntry, StateError, StatePage, StateQuery, StateWrite, state_document, state_uri};
pub use tokens::{Bearer, TokenDocument, TokenError, TokenGrant};

use crate::catalog::{Catalog, Inspection, Operator};
use crate::clock::{Clock, SystemClock};
use crate::limits;
use crate::store::{Space, Store, StoreOptions, Usage};
use crate::task::{ComponentId, TaskId};
use audit::Audit;
use commit::Commit;
use dispatch::entry::Entry;
use memory::Memory;
use questions::Sampler;
use record::flush;
use record::refused::ToldHosts;

/// The durable task engine: one store, one runner, any number of tasks. Cheap to clone.
#[derive(Clone)]
pub struct TaskEngine {
    shared: Arc<Shared>,
}

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
    /// How far tasks may call tasks.
    pub tree: TreeBounds,
    /// How long rows of the audit are kept; `None` is for ever.
    pub audit_retention: Option<Duration>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            store: StoreOptions::default(),
            clock: Arc::new(SystemClock::default()),
            live_instances: limits::MAX_LIVE_INSTANCES,
            retention: Some(Duration::from_secs(limits::DEFAULT_RETENTION_SECONDS)),
            sampler: None,
            tree: TreeBounds::default(),
            audit_retention: Some(Duration::from_secs(limits::DEFAULT_AUDIT_RETENTION_SECONDS)),
        }
    }
}

/// What all parts of one engine share.
pub(crate) struct Shared {
    store: Store,
    clock: Arc<dyn Clock>,
    memory: Arc<Memory>,
    runner: Arc<dyn Runner>,
    catalog: RwLock<Arc<Catalog>>,
    dirty: flush::Dirty,
    live: Arc<Semaphore>,
    live_bound: usize,
    retention: Option<Duration>,
    tree: TreeBounds,
    audit_retention: Option<Duration>,
    audit: Audit,
    told_hosts: ToldHosts,
    /// Other MCP servers, where there are any, and how their tools are answered.
    remotes: OnceLock<(Remotes, Operator)>,
    /// Held by a sweep while it looks whether anybody else needs a blob and says that it goes: nothing may be
    /// enqueued in between that refers to it.
    sweeping: RwLock<()>,
    sampler: Option<Arc<dyn Sampler>>,
    /// Samples of the endpoint at once.
    sampling: Semaphore,
    /// Where the engine was opened: guests run on threads of their own.
    runtime: Handle,
    leases: AtomicU64,
}

impl Shared {
    fn open_tasks(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<Entry>>> {
        self.memory.open_tasks()
    }

    fn entry(&self, id: TaskId) -> Option<Arc<Entry>> {
        self.memory.entry(id)
    }

    /// The store was busy: it takes more after a moment.
    async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(limits::BUSY_RETRY_MS)).await;
    }

    fn is_running(&self) -> bool {
        self.memory.is_running()
    }

    /// Never given before: the boot number in the upper half makes those of earlier processes void.
    fn next_lease(&self) -> u64 {
        self.store.boot() << 32 | self.leases.fetch_add(1, Ordering::Relaxed)
    }

    fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
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
        Self::with_store(store, memory, runner, options)
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
        Self::with_store(store, memory, runner, options)
    }

    fn with_store(
        store: Store,
        memory: Arc<Memory>,
        runner: Arc<dyn Runner>,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        store.read(|snapshot| memory.tokens.load(snapshot))?;
        let shared = Shared {
            store,
            memory,
            audit: Audit::default(),
            told_hosts: ToldHosts::default(),
            remotes: OnceLock::new(),
            clock: options.clock,
            runner,
            catalog: RwLock::default(),
            dirty: flush::Dirty::default(),
            live: Arc::new(Semaphore::new(options.live_instances)),
            live_bound: options.live_instances,
            sweeping: RwLock::default(),
            retention: options.retention,
            sampler: options.sampler,
            sampling: Semaphore::new(limits::MAX_ENDPOINT_SAMPLES),
            runtime: Handle::current(),
            tree: options.tree,
            audit_retention: options.audit_retention,
            leases: AtomicU64::new(1),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Takes up the open tasks where they are and begins to run them.
    pub async fn start(&self) -> Result<(), EngineError> {
        lifecycle::recovery::recover(&self.shared).await?;
        self.shared.memory.running.send_replace(true);
        let shared = self.shared.clone();
        // From one task, which wakes one thread for all of them while the first callers come.
        tokio::spawn(async move {
            tokio::spawn(dispatch::ready::dispatch(shared.clone()));
            tokio::spawn(dispatch::timers::run(shared.clone()));
            tokio::spawn(family::children::run(shared.clone()));
            tokio::spawn(audit::run(shared.clone()));
            tokio::spawn(state::expire(shared.clone()));
            tokio::spawn(flush::run(shared.clone()));
            lifecycle::retention::start(&shared);
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
        self.shared.memory.families.wake.notify_one();
        self.shared.memory.state.expiry.notify_one();
        let all = u32::try_from(self.shared.live_bound).unwrap_or(u32::MAX);
        let grace = Duration::from_secs(limits::SHUTDOWN_GRACE_SECONDS);
        // Each attempt gives its permit back when it has ended; one that does not is cut off by its lease.
        if tokio::time::timeout(grace, self.shared.live.acquire_many(all)).await.is_err() {
            tracing::warn!("some guests did not stop in time; they are taken up from their last commit");
        }
        if let Err(error) = audit::flush(&self.shared).await {
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
        self.shared.runner.inspect(component).await
    }

    /// Keeps a component's bytes, so that its tasks resume without the file it came from.
    pub async fn store_component(&self, bytes: Arc<[u8]>, name: &str) -> Result<ComponentId, EngineError> {
        let id = ComponentId::of_bytes(&bytes);
        let key = id.as_str().as_bytes().to_vec();
        let there = self.shared.store.read(|snapshot| Ok(snapshot.get(Space::Component, &key)?.is_some()))?;
        if there {
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

    pub fn set_catalog(&self, catalog: Arc<Catalog>) {
        *self.shared.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
        self.shared.memory.feed.changed(&[ResourceKey::Tools]);
    }

    pub fn catalog(&self) -> Arc<Catalog> {
        self.shared.catalog()
    }

    /// Who wants to know what changed.
    pub fn feed(&self) -> &Feed {
        &self.shared.memory.feed
    }

    /// What the engine's clock says.
    pub fn now(&self) -> crate::clock::UnixNanos {
        self.shared.clock.wall()
    }

    pub fn metrics(&self) -> Metrics {
        query::metrics::read(&self.shared)
    }

    pub fn usage(&self) -> Result<Usage, EngineError> {
        Ok(self.shared.store.usage()?)
    }

    /// A small durable value, such as a key.
    pub fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let value = self.shared.store.read(|snapshot| snapshot.get(Space::Setting, name.as_bytes()))?;
        Ok(value.map(|bytes| bytes.to_vec()))
    }

    pub async fn put_setting(&self, name: &str, value: Vec<u8>) -> Result<(), EngineError> {
        self.shared.commit(Commit::new().put(Space::Setting, name.as_bytes(), value))?.await?;
        Ok(())
    }
}
