//! What the operator says in `longhaul.toml`: grants, and how tools are named and answered.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::definition::{Reply, ToolDefinition};
use super::file::{
    env_names, http_patterns, key, model_names, quoted, state_patterns, tool_globs, visible_line, within,
};
use super::manifest::{LimitRequest, RetryRequest, guest_path, header_name, host_name, slot_name};
use super::signature::Signers;
use super::tool_bounds::{Rate, ToolBounds, rate};
use super::{Catalog, is_tool_name};
use crate::authority::{Access, FileGrant, Grant, HttpPattern, SecretGrant, StatePattern};
use crate::limits;
use crate::secrets::{SecretSource, SourceError};

/// The operator's tables. The default grants nothing and changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operator {
    /// `[grants.NAME]`, by the component's name.
    pub grants: BTreeMap<String, GrantTable>,
    /// `[tools.NAME]`, by the name under which clients see the tool.
    pub tools: BTreeMap<String, ToolOverride>,
    /// `[components.NAME]`, by the component's name.
    pub components: BTreeMap<String, ComponentTable>,
    /// The `dedupe_seconds` of every tool that says nothing of it itself.
    pub dedupe_seconds: Option<u64>,
    /// Who may sign components, and whether they must.
    pub signers: Signers,
}

/// What a component is given, in the manifest's terms; here folders and secrets are bound to their sources.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrantTable {
    #[serde(deserialize_with = "http_patterns")]
    pub http: Vec<HttpPattern>,
    pub files: Vec<FileBinding>,
    #[serde(deserialize_with = "env_names")]
    pub env: Vec<String>,
    pub secrets: Vec<SecretBinding>,
    #[serde(deserialize_with = "state_patterns")]
    pub state: Vec<StatePattern>,
    #[serde(deserialize_with = "tool_globs")]
    pub tools: Vec<String>,
    pub elicit: bool,
    pub sample: bool,
    #[serde(deserialize_with = "model_names")]
    pub models: Vec<String>,
    pub limits: LimitRequest,
    pub retry: RetryRequest,
}

