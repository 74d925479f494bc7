//! Lives here: settings: flags, then `LONGHAUL_*`, then `longhaul.toml`, then defaults.
//! May import: `exit`, and the rooms below the command line. Never here: a server, a command.
//! Read first: this file, then `layer.rs`.

pub mod bindings;
mod file;
mod folders;
mod layer;
mod models;
pub mod registries;
pub mod replace;
mod sampling;
pub mod servers;
mod shares;
mod values;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use file::FileTables;
pub use folders::FoldersSettings;
use layer::Layer;
pub use layer::{ConfigError, Overrides};
pub use models::{ModelApi, ModelSettings};
pub use sampling::SamplingSettings;
pub use shares::SharesSettings;
pub use values::{Isolation, WallsWanted};

use self::registries::RegistryTable;
use self::servers::ServerTable;
use crate::catalog::{FileError, Operator, read_toml};
use crate::limits;
use crate::mcp::{Links, OwnNames};
use crate::store::Durability;

/// The name of the file, here and in the XDG configuration folder.
pub const FILE_NAME: &str = "longhaul.toml";
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1919);

/// Everything that can be set, with nothing left open.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// A file of that name in the working folder that is not the one that was read: it says nothing.
    pub unread: Option<PathBuf>,
    pub data: PathBuf,
    /// What a person has bound at approvals: where no folder for the user's configuration is known, nothing.
    pub bindings: Option<PathBuf>,
    pub http: SocketAddr,
    pub tool_paths: Vec<PathBuf>,
    pub trust: bool,
    /// Every request over loopback is the owner's: said for one start alone, by a flag.
    pub open_loopback: bool,
    pub durability: Durability,
    /// Certificates of authorities that are trusted besides those of the machine.
    pub ca_file: Option<PathBuf>,
    /// What is approved, to be committed with the file that names it. No flag and no variable names another one.
    pub lock_file: Option<PathBuf>,
    /// A filter for the log, where one was set.
    pub log: Option<String>,
    /// Commands without a terminal may answer what a person is asked. The file alone says so: an agent with a shell
    /// sets flags and variables as it likes.
    pub answer_without_terminal: bool,
    pub mcp: McpSettings,
    pub engine: EngineSettings,
    /// What there is of each thing, and what one principal has of it. The file alone says so.
    pub shares: SharesSettings,
    pub folders: FoldersSettings,
    /// Where samples come from that no client's model serves; nowhere unless it is written.
    pub sampling: Option<SamplingSettings>,
    /// `[models.NAME]`. The file alone says so.
    pub models: BTreeMap<String, ModelSettings>,
    pub operator: Operator,
    /// `[servers.NAME]`.
    pub servers: BTreeMap<String, ServerTable>,
    /// `[registries."HOST[:PORT]"]`.
    pub registries: BTreeMap<String, RegistryTable>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpSettings {
    /// Whether `task_list` and its like are offered.
    pub task_tools: bool,
    /// Whether `state_get` and its like are offered.
    pub state_tools: bool,
    /// What bounds each wait of a call's answer.
    pub wait: Option<Duration>,
    /// How links to tasks are shown.
    pub links: Links,
    /// What clients call Longhaul's own tools.
    pub names: OwnNames,
    /// Host headers that are let in besides those of loopback.
    pub allowed_hosts: Vec<String>,
    /// Origins of browser pages that are let in.
    pub allowed_origins: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    pub live_instances: usize,
    pub suspend_grace: Duration,
    /// How long ended tasks are kept; `None` is for ever.
    pub retention: Option<Duration>,
    /// How long rows of the audit are kept; `None` is for ever.
    pub audit_retention: Option<Duration>,
    /// What is kept of each task's steps; 0 is nothing.
    pub trace_kib: u64,
    /// What keeps the server from what it has no use for. The file alone says so.
    pub walls: WallsWanted,
    /// Where guests of components run that are served by an approval.
    pub isolate: Isolation,
    /// How long a server in the background stays when it has neither a client nor an open task.
    pub background_idle: Duration,
}

