//! `NAME.toml` next to `NAME.wasm`: what a component's author says and requests.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::definition::{Annotations, Reply};
use super::file::{
    FileError, env_names, http_patterns, is_component_name, model_names, parse_toml, state_patterns,
    tool_globs, visible, visible_line, within,
};
use super::hidden::find_hidden;
use crate::authority::{Access, FileGrant, Grant, HttpPattern, SecretGrant, StatePattern};
use crate::limits;
use crate::task::{Effects, RetryPolicy, TaskLimits, UnknownOutcome};

/// What a manifest says. A component without one has an empty one.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Manifest {
    /// Must be the file's own name: grants go by it.
    #[serde(deserialize_with = "component_name")]
    pub name: Option<String>,
    #[serde(deserialize_with = "visible_line")]
    pub version: Option<String>,
    /// By the name under which clients see the tool.
    pub tools: BTreeMap<String, ToolText>,
    pub capabilities: Capabilities,
    pub limits: LimitRequest,
    pub retry: RetryRequest,
    pub effects: EffectsTable,
    /// `blake3:…` of the text that it was read from.
    #[serde(skip)]
    pub digest: Option<String>,
}

/// What a manifest says of one tool; the component says the rest.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToolText {
    #[serde(deserialize_with = "visible")]
    pub description: Option<String>,
    #[serde(deserialize_with = "visible_line")]
    pub title: Option<String>,
    pub reply: Option<Reply>,
    #[serde(deserialize_with = "within::<0, { limits::MAX_TOTAL_SECONDS }, _>")]
    pub inline_wait_seconds: Option<u64>,
    #[serde(deserialize_with = "within::<0, { limits::MAX_TOTAL_SECONDS }, _>")]
    pub dedupe_seconds: Option<u64>,
    pub ask_first: Option<bool>,
    pub cancel_when_lost: Option<bool>,
    pub annotations: Annotations,
    /// The typed export that bears this name: `ns:pkg/iface#func`.
    #[serde(deserialize_with = "visible_line")]
    pub export: Option<String>,
}

/// Powers that a component requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capabilities {
    #[serde(deserialize_with = "http_patterns")]
    pub http: Vec<HttpPattern>,
    pub files: Vec<FileRequest>,
    #[serde(deserialize_with = "env_names")]
    pub env: Vec<String>,
    pub secrets: Vec<SecretRequest>,
    #[serde(deserialize_with = "state_patterns")]
    pub state: Vec<StatePattern>,
    #[serde(deserialize_with = "tool_globs")]
    pub tools: Vec<String>,
    pub elicit: bool,
    pub sample: bool,
    /// Models of the operator's, by their names.
    #[serde(deserialize_with = "model_names")]
    pub models: Vec<String>,
}

/// A folder that a component would like to see; the operator says which.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRequest {
    #[serde(deserialize_with = "slot_name")]
    pub slot: String,
    #[serde(deserialize_with = "guest_path")]
    pub at: String,
    pub access: Access,
}

/// A secret that the host puts into requests to one host; the component never sees it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRequest {
    #[serde(deserialize_with = "slot_name")]
    pub name: String,
    #[serde(deserialize_with = "host_name")]
    pub host: String,
    #[serde(deserialize_with = "header_name")]
    pub header: String,
}

