//! Settings: flags, then `LONGHAUL_*`, then `longhaul.toml`, then defaults.

mod file;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use file::FileTables;

use super::servers::ServerTable;
use crate::catalog::{FileError, Operator, read_toml};
use crate::limits;
use crate::mcp::{Links, OwnNames, wait_bound_of};
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
    pub http: SocketAddr,
    pub tool_paths: Vec<PathBuf>,
    pub trust: bool,
    /// Every request over loopback is the owner's: said for one start alone, by a flag.
    pub open_loopback: bool,
    pub durability: Durability,
    /// Certificates of authorities that are trusted beside those of the machine.
    pub ca_file: Option<PathBuf>,
    /// A filter for the log, where one was set.
    pub log: Option<String>,
    /// Commands without a terminal may answer what a person is asked. The file alone says so: an agent with a shell
    /// sets flags and variables as it likes.
    pub answer_without_terminal: bool,
    pub mcp: McpSettings,
    pub engine: EngineSettings,
    /// Where samples come from that no client's model serves; nowhere unless it is written.
    pub sampling: Option<SamplingSettings>,
    pub operator: Operator,
    /// `[servers.NAME]`.
    pub servers: BTreeMap<String, ServerTable>,
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
    /// Host headers that are let in beside those of loopback.
    pub allowed_hosts: Vec<String>,
    /// Origins of browser pages that are let in.
    pub allowed_origins: Vec<String>,
}

/// An endpoint with OpenAI's `chat/completions`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingSettings {
    /// As far as the version: `https://api.openai.com/v1`.
    #[serde(deserialize_with = "file::read_base_url")]
    pub url: String,
    pub model: String,
    /// The environment variable that holds its key.
    #[serde(default, rename = "key", deserialize_with = "file::read_key_variable")]
    pub key_variable: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    pub live_instances: usize,
    pub suspend_grace: Duration,
    /// How long ended tasks are kept; `None` is for ever.
    pub retention: Option<Duration>,
    /// How long rows of the audit are kept; `None` is for ever.
    pub audit_retention: Option<Duration>,
    /// How long a server in the background stays when it has neither a client nor an open task.
    pub background_idle: Duration,
}

/// What the command line says; `None` and empty say nothing.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub config: Option<PathBuf>,
    pub data: Option<PathBuf>,
    pub http: Option<String>,
    pub tool_paths: Vec<PathBuf>,
    /// The flag can only switch it on.
    pub trust: bool,
    pub open_loopback: bool,
    pub durability: Option<String>,
    pub log: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{from}: '{}' {why}", value.escape_debug())]
    Value { from: String, value: String, why: String },
    #[error("no data folder: neither XDG_DATA_HOME nor HOME names one; say --data DIR")]
    NoDataFolder,
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
        let file = find_file(config, xdg(&env, "XDG_CONFIG_HOME", home.as_deref(), ".config"), cwd)?;
        let tables = match &file {
            None => FileTables::default(),
            Some(path) => read_toml::<FileTables>(path)?,
        };
        let folder = file.as_deref().and_then(Path::parent).unwrap_or(cwd);
        let answer_without_terminal = tables.cli.answer_without_terminal;
        let (of_file, mut operator, servers) = tables.split(folder, home.as_deref());
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
            http: said.http.unwrap_or(DEFAULT_ADDRESS),
            tool_paths: said.tool_paths.unwrap_or_default(),
            trust: said.trust.unwrap_or(false),
            open_loopback,
            durability: said.durability.unwrap_or_default(),
            ca_file: said.ca_file,
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
                background_idle: Duration::from_secs(
                    said.background_idle_seconds.unwrap_or(limits::BACKGROUND_IDLE_SECONDS),
                ),
            },
            sampling: said.sampling,
            operator,
            servers,
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
    config_home: Option<PathBuf>,
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

