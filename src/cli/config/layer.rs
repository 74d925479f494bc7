//! What each source of settings says: flags, the environment, the file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::sampling::SamplingSettings;
use super::values::{
    Isolation, WallsWanted, address, background_idle_seconds, dedupe_seconds, durability, live_instances,
    number, retention_days, suspend_grace_ms, switch, trace_kib,
};
use crate::catalog::FileError;
use crate::mcp::{Links, OwnNames, wait_bound_of};
use crate::store::Durability;

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

/// What one source says.
#[derive(Default)]
pub struct Layer {
    pub data: Option<PathBuf>,
    pub http: Option<SocketAddr>,
    pub tool_paths: Option<Vec<PathBuf>>,
    pub trust: Option<bool>,
    pub durability: Option<Durability>,
    pub ca_file: Option<PathBuf>,
    pub lock_file: Option<PathBuf>,
    pub log: Option<String>,
    pub task_tools: Option<bool>,
    pub state_tools: Option<bool>,
    /// The inner `None` is no bound.
    pub wait: Option<Option<Duration>>,
    pub links: Option<Links>,
    pub names: Option<OwnNames>,
    pub allowed_hosts: Option<Vec<String>>,
    pub allowed_origins: Option<Vec<String>>,
    pub dedupe_seconds: Option<u64>,
    pub live_instances: Option<usize>,
    pub suspend_grace_ms: Option<u64>,
    pub trace_kib: Option<u64>,
    pub walls: Option<WallsWanted>,
    pub isolate: Option<Isolation>,
    /// 0 is for ever.
    pub retention_days: Option<u64>,
    /// 0 is for ever.
    pub audit_days: Option<u64>,
    pub background_idle_seconds: Option<u64>,
    pub sampling: Option<SamplingSettings>,
}

impl Layer {
    /// This one, and the lower one where this one says nothing.
    pub fn or(self, lower: Self) -> Self {
        Self {
            data: self.data.or(lower.data),
            http: self.http.or(lower.http),
            tool_paths: self.tool_paths.or(lower.tool_paths),
            trust: self.trust.or(lower.trust),
            durability: self.durability.or(lower.durability),
            ca_file: self.ca_file.or(lower.ca_file),
            lock_file: self.lock_file.or(lower.lock_file),
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
            trace_kib: self.trace_kib.or(lower.trace_kib),
            walls: self.walls.or(lower.walls),
            isolate: self.isolate.or(lower.isolate),
            retention_days: self.retention_days.or(lower.retention_days),
            audit_days: self.audit_days.or(lower.audit_days),
            sampling: self.sampling.or(lower.sampling),
            background_idle_seconds: self.background_idle_seconds.or(lower.background_idle_seconds),
        }
    }

    pub fn of_flags(flags: Overrides, cwd: &Path) -> Result<Self, ConfigError> {
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

    pub fn of_env(env: &impl Fn(&str) -> Option<String>, cwd: &Path) -> Result<Self, ConfigError> {
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
            // Only a file names it: what is approved there is approved.
            lock_file: None,
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
            trace_kib: read(env, "LONGHAUL_ENGINE_TRACE_KIB", |text| trace_kib(number(text)?))?,
            retention_days: read(env, "LONGHAUL_RETENTION_DAYS", |text| retention_days(number(text)?))?,
            // The environment of a host does not take a wall down.
            walls: None,
            isolate: None,
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