/// All of it stands here, so that a manifest that changes cannot widen what was granted.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileBinding {
    #[serde(deserialize_with = "slot_name")]
    pub slot: String,
    #[serde(deserialize_with = "guest_path")]
    pub at: String,
    pub access: Access,
    #[serde(deserialize_with = "not_empty")]
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretBinding {
    #[serde(deserialize_with = "slot_name")]
    pub name: String,
    #[serde(deserialize_with = "host_name")]
    pub host: String,
    #[serde(deserialize_with = "header_name")]
    pub header: String,
    /// A [`SecretSource`].
    #[serde(deserialize_with = "secret_source")]
    pub from: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToolOverride {
    pub reply: Option<Reply>,
    #[serde(deserialize_with = "within::<0, { limits::MAX_TOTAL_SECONDS }, _>")]
    pub inline_wait_seconds: Option<u64>,
    #[serde(deserialize_with = "within::<0, { limits::MAX_TOTAL_SECONDS }, _>")]
    pub dedupe_seconds: Option<u64>,
    pub ask_first: Option<bool>,
    pub cancel_when_lost: Option<bool>,
    /// The typed export that bears this name, whatever its manifest says.
    #[serde(deserialize_with = "visible_line")]
    pub export: Option<String>,
    /// Tasks of it, of all callers, that have an instance at once.
    #[serde(deserialize_with = "within::<1, { limits::MAX_LIVE_INSTANCES as u64 }, _>")]
    pub concurrency: Option<u64>,
    /// How often one of its tasks begins, of all callers together.
    #[serde(deserialize_with = "rate")]
    pub rate: Option<Rate>,
}

impl Operator {
    /// The bounds of tools that have some, by their names.
    pub fn tool_bounds(&self) -> BTreeMap<String, ToolBounds> {
        let bounds = |said: &ToolOverride| ToolBounds { concurrency: said.concurrency, rate: said.rate };
        let named = self.tools.iter().map(|(name, said)| (name.clone(), bounds(said)));
        named.filter(|(_, bounds)| !bounds.is_none()).collect()
    }

    /// What an approval rests on: grants, and what tools are called. How they are answered is left out.
    pub(super) fn for_approvals(&self) -> Self {
        let named = |said: &ToolOverride| ToolOverride { export: said.export.clone(), ..Default::default() };
        Self {
            grants: self.grants.clone(),
            tools: self.tools.iter().map(|(name, said)| (name.clone(), named(said))).collect(),
            components: self.components.clone(),
            ..Self::default()
        }
    }

    /// How a tool that clients see by this name is answered, as far as the operator says so.
    pub fn answered_as(&self, name: &str, definition: &mut ToolDefinition) {
        definition.dedupe_seconds = definition.dedupe_seconds.or(self.dedupe_seconds);
        let Some(said) = self.tools.get(name) else { return };
        definition.reply = said.reply.unwrap_or(definition.reply);
        definition.inline_wait_seconds = said.inline_wait_seconds.or(definition.inline_wait_seconds);
        definition.dedupe_seconds = said.dedupe_seconds.or(definition.dedupe_seconds);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComponentTable {
    /// Stands before the name of each of its tools, with `_` between.
    #[serde(deserialize_with = "prefix")]
    pub prefix: Option<String>,
}

impl Operator {
    /// Tables that speak of nothing that is there, such as `[grants.travl]`: most likely misspelt.
    pub fn unused(&self, catalog: &Catalog) -> Vec<String> {
        // What waits for a person may wait for what these tables give it.
        let waits = |name: &str| catalog.unapproved().any(|waiting| waiting.component.name == name);
        let no_component = |name: &&String| catalog.component(name).is_none() && !waits(name);
        let grants = self.grants.keys().filter(no_component).map(|name| format!("[grants.{}]", key(name)));
        let components =
            self.components.keys().filter(no_component).map(|name| format!("[components.{}]", key(name)));
        let has_tool = |name: &str| catalog.unapproved().any(|waiting| waiting.has_tool(name));
        let tools = self.tools.keys().filter(|name| catalog.tool(name).is_none() && !has_tool(name));
        grants.chain(components).chain(tools.map(|name| format!("[tools.{}]", key(name)))).collect()
    }
}

impl GrantTable {
    pub fn as_grant(&self) -> Grant {
        let file = |f: &FileBinding| FileGrant {
            slot: f.slot.clone(),
            at: f.at.clone(),
            access: f.access,
            path: Some(f.path.clone()),
        };
        let secret = |s: &SecretBinding| SecretGrant {
            name: s.name.clone(),
            host: s.host.clone(),
            header: s.header.clone(),
            from: Some(s.from.clone()),
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

/// The lines of `longhaul.toml` that grant this to a component. Sources that are not known stand in capitals.
pub fn grant_lines(component: &str, grant: &Grant) -> String {
    let mut lines = vec![format!("[grants.{}]", key(component))];
    let mut list = |name: &str, items: Vec<String>| {
        if !items.is_empty() {
            lines.push(format!("{name} = [{}]", items.join(", ")));
        }
    };
    let file = |f: &FileGrant| {
        let access = match f.access {
            Access::Read => "read",
            Access::Write => "write",
        };
        let path = f.path.as_deref().unwrap_or("FOLDER");
        let (slot, at, path) = (quoted(&f.slot), quoted(&f.at), quoted(path));
        format!("{{ slot = {slot}, at = {at}, access = \"{access}\", path = {path} }}")
    };
    let secret = |s: &SecretGrant| {
        let from = quoted(s.from.as_deref().unwrap_or("env:NAME"));
        let (name, host, header) = (quoted(&s.name), quoted(&s.host), quoted(&s.header));
        format!("{{ name = {name}, host = {host}, header = {header}, from = {from} }}")
    };
    list("http", grant.http.iter().map(|pattern| quoted(&pattern.to_string())).collect());
    list("files", grant.files.iter().map(file).collect());
    list("env", grant.env.iter().map(|name| quoted(name)).collect());
    list("secrets", grant.secrets.iter().map(secret).collect());
    list("state", grant.state.iter().map(|pattern| quoted(&pattern.to_string())).collect());
    list("tools", grant.tools.iter().map(|name| quoted(name)).collect());
    list("models", grant.models.iter().map(|name| quoted(name)).collect());
    lines.extend(grant.elicit.then(|| "elicit = true".to_owned()));
    lines.extend(grant.sample.then(|| "sample = true".to_owned()));
    lines.join("\n")
}

fn not_empty<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    if text.is_empty() { Err(D::Error::custom("the path is empty")) } else { Ok(text) }
}

fn secret_source<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    match text.parse::<SecretSource>() {
        Ok(_) => Ok(text),
        // The configuration that it stands in says from where.
        Err(SourceError::RelativePath) if text != "file:" => Ok(text),
        Err(error) => Err(D::Error::custom(error)),
    }
}

fn prefix<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(input)?;
    if is_tool_name(&text) {
        return Ok(Some(text));
    }
    let text = text.escape_debug();
    Err(D::Error::custom(format!("'{text}' is no prefix: it takes 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<GrantTable, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_grant_binds_and_limits() {
        let table = table(
            r#"
            http = ["https://api.example.com"]
            files = [{ slot = "docs", at = "/docs", access = "read", path = "/srv/docs" }]
            secrets = [{ name = "key", host = "api.example.com", header = "authorization", from = "env:KEY" }]
            elicit = true
            [limits]
            memory_mib = 512
            "#,
        )
        .expect("a grant");
        let grant = table.as_grant();
        assert_eq!(grant.files[0].path.as_deref(), Some("/srv/docs"));
        assert_eq!(grant.secrets[0].from.as_deref(), Some("env:KEY"));
        assert!(grant.elicit && !grant.sample);
        assert_eq!(table.limits.memory_mib, Some(512));
        assert!(GrantTable::default().as_grant().is_empty());
    }

    #[test]
    fn a_grant_without_its_binding_or_with_an_unknown_key_is_refused() {
        for (text, part) in [
            ("files = [{ slot = \"docs\", at = \"/docs\", access = \"read\" }]", "missing field `path`"),
            (
                "files = [{ slot = \"docs\", at = \"/docs\", access = \"read\", path = \"\" }]",
                "path is empty",
            ),
            ("secrets = [{ name = \"k\", host = \"h\", header = \"x\", from = \"KEY\" }]", "env:NAME"),
            ("secrets = [{ name = \"k\", host = \"h\", header = \"x\", from = \"env:A B\" }]", "env:NAME"),
            ("socket = true", "unknown field `socket`"),
            ("[limits]\nmemory_mib = 0", "0 is not from 1"),
        ] {
            let seen = table(text).expect_err("refused");
            assert!(seen.contains(part), "{part} in {seen}");
        }
        let wrong: Result<ComponentTable, _> = toml::from_str("prefix = \"a b\"");
        assert!(wrong.expect_err("refused").to_string().contains("no prefix"));
    }

    #[test]
    fn the_lines_to_write_read_back_as_the_grant() {
        let wanted = table(
            r#"
            http = ["https://*.example.com:8443"]
            files = [{ slot = "docs", at = "/docs", access = "write", path = "/a \"b\"" }]
            env = ["LANG"]
            secrets = [{ name = "key", host = "api.example.com", header = "authorization", from = "file:/k" }]
            state = ["trips/eu-*:read"]
            tools = ["research_*"]
            sample = true
            models = ["fast"]
            "#,
        )
        .expect("a grant")
        .as_grant();
        let lines = grant_lines("my.tool", &wanted);
        let (header, body) = lines.split_once('\n').expect("lines");
        assert_eq!(header, "[grants.\"my.tool\"]");
        assert_eq!(table(body).expect("a grant").as_grant(), wanted);
        let unbound = grant_lines("travel", &wanted.without_bindings());
        assert!(
            unbound.contains("path = \"FOLDER\"") && unbound.contains("from = \"env:NAME\""),
            "{unbound}"
        );
    }

    #[test]
    fn tables_that_speak_of_nothing_are_told() {
        let operator = Operator {
            grants: [("travl".to_owned(), GrantTable::default())].into(),
            tools: [("bok".to_owned(), ToolOverride::default())].into(),
            components: [("a.b".to_owned(), ComponentTable::default())].into(),
            ..Operator::default()
        };
        let seen = operator.unused(&Catalog::default());
        assert_eq!(seen, ["[grants.travl]", "[components.\"a.b\"]", "[tools.bok]"]);
    }
}