/// What one source says.
#[derive(Default)]
struct Layer {
    data: Option<PathBuf>,
    http: Option<SocketAddr>,
    tool_paths: Option<Vec<PathBuf>>,
    trust: Option<bool>,
    durability: Option<Durability>,
    ca_file: Option<PathBuf>,
    log: Option<String>,
    task_tools: Option<bool>,
    state_tools: Option<bool>,
    /// The inner `None` is no bound.
    wait: Option<Option<Duration>>,
    links: Option<Links>,
    names: Option<OwnNames>,
    allowed_hosts: Option<Vec<String>>,
    allowed_origins: Option<Vec<String>>,
    dedupe_seconds: Option<u64>,
    live_instances: Option<usize>,
    suspend_grace_ms: Option<u64>,
    /// 0 is for ever.
    retention_days: Option<u64>,
    /// 0 is for ever.
    audit_days: Option<u64>,
    background_idle_seconds: Option<u64>,
    sampling: Option<SamplingSettings>,
}

impl Layer {
    /// This one, and the lower one where this one says nothing.
    fn or(self, lower: Self) -> Self {
        Self {
            data: self.data.or(lower.data),
            http: self.http.or(lower.http),
            tool_paths: self.tool_paths.or(lower.tool_paths),
            trust: self.trust.or(lower.trust),
            durability: self.durability.or(lower.durability),
            ca_file: self.ca_file.or(lower.ca_file),
            log: self.log.or(lower.log),
            task_tools: self.task_tools.or(lower.task_tools),
            state_tools: self.state_tools.or(lower.state_tools),
            wait: self.wait.or(lower.wait),
            links: self.links.or(lower.links),
            names: self.names.or(lower.names),
            allowed_hosts: self.allowed_hosts.or(lower.allowed_hosts),
            allowed_origins: self.allowed_origins.or(lower.allowed_origins),
            dedupe_seconds: self.dedupe_seconds.or(lower.dedupe_seconds),
            live_instances: self.live_instances.or(lower.live_instances),
            suspend_grace_ms: self.suspend_grace_ms.or(lower.suspend_grace_ms),
            retention_days: self.retention_days.or(lower.retention_days),
            audit_days: self.audit_days.or(lower.audit_days),
            sampling: self.sampling.or(lower.sampling),
            background_idle_seconds: self.background_idle_seconds.or(lower.background_idle_seconds),
        }
    }

    fn of_flags(flags: Overrides, cwd: &Path) -> Result<Self, ConfigError> {
        let here = |path: PathBuf| cwd.join(path);
        let paths: Vec<_> = flags.tool_paths.into_iter().map(here).collect();
        Ok(Self {
            data: flags.data.map(here),
            http: flags.http.map(|text| parsed("--http", text, address)).transpose()?,
            tool_paths: (!paths.is_empty()).then_some(paths),
            trust: flags.trust.then_some(true),
            durability: flags.durability.map(|text| parsed("--durability", text, durability)).transpose()?,
            log: flags.log,
            ..Self::default()
        })
    }

