//! `longhaul serve`: the wiring, in the order in which things depend on each other, and shutdown in reverse.

use std::sync::Arc;
use std::time::Duration;

use super::background;
use super::backup_socket::BackupSocket;
use super::catalog;
use super::errands;
use super::host::{mcp_options, set_by_flags};
use super::launcher;
use super::listen::{
    Loading, Running, in_background, over_http, over_stdio, refuse_beyond_loopback, unwritable,
};
use super::load;
use super::machine;
use super::open::{open_store, remotes, sandbox, store_options, with_remotes};
use super::owner_key::cache_key;
use super::sampler::Endpoint;
use super::server_file::{ServerFile, ServerInfo, Serves, StartedWith, refuse_foreign};
use super::signals::StopSignals;
use super::walls;
use super::watch::Watch;
use super::{models, secrets};
use crate::authority::Principal;
use crate::cli::args::ServeArgs;
use crate::cli::context::Context;
use crate::cli::examples;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::show::render::escape_text;
use crate::engine::questions::Sampler;
use crate::engine::{EngineOptions, Remotes, Runner, TaskEngine};
use crate::http;
use crate::limits;
use crate::mcp::{ClientSettings, McpServer};
use crate::private;
use crate::sandbox::Sandbox;
use crate::shares::Account;
use crate::store::{Presence, Store};

/// In the data folder: compiled code.
const COMPILED: &str = "compiled";
/// What the file takes at most that says where this server listens, twice over.
const SERVER_FILE_BYTES: u64 = 64 * 1024;
/// A start that is over by then listens once all its tools are there.
const START_GRACE: Duration = Duration::from_millis(limits::START_GRACE_MS);
/// A store that has failed takes nothing any more, so there is nothing to wait for.
const LATCHED_GRACE: Duration = Duration::from_secs(2);

pub async fn run(args: ServeArgs, context: &Context) -> Result<Exit> {
    if args.start_background {
        return background::starter(context);
    }
    let Some(serves) = serves(&args) else {
        return background::bridge_host(set_by_flags(&args)?, context).await;
    };
    let host = match serves {
        Serves::OneHost => set_by_flags(&args)?,
        // Its hosts each say it for themselves; the words are those of the host that started it.
        Serves::Background => ClientSettings::default(),
        Serves::Clients if args.wait.is_some() || args.links.is_some() => {
            return Err(CliError::usage("--wait and --links are for the one host of --stdio").next(
                "give clients an address such as http://127.0.0.1:1919/mcp?wait=4&links=text, or set [mcp]",
            ));
        }
        Serves::Clients => ClientSettings::default(),
    };
    walls::tell(&context.walls);
    let watch = match args.watch {
        true => Some(Watch::begin(&context.settings.tool_paths).await?),
        false => None,
    };
    let mut signals = StopSignals::new()?;
    http::raise_limit();
    let sandbox = sandbox(context)?;
    let remotes = remotes(context)?;
    // Before a store is made in a folder that is a project's.
    let is_usable = private::make_folder(context.data()).and_then(|_| refuse_foreign(context.data()));
    is_usable.map_err(|error| background::unusable(context.data(), &error))?;
    let engine = match open_engine(with_remotes(sandbox.clone(), remotes.as_ref()), context).await {
        // Of several that were started at once, one serves all.
        Err(error) if serves == Serves::Background && is_in_use(context) => {
            tracing::info!("not needed: {}", error.message);
            return Ok(Exit::Done);
        }
        opened => opened?,
    };
    if let Some(disk) = engine.usage()?.disk.filter(|disk| disk.is_full) {
        eprintln!(
            "the disk of {} has no room ({} MiB are free): new work is refused until there is more; reads, cancels and \
             deletes go on",
            context.data().display(),
            disk.free_bytes >> 20
        );
        if disk.free_bytes < SERVER_FILE_BYTES {
            // Without it, the other commands find no server to cancel with.
            engine.give_room(SERVER_FILE_BYTES);
        }
    }
    if serves == Serves::Clients
        && let Err(error) = refuse_beyond_loopback(context.settings.http, engine.has_tokens(), context.data())
    {
        engine.shutdown().await;
        return Err(error);
    }
    sandbox.keep_compiled(context.data().join(COMPILED), cache_key(&engine).await?);
    // Some file systems have no sockets; then a backup is made of the stopped store alone.
    let backups = BackupSocket::bind(engine.clone(), context.data());
    let backups = backups.inspect_err(|error| tracing::warn!("no backup while this runs: {error}")).ok();
    let watching = async {
        match watch {
            Some(watch) => watch.run(&engine, sandbox.as_ref(), context).await,
            None => std::future::pending().await,
        }
    };
    let served = tokio::select! {
        // The server has to load its tools before it is watched what becomes of them.
        biased;
        served = serve(&engine, (&sandbox, remotes), (serves, host), context, &mut signals) => served,
        why = engine.failed() => Err(store_failed(&why)),
        never = watching => match never {},
    };
    drop(backups);
    match engine.latched() {
        Some(_) => drop(tokio::time::timeout(LATCHED_GRACE, engine.shutdown()).await),
        None => engine.shutdown().await,
    }
    match (served, engine.latched()) {
        // The last commits of a shutdown may be the ones that fail.
        (Ok(_), Some(why)) => Err(store_failed(&why)),
        (served, _) => served,
    }
}

