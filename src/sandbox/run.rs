use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use wasmtime::component::InstancePre;

use super::asynchronous::Asynchronous;
use super::attempt::{self, Job, Means};
use super::binding::Binding;
use super::cache::Cache;
use super::compile::Compile;
use super::config;
use super::describe::describe;
use super::documentation::Documentation;
use super::egress::{Client, Connector, Dialler};
use super::inspect::{self, SelfDescribed};
use super::instance;
use super::limiter::Limiter;
use super::task_host::{MemoryAccount, TaskHost};
use super::threads::{GuestThreads, aside};
use super::toolchain::Toolchain;
use super::worker::{self, Death, Guest, Isolate, Lease, Ran, Workers};
use super::world::files::FolderPort;
use super::world::http::{self, Egress, WayOut};
use super::world::journal::{self, Journal};
use super::world::{self, World};
use crate::authority::Grant;
use crate::catalog::Inspection;
use crate::engine::{Attempt, BoxFuture, InspectError, Outcome, Runner};
use crate::files::FolderServers;
use crate::limits;
use crate::secrets::Secrets;
use crate::task::ComponentId;

/// What may differ from one sandbox to another.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// Threads that run guests.
    pub threads: usize,
    /// A guest that waits for timers alone, longer than this, leaves memory.
    pub suspend_grace: Duration,
    /// Of authorities that guests' exchanges trust besides those of the machine.
    pub certificates: Vec<reqwest::Certificate>,
    /// Where components are compiled.
    pub compile: Compile,
    /// Where guests of components run that are not their operator's own.
    pub isolate: Isolate,
    /// Where the secrets come from that guests' exchanges are given.
    pub secrets: Secrets,
    /// What holds the folders that guests are granted.
    pub folders: FolderServers,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            suspend_grace: Duration::from_millis(limits::SUSPEND_GRACE_MS),
            certificates: Vec::new(),
            compile: Compile::default(),
            isolate: Isolate::default(),
            secrets: Secrets::default(),
            folders: FolderServers::default(),
        }
    }
}

/// Runs tools that are components.
pub struct Sandbox {
    inner: Arc<Inner>,
}

/// This machine cannot run components.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("wasmtime cannot be set up on this machine: {0}")]
    Engine(String),
    #[error("the threads for guests cannot be started: {0}")]
    Threads(#[from] std::io::Error),
}

struct Inner {
    cache: Arc<Cache<World>>,
    threads: Arc<GuestThreads>,
    connector: Connector,
    workers: Option<Arc<Workers>>,
    options: SandboxOptions,
}

impl Sandbox {
    pub fn new(options: SandboxOptions) -> Result<Self, SandboxError> {
        let client = Client::new(options.certificates.clone());
        Self::dialling(options, Arc::new(client))
    }

    /// With its own way to the outside.
    pub(super) fn dialling(options: SandboxOptions, dialler: Arc<dyn Dialler>) -> Result<Self, SandboxError> {
        let broken = |error: wasmtime::Error| SandboxError::Engine(format!("{error:#}"));
        let engine = config::engine().map_err(broken)?;
        let linker = world::linker::linker(&engine).map_err(broken)?;
        let threads = Arc::new(GuestThreads::start(&engine, options.threads)?);
        let workers =
            Workers::of(&options.isolate, config::fingerprint(&engine), options.threads).map(Arc::new);
        let cache = Arc::new(Cache::new(engine, linker, options.compile.clone(), options.threads));
        let connector = Connector::new(dialler).with_secrets(options.secrets.clone());
        Ok(Self { inner: Arc::new(Inner { cache, threads, connector, workers, options }) })
    }

    /// The same guests and threads with another way to the outside.
    pub(super) fn dialling_instead(&self, dialler: Arc<dyn Dialler>) -> Self {
        let Inner { cache, threads, workers, options, .. } = &*self.inner;
        let (cache, threads, workers) = (cache.clone(), threads.clone(), workers.clone());
        let (connector, options) = (Connector::new(dialler), options.clone());
        Self { inner: Arc::new(Inner { cache, threads, connector, workers, options }) }
    }

    /// This process listens there: no guest is let in, whatever it is granted.
    pub fn keep_out_of(&self, address: SocketAddr) {
        self.inner.connector.listeners().add(address);
    }

