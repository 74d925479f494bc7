//! `longhaul serve`: the wiring, in the order in which things depend on each other, and shutdown in reverse.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::background;
use super::backup_socket::BackupSocket;
use super::catalog;
use super::errands;
use super::launcher;
use super::load;
use super::machine;
use super::open::{open_store, remotes, sandbox, store_options, with_remotes};
use super::sampler::Endpoint;
use super::secrets;
use super::server_file::{ServerFile, ServerInfo, Serves, StartedWith, refuse_foreign};
use super::signals::StopSignals;
use super::walls;
use super::watch::Watch;
use crate::authority::{Principal, Secret};
use crate::cli::args::ServeArgs;
use crate::cli::config::McpSettings;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::show::render::{Output, escape_text};
use crate::engine::questions::Sampler;
use crate::engine::{EngineOptions, Remotes, Runner, TaskEngine};
use crate::http;
use crate::limits;
use crate::mcp::{
    ClientSettings, HttpError, HttpServer, McpOptions, McpServer, SocketServer, serve_stdio, wait_bound_of,
};
use crate::private::{self, NotPrivate};
use crate::sandbox::Sandbox;
use crate::shares::Account;
use crate::store::{Presence, Store};

/// In the data folder: compiled code.
const COMPILED: &str = "compiled";
/// In the store: seals the compiled code, so that writing to the cache alone is not enough to forge it.
const CACHE_KEY: &str = "compiled-code-key";
/// In the store: what the owner is known by over HTTP.
const OWNER_KEY: &str = "owner-key";
/// Tells a key from a token, for people and for scanners of secrets.
const KEY_PREFIX: &str = "lhk_";
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
    sandbox.keep_compiled(context.data().join(COMPILED), kept_key(&engine, CACHE_KEY).await?);
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

/// The key in the store under this name; made where there is none.
async fn kept_key(engine: &TaskEngine, name: &str) -> Result<[u8; 32]> {
    match engine.setting(name).await?.and_then(|key| key.try_into().ok()) {
        Some(key) => Ok(key),
        None => fresh_key(engine, name).await,
    }
}

async fn fresh_key(engine: &TaskEngine, name: &str) -> Result<[u8; 32]> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)
        .map_err(|e| CliError::failed(format_args!("the machine gives no random numbers: {e}")))?;
    engine.put_setting(name, key.to_vec()).await?;
    Ok(key)
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
        shares: Account::new(machine::bounds(&context.settings, http::connections(), context.data())),
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

/// Adds the tools while the server serves.
type Loading<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// A server that serves, until it ends.
struct Running<'a> {
    signals: &'a mut StopSignals,
    /// Until it is done.
    loading: Option<Loading<'a>>,
    output: Output,
}

impl Running<'_> {
    /// The signal that ends the server; an error where there is nothing to serve.
    async fn ended(&mut self) -> Result<&'static str> {
        loop {
            let Some(loading) = &mut self.loading else {
                return Ok(self.signals.first().await);
            };
            tokio::select! {
                signal = self.signals.first() => return Ok(signal),
                loaded = loading => {
                    self.loading = None;
                    loaded?;
                    self.tell_loaded();
                }
            }
        }
    }

    /// It has said where.
    fn listens(&self) {
        if self.loading.is_none() {
            self.tell_loaded();
        }
    }

    /// To the program that started it, which may read no more.
    fn tell_loaded(&self) {
        if self.output.json {
            let _ = self.output.json(&json!({ "loaded": true }));
        }
    }
}

/// What the flags say of the one host of `--stdio`, in the words of an address.
fn set_by_flags(args: &ServeArgs) -> Result<ClientSettings> {
    let wait = match &args.wait {
        None => None,
        Some(text) => {
            let seconds = text.parse().map_err(|_| "is no whole number".to_owned()).and_then(wait_bound_of);
            seconds.map_err(|why| CliError::usage(format_args!("--wait: '{}' {why}", text.escape_debug())))?
        }
    };
    let links = match &args.links {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|why| CliError::usage(format_args!("--links: '{}' {why}", text.escape_debug())))?,
        ),
    };
    Ok(ClientSettings { wait, links })
}

fn mcp_options(mcp: &McpSettings, host: ClientSettings) -> McpOptions {
    McpOptions {
        task_tools: mcp.task_tools,
        state_tools: mcp.state_tools,
        wait: mcp.wait.into_iter().chain(host.wait).min(),
        links: host.links.unwrap_or(mcp.links),
        names: mcp.names.clone(),
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
    }
    for table in settings.operator.unused(&catalog) {
        tracing::warn!("{table} in longhaul.toml speaks of nothing that is served: is it misspelt?");
    }
    Ok(())
}

