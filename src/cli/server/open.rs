//! What a store is opened with, and what to say where another process has it.

use std::path::Path;
use std::sync::Arc;

use super::secrets;
use super::server_file::{ServerInfo, Serves};
use crate::api::command;
use crate::cli::config::Isolation;
use crate::cli::config::servers;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Result};
use crate::cli::programs;
use crate::engine::{EngineError, EngineOptions, Remotes, Runner, TaskEngine};
use crate::files::FolderServers;
use crate::launch::Launch;
use crate::sandbox::{Compile, CompilerBounds, Isolate, Player, Sandbox, SandboxOptions, WorkerBounds};
use crate::store::{StoreError, StoreOptions};

/// The store as the settings want it, for a server and for a command alike.
pub fn store_options(context: &Context) -> StoreOptions {
    let settings = &context.settings;
    let mut options = StoreOptions::default();
    (options.durability, options.disk) = (settings.durability, settings.shares.disk.bounds());
    options
}

/// The engine of a command that opens the store itself and runs nothing.
pub fn offline(context: &Context) -> EngineOptions {
    EngineOptions {
        store: store_options(context),
        operator: context.settings.operator.clone(),
        trusts_all: context.settings.trust,
        ..EngineOptions::default()
    }
}

/// What runs components, as the settings want it.
pub fn sandbox(context: &Context) -> Result<Arc<Sandbox>> {
    Ok(Arc::new(Sandbox::new(sandbox_options(context)).map_err(CliError::failed)?))
}

/// The same without a network: `player` answers what guests ask over HTTP, and the folders that are held are all in one.
pub fn played_sandbox(context: &Context, player: Arc<dyn Player>, within: &Path) -> Result<Arc<Sandbox>> {
    let mut settings = context.settings.clone();
    settings.folders.within = vec![within.to_owned()];
    let folders = FolderServers::launched(Launch::here(programs::stated(&settings)?));
    let options = SandboxOptions { folders, ..sandbox_options(context) };
    Ok(Arc::new(Sandbox::played(options, player).map_err(CliError::failed)?))
}

/// The same for what only replays: folders that its operator names are read by this process itself.
pub fn replaying_sandbox(context: &Context, player: Arc<dyn Player>) -> Result<Arc<Sandbox>> {
    let options = SandboxOptions { folders: FolderServers::default(), ..sandbox_options(context) };
    Ok(Arc::new(Sandbox::played(options, player).map_err(CliError::failed)?))
}

fn sandbox_options(context: &Context) -> SandboxOptions {
    SandboxOptions {
        suspend_grace: context.settings.engine.suspend_grace,
        certificates: context.certificates.clone(),
        compile: Compile::Launched(context.launch.clone(), CompilerBounds::default()),
        isolate: match context.settings.engine.isolate {
            Isolation::None => Isolate::None,
            Isolation::Process => Isolate::Launched(context.launch.clone(), WorkerBounds::default()),
        },
        secrets: secrets::secrets(context),
        folders: FolderServers::launched(context.launch.clone()),
        ..SandboxOptions::default()
    }
}

/// The other servers of the configuration.
pub fn remotes(context: &Context) -> Result<Option<Remotes>> {
    let env = |name: &str| std::env::var(name).ok();
    servers::remotes(&context.settings.servers, env, &context.certificates, &context.launch)
}

pub fn with_remotes(sandbox: Arc<Sandbox>, remotes: Option<&Remotes>) -> Arc<dyn Runner> {
    match remotes {
        Some(remotes) => remotes.runner(sandbox),
        None => sandbox,
    }
}

/// The runner that describes tasks, and settles their steps, in a store without a server; it runs nothing.
pub fn runner(context: &Context) -> Result<Arc<dyn Runner>> {
    Ok(with_remotes(sandbox(context)?, remotes(context)?.as_ref()))
}

/// Opens the engine on a data folder; where another process has it, says which.
pub async fn open_store(
    folder: &Path,
    runner: Arc<dyn Runner>,
    options: EngineOptions,
) -> Result<TaskEngine> {
    let options = EngineOptions { commands: command, ..options };
    TaskEngine::open(folder, runner, options).await.map_err(|error| not_opened(folder, error))
}

/// The same, to look at what there is.
pub async fn open_to_read(
    folder: &Path,
    runner: Arc<dyn Runner>,
    options: EngineOptions,
) -> Result<TaskEngine> {
    TaskEngine::open_to_read(folder, runner, options).await.map_err(|error| not_opened(folder, error))
}

fn not_opened(folder: &Path, error: EngineError) -> CliError {
    match error {
        EngineError::Store(StoreError::Locked { .. }) => owned_by_another(folder),
        error => error.into(),
    }
}

/// The lock is held: its holder may have written where it listens.
fn owned_by_another(folder: &Path) -> CliError {
    let place = folder.display();
    let Some(ServerInfo { pid, serves, url, .. }) = ServerInfo::read(folder) else {
        return CliError::failed(format_args!(
            "another longhaul owns {place} and has not said where it listens"
        ))
        .next("try again in a moment, or use another folder with --data");
    };
    match (serves, url) {
        (Serves::Clients, Some(url)) => CliError::failed(format_args!(
            "another longhaul, pid {pid} at {url}, owns {place}"
        ))
        .next(format!(
            "talk to it with --url {url}, stop it with kill {pid}, or serve another folder with --data"
        )),
        (Serves::OneHost, _) => CliError::failed(format_args!(
            "another longhaul, pid {pid}, serves {place} with --private, to its own host alone"
        ))
        .next("end that host, or use another folder with --data"),
        (Serves::Background, _) => CliError::failed(format_args!(
            "another longhaul, pid {pid}, serves {place} in the background, for hosts that use it over stdio"
        ))
        .next(format!(
            "it ends by itself once it has neither a host nor an open task; kill {pid} stops it, or use another \
             folder with --data"
        )),
        (Serves::Clients, None) => CliError::failed(format_args!("another longhaul, pid {pid}, owns {place}"))
            .next(format!("stop it with kill {pid}, or use another folder with --data")),
    }
}
