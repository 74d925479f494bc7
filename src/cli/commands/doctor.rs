//! `longhaul doctor`: what is there, what is missing, and what to do about it.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;
use serde::Serialize;

use crate::cli::backup::check_running;
use crate::cli::client::access::Access;
use crate::cli::client::remote::Remote;
use crate::cli::config::{Isolation, ModelSettings, SharesSettings, WallsWanted};
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::programs::secret_sources;
use crate::cli::server::guests;
use crate::cli::server::machine::{self, Memory};
use crate::cli::server::server_file::{ServerInfo, Serves, is_running};
use crate::cli::show::render::{Table, bytes};
use crate::http;
use crate::limits;
use crate::private::{self, NotPrivate, Purpose};
use crate::secrets::read_here;
use crate::shares::{Bound, Pool};
use crate::store::{BackupSummary, DiskBounds, Presence, Store, StoreError};
use crate::walls;

/// Maps of the kernel that one live instance takes, and what the rest of the process needs.
const MAPS_PER_INSTANCE: u64 = 7;
const MAPS_OF_THE_PROCESS: u64 = 4_000;
/// A server that has room for fewer connections is soon full.
const FEW_CONNECTIONS: usize = 500;
/// Less free disk than this deserves a warning.
const LOW_DISK_BYTES: u64 = 1024 * 1024 * 1024;

#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    ok: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, ok: true, found: found.into(), advice: None }
    }

    fn warn(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, ok: false, found: found.into(), advice: Some(advice.into()) }
    }
}

pub async fn run(context: &Context, check: bool) -> Result<Exit> {
    let mut checks = vec![
        configuration(context),
        target(context),
        map_limit(context),
        walls(context),
        descriptors(limit_of_descriptors(context.data())),
        memory(&context.settings.shares, &machine::memory()),
        shares(context),
        isolation(context),
        secrets(context),
        models(context),
        data_folder(context.data()),
        disk(context.data(), context.settings.shares.disk.bounds()),
    ];
    checks.extend(server_and_store(context).await);
    if check {
        let sums = checksums(context.data()).await;
        let is_whole = sums.as_ref().is_some_and(|sums| sums.ok);
        checks.extend(sums);
        if is_whole && matches!(Store::presence(context.data()), Ok(Presence::Free { .. })) {
            checks.push(counts(context).await);
        }
    }
    let exit = if checks.iter().all(|check| check.ok) { Exit::Done } else { Exit::Failed };
    if context.output.json {
        context.output.json(&serde_json::json!({ "ok": exit == Exit::Done, "checks": checks }))?;
        return Ok(exit);
    }
    let mut table = Table::new(&["", "WHAT", "FOUND", "WHAT TO DO"]);
    for check in &checks {
        let verdict = if check.ok { "ok" } else { "warn" };
        table.row([verdict, check.what, &check.found, check.advice.as_deref().unwrap_or_default()]);
    }
    context.output.table(&table)?;
    Ok(exit)
}

fn configuration(context: &Context) -> Check {
    match &context.settings.file {
        Some(file) => Check::ok("configuration", file.display().to_string()),
        None => match &context.settings.unread {
            Some(here) => Check::ok(
                "configuration",
                format!("none: the defaults hold ({} is not read without --config)", here.display()),
            ),
            None => Check::ok("configuration", "none: the defaults hold"),
        },
    }
}

/// Only who builds guests needs it, but those who do not will not mind. It is looked for where guests are built, and
/// not in the working folder, whose `rust-toolchain.toml` may name a compiler of its own.
fn target(context: &Context) -> Check {
    const WHAT: &str = "toolchain for guests";
    let workspace = context.settings.tool_paths.iter().find(|path| guests::is_workspace(path));
    match guests::target_installed(workspace.map_or(Path::new("/"), PathBuf::as_path)) {
        Ok(true) => Check::ok(WHAT, format!("rustc with {}", guests::TARGET)),
        Ok(false) => Check::warn(
            WHAT,
            format!("rustc without {}", guests::TARGET),
            format!("rustup target add {}, if you build guests here", guests::TARGET),
        ),
        Err(error) => Check::warn(WHAT, error.to_string(), "https://rustup.rs, if you build guests here"),
    }
}

