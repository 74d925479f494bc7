//! `longhaul serve`: the wiring, in the order in which things depend on each other, and shutdown in reverse.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::access::open_store;
use super::args::ServeArgs;
use super::context::Context;
use super::exit::{CliError, Exit, Result};
use super::load;
use super::server_file::{ServerFile, ServerInfo};
use super::signals::StopSignals;
use crate::authority::{Principal, Secret};
use crate::catalog::Catalog;
use crate::engine::{EngineOptions, Runner, TaskEngine};
use crate::mcp::{HttpError, HttpOptions, HttpServer, McpOptions, McpServer, serve_stdio};
use crate::sandbox::{Sandbox, SandboxOptions};
use crate::store::StoreOptions;

/// In the data folder: compiled code.
const COMPILED: &str = "compiled";
/// A store that has failed takes nothing any more, so there is nothing to wait for.
const LATCHED_GRACE: Duration = Duration::from_secs(2);

pub async fn run(args: ServeArgs, context: &Context) -> Result<Exit> {
    let mut signals = StopSignals::new()?;
    let sandbox = sandbox(context)?;
    let engine = open_engine(sandbox.clone(), context).await?;
    if !args.stdio
        && let Err(error) = refuse_beyond_loopback(context.settings.http, engine.has_tokens(), context.data())
    {
        engine.shutdown().await;
        return Err(error);
    }
    sandbox.keep_compiled(context.data().join(COMPILED), cache_key(&engine).await?);
    let served = tokio::select! {
        served = serve(&engine, sandbox.as_ref(), args.stdio, context, &mut signals) => served,
        why = engine.failed() => Err(store_failed(&why)),
    };
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

/// What runs components, as the settings want it.
pub fn sandbox(context: &Context) -> Result<Arc<Sandbox>> {
    let suspend_grace = context.settings.engine.suspend_grace;
    let sandbox = Sandbox::new(SandboxOptions { suspend_grace, ..SandboxOptions::default() });
    Ok(Arc::new(sandbox.map_err(CliError::failed)?))
}

/// Seals the compiled code that is kept: whoever can write to the cache alone cannot forge it.
async fn cache_key(engine: &TaskEngine) -> Result<[u8; 32]> {
    const SETTING: &str = "compiled-code-key";
    if let Some(key) = engine.setting(SETTING)?.and_then(|key| key.try_into().ok()) {
        return Ok(key);
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key)
        .map_err(|e| CliError::failed(format_args!("the machine gives no random numbers: {e}")))?;
    engine.put_setting(SETTING, key.to_vec()).await?;
    Ok(key)
}

async fn open_engine(runner: Arc<dyn Runner>, context: &Context) -> Result<TaskEngine> {
    let options = EngineOptions {
        store: StoreOptions { durability: context.settings.durability, ..StoreOptions::default() },
        live_instances: context.settings.engine.live_instances,
        retention: context.settings.engine.retention,
        audit_retention: context.settings.engine.audit_retention,
        ..EngineOptions::default()
    };
    open_store(context.data(), runner, options).await
}

/// From the tools to the last answer. Whatever is started here has ended when this returns.
async fn serve(
    engine: &TaskEngine,
    runner: &dyn Runner,
    stdio: bool,
    context: &Context,
    signals: &mut StopSignals,
) -> Result<Exit> {
    tokio::select! {
        loaded = set_up(engine, runner, context) => loaded?,
        signal = signals.first() => {
            eprintln!("{signal}: stopped before it served");
            return Ok(Exit::Done);
        }
    }
    let options = McpOptions { task_tools: context.settings.mcp.task_tools };
    let server = McpServer::new(engine.clone(), options);
    if stdio { over_stdio(server, context, signals).await } else { over_http(server, context, signals).await }
}

/// Tools first, then the tasks that wait for them.
async fn set_up(engine: &TaskEngine, runner: &dyn Runner, context: &Context) -> Result<()> {
    let settings = &context.settings;
    let mut catalog = Catalog::default();
    for file in load::find(settings.tool_paths.clone()).await? {
        let loaded = load::load(file, runner, &settings.operator, settings.trust).await?;
        engine.store_component(loaded.bytes, &loaded.component.name).await?;
        load::summary(&loaded.component).iter().for_each(|line| eprintln!("{line}"));
        catalog = catalog.with(loaded.component).map_err(CliError::usage)?;
    }
    if catalog.tools().len() == 0 {
        eprintln!("no tools are served: name some with --tools PATH");
    }
    for table in settings.operator.unused(&catalog) {
        tracing::warn!("{table} in longhaul.toml speaks of nothing that is served: is it misspelt?");
    }
    engine.audit_grants(&Principal::local(), &catalog).await?;
    engine.set_catalog(Arc::new(catalog));
    Ok(engine.start().await?)
}

async fn over_http(server: McpServer, context: &Context, signals: &mut StopSignals) -> Result<Exit> {
    let settings = &context.settings;
    let key = owner_key()?;
    let options = HttpOptions {
        address: settings.http,
        allowed_hosts: settings.mcp.allowed_hosts.clone(),
        allowed_origins: settings.mcp.allowed_origins.clone(),
        key: Some(key.clone()),
    };
    let http = HttpServer::bind(server, options).await?;
    let told = tell_where(Some(&http.url()), Some(&key), context);
    let ended = match &told {
        Ok(_) => {
            eprintln!("{}: shutting down", signals.first().await);
            Ok(Exit::Done)
        }
        Err(error) => Err(error.clone()),
    };
    http.shutdown().await;
    ended
}

async fn over_stdio(server: McpServer, context: &Context, signals: &mut StopSignals) -> Result<Exit> {
    let _file = tell_where(None, None, context)?;
    let stop = CancellationToken::new();
    let serving = serve_stdio(server, stop.clone());
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        signal = signals.first() => {
            eprintln!("{signal}: shutting down");
            stop.cancel();
            serving.await
        }
    };
    served.map(|()| Exit::Done).map_err(CliError::failed)
}

/// Says where the server listens: on stderr for people, in the data folder for the other commands, and with
/// `--json` on stdout for whoever started it.
fn tell_where(url: Option<&str>, key: Option<&Secret>, context: &Context) -> Result<ServerFile> {
    let info = ServerInfo::of_this_process(url.map(str::to_owned), key);
    let folder = context.data();
    let file = ServerFile::write(folder, &info).map_err(|e| {
        CliError::failed(format_args!(
            "cannot write where this server listens into {}: {e}",
            folder.display()
        ))
    })?;
    match url {
        Some(url) => {
            eprintln!("listening on {url}");
            if context.output.json {
                context.output.json(&json!({ "url": url, "pid": info.pid, "data": folder }))?;
            }
        }
        None => eprintln!("serving on stdin and stdout"),
    }
    Ok(file)
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

/// What the other commands show this server: whoever can read it from the data folder owns all that is in it.
fn owner_key() -> Result<Secret> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)
        .map_err(|e| CliError::failed(format_args!("the machine gives no random numbers: {e}")))?;
    Ok(Secret::new(blake3::Hash::from_bytes(key).to_hex().to_string()))
}

fn store_failed(why: &str) -> CliError {
    CliError::failed(format_args!("the store has failed and takes nothing any more: {why}"))
        .next("mend the disk, then start longhaul again: what was acknowledged is safe, open tasks go on")
}

impl From<HttpError> for CliError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::BeyondLoopback(_) => Self::refused(error).next("longhaul token new NAME --tools '*'"),
            error => Self::failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
