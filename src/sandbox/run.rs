use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::InstancePre;

use super::asynchronous::Asynchronous;
use super::binding::Binding;
use super::cache::Cache;
use super::compile::Compile;
use super::config;
use super::documentation::Documentation;
use super::egress::{Client, Connector, Dialler};
use super::end::{self, End, Stage};
use super::inspect::{self, SelfDescribed};
use super::instance;
use super::limiter::Limiter;
use super::stop::Stop;
use super::threads::{GuestThreads, Metered, aside};
use super::toolchain::Toolchain;
use super::world::http::{self, Egress, Exchanges};
use super::world::journal::{self, Journal};
use super::world::stdio::Capture;
use super::world::{self, World};
use crate::authority::Grant;
use crate::catalog::Inspection;
use crate::engine::{Attempt, BoxFuture, InspectError, Outcome, Runner};
use crate::limits;
use crate::task::ComponentId;

const CANCELLATION_INTERFACE: &str = "longhaul:tool/cancellation";

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
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            suspend_grace: Duration::from_millis(limits::SUSPEND_GRACE_MS),
            certificates: Vec::new(),
            compile: Compile::default(),
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
        let cache = Arc::new(Cache::new(engine, linker, options.compile.clone(), options.threads));
        let connector = Connector::new(dialler);
        Ok(Self { inner: Arc::new(Inner { cache, threads, connector, options }) })
    }

    /// The same guests and threads with another way to the outside.
    pub(super) fn dialling_instead(&self, dialler: Arc<dyn Dialler>) -> Self {
        let Inner { cache, threads, options, .. } = &*self.inner;
        let (cache, threads, options) = (cache.clone(), threads.clone(), options.clone());
        Self { inner: Arc::new(Inner { cache, threads, connector: Connector::new(dialler), options }) }
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
        self.inner
            .threads
            .spawn(instances)
            .await
            .unwrap_or_else(|message| Err(InspectError::HostFault(message)))
    }
}

impl Runner for Sandbox {
    fn inspect(&self, component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>> {
        let inspection = self.inner.threads.spawn(inspection(self.inner.clone(), component));
        Box::pin(
            async move { inspection.await.unwrap_or_else(|message| Err(InspectError::HostFault(message))) },
        )
    }

    fn is_compiled(&self, component: &ComponentId) -> bool {
        self.inner.cache.has(component)
    }

    fn without_effects(&self) -> Option<Arc<dyn Runner>> {
        Some(Arc::new(self.unanswered()))
    }

    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome> {
        let egress = Egress {
            connector: self.inner.connector.clone(),
            runtime: tokio::runtime::Handle::current(),
            effects: attempt.task.effects.clone(),
        };
        let run = self.inner.threads.spawn(run(self.inner.clone(), attempt, egress));
        Box::pin(async move { run.await.unwrap_or_else(|message| Outcome::HostFault { message }) })
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

async fn run(inner: Arc<Inner>, attempt: Attempt, egress: Egress) -> Outcome {
    let Attempt { task, component, recorder, memory, .. } = attempt;
    let binding: Binding = match task.binding.parse() {
        Ok(binding) => binding,
        Err(error) => return Outcome::MissingComponent { message: format!("{error}") },
    };
    let pre = match inner.cache.load(&task.component, move || component.load()).await {
        Ok(pre) => pre,
        Err(InspectError::HostFault(message)) => return Outcome::HostFault { message },
        Err(error) => return Outcome::MissingComponent { message: error.to_string() },
    };
    if instance::imports(pre.component(), pre.engine(), CANCELLATION_INTERFACE) {
        recorder.handles_cancellation();
    }
    loop {
        let exchanges = Exchanges::new(recorder.clone(), egress.clone());
        let journal = Journal::of_task(recorder.clone(), exchanges.clone(), inner.options.suspend_grace);
        let capture =
            Capture::new(usize::try_from(task.limits.result_kib.saturating_mul(1024)).unwrap_or(usize::MAX));
        let captured = matches!(binding, Binding::Command { .. }).then(|| capture.clone());
        let limiter = Limiter::new(task.limits.memory_mib, Some(memory.clone()));
        let world = World::new(journal, limiter, task.grant.clone(), captured);
        let meter = world.meter.clone();
        let mut store = instance::store(pre.engine(), world);

        let mut stage = Stage::Instantiating;
        let guest = async {
            let instance = pre.instantiate_async(&mut store).await?;
            stage = Stage::Called;
            instance::call(&mut store, &instance, &binding, &task.arguments, &capture).await
        };
        let returned = Metered::new(inner.threads.ticker(), meter.clone(), guest).await;
        let spent = recorder.spent(meter.take());
        recorder.took_memory(store.data().limiter.held_bytes());

        let returned = match exchanges.take_stop() {
            // A guest that did not wait for the exchange may have ended before it could be stopped.
            Some(stop) if returned.is_ok() => Err(stop.into()),
            _ => returned,
        };
        let outcome = match returned {
            Ok(returned) => end::of_return(returned, task.limits.result_kib),
            Err(error) => match end::of_error(error, stage, &binding, store.data()) {
                End::Outcome(outcome) => outcome,
                End::Restart => match spent {
                    Ok(()) => continue,
                    // Where each instance ends before its first tick, nothing else stops it.
                    Err(error) => end::of_recorder(error),
                },
            },
        };
        return end::checked(outcome, &recorder, store.data().saw_cancellation);
    }
}

async fn instances(
    inner: Arc<Inner>,
    component: Arc<[u8]>,
    times: usize,
) -> Result<Vec<Duration>, InspectError> {
    let id = ComponentId::of_bytes(&component);
    let pre = inner.cache.load(&id, move || Ok(component)).await?;
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let began = Instant::now();
        let world = World::new(
            Journal::of_inspection(),
            Limiter::new(limits::DEFAULT_MEMORY_MIB, None),
            Grant::default(),
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

async fn inspection(inner: Arc<Inner>, component: Arc<[u8]>) -> Result<Inspection, InspectError> {
    let id = ComponentId::of_bytes(&component);
    let bytes = component.clone();
    let pre = inner.cache.load(&id, move || Ok(component)).await?;
    let described = if inspect::describes_itself(pre.engine(), pre.component()) {
        describe(&inner, &pre).await?
    } else {
        Vec::new()
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

/// Asks the component itself which tools it has, in a world where nothing has an effect.
async fn describe(inner: &Inner, pre: &InstancePre<World>) -> Result<Vec<SelfDescribed>, InspectError> {
    let world = World::new(
        Journal::of_inspection(),
        Limiter::new(limits::INSPECTION_MEMORY_MIB, None),
        Grant::default(),
        None,
    );
    let meter = world.meter.clone();
    let mut store = instance::store(pre.engine(), world);
    let asked = instance::describe(&mut store, pre);
    Metered::new(inner.threads.ticker(), meter, asked).await.map_err(|error| match error.downcast::<Stop>() {
        Ok(Stop::HostFault(message)) => InspectError::HostFault(message),
        Ok(stop) => InspectError::BadDefinition(stop.to_string()),
        Err(error) => InspectError::BadDefinition(format!(
            "the component fails to tell its tools: {}",
            error.root_cause()
        )),
    })
}
