//! What this machine has, and what of it a server that is started here would get.

use std::fs;
use std::path::{Path, PathBuf};

use super::check::Check;
use crate::cli::config::{SharesSettings, WallsWanted};
use crate::cli::context::Context;
use crate::cli::examples;
use crate::cli::server::guests::{self, GuestError};
use crate::cli::server::machine::Memory;
use crate::cli::server::server_file::{ServerInfo, is_running};
use crate::cli::show::render::bytes;
use crate::http;
use crate::walls;

/// Maps of the kernel that one live instance takes, and what the rest of the process needs.
const MAPS_PER_INSTANCE: u64 = 7;
const MAPS_OF_THE_PROCESS: u64 = 4_000;
/// A server that has room for fewer connections is soon full.
const FEW_CONNECTIONS: usize = 500;

/// Only who builds guests needs it, but those who do not will not mind. It is looked for where guests are built, and
/// not in the working folder, whose `rust-toolchain.toml` may name a compiler of its own.
pub fn target(context: &Context) -> Check {
    const WHAT: &str = "toolchain for guests";
    let workspace = context.settings.tool_paths.iter().find(|path| guests::is_workspace(path));
    match guests::target_installed(workspace.map_or(Path::new("/"), PathBuf::as_path)) {
        Ok(true) => Check::ok(WHAT, format!("rustc with {}", guests::TARGET)),
        Ok(false) => Check::warn(
            WHAT,
            format!("rustc without {}", guests::TARGET),
            format!("rustup target add {}, if you build guests here", guests::TARGET),
        ),
        // A program from a package serves what others built.
        Err(GuestError::CannotRun { .. }) if workspace.is_none() => {
            Check::ok(WHAT, "none; only building guests needs one (https://rustup.rs)")
        }
        Err(error) => Check::warn(WHAT, error.to_string(), "https://rustup.rs, if you build guests here"),
    }
}

/// What came with this program that can be served at once.
pub fn examples() -> Check {
    const WHAT: &str = "example tools";
    match examples::folder() {
        Some(folder) => Check::ok(WHAT, format!("{} (serve --tools)", folder.display())),
        None if examples::of_a_package() => Check::warn(
            WHAT,
            "not where this program's package put them",
            "unpack or install the whole package, if you want `longhaul demo`",
        ),
        None => Check::ok(WHAT, "none came with this program; its sources have them"),
    }
}

/// Around the server that runs, or around one that would be started here.
pub fn walls(context: &Context) -> Check {
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

pub fn map_limit(context: &Context) -> Check {
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

/// Of the server that runs, or of one that was started from here.
pub fn limit_of_descriptors(folder: &Path) -> Option<u64> {
    let of_server = ServerInfo::read(folder)
        .and_then(|info| fs::read_to_string(format!("/proc/{}/limits", info.pid)).ok())
        .and_then(|limits| soft_limit(&limits));
    of_server.or_else(http::raise_limit)
}

pub fn connections_of(limit: Option<u64>) -> usize {
    http::connections_of(limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX))
}

pub fn descriptors(limit: Option<u64>) -> Check {
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
pub fn memory(settings: &SharesSettings, machine: &Memory) -> Check {
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