impl Settings {
    /// `env` looks an environment variable up; relative paths of flags and variables start at `cwd`, those
    /// in a file at its folder.
    pub fn load(
        overrides: Overrides,
        env: impl Fn(&str) -> Option<String>,
        cwd: &Path,
    ) -> Result<Self, ConfigError> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let home = env("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let config = overrides.config.clone().or_else(|| env("LONGHAUL_CONFIG").map(PathBuf::from));
        let config_home = xdg(&env, "XDG_CONFIG_HOME", home.as_deref(), ".config");
        let bindings = config_home.as_ref().map(|home| home.join("longhaul").join(bindings::FILE_NAME));
        let file = find_file(config, config_home.as_deref(), cwd)?;
        let tables = match &file {
            None => FileTables::default(),
            Some(path) => read_toml::<FileTables>(path)?,
        };
        let folder = file.as_deref().and_then(Path::parent).unwrap_or(cwd);
        let answer_without_terminal = tables.cli.answer_without_terminal;
        let shares = tables.shares.clone();
        let whole = |path: &Path| file::from_folder(path, folder, home.as_deref());
        let models = tables.models.iter();
        let models =
            models.map(|(name, model)| (name.clone(), model.clone().with_whole_path(whole))).collect();
        let within = tables.folders.within.iter().map(|path| whole(path)).collect();
        let (of_file, mut operator, servers, registries) = tables.split(folder, home.as_deref());
        let open_loopback = overrides.open_loopback;
        let said = Layer::of_flags(overrides, cwd)?.or(Layer::of_env(&env, cwd)?).or(of_file);
        let data = said.data.or_else(|| {
            xdg(&env, "XDG_DATA_HOME", home.as_deref(), ".local/share").map(|base| base.join("longhaul"))
        });
        operator.dedupe_seconds = said.dedupe_seconds;
        Ok(Self {
            unread: unread_file(cwd, file.as_deref()),
            file,
            data: data.ok_or(ConfigError::NoDataFolder)?,
            bindings,
            http: said.http.unwrap_or(DEFAULT_ADDRESS),
            tool_paths: said.tool_paths.unwrap_or_default(),
            trust: said.trust.unwrap_or(false),
            open_loopback,
            durability: said.durability.unwrap_or_default(),
            ca_file: said.ca_file,
            lock_file: said.lock_file,
            log: said.log,
            answer_without_terminal,
            mcp: McpSettings {
                task_tools: said.task_tools.unwrap_or(true),
                state_tools: said.state_tools.unwrap_or(false),
                wait: said.wait.flatten(),
                links: said.links.unwrap_or_default(),
                names: said.names.unwrap_or_default(),
                allowed_hosts: said.allowed_hosts.unwrap_or_default(),
                allowed_origins: said.allowed_origins.unwrap_or_default(),
            },
            engine: EngineSettings {
                live_instances: said.live_instances.unwrap_or(limits::MAX_LIVE_INSTANCES),
                suspend_grace: Duration::from_millis(
                    said.suspend_grace_ms.unwrap_or(limits::SUSPEND_GRACE_MS),
                ),
                retention: kept(said.retention_days, limits::DEFAULT_RETENTION_SECONDS),
                audit_retention: kept(said.audit_days, limits::DEFAULT_AUDIT_RETENTION_SECONDS),
                trace_kib: said.trace_kib.unwrap_or(limits::DEFAULT_TRACE_KIB),
                walls: said.walls.unwrap_or_default(),
                isolate: said.isolate.unwrap_or_default(),
                background_idle: Duration::from_secs(
                    said.background_idle_seconds.unwrap_or(limits::BACKGROUND_IDLE_SECONDS),
                ),
            },
            shares,
            folders: FoldersSettings::new(within, config_home.as_deref()),
            sampling: said.sampling,
            models,
            operator,
            servers,
            registries,
        })
    }
}

/// 0 days are for ever.
fn kept(days: Option<u64>, default_seconds: u64) -> Option<Duration> {
    match days {
        None => Some(Duration::from_secs(default_seconds)),
        Some(0) => None,
        Some(days) => Some(Duration::from_secs(days * 86_400)),
    }
}

/// A named file must be there; the one in the XDG folder need not, but if it is there it must be readable. The
/// working folder is never looked in: hosts start this program in whatever folder is open, and a cloned repository
/// must not choose programs, secrets or the data folder.
fn find_file(
    named: Option<PathBuf>,
    config_home: Option<&Path>,
    cwd: &Path,
) -> Result<Option<PathBuf>, ConfigError> {
    if let Some(path) = named {
        return Ok(Some(cwd.join(path)));
    }
    let Some(path) = config_home.map(|home| home.join("longhaul").join(FILE_NAME)) else { return Ok(None) };
    match path.symlink_metadata() {
        Ok(_) => Ok(Some(path)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(FileError::new(&path, format!("cannot be read: {error}")).into()),
    }
}

/// A file in the working folder whose owner may think that it holds.
fn unread_file(cwd: &Path, read: Option<&Path>) -> Option<PathBuf> {
    let here = cwd.join(FILE_NAME);
    here.symlink_metadata().ok()?;
    let place = |path: &Path| path.canonicalize().ok();
    let is_read =
        read.is_some_and(|read| read == here || (place(read).is_some() && place(read) == place(&here)));
    (!is_read).then_some(here)
}

/// A base folder as the XDG specification has it: a relative one does not count.
fn xdg(
    env: &impl Fn(&str) -> Option<String>,
    variable: &str,
    home: Option<&Path>,
    below_home: &str,
) -> Option<PathBuf> {
    let named = env(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| Some(home?.join(below_home)))
}

#[cfg(test)]
mod tests;