/// Bounds; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitRequest {
    #[serde(deserialize_with = "within::<1, { limits::MAX_MEMORY_MIB }, _>")]
    pub memory_mib: Option<u64>,
    #[serde(deserialize_with = "within::<1, { limits::MAX_RUN_SECONDS }, _>")]
    pub run_seconds: Option<u64>,
    #[serde(deserialize_with = "within::<1, { limits::MAX_TOTAL_SECONDS }, _>")]
    pub total_seconds: Option<u64>,
    #[serde(deserialize_with = "within::<1, { limits::MAX_JOURNAL_MIB }, _>")]
    pub journal_mib: Option<u64>,
    #[serde(deserialize_with = "within::<1, { limits::MAX_RESULT_KIB }, _>")]
    pub result_kib: Option<u64>,
    #[serde(deserialize_with = "within::<0, { limits::MAX_QUESTIONS }, _>")]
    pub questions: Option<u64>,
    #[serde(deserialize_with = "within::<0, { limits::MAX_SAMPLES }, _>")]
    pub samples: Option<u64>,
    #[serde(deserialize_with = "within::<0, { limits::MAX_SAMPLE_TOKENS }, _>")]
    pub sample_tokens: Option<u64>,
    /// Hundredths of the unit that prices of models are in.
    #[serde(deserialize_with = "within::<0, { limits::MAX_MODEL_COST_CENTS }, _>")]
    pub model_cost_cents: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryRequest {
    #[serde(deserialize_with = "within::<1, { limits::MAX_RETRY_ATTEMPTS }, _>")]
    pub attempts: Option<u64>,
    #[serde(deserialize_with = "backoff")]
    pub backoff: Option<Duration>,
}

/// `[effects]`, in the file's form.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EffectsTable {
    pub unknown_outcome: UnknownOutcome,
    /// Hosts that heed an idempotency key: a request to them may be sent again.
    #[serde(deserialize_with = "host_names")]
    pub idempotent_hosts: Vec<String>,
}

impl From<EffectsTable> for Effects {
    fn from(table: EffectsTable) -> Self {
        Self { unknown_outcome: table.unknown_outcome, idempotent_hosts: table.idempotent_hosts }
    }
}

impl Manifest {
    /// `path` is for the error alone.
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        parse_toml::<Self>(path, text)?.checked(path)
    }

    fn checked(self, path: &Path) -> Result<Self, FileError> {
        if let Some(name) = self.tools.keys().find(|name| !super::is_tool_name(name)) {
            let message = super::DefinitionError::Name(name.escape_debug().to_string()).to_string();
            return Err(FileError { key: Some("tools".to_owned()), ..FileError::new(path, message) });
        }
        if let Some(hidden) = self.capabilities.texts().find_map(find_hidden) {
            let key = Some("capabilities".to_owned());
            return Err(FileError { key, ..FileError::new(path, format!("a request {hidden}")) });
        }
        Ok(self)
    }
}

impl Capabilities {
    /// All texts that an approval rests on, except for HTTP hosts, which are plain.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let files = self.files.iter().flat_map(|file| [&file.slot, &file.at]);
        let secrets = self.secrets.iter().flat_map(|secret| [&secret.name, &secret.host, &secret.header]);
        let state = self.state.iter().map(|pattern| &pattern.key);
        files.chain(secrets).chain(state).chain(&self.env).chain(&self.tools).map(String::as_str)
    }

    /// As a grant whose folders and secrets are bound to nothing.
    pub fn as_grant(&self) -> Grant {
        let file = |f: &FileRequest| FileGrant {
            slot: f.slot.clone(),
            at: f.at.clone(),
            access: f.access,
            path: None,
        };
        let secret = |s: &SecretRequest| SecretGrant {
            name: s.name.clone(),
            host: s.host.clone(),
            header: s.header.clone(),
            from: None,
        };
        Grant {
            http: self.http.clone(),
            files: self.files.iter().map(file).collect(),
            env: self.env.clone(),
            secrets: self.secrets.iter().map(secret).collect(),
            state: self.state.clone(),
            tools: self.tools.clone(),
            elicit: self.elicit,
            sample: self.sample,
            models: self.models.clone(),
        }
    }
}

impl LimitRequest {
    /// `base`, with what is said here in its place.
    pub fn over(&self, base: TaskLimits) -> TaskLimits {
        let count = |said: Option<u64>, base| said.and_then(|n| u32::try_from(n).ok()).unwrap_or(base);
        TaskLimits {
            memory_mib: self.memory_mib.unwrap_or(base.memory_mib),
            run_seconds: self.run_seconds.unwrap_or(base.run_seconds),
            total_seconds: self.total_seconds.unwrap_or(base.total_seconds),
            journal_mib: self.journal_mib.unwrap_or(base.journal_mib),
            result_kib: self.result_kib.unwrap_or(base.result_kib),
            questions: count(self.questions, base.questions),
            samples: count(self.samples, base.samples),
            sample_tokens: self.sample_tokens.unwrap_or(base.sample_tokens),
            model_cost_cents: self.model_cost_cents.unwrap_or(base.model_cost_cents),
        }
    }
}