    /// Keeps compiled code in `folder` from now on, sealed with `key`, which must be secret, stay the same from
    /// start to start, and be used for nothing else. Only the first call counts. Where the folder is a link, or holds
    /// what is not ours, it is left as it is, and another next to it is used: `longhaul-` and its name.
    pub fn keep_compiled(&self, folder: PathBuf, key: [u8; 32]) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let sibling = folder.with_file_name(format!("longhaul-{name}"));
        self.inner.cache.keep_in(&[folder, sibling], key);
    }

    /// For the bench of instances: makes so many of them, as each attempt has one, and tells how long each took
    /// with its end.
    #[doc(hidden)]
    pub async fn instantiate(
        &self,
        component: Arc<[u8]>,
        times: usize,
    ) -> Result<Vec<Duration>, InspectError> {
        let instances = instances(self.inner.clone(), component, times);
        let made = self.inner.threads.executor.spawn(&Handle::current(), instances);
        made.await.unwrap_or_else(|message| Err(InspectError::HostFault(message)))
    }
}

impl Runner for Sandbox {
    fn inspect(&self, component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>> {
        Box::pin(inspected(self.inner.clone(), component))
    }

    fn is_compiled(&self, component: &ComponentId) -> bool {
        self.inner.cache.has(component)
    }

    fn without_effects(&self) -> Option<Arc<dyn Runner>> {
        Some(Arc::new(self.unanswered()))
    }

    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome> {
        if self.inner.workers.is_some() && !attempt.is_operators_own {
            return Box::pin(isolated(self.inner.clone(), attempt));
        }
        let runtime = Handle::current();
        let run =
            self.inner.threads.executor.spawn(&runtime, run(self.inner.clone(), attempt, runtime.clone()));
        Box::pin(async move { run.await.unwrap_or_else(|message| Outcome::HostFault { message }) })
    }

    fn isolates_strangers(&self) -> bool {
        self.inner.workers.is_some()
    }

    fn forget(&self, component: &ComponentId) {
        self.inner.cache.forget(component);
    }

    /// The answer to an HTTP request: `{"status": 200, "headers": {"name": "value" | ["value", …]}, "body": "text" |
    /// "body_base64": "…"}`, of which the status alone is needed.
    fn settle(&self, _: &ComponentId, outcome: Option<serde_json::Value>) -> Result<Vec<u8>, String> {
        http::settled(outcome)
    }

    fn describe(&self, kind: u8, payload: &[u8]) -> (&'static str, Option<String>) {
        journal::describe(kind, payload)
    }
}

async fn run(inner: Arc<Inner>, attempt: Attempt, runtime: Handle) -> Outcome {
    let Attempt { task, component, recorder, memory, .. } = attempt;
    let binding: Binding = match task.binding.parse() {
        Ok(binding) => binding,
        Err(error) => return Outcome::MissingComponent { message: format!("{error}") },
    };
    let prepared = match inner.cache.load(&task.component, move || component.load()).await {
        Ok(prepared) => prepared,
        Err(error) => return not_loaded(error),
    };
    let way_out = WayOut::Here { recorder: recorder.clone(), connector: inner.connector.clone() };
    let folders = FolderPort::Here {
        recorder: recorder.clone(),
        granted: task.grant.files.clone(),
        servers: inner.options.folders.clone(),
        runtime: runtime.clone(),
    };
    let means = Means {
        host: TaskHost::Here(recorder),
        memory: MemoryAccount::Here(memory),
        egress: Egress { way_out, runtime, effects: task.effects.clone() },
        folders,
        suspend_grace: inner.options.suspend_grace,
    };
    let job = Job {
        binding: &binding,
        arguments: &task.arguments,
        limits: &task.limits,
        grant: &task.grant,
        environment: &task.environment,
    };
    attempt::run(inner.threads.ticker(), &prepared, job, means).await
}

/// The same in a worker.
async fn isolated(inner: Arc<Inner>, attempt: Attempt) -> Outcome {
    let Attempt { task, component, recorder, memory, .. } = attempt;
    let pre = match loaded(&inner, &task.component, move || component.load()).await {
        Ok(pre) => pre,
        Err(error) => return not_loaded(error),
    };
    let mut tries = 0;
    loop {
        let lease = match enter(&inner, &task.component, &pre).await {
            Ok(lease) => lease,
            Err(death) => return death.outcome(),
        };
        let guest = Guest::new(recorder.clone(), memory.clone(), task.clone(), inner.connector.clone())
            .with_folders(inner.options.folders.clone());
        tries += 1;
        match worker::run(lease, guest, inner.options.suspend_grace).await {
            Ran::Ended(outcome) => return outcome,
            // It may have been on its way to its end before this attempt came.
            Ran::NeverBegan(_) if tries < limits::MAX_WORKER_TRIES => {}
            Ran::NeverBegan(death) => return death.outcome(),
        }
    }
}

/// The component, loaded on the guests' threads, for what runs on others.
async fn loaded(
    inner: &Inner,
    id: &ComponentId,
    bytes: impl FnOnce() -> Result<Arc<[u8]>, String> + Send + 'static,
) -> Result<InstancePre<World>, InspectError> {
    let (cache, id) = (inner.cache.clone(), id.clone());
    let load = async move { cache.load(&id, bytes).await.map(|prepared| prepared.pre.clone()) };
    let loading = inner.threads.executor.spawn(&Handle::current(), load);
    loading.await.unwrap_or_else(|message| Err(InspectError::HostFault(message)))
}

/// The worker of this component.
async fn enter(inner: &Inner, id: &ComponentId, pre: &InstancePre<World>) -> Result<Lease, Death> {
    let Some(workers) = &inner.workers else {
        return Err(Death::FromOutside("there are no workers".to_owned()));
    };
    let code = || -> BoxFuture<_> {
        let component = pre.component().clone();
        Box::pin(async move {
            let serialized = aside("guest-loader", move || component.serialize()).await;
            let code = serialized.and_then(|code| code.map_err(|error| format!("{error:#}")));
            code.map_err(Death::FromOutside)
        })
    };
    workers.enter(id, code).await
}

fn not_loaded(error: InspectError) -> Outcome {
    match error {
        InspectError::HostFault(message) => Outcome::HostFault { message },
        error => Outcome::MissingComponent { message: error.to_string() },
    }
}

async fn instances(
    inner: Arc<Inner>,
    component: Arc<[u8]>,
    times: usize,
) -> Result<Vec<Duration>, InspectError> {
    let id = ComponentId::of_bytes(&component);
    let pre = inner.cache.load(&id, move || Ok(component)).await?.pre.clone();
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let began = Instant::now();
        let world = World::new(
            Journal::of_inspection(),
            Limiter::new(limits::DEFAULT_MEMORY_MIB, None),
            Grant::default(),
            &[],
            None,
        );
        let mut store = instance::store(pre.engine(), world);
        let made = pre.instantiate_async(&mut store).await;
        drop(store);
        taken.push(began.elapsed());
        made.map_err(|error| InspectError::HostFault(format!("{error:#}")))?;
    }
    Ok(taken)
}