/// As this command reads them, which has its own environment and not the server's.
fn secrets(context: &Context) -> Check {
    const WHAT: &str = "secrets";
    let sources = secret_sources(&context.settings);
    let missing: Vec<String> =
        sources.iter().filter_map(|source| read_here(source).err()).map(|error| error.to_string()).collect();
    match (sources.len(), missing.len()) {
        (0, _) => Check::ok(WHAT, "none"),
        (all, 0) => Check::ok(WHAT, format!("{all}, each of which can be read")),
        (all, _) => Check::warn(
            WHAT,
            format!("of {all} there are not: {}", missing.join("; ")),
            "requests that want them fail; what a server was started with, this command does not see",
        ),
    }
}

/// Which are configured, and whether their keys are there; no endpoint is asked.
fn models(context: &Context) -> Check {
    const WHAT: &str = "models";
    let told = |(name, model): (&String, &ModelSettings)| {
        let key = match &model.key {
            None => "no key".to_owned(),
            Some(source) => match read_here(source) {
                Ok(_) => format!("key from {source}"),
                Err(_) => return Err(format!("{name}: its key is not there: {source}")),
            },
        };
        Ok(format!("{name} ({}, {key})", model.model.escape_debug()))
    };
    let told: Result<Vec<String>, String> = context.settings.models.iter().map(told).collect();
    match told {
        Ok(models) if models.is_empty() => Check::ok(WHAT, "none"),
        Ok(models) => Check::ok(WHAT, models.join(", ")),
        Err(missing) => Check::warn(
            WHAT,
            missing,
            "what asks that model is answered that it is unavailable; what a server was started with, this command \
             does not see",
        ),
    }
}

/// Around the server that runs, or around one that would be started here.
fn walls(context: &Context) -> Check {
    const WHAT: &str = "walls";
    let wanted = context.settings.engine.walls;
    if let Some(there) = ServerInfo::read(context.data()).filter(|info| is_running(info.pid)) {
        return match there.walls {
            Some(words) => Check::ok(WHAT, format!("around the server: {words}")),
            None => Check::warn(WHAT, "the server that runs has none", "start it again with this version"),
        };
    }
    if wanted == WallsWanted::Off {
        return Check::ok(WHAT, "none: [engine] walls = \"off\" in longhaul.toml");
    }
    let standing = walls::tried();
    match wanted == WallsWanted::Required && !standing.is_whole() {
        true => Check::warn(
            WHAT,
            format!("a server starts only with all: {standing}"),
            "another kernel, or walls = \"on\" under [engine] in longhaul.toml",
        ),
        false => Check::ok(WHAT, format!("around a server that is started here: {standing}")),
    }
}

fn map_limit(context: &Context) -> Check {
    const WHAT: &str = "kernel maps";
    let instances = context.settings.engine.live_instances as u64;
    let needed = instances * MAPS_PER_INSTANCE + MAPS_OF_THE_PROCESS;
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    match limit {
        None => Check::ok(WHAT, "this kernel sets no limit"),
        Some(limit) if limit >= needed => {
            Check::ok(WHAT, format!("{limit}, {instances} live instances need {needed}"))
        }
        Some(limit) => Check::warn(
            WHAT,
            format!("{limit}, {instances} live instances need {needed}"),
            format!(
                "sysctl -w vm.max_map_count={needed}, or a lower live_instances under [engine] in longhaul.toml"
            ),
        ),
    }
}

/// Where components run that are served by an approval or a grant.
fn isolation(context: &Context) -> Check {
    const WHAT: &str = "guests of strangers";
    match context.settings.engine.isolate {
        Isolation::Process => Check::ok(
            WHAT,
            format!("in worker processes, one for each component and at most {}", limits::MAX_WORKERS),
        ),
        Isolation::None => Check::ok(
            WHAT,
            "in the server's process; isolate = \"process\" under [engine] in longhaul.toml gives each a worker",
        ),
    }
}

/// Of the server that runs, or of one that was started from here.
fn limit_of_descriptors(folder: &Path) -> Option<u64> {
    let of_server = ServerInfo::read(folder)
        .and_then(|info| fs::read_to_string(format!("/proc/{}/limits", info.pid)).ok())
        .and_then(|limits| soft_limit(&limits));
    of_server.or_else(http::raise_limit)
}