impl LimitRequest {
    /// What is said, in the order of [`TaskLimits::named`].
    pub fn list_bounds(&self) -> [Option<u64>; 9] {
        [
            self.memory_mib,
            self.run_seconds,
            self.total_seconds,
            self.journal_mib,
            self.result_kib,
            self.questions,
            self.samples,
            self.sample_tokens,
            self.model_cost_cents,
        ]
    }
}

impl RetryRequest {
    /// `base`, with what is said here in its place.
    pub fn over(&self, base: RetryPolicy) -> RetryPolicy {
        RetryPolicy {
            attempts: self.attempts.and_then(|n| u32::try_from(n).ok()).unwrap_or(base.attempts),
            backoff: self.backoff.unwrap_or(base.backoff),
        }
    }
}

fn component_name<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(input)?;
    if is_component_name(&name) {
        return Ok(Some(name));
    }
    let name = name.escape_debug();
    Err(D::Error::custom(format!(
        "'{name}' is no component name: it takes 1 to 64 of A-Z, a-z, 0-9, '_', '-' and '.'"
    )))
}

/// `500ms`, `2s`, `1m`, `1h`: a whole number and its unit.
fn backoff<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(input)?;
    let most = Duration::from_secs(limits::MAX_BACKOFF_SECONDS);
    let duration = parse_duration(&text).ok_or_else(|| {
        D::Error::custom(format!("'{}' is no duration such as 500ms, 2s, 1m or 1h", text.escape_debug()))
    })?;
    if duration > most {
        return Err(D::Error::custom(format!("'{text}' is longer than {} s", most.as_secs())));
    }
    Ok(Some(duration))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

pub(super) fn slot_name<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let name = String::deserialize(input)?;
    if super::is_tool_name(&name) {
        return Ok(name);
    }
    Err(D::Error::custom(format!(
        "'{}' is no name: it takes 1 to 64 of A-Z, a-z, 0-9, '_' and '-'",
        name.escape_debug()
    )))
}

pub(super) fn guest_path<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let path = String::deserialize(input)?;
    if is_guest_path(&path) {
        return Ok(path);
    }
    Err(D::Error::custom(format!(
        "'{}' is no absolute path without '.' and '..', such as /docs",
        path.escape_debug()
    )))
}

pub(super) fn is_guest_path(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\\');
    let rooted = path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain));
    rooted && !path.contains(char::is_control)
}

pub(super) fn host_name<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let host = String::deserialize(input)?;
    check_host(&host).map_err(D::Error::custom)?;
    Ok(host.to_ascii_lowercase())
}

fn host_names<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let hosts = Vec::<String>::deserialize(input)?;
    hosts.iter().try_for_each(|host| check_host(host)).map_err(D::Error::custom)?;
    Ok(hosts.iter().map(|host| host.to_ascii_lowercase()).collect())
}

fn check_host(host: &str) -> Result<(), String> {
    // The pattern language knows what a host is.
    match HttpPattern::parse(&format!("https://{host}")) {
        Ok(pattern) if pattern.host == host.to_ascii_lowercase() => Ok(()),
        _ => Err(format!("'{}' is no host such as api.example.com", host.escape_debug())),
    }
}