/// What runs in this process: a server of this kind, or none.
pub fn serves(args: &ServeArgs) -> Option<Serves> {
    match (args.background, args.private) {
        _ if args.start_background => None,
        (true, _) => Some(Serves::Background),
        (_, true) => Some(Serves::OneHost),
        _ if args.stdio => None,
        _ => Some(Serves::Clients),
    }
}

/// What a server does before its first thread: it leaves its host where it runs in the background, has the launcher
/// started, and puts its walls up.
pub fn prepare(serves: Serves, args: &ServeArgs, context: &mut Context) -> Result<()> {
    if serves == Serves::Background {
        background::detach();
    }
    context.launch = launcher::start(&context.settings)?;
    // What is let through must be there.
    private::make_folder(context.data()).map_err(|error| background::unusable(context.data(), &error))?;
    context.walls = walls::raise(serves, args.watch, &context.settings)?;
    Ok(())
}

fn is_in_use(context: &Context) -> bool {
    matches!(Store::presence(context.data()), Ok(Presence::InUse { .. }))
}

async fn open_engine(runner: Arc<dyn Runner>, context: &Context) -> Result<TaskEngine> {
    let sampler: Option<Arc<dyn Sampler>> = match &context.settings.sampling {
        Some(settings) => Some(Arc::new(Endpoint::new(settings, &context.certificates)?)),
        None => None,
    };
    let options = EngineOptions {
        store: store_options(context),
        live_instances: context.settings.engine.live_instances,
        retention: context.settings.engine.retention,
        audit_retention: context.settings.engine.audit_retention,
        trace_kib: context.settings.engine.trace_kib,
        sampler,
        models: models::configured(context)?,
        spending: context.settings.shares.spending(),
        shares: Some(Account::new(machine::bounds(&context.settings, http::connections(), context.data()))),
        tokens_alone: true,
        tool_bounds: context.settings.operator.tool_bounds(),
        operator: context.settings.operator.clone(),
        trusts_all: context.settings.trust,
        reader: errands::reader(&context.launch),
        lock_file: context.settings.lock_file.clone(),
        ..EngineOptions::default()
    };
    open_store(context.data(), runner, options).await
}

/// From the tools to the last answer. Whatever is started here has ended when this returns.
async fn serve(
    engine: &TaskEngine,
    (sandbox, remotes): (&Sandbox, Option<Remotes>),
    (serves, host): (Serves, ClientSettings),
    context: &Context,
    signals: &mut StopSignals,
) -> Result<Exit> {
    let started = Some(StartedWith::of(&context.settings));
    let walls = Some(context.walls.to_string());
    let info = ServerInfo { started, walls, ..ServerInfo::of_this_process(serves) };
    let mut file = ServerFile::new(context.data(), info).map_err(|e| unwritable(context.data(), &e))?;
    if serves == Serves::Clients {
        // Tasks run before it listens.
        sandbox.keep_out_of(context.settings.http);
    }
    secrets::look(context);
    engine.set_catalog(catalog::empty());
    let mut loading: Loading<'_> = Box::pin(set_up(engine, sandbox, remotes, context));
    let mut is_loaded = false;
    tokio::select! {
        loaded = &mut loading => {
            loaded?;
            is_loaded = true;
        }
        // One that compiles listens all the same.
        () = tokio::time::sleep(START_GRACE) => {}
        signal = signals.first() => {
            eprintln!("{signal}: stopped before it served");
            return Ok(Exit::Done);
        }
    }
    engine.start().await?;
    let mut running =
        Running { signals, loading: Some(loading).filter(|_| !is_loaded), output: context.output };
    let server = McpServer::new(engine.clone(), mcp_options(&context.settings.mcp, host));
    match serves {
        Serves::Clients => over_http((server, sandbox), context, &mut file, &mut running).await,
        Serves::Background => in_background(server, context, &mut file, &mut running).await,
        Serves::OneHost => over_stdio(server, &mut running).await,
    }
}

/// Adds what there is to serve, first what was compiled before.
async fn set_up(
    engine: &TaskEngine,
    runner: &dyn Runner,
    remotes: Option<Remotes>,
    context: &Context,
) -> Result<()> {
    let settings = &context.settings;
    let mut loader = catalog::Loader::new(engine, runner, settings, &context.launch).await?;
    let found = load::find_in_server(&settings.tool_paths, &context.launch).await?;
    let rest = loader.take_compiled(found).await?;
    loader.take_all(rest).await?;
    loader.take_added().await?;
    if let Some(remotes) = remotes {
        let words = engine.add_remotes(remotes, settings.operator.clone()).await?;
        words.iter().for_each(|word| eprintln!("{}", escape_text(word)));
    }
    loader.finish().await?;
    engine.change_catalog(&Principal::local(), |catalog| (catalog.loaded(), ())).await?;
    let catalog = engine.catalog();
    if catalog.tools().len() == 0 && catalog.unapproved().len() == 0 {
        eprintln!("no tools are served: name some with --tools PATH");
        if let Some(folder) = examples::folder() {
            eprintln!("those that came with this program: --tools {}", folder.display());
        }
    }
    for table in settings.operator.unused(&catalog) {
        tracing::warn!("{table} in longhaul.toml speaks of nothing that is served: is it misspelt?");
    }
    Ok(())
}

fn store_failed(why: &str) -> CliError {
    CliError::failed(format_args!("the store has failed and takes nothing any more: {why}"))
        .next("mend the disk, then start longhaul again: what was acknowledged is safe, open tasks go on")
}