fn connections_of(limit: Option<u64>) -> usize {
    http::connections_of(limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX))
}

fn descriptors(limit: Option<u64>) -> Check {
    const WHAT: &str = "descriptors";
    let connections = connections_of(limit);
    let Some(limit) = limit else {
        return Check::ok(WHAT, "this system sets no limit");
    };
    let found = format!("{limit}, of which connections over HTTP have {connections}");
    if connections >= FEW_CONNECTIONS {
        return Check::ok(WHAT, found);
    }
    let wanted = http::wanted_descriptors();
    let advice =
        format!("`ulimit -n {wanted}` before the server is started, or LimitNOFILE={wanted} in its unit");
    Check::warn(WHAT, found, advice)
}

/// Of `Max open files            1024                 524288               files`.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What requests, answers and running tools may have together, and why.
fn memory(settings: &SharesSettings, machine: &Memory) -> Check {
    const WHAT: &str = "memory";
    const MIB: u64 = 1024 * 1024;
    let (of, there) = match machine {
        Memory::OfMachine(there) => ("the machine".to_owned(), *there),
        Memory::OfGroup(there, file) => (format!("the cgroup ({})", file.display()), *there),
        Memory::Unknown => ("this system, which does not say what it has".to_owned(), u64::MAX),
    };
    let shared = settings.memory_mib.map(|mib| mib.get().saturating_mul(MIB));
    let Some(shared) = shared else {
        let shared = bytes(machine.shared());
        return match machine {
            Memory::Unknown => Check::ok(WHAT, format!("{shared} for all callers, since {of}")),
            _ => {
                Check::ok(WHAT, format!("{shared} for all callers, half of {}, which {of} has", bytes(there)))
            }
        };
    };
    let found = format!("{} for all callers, from memory_mib under [shares]", bytes(shared));
    if shared <= there {
        return Check::ok(WHAT, found);
    }
    let advice = format!("{of} has {}: set less, or leave it out for half of that", bytes(there));
    Check::warn(WHAT, found, advice)
}

/// What there is of each thing, for all callers and for one principal with tokens.
fn shares(context: &Context) -> Check {
    let bounds = {
        let connections = connections_of(limit_of_descriptors(context.data()));
        machine::bounds(&context.settings, connections, context.data())
    };
    let each = Pool::ALL.iter().map(|pool| {
        let Bound { process, share, .. } = bounds[*pool];
        let amount = |count: u64| if pool.is_in_bytes() { bytes(count) } else { count.to_string() };
        match process {
            u64::MAX => format!("{} {}", pool.name(), amount(share)),
            _ => format!("{} {} of {}", pool.name(), amount(share), amount(process)),
        }
    });
    let each: Vec<String> = each.collect();
    Check::ok("shares", format!("of each principal: {}; [shares] sets others", each.join(", ")))
}

fn data_folder(folder: &Path) -> Check {
    const WHAT: &str = "data folder";
    let shown = folder.display().to_string();
    let checked = private::check_folder(folder, Purpose::Read);
    if let Some(why) = checked.as_ref().err().and_then(NotPrivate::of) {
        return Check::warn(WHAT, why.what.clone(), why.next.clone());
    }
    match fs::metadata(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Check::ok(WHAT, format!("{shown}: not there yet, the first start makes it"))
        }
        Err(e) => Check::warn(WHAT, format!("{shown}: {e}"), "name another with --data"),
        Ok(kind) if !kind.is_dir() => {
            Check::warn(WHAT, format!("{shown}: no folder"), "name another with --data")
        }
        Ok(_) if is_read_only(folder) => {
            Check::ok(WHAT, format!("{shown}: read-only, good for looking at it"))
        }
        Ok(_) if rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err() => Check::warn(
            WHAT,
            format!("{shown}: cannot be written"),
            "give yourself the right to, or name another with --data",
        ),
        Ok(_) => Check::ok(WHAT, shown),
    }
}

