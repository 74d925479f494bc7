//! The walls around a server: what it still needs, and what is said where one is missing.

use std::path::{Path, PathBuf};

use super::server_file::Serves;
use crate::cli::config::{Settings, WallsWanted};
use crate::cli::exit::{CliError, Result};
use crate::walls::{self, Openings, Standing};

/// What libraries read: names of hosts and how they are looked up, authorities, the libraries that do it.
const OF_LIBRARIES: [&str; 19] = [
    "/etc",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/nscd",
    "/var/run/nscd",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/pki",
    "/var/lib/ca-certificates",
    "/usr/share/zoneinfo",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/opt/etc/ssl",
    "/usr/local/ssl",
    "/usr/local/etc/openssl",
];
/// What the server asks of the kernel: itself, its group's memory, the processors.
const OF_KERNEL: [&str; 5] =
    ["/proc", "/sys/fs/cgroup", "/sys/devices/system", "/dev/urandom", "/dev/random"];
/// Variables that name authorities.
const AUTHORITIES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Puts them up, for good: the data folder is there, and no other thread yet.
pub fn raise(serves: Serves, watches: bool, settings: &Settings) -> Result<Standing> {
    if settings.engine.walls == WallsWanted::Off {
        return Ok(Standing::none("[engine] walls = \"off\" in longhaul.toml"));
    }
    let standing = walls::raise(&openings(serves, watches, settings));
    if settings.engine.walls == WallsWanted::Required && !standing.is_whole() {
        return Err(CliError::refused(format_args!(
            "[engine] walls = \"required\", and not all of them stand: {standing}"
        ))
        .next("run it on a kernel that has them, or say walls = \"on\", which takes what there is"));
    }
    Ok(standing)
}

/// For the log.
pub fn tell(standing: &Standing) {
    match standing.is_whole() {
        true => tracing::info!("walls: {standing}"),
        false => tracing::warn!("walls: {standing}"),
    }
}

fn openings(serves: Serves, watches: bool, settings: &Settings) -> Openings {
    let mut read: Vec<PathBuf> = OF_LIBRARIES.iter().chain(&OF_KERNEL).map(PathBuf::from).collect();
    read.extend(AUTHORITIES.iter().filter_map(std::env::var_os).map(PathBuf::from));
    // It names a folder elsewhere where another program writes it.
    read.extend(folder_of_link(Path::new("/etc/resolv.conf")));
    read.extend(folder_of_link(Path::new("/etc/ssl/certs")));
    read.extend(std::env::current_exe());
    read.extend(settings.file.clone());
    read.extend(
        settings.tool_paths.iter().map(|path| if path.is_dir() { path.clone() } else { folder_of(path) }),
    );
    if watches {
        // A folder that is put in the place of another one.
        read.extend(
            settings.tool_paths.iter().map(|path| folder_of(path)).filter(|it| it.parent().is_some()),
        );
    }
    Openings {
        read,
        // A file that is replaced is another one under its name: only its folder can be let through for good.
        read_files: settings.lock_file.iter().map(|path| folder_of(path)).collect(),
        write: vec!["/dev/null".into()],
        own: vec![settings.data.clone()],
        listen: if serves == Serves::Clients { vec![settings.http.port()] } else { Vec::new() },
    }
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().unwrap_or(file).to_owned()
}

fn folder_of_link(link: &Path) -> Option<PathBuf> {
    let whole = link.canonicalize().ok()?;
    let folder = if whole.is_dir() { whole } else { folder_of(&whole) };
    // The root would be everything.
    folder.parent().is_some().then_some(folder)
}