async fn inspected(inner: Arc<Inner>, component: Arc<[u8]>) -> Result<Inspection, InspectError> {
    let described = match &inner.workers {
        Some(_) => described_apart(&inner, component.clone()).await?,
        None => None,
    };
    let inspection = inspection(inner.clone(), component, described);
    let inspection = inner.threads.executor.spawn(&Handle::current(), inspection);
    inspection.await.unwrap_or_else(|message| Err(InspectError::HostFault(message)))
}

/// What the component says of itself in a worker, as if it were a stranger's.
async fn described_apart(
    inner: &Inner,
    component: Arc<[u8]>,
) -> Result<Option<Vec<SelfDescribed>>, InspectError> {
    let id = ComponentId::of_bytes(&component);
    let pre = loaded(inner, &id, move || Ok(component)).await?;
    if !inspect::describes_itself(pre.engine(), pre.component()) {
        return Ok(None);
    }
    let lease =
        enter(inner, &id, &pre).await.map_err(|death| InspectError::HostFault(death.words().to_owned()))?;
    let tools = worker::describe(lease).await?;
    serde_json::from_str(&tools).map(Some).map_err(|error| {
        InspectError::BadDefinition(format!("what the component tells of its tools is unreadable: {error}"))
    })
}

/// `described` is what it has said of itself already.
async fn inspection(
    inner: Arc<Inner>,
    component: Arc<[u8]>,
    described: Option<Vec<SelfDescribed>>,
) -> Result<Inspection, InspectError> {
    let id = ComponentId::of_bytes(&component);
    let bytes = component.clone();
    let pre = inner.cache.load(&id, move || Ok(component)).await?.pre.clone();
    let described = match described {
        Some(described) => described,
        None if inspect::describes_itself(pre.engine(), pre.component()) => {
            describe(inner.threads.ticker(), &pre).await?
        }
        None => Vec::new(),
    };
    // What a hostile component makes of it takes long enough for guests to feel it.
    aside("guest-inspector", move || reflection(&bytes, &pre, described))
        .await
        .map_err(InspectError::HostFault)?
}

/// What the component's types and sections say.
fn reflection(
    bytes: &[u8],
    pre: &InstancePre<World>,
    described: Vec<SelfDescribed>,
) -> Result<Inspection, InspectError> {
    let asynchronous = Asynchronous::of(bytes);
    let mut inspection = inspect::inspect(pre.engine(), pre.component(), described, &asynchronous.exports)?;
    let toolchain = Toolchain::of(bytes);
    inspection.notes = toolchain.notes(&inspection.imports);
    match Documentation::of(bytes) {
        Ok(Some(documentation)) => documentation.describe(&mut inspection),
        Ok(None) => {}
        Err(why) => inspection.notes.push(format!("its section package-docs is not read: {why}")),
    }
    inspection.toolchain = toolchain.into_names();
    Ok(inspection)
}