async fn over_http(
    (server, sandbox): (McpServer, &Sandbox),
    context: &Context,
    file: &mut ServerFile,
    running: &mut Running<'_>,
) -> Result<Exit> {
    let settings = &context.settings;
    let key = owner_key(server.engine()).await?;
    if settings.open_loopback {
        eprintln!(
            "--open-loopback: every process and user of this machine that reaches the port is the owner"
        );
    }
    let options = http::Options { key: Some(key.clone()), ..http_options(context) };
    let http = HttpServer::bind(server.clone(), options).await?;
    sandbox.keep_out_of(http.address());
    // Some file systems have no sockets; then it serves over HTTP alone.
    let socket = SocketServer::bind(server, &context.data().join(background::SOCKET)).await;
    let socket = socket.inspect_err(|error| tracing::warn!("{error}")).ok();
    let told = tell_where(file, Some((http.url(), key)), socket.as_ref(), context);
    running.listens();
    let ended = match told {
        Ok(()) => running.ended().await.map(|signal| {
            eprintln!("{signal}: shutting down");
            Exit::Done
        }),
        Err(error) => Err(error),
    };
    if let Some(socket) = socket {
        socket.shutdown().await;
    }
    http.shutdown().await;
    ended
}

/// How a server with these settings listens over HTTP; its key stands in its store.
pub fn http_options(context: &Context) -> http::Options {
    let settings = &context.settings;
    http::Options {
        allowed_hosts: settings.mcp.allowed_hosts.clone(),
        allowed_origins: settings.mcp.allowed_origins.clone(),
        key: None,
        open_loopback: settings.open_loopback,
        ..http::Options::new(settings.http)
    }
}

async fn in_background(
    server: McpServer,
    context: &Context,
    file: &mut ServerFile,
    running: &mut Running<'_>,
) -> Result<Exit> {
    let engine = server.engine().clone();
    let socket = SocketServer::bind(server, &context.data().join(background::SOCKET)).await;
    let socket = socket.map_err(CliError::failed)?;
    // A host may start it so that all is compiled when it comes back.
    let idle = async |socket: &SocketServer| {
        engine.loaded().await;
        socket.idle(context.settings.engine.background_idle).await;
    };
    let told = tell_where(file, None, Some(&socket), context);
    running.listens();
    let ended = match told {
        Ok(()) => tokio::select! {
            ended = running.ended() => ended.map(|signal| eprintln!("{signal}: shutting down")),
            () = idle(&socket) => {
                eprintln!("no host and no open task is left: shutting down");
                Ok(())
            }
        }
        .map(|()| Exit::Done),
        Err(error) => Err(error),
    };
    socket.shutdown().await;
    ended
}

async fn over_stdio(server: McpServer, running: &mut Running<'_>) -> Result<Exit> {
    eprintln!("serving on stdin and stdout");
    let stop = CancellationToken::new();
    let serving = serve_stdio(server, stop.clone());
    tokio::pin!(serving);
    let (served, ended) = tokio::select! {
        served = &mut serving => (served, Ok(())),
        ended = running.ended() => {
            let ended = ended.map(|signal| eprintln!("{signal}: shutting down"));
            stop.cancel();
            (serving.await, ended)
        }
    };
    served.map_err(CliError::failed).and(ended).map(|()| Exit::Done)
}

/// Says where the server listens: on stderr for people, in the data folder for the other commands, and with
/// `--json` on stdout for the program that started it.
fn tell_where(
    file: &mut ServerFile,
    http: Option<(String, Secret)>,
    socket: Option<&SocketServer>,
    context: &Context,
) -> Result<()> {
    let folder = context.data();
    (file.info.url, file.info.key) = http.map(|(url, key)| (url, key.expose().to_owned())).unzip();
    file.info.socket = socket.map(|socket| socket.path().to_owned());
    file.write().map_err(|e| unwritable(folder, &e))?;
    let ServerInfo { pid, url, socket, .. } = &file.info;
    tracing::debug!(pid, ?url, ?socket, folder = %folder.display(), "listening");
    match (url, socket) {
        (Some(url), _) => eprintln!("listening on {url}"),
        (None, Some(socket)) => eprintln!("pid {pid}, listening on {}", socket.display()),
        (None, None) => {}
    }
    if context.output.json {
        context.output.json(&json!({ "url": url, "socket": socket, "pid": pid, "data": folder }))?;
    }
    Ok(())
}