    fn of_env(env: &impl Fn(&str) -> Option<String>, cwd: &Path) -> Result<Self, ConfigError> {
        let here = |path: PathBuf| cwd.join(path);
        let list = |name| {
            let items = |text: String| text.split(',').map(|item| item.trim().to_owned()).collect();
            env(name).map(items)
        };
        fn read<T>(
            env: &impl Fn(&str) -> Option<String>,
            name: &str,
            parse: impl Fn(&str) -> Result<T, String>,
        ) -> Result<Option<T>, ConfigError> {
            env(name).map(|text| parsed(name, text, parse)).transpose()
        }
        Ok(Self {
            data: env("LONGHAUL_DATA").map(PathBuf::from).map(here),
            http: read(env, "LONGHAUL_HTTP", address)?,
            tool_paths: env("LONGHAUL_TOOLS").map(|text| std::env::split_paths(&text).map(here).collect()),
            trust: read(env, "LONGHAUL_TRUST", switch)?,
            durability: read(env, "LONGHAUL_DURABILITY", durability)?,
            ca_file: env("LONGHAUL_CA_FILE").map(PathBuf::from).map(here),
            log: env("LONGHAUL_LOG"),
            task_tools: read(env, "LONGHAUL_MCP_TASK_TOOLS", switch)?,
            state_tools: read(env, "LONGHAUL_MCP_STATE_TOOLS", switch)?,
            wait: read(env, "LONGHAUL_MCP_WAIT_SECONDS", |text| wait_bound_of(number(text)?))?,
            links: read(env, "LONGHAUL_MCP_LINKS", |text| text.parse().map_err(str::to_owned))?,
            names: read(env, "LONGHAUL_MCP_CALL_HINT", OwnNames::of_hint)?,
            allowed_hosts: list("LONGHAUL_MCP_ALLOWED_HOSTS"),
            allowed_origins: list("LONGHAUL_MCP_ALLOWED_ORIGINS"),
            dedupe_seconds: read(env, "LONGHAUL_MCP_DEDUPE_SECONDS", |text| dedupe_seconds(number(text)?))?,
            live_instances: read(env, "LONGHAUL_ENGINE_LIVE_INSTANCES", |text| {
                live_instances(number(text)?)
            })?,
            suspend_grace_ms: read(env, "LONGHAUL_ENGINE_SUSPEND_GRACE_MS", |text| {
                suspend_grace_ms(number(text)?)
            })?,
            retention_days: read(env, "LONGHAUL_RETENTION_DAYS", |text| retention_days(number(text)?))?,
            // An address and its key belong together: the file alone says both.
            sampling: None,
            audit_days: read(env, "LONGHAUL_RETENTION_AUDIT_DAYS", |text| retention_days(number(text)?))?,
            background_idle_seconds: read(env, "LONGHAUL_BACKGROUND_IDLE_SECONDS", |text| {
                background_idle_seconds(number(text)?)
            })?,
        })
    }
}

fn parsed<T>(from: &str, value: String, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, ConfigError> {
    parse(&value).map_err(|why| ConfigError::Value { from: from.to_owned(), value, why })
}

/// `IP:PORT` or `localhost:PORT`: no name is looked up.
fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("{}:{port}", Ipv4Addr::LOCALHOST),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| "is no address such as 127.0.0.1:1919, [::1]:1919 or localhost:0".to_owned())
}

fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "standard" => Ok(Durability::Standard),
        "strict" => Ok(Durability::Strict),
        _ => Err("is neither standard nor strict".to_owned()),
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "is no whole number".to_owned())
}

fn live_instances(count: u64) -> Result<usize, String> {
    let most = limits::MAX_LIVE_INSTANCES;
    let fits = usize::try_from(count).ok().filter(|count| (1..=most).contains(count));
    fits.ok_or_else(|| format!("is not from 1 to {most}"))
}

fn suspend_grace_ms(millis: u64) -> Result<u64, String> {
    let most = limits::MAX_SUSPEND_GRACE_MS;
    if millis <= most { Ok(millis) } else { Err(format!("is not from 0 to {most}")) }
}

fn dedupe_seconds(seconds: u64) -> Result<u64, String> {
    let most = limits::MAX_TOTAL_SECONDS;
    if seconds <= most { Ok(seconds) } else { Err(format!("is not from 0, which is off, to {most}")) }
}

fn retention_days(days: u64) -> Result<u64, String> {
    let most = limits::MAX_RETENTION_DAYS;
    if days <= most { Ok(days) } else { Err(format!("is not from 1 to {most}, nor 0, which is for ever")) }
}

fn background_idle_seconds(seconds: u64) -> Result<u64, String> {
    let most = limits::MAX_BACKGROUND_IDLE_SECONDS;
    if seconds <= most { Ok(seconds) } else { Err(format!("is not from 0 to {most}")) }
}

#[cfg(test)]
mod tests;
