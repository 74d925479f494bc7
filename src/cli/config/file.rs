//! `longhaul.toml` as it is written: its tables, and what may stand in them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::folders::FoldersTable;
use super::layer::Layer;
use super::models::{ModelSettings, read_models};
use super::registries::RegistryTable;
use super::sampling::SamplingSettings;
use super::servers::ServerTable;
use super::shares::SharesSettings;
use super::values::{
    Isolation, WallsWanted, address, background_idle_seconds, dedupe_seconds, durability, isolation,
    live_instances, retention_days, suspend_grace_ms, trace_kib,
};
use crate::catalog::{ComponentTable, GrantTable, Operator, Signers, ToolOverride, read_keys};
use crate::mcp::{Links, OwnNames, wait_bound_of};
use crate::store::Durability;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileTables {
    data: Option<PathBuf>,
    #[serde(deserialize_with = "read_address")]
    http: Option<SocketAddr>,
    tool_paths: Option<Vec<PathBuf>>,
    trust: Option<bool>,
    #[serde(deserialize_with = "read_durability")]
    durability: Option<Durability>,
    ca_file: Option<PathBuf>,
    lock_file: Option<PathBuf>,
    log: Option<String>,
    pub cli: CliTable,
    mcp: McpTable,
    engine: EngineTable,
    retention: RetentionTable,
    sampling: Option<SamplingSettings>,
    #[serde(deserialize_with = "read_models")]
    pub models: BTreeMap<String, ModelSettings>,
    pub shares: SharesSettings,
    pub folders: FoldersTable,
    background: BackgroundTable,
    grants: BTreeMap<String, GrantTable>,
    #[serde(deserialize_with = "read_tools")]
    tools: BTreeMap<String, ToolOverride>,
    components: BTreeMap<String, ComponentTable>,
    servers: BTreeMap<String, ServerTable>,
    registries: BTreeMap<String, RegistryTable>,
    require_signature: bool,
    #[serde(deserialize_with = "read_keys")]
    signers: BTreeMap<String, String>,
}

/// How commands behave that talk to a server or open a store.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CliTable {
    pub answer_without_terminal: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct McpTable {
    task_tools: Option<bool>,
    state_tools: Option<bool>,
    #[serde(deserialize_with = "read_wait_seconds")]
    wait_seconds: Option<Option<Duration>>,
    #[serde(deserialize_with = "read_links")]
    links: Option<Links>,
    #[serde(deserialize_with = "read_call_hint")]
    call_hint: Option<OwnNames>,
    allowed_hosts: Option<Vec<String>>,
    allowed_origins: Option<Vec<String>>,
    #[serde(deserialize_with = "read_dedupe_seconds")]
    dedupe_seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EngineTable {
    #[serde(deserialize_with = "read_live_instances")]
    live_instances: Option<usize>,
    #[serde(deserialize_with = "read_suspend_grace_ms")]
    suspend_grace_ms: Option<u64>,
    #[serde(deserialize_with = "read_trace_kib")]
    trace_kib: Option<u64>,
    #[serde(deserialize_with = "read_walls")]
    walls: Option<WallsWanted>,
    #[serde(deserialize_with = "read_isolation")]
    isolate: Option<Isolation>,
}

/// How long ended tasks are kept, with their results, outputs and logs.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RetentionTable {
    #[serde(deserialize_with = "read_retention_days")]
    days: Option<u64>,
    /// Rows of the audit.
    #[serde(deserialize_with = "read_retention_days")]
    audit_days: Option<u64>,
}

/// The server that `serve --stdio` starts.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BackgroundTable {
    #[serde(deserialize_with = "read_background_idle_seconds")]
    idle_seconds: Option<u64>,
}

/// The whole path of what a file in this folder names; `~` is the home folder.
pub fn from_folder(path: &Path, folder: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => folder.join(path),
    }
}