/// `NAME`, or `NAME: PREFIX` with one word that stands before the secret.
pub(super) fn header_name<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    let (name, prefix) = match text.split_once(": ") {
        Some((name, prefix)) => (name, Some(prefix)),
        None => (&*text, None),
    };
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_word = |prefix: &str| !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_graphic());
    if name.is_empty() || !name.bytes().all(token) || !prefix.is_none_or(is_word) {
        let shown = text.escape_debug();
        return Err(D::Error::custom(format!(
            "'{shown}' is no HTTP header such as X-Api-Key, or Authorization: Bearer"
        )));
    }
    let name = name.to_ascii_lowercase();
    if FRAMING.contains(&&*name) {
        return Err(D::Error::custom(format!(
            "the header {name} belongs to the connection, and holds no secret"
        )));
    }
    Ok(prefix.map_or(name.clone(), |prefix| format!("{name}: {prefix}")))
}

/// Headers that say how a message is read: another value there would make it another message.
const FRAMING: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "accept-encoding",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::file::read_toml;

    fn parse(text: &str) -> Result<Manifest, FileError> {
        Manifest::parse(Path::new("tools/travel.toml"), text)
    }

    fn refused(text: &str) -> String {
        parse(text).expect_err("refused").to_string()
    }

    #[test]
    fn everything_that_a_manifest_can_say() {
        let manifest = parse(
            r#"
            name = "travel"
            version = "0.1.0"
            [tools.travel_agent]
            description = "Books a trip.\nAsks first."
            title = "Travel agent"
            reply = "inline"
            inline_wait_seconds = 0
            dedupe_seconds = 60
            annotations = { read_only = false, open_world = true }
            export = "demo:travel/agent#run"
            [capabilities]
            http = ["https://*.example.com"]
            files = [{ slot = "docs", at = "/docs", access = "read" }]
            env = ["LANG"]
            secrets = [{ name = "key", host = "API.example.com", header = "Authorization" }]
            state = ["trips", "prices/eu-*:read"]
            tools = ["research_*"]
            elicit = true
            sample = true
            [limits]
            memory_mib = 64
            questions = 0
            [retry]
            attempts = 3
            backoff = "500ms"
            [effects]
            unknown_outcome = "ask"
            idempotent_hosts = ["api.example.com"]
            "#,
        )
        .expect("a manifest");
        let tool = &manifest.tools["travel_agent"];
        assert_eq!((tool.reply, tool.inline_wait_seconds), (Some(Reply::Inline), Some(0)));
        assert_eq!(tool.annotations.open_world, Some(true));
        let grant = manifest.capabilities.as_grant();
        assert_eq!(grant.files[0].path, None);
        assert_eq!((grant.secrets[0].host.as_str(), &grant.secrets[0].from), ("api.example.com", &None));
        assert!(grant.elicit && grant.sample && grant.state[1].read_only);
        let limits = manifest.limits.over(TaskLimits::default());
        assert_eq!((limits.memory_mib, limits.questions), (64, 0));
        assert_eq!(limits.run_seconds, limits::DEFAULT_RUN_SECONDS);
        assert_eq!(
            manifest.retry.over(RetryPolicy::default()),
            RetryPolicy { attempts: 3, backoff: Duration::from_millis(500) }
        );
        assert_eq!(manifest.effects.unknown_outcome, UnknownOutcome::Ask);
        assert_eq!(parse("").expect("an empty one"), Manifest::default());
        assert!(Manifest::default().capabilities.as_grant().is_empty());
    }

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_what_is_allowed() {
        let seen = refused("name = \"travel\"\n\n[limits]\nmemory = 4\n");
        for part in
            ["tools/travel.toml, line 4, column 1", "in `limits", "unknown field `memory`", "`memory_mib`"]
        {
            assert!(seen.contains(part), "{part} in {seen}");
        }
        for (text, key) in [
            ("colour = 1", "colour"),
            ("[tools.a]\ncolour = 1", "colour"),
            ("[tools.a.annotations]\ncolour = true", "colour"),
            ("[capabilities]\nsockets = true", "sockets"),
            (
                "[capabilities]\nfiles = [{ slot = \"a\", at = \"/a\", access = \"read\", path = \"/etc\" }]",
                "path",
            ),
            (
                "[capabilities]\nsecrets = [{ name = \"a\", host = \"b\", header = \"c\", from = \"env:X\" }]",
                "from",
            ),
            ("[retry]\ntimes = 1", "times"),
            ("[effects]\nask = true", "ask"),
        ] {
            let seen = refused(text);
            assert!(seen.contains(&format!("unknown field `{key}`")) && seen.contains("line"), "{seen}");
        }
    }

    #[test]
    fn wrong_values_are_told_with_their_place() {
        for (text, parts) in [
            (
                "[limits]\nmemory_mib = 5000",
                vec!["line 2, column 14", "in `limits.memory_mib`", "5000 is not from 1 to 4096"],
            ),
            ("[limits]\nrun_seconds = 0", vec!["in `limits.run_seconds`", "0 is not from 1"]),
            ("[limits]\nquestions = -1", vec!["-1 is not from 0"]),
            ("[limits]\nmemory_mib = \"1\"", vec!["limits.memory_mib", "expected i64"]),
            (
                "[tools.a]\nreply = \"later\"",
                vec!["line 2, column 9", "unknown variant `later`", "`link`, `inline`, `task`"],
            ),
            ("[tools.\"a b\"]", vec!["'a b' is no tool name"]),
            ("[tools.a]\ndescription = \"x\\u200By\"", vec!["line 2", "tools.a.description", "U+200B"]),
            ("[tools.a]\ntitle = \"x\\ny\"", vec!["more than one line"]),
            (
                "[capabilities]\nhttp = [\"https://ok.example\", \"example.com\"]",
                vec!["capabilities.http", "'example.com' is no http pattern"],
            ),
            ("[capabilities]\nstate = [\"Trips\"]", vec!["'Trips' is no state pattern"]),
            (
                "[capabilities]\nfiles = [{ slot = \"a\", at = \"/a/../b\", access = \"read\" }]",
                vec!["no absolute path"],
            ),
            ("[capabilities]\nfiles = [{ slot = \"a\", at = \"/a\" }]", vec!["missing field `access`"]),
            ("[capabilities]\nenv = [\"A=B\"]", vec!["no name of an environment variable"]),
            ("[capabilities]\ntools = [\"a b\"]", vec!["'a b' is no tool name"]),
            (
                "[capabilities]\nsecrets = [{ name = \"a\", host = \"http://b\", header = \"c\" }]",
                vec!["no host"],
            ),
            (
                "[capabilities]\nsecrets = [{ name = \"a\", host = \"b\", header = \"c: d e\" }]",
                vec!["no HTTP header such as"],
            ),
            ("[retry]\nbackoff = \"2 s\"", vec!["retry.backoff", "500ms"]),
            ("[retry]\nbackoff = \"2h\"", vec!["longer than 3600 s"]),
            ("[retry]\nattempts = 0", vec!["0 is not from 1"]),
            ("name = \"../up\"", vec!["no component name"]),
            ("name = \"a\nb\"", vec!["line 2"]),
            ("name = \"a\"\nname = \"b\"", vec!["line 2", "duplicate key"]),
        ] {
            let seen = refused(text);
            for part in parts {
                assert!(seen.contains(part), "{part} in {seen}");
            }
        }
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [("500ms", 500), ("2s", 2_000), ("1m", 60_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "5", "s", "1.5s", "-1s", "1d", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("big.toml");
        let large = usize::try_from(limits::MAX_CONFIG_BYTES).expect("fits") + 1;
        std::fs::write(&path, vec![b'#'; large]).expect("written");
        let seen = read_toml::<Manifest>(&path).expect_err("refused").to_string();
        assert!(seen.contains("big.toml") && seen.contains("larger than 1048576 bytes"), "{seen}");
        std::fs::write(&path, b"name = \"\xff\"").expect("written");
        assert!(
            read_toml::<Manifest>(&path).expect_err("refused").to_string().contains("not UTF-8, at byte 8")
        );
        assert!(
            read_toml::<Manifest>(folder.path())
                .expect_err("refused")
                .to_string()
                .contains("no regular file")
        );
    }
}