fn unwritable(folder: &Path, error: &std::io::Error) -> CliError {
    if let Some(why) = NotPrivate::of(error) {
        return why.clone().into();
    }
    CliError::failed(format_args!(
        "cannot write where this server listens into {}: {error}",
        folder.display()
    ))
}

/// Before tools are built and tasks go on, for the server would not listen anyway.
fn refuse_beyond_loopback(address: SocketAddr, has_tokens: bool, folder: &Path) -> Result<()> {
    if has_tokens || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(CliError::refused(format_args!(
        "{address} is reachable from other machines, and there is no token to tell callers apart"
    ))
    .next(format!("longhaul token new NAME --tools '*' --data {}, or listen on 127.0.0.1", folder.display())))
}

/// What the other commands, and hosts that were given it, show this server: a process that can read it from the data folder
/// owns all that is in it. The same at every start, since hosts keep it in their environment.
async fn owner_key(engine: &TaskEngine) -> Result<Secret> {
    Ok(as_secret(kept_key(engine, OWNER_KEY).await?))
}

/// Another key of the owner's; the one before is a wrong one from the next start on.
pub async fn renew_owner_key(engine: &TaskEngine) -> Result<()> {
    fresh_key(engine, OWNER_KEY).await.map(drop)
}

fn as_secret(key: [u8; 32]) -> Secret {
    Secret::new(format!("{KEY_PREFIX}{}", blake3::Hash::from_bytes(key).to_hex()))
}

fn store_failed(why: &str) -> CliError {
    CliError::failed(format_args!("the store has failed and takes nothing any more: {why}"))
        .next("mend the disk, then start longhaul again: what was acknowledged is safe, open tasks go on")
}

impl From<HttpError> for CliError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Server(http::ServerError::BeyondLoopback(_)) => {
                Self::refused(error).next("longhaul token new NAME --tools '*'")
            }
            HttpError::Server(http::ServerError::BadOrigin(_)) => Self::usage(error),
            error => Self::failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::{Links, OwnNames};

    #[test]
    fn only_loopback_is_served_without_tokens() {
        let beyond = |address: &str, has_tokens| {
            refuse_beyond_loopback(address.parse().expect("an address"), has_tokens, Path::new("/data"))
        };
        for address in ["127.0.0.1:1919", "127.0.0.2:1", "[::1]:1919"] {
            assert_eq!(beyond(address, false), Ok(()));
        }
        for address in ["0.0.0.0:1919", "[::]:1919", "192.168.1.5:80"] {
            let error = beyond(address, false).expect_err(address);
            assert_eq!(error.exit, Exit::Refused);
            assert!(error.next.expect("a command").contains("longhaul token new"));
            assert_eq!(beyond(address, true), Ok(()));
        }
    }

    #[test]
    fn the_one_host_of_stdio_sets_by_flags_what_another_sets_by_its_address() {
        let set = |wait: Option<&str>, links: Option<&str>| {
            let (wait, links) = (wait.map(str::to_owned), links.map(str::to_owned));
            set_by_flags(&ServeArgs { wait, links, ..ServeArgs::default() })
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (wait, links, expected) in [
            (None, None, ClientSettings::default()),
            (Some("4"), None, ClientSettings { wait: seconds(4), links: None }),
            (Some("0"), Some("text"), ClientSettings { wait: None, links: Some(Links::Text) }),
        ] {
            assert_eq!(set(wait, links), Ok(expected));
        }
        for (wait, links, part) in [
            (Some("soon"), None, "--wait: 'soon' is no whole number"),
            (Some("86401"), None, "--wait: '86401' is not from 1 to 86400"),
            (None, Some("none"), "--links: 'none' is neither block nor text"),
        ] {
            let error = set(wait, links).expect_err(part);
            assert!(error.exit == Exit::Usage && error.message.contains(part), "{}", error.message);
        }
    }

    #[test]
    fn a_private_server_takes_the_lower_bound_and_its_hosts_links() {
        let seconds = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
        for (of_file, of_flag, least) in [(0, 0, 0), (9, 0, 9), (0, 4, 4), (9, 4, 4), (4, 9, 4)] {
            let mcp = McpSettings {
                task_tools: true,
                state_tools: false,
                wait: seconds(of_file),
                links: Links::Text,
                names: OwnNames::default(),
                allowed_hosts: Vec::new(),
                allowed_origins: Vec::new(),
            };
            let host = ClientSettings { wait: seconds(of_flag), links: Some(Links::Block) };
            let options = mcp_options(&mcp, host);
            assert_eq!((options.wait, options.links), (seconds(least), Links::Block));
            assert_eq!(mcp_options(&mcp, ClientSettings::default()).links, Links::Text);
        }
    }
}