fn is_read_only(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn disk(folder: &Path, bounds: DiskBounds) -> Check {
    const WHAT: &str = "disk";
    // The folder may not be there yet: its nearest parent is on the same disk.
    let there =
        folder.ancestors().find(|place| place.exists()).map_or_else(|| PathBuf::from("/"), Path::to_owned);
    if is_read_only(&there) {
        return Check::ok(WHAT, "read-only: nothing is written");
    }
    let disk = match Store::disk(&there, bounds) {
        Ok(disk) => disk,
        Err(e) => return Check::warn(WHAT, format!("{}: {e}", there.display()), "see whether it is mounted"),
    };
    let found = format!(
        "{} free of {}; the store keeps {} in reserve ({} are there) and takes new work while {} more are free",
        bytes(disk.free_bytes),
        bytes(disk.total_bytes),
        bytes(disk.wanted_reserve_bytes),
        bytes(disk.reserve_bytes),
        bytes(disk.watermark_bytes),
    );
    if disk.is_full {
        Check::warn(WHAT, found, "make room: new work is refused, unless the store's own file has free pages")
    } else if disk.free_bytes < LOW_DISK_BYTES {
        Check::warn(WHAT, found, "make room: with less, new work is refused ([shares.disk] says how much)")
    } else {
        Check::ok(WHAT, found)
    }
}

/// Reads all of the store, which may take seconds for each gigabyte.
async fn checksums(folder: &Path) -> Option<Check> {
    const CHECKSUMS: &str = "checksums";
    match Store::presence(folder) {
        Ok(Presence::Free { .. }) => {}
        Ok(Presence::InUse { .. }) => {
            return Some(match check_running(folder).await {
                Ok(BackupSummary { rows, log_rows, .. }) => Check::ok(
                    CHECKSUMS,
                    format!(
                        "all right in {rows} rows and {log_rows} commits, as the running server reads them"
                    ),
                ),
                Err(error) => Check::warn(
                    CHECKSUMS,
                    error.message,
                    error.next.unwrap_or_else(|| "docs/operators.md has more".to_owned()),
                ),
            });
        }
        // What is wrong is said already.
        Ok(Presence::Missing) | Err(_) => return None,
    }
    let folder = folder.to_owned();
    let checked = tokio::task::spawn_blocking(move || Store::check(&folder)).await;
    Some(match checked {
        Ok(Ok(checked)) => {
            let found = format!("all right in {} rows and {} commits", checked.rows, checked.log_rows);
            Check::ok(CHECKSUMS, found)
        }
        Ok(Err(error)) => Check::warn(
            CHECKSUMS,
            error.to_string(),
            "keep a copy of the file and restore a backup; docs/operators.md has more",
        ),
        Err(error) => Check::warn(CHECKSUMS, error.to_string(), "please report this"),
    })
}

/// Whether what principals are counted with is what they keep; what is not is counted again.
async fn counts(context: &Context) -> Check {
    const COUNTS: &str = "counts";
    let checked = async {
        let engine = Access::open_offline(Purpose::Read, context).await?;
        let found = engine.check_counts().await;
        engine.shutdown().await;
        let found = found?;
        if !found.wrong.is_empty() {
            let engine = Access::open_offline(Purpose::Write, context).await?;
            let counted = engine.count_again().await;
            engine.shutdown().await;
            counted?;
        }
        Ok::<_, CliError>(found)
    };
    match checked.await {
        Ok(found) if found.wrong.is_empty() => {
            Check::ok(COUNTS, format!("all right for what {} shares of the store hold", found.counts))
        }
        Ok(found) => Check::warn(
            COUNTS,
            format!("{}; it is counted again and right now", found.wrong.join("; ")),
            "a build that keeps no counts may have written here; if none has, please report this",
        ),
        Err(error) => Check::warn(
            COUNTS,
            error.message,
            error.next.unwrap_or_else(|| "docs/operators.md has more".to_owned()),
        ),
    }
}

async fn server_and_store(context: &Context) -> Vec<Check> {
    const SERVER: &str = "server";
    const STORE: &str = "store";
    let folder = context.data();
    let presence = match Store::presence(folder) {
        Ok(presence) => presence,
        Err(StoreError::NotPrivate(why)) => return vec![Check::warn(STORE, why.what, why.next)],
        Err(error) => return vec![Check::warn(STORE, error.to_string(), "see who may read it")],
    };
    match presence {
        Presence::Missing => {
            vec![
                Check::ok(SERVER, "none on this folder"),
                Check::ok(STORE, "not there yet, the first start makes it"),
            ]
        }
        Presence::InUse { file_bytes } => {
            let info = ServerInfo::read(folder);
            let serves = info.as_ref().map(|info| info.serves);
            let server = match Remote::find(context).await {
                Err(_) if serves == Some(Serves::OneHost) => {
                    Check::ok(SERVER, "serves its own host on stdio, with --private")
                }
                Ok(remote) => {
                    let by_itself = match serves {
                        Some(Serves::Background) => "; in the background, until nobody needs it",
                        _ => "",
                    };
                    Check::ok(SERVER, format!("answers at {}{by_itself}", remote.url()))
                }
                Err(error) => Check::warn(
                    SERVER,
                    match &info {
                        Some(info) => format!("pid {} has the folder and does not answer: {error}", info.pid),
                        None => {
                            format!("a process has the folder and does not say where it listens: {error}")
                        }
                    },
                    "wait until it has started or ended; look at its log",
                ),
            };
            vec![server, Check::ok(STORE, format!("in use by its server, {}", bytes(file_bytes)))]
        }
        Presence::Free { .. } => {
            let store = match Access::open_offline(Purpose::Read, context).await {
                Ok(engine) => {
                    let usage = engine.usage();
                    engine.shutdown().await;
                    usage.map_err(CliError::from)
                }
                Err(error) => Err(error),
            };
            let store = match store {
                Ok(usage) => Check::ok(
                    STORE,
                    format!(
                        "format {}, {} in the file, {} live, {} free in it",
                        Store::FORMAT,
                        bytes(usage.file_bytes),
                        bytes(usage.live_bytes),
                        bytes(usage.free_bytes)
                    ),
                ),
                Err(error) => {
                    Check::warn(STORE, error.message, error.next.unwrap_or_else(|| "see above".to_owned()))
                }
            };
            vec![Check::ok(SERVER, "none on this folder"), store]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_for_callers_is_told_with_where_it_comes_from() {
        const GIB: u64 = 1 << 30;
        let by_itself = SharesSettings::default();
        let found = |settings: &SharesSettings, machine| {
            let check = memory(settings, &machine);
            (check.ok, format!("{} {}", check.found, check.advice.unwrap_or_default()))
        };
        let (ok, words) = found(&by_itself, Memory::OfMachine(8 * GIB));
        assert!(
            ok && words.contains("4.0 GiB") && words.contains("8.0 GiB, which the machine has"),
            "{words}"
        );
        let group = || Memory::OfGroup(GIB, PathBuf::from("/sys/fs/cgroup/a/memory.max"));
        let (ok, words) = found(&by_itself, group());
        assert!(
            ok && words.contains("512.0 MiB") && words.contains("(/sys/fs/cgroup/a/memory.max)"),
            "{words}"
        );
        assert!(found(&by_itself, Memory::Unknown).0);
        let set: SharesSettings = toml::from_str("memory_mib = 2048").expect("settings");
        let (ok, words) = found(&set, Memory::OfMachine(8 * GIB));
        assert!(ok && words.contains("2.0 GiB") && words.contains("memory_mib under [shares]"), "{words}");
        let (ok, words) = found(&set, group());
        assert!(!ok && words.contains("memory.max) has 1.0 GiB: set less"), "{words}");
    }

    #[test]
    fn the_disk_is_told_with_what_the_store_keeps_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = |watermark| {
            let check =
                disk(folder.path(), DiskBounds { reserve: Some(32 << 20), watermark: Some(watermark) });
            format!("{} {} {}", check.ok, check.found, check.advice.unwrap_or_default())
        };
        let words = kept(64 << 20);
        assert!(words.contains("32.0 MiB in reserve (0 B are there)"), "{words}");
        assert!(words.contains("while 64.0 MiB more are free"), "{words}");
        let words = kept(u64::MAX >> 1);
        assert!(
            words.starts_with("false") && words.contains("make room: new work is refused, unless"),
            "{words}"
        );
    }

    #[test]
    fn the_limit_of_a_server_is_read_as_the_kernel_writes_it() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
            Max processes             95174                95174                processes\n\
            Max open files            1024                 524288               files\n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(
            soft_limit("Max open files            unlimited            unlimited            files\n"),
            None
        );
        assert_eq!(soft_limit(""), None);
    }
}