impl FileTables {
    /// Its paths start at `folder`; a leading `~/` is the home folder.
    pub fn split(
        self,
        folder: &Path,
        home: Option<&Path>,
    ) -> (Layer, Operator, BTreeMap<String, ServerTable>, BTreeMap<String, RegistryTable>) {
        let absolute = |path: &Path| from_folder(path, folder, home);
        let as_text = |path: &str| absolute(Path::new(path)).to_string_lossy().into_owned();
        let mut grants = self.grants;
        for grant in grants.values_mut() {
            grant.files.iter_mut().for_each(|file| file.path = as_text(&file.path));
            for secret in &mut grant.secrets {
                if let Some(path) = secret.from.strip_prefix("file:") {
                    secret.from = format!("file:{}", as_text(path));
                }
            }
        }
        let mut servers = self.servers;
        for server in servers.values_mut() {
            server.folder = Some(folder.to_owned());
            // A bare name is looked up in PATH.
            server.command = server.command.take().map(|it| if it.contains('/') { as_text(&it) } else { it });
            if let Some(path) = server.token.as_deref().and_then(|from| from.strip_prefix("file:")) {
                server.token = Some(format!("file:{}", as_text(path)));
            }
        }
        let mut registries = self.registries;
        for registry in registries.values_mut() {
            if let Some(path) = registry.password.as_deref().and_then(|from| from.strip_prefix("file:")) {
                registry.password = Some(format!("file:{}", as_text(path)));
            }
        }
        let layer = Layer {
            data: self.data.map(|path| absolute(&path)),
            http: self.http,
            tool_paths: self.tool_paths.map(|paths| paths.iter().map(|path| absolute(path)).collect()),
            trust: self.trust,
            durability: self.durability,
            ca_file: self.ca_file.map(|path| absolute(&path)),
            lock_file: self.lock_file.map(|path| absolute(&path)),
            log: self.log,
            task_tools: self.mcp.task_tools,
            state_tools: self.mcp.state_tools,
            wait: self.mcp.wait_seconds,
            links: self.mcp.links,
            names: self.mcp.call_hint,
            allowed_hosts: self.mcp.allowed_hosts,
            allowed_origins: self.mcp.allowed_origins,
            dedupe_seconds: self.mcp.dedupe_seconds,
            live_instances: self.engine.live_instances,
            suspend_grace_ms: self.engine.suspend_grace_ms,
            trace_kib: self.engine.trace_kib,
            walls: self.engine.walls,
            isolate: self.engine.isolate,
            retention_days: self.retention.days,
            audit_days: self.retention.audit_days,
            sampling: self.sampling,
            background_idle_seconds: self.background.idle_seconds,
        };
        let (tools, components) = (self.tools, self.components);
        let signers = Signers { keys: self.signers, required: self.require_signature };
        (layer, Operator { grants, tools, components, signers, ..Operator::default() }, servers, registries)
    }
}

fn read_address<'de, D: Deserializer<'de>>(input: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(input)?;
    address(&text).map(Some).map_err(|why| D::Error::custom(format!("'{}' {why}", text.escape_debug())))
}

fn read_durability<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Durability>, D::Error> {
    let text = String::deserialize(input)?;
    durability(&text).map(Some).map_err(|why| D::Error::custom(format!("'{}' {why}", text.escape_debug())))
}

fn read_walls<'de, D: Deserializer<'de>>(input: D) -> Result<Option<WallsWanted>, D::Error> {
    let text = String::deserialize(input)?;
    text.parse().map(Some).map_err(|why: String| D::Error::custom(format!("'{}' {why}", text.escape_debug())))
}

fn read_wait_seconds<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Option<Duration>>, D::Error> {
    let seconds = u64::deserialize(input)?;
    wait_bound_of(seconds).map(Some).map_err(|why| D::Error::custom(format!("{seconds} {why}")))
}

fn read_links<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Links>, D::Error> {
    let text = String::deserialize(input)?;
    text.parse().map(Some).map_err(|why| D::Error::custom(format!("'{}' {why}", text.escape_debug())))
}

fn read_call_hint<'de, D: Deserializer<'de>>(input: D) -> Result<Option<OwnNames>, D::Error> {
    let text = String::deserialize(input)?;
    let names = OwnNames::of_hint(&text);
    names.map(Some).map_err(|why| D::Error::custom(format!("'{}' {why}", text.escape_debug())))
}

fn read_live_instances<'de, D: Deserializer<'de>>(input: D) -> Result<Option<usize>, D::Error> {
    let count = u64::deserialize(input)?;
    live_instances(count).map(Some).map_err(|why| D::Error::custom(format!("{count} {why}")))
}

fn read_suspend_grace_ms<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let millis = u64::deserialize(input)?;
    suspend_grace_ms(millis).map(Some).map_err(|why| D::Error::custom(format!("{millis} {why}")))
}

fn read_trace_kib<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let kib = u64::deserialize(input)?;
    trace_kib(kib).map(Some).map_err(|why| D::Error::custom(format!("{kib} {why}")))
}

fn read_isolation<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Isolation>, D::Error> {
    let text = String::deserialize(input)?;
    isolation(&text).map(Some).map_err(|why| D::Error::custom(format!("'{}' {why}", text.escape_debug())))
}

fn read_dedupe_seconds<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let seconds = u64::deserialize(input)?;
    dedupe_seconds(seconds).map(Some).map_err(|why| D::Error::custom(format!("{seconds} {why}")))
}

fn read_retention_days<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let days = u64::deserialize(input)?;
    retention_days(days).map(Some).map_err(|why| D::Error::custom(format!("{days} {why}")))
}

fn read_background_idle_seconds<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let seconds = u64::deserialize(input)?;
    background_idle_seconds(seconds).map(Some).map_err(|why| D::Error::custom(format!("{seconds} {why}")))
}

/// `[tools.NAME]`; `tools = ["path"]` is what one might try first, so that it gets an answer of its own.
fn read_tools<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, ToolOverride>, D::Error> {
    struct Tables;
    impl<'de> Visitor<'de> for Tables {
        type Value = BTreeMap<String, ToolOverride>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("tables [tools.NAME]")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut tools = BTreeMap::new();
            while let Some((name, table)) = map.next_entry()? {
                tools.insert(name, table);
            }
            Ok(tools)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(A::Error::custom(
                "paths of tools are written tool_paths = [...]; [tools.NAME] says how a tool is answered",
            ))
        }
    }
    input.deserialize_any(Tables)
}
