//! `[servers.NAME]`: other MCP servers whose tools components may be granted, and clients shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Certificate;
use serde::Deserialize;

use crate::authority::Secret;
use crate::catalog::{RetryRequest, is_tool_name};
use crate::cli::exit::{CliError, Result};
use crate::engine::{RemotePolicy, Remotes};
use crate::launch::{Launch, Programs, Role};
use crate::limits;
use crate::mcp::{ClientOptions, Place, ServerCommand, Upstreams};
use crate::task::UnknownOutcome;

/// One table; either `url` or `command` says where the server is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTable {
    pub url: Option<String>,
    /// `env:NAME` or `file:PATH`.
    pub token: Option<String>,
    pub command: Option<String>,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Tools (globs) that clients are shown as `NAME_TOOL`.
    pub expose: Vec<String>,
    /// Tools (globs) that may be called twice without harm.
    pub idempotent: Vec<String>,
    pub unknown_outcome: UnknownOutcome,
    pub timeout_seconds: Option<u64>,
    pub retry: RetryRequest,
    /// Where a command runs: the folder of the file that this stands in, never the one that a host happens to be in.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

/// All of them, ready to be called; nothing is connected yet. `None` where there are none.
pub fn remotes(
    tables: &BTreeMap<String, ServerTable>,
    env: impl Fn(&str) -> Option<String>,
    certificates: &[Certificate],
    launch: &Launch,
) -> Result<Option<Remotes>> {
    if tables.is_empty() {
        return Ok(None);
    }
    let bound = limits::MAX_REMOTE_SERVERS;
    if tables.len() > bound {
        return Err(CliError::usage(format_args!(
            "longhaul.toml has more than {bound} tables [servers.NAME]"
        )));
    }
    let (mut places, mut policies) = (BTreeMap::new(), BTreeMap::new());
    for (name, table) in tables {
        let wrong = |why: String| CliError::usage(format_args!("[servers.{name}] in longhaul.toml: {why}"));
        if !is_tool_name(name) || name.len() > 32 {
            return Err(wrong("the name consists of 1 to 32 of A-Z, a-z, 0-9, '_' and '-'".to_owned()));
        }
        places.insert(name.clone(), place(name, table, &env, certificates, launch).map_err(wrong)?);
        policies.insert(name.clone(), policy(table).map_err(wrong)?);
    }
    Ok(Some(Remotes::new(Arc::new(Upstreams::new(places)), policies)))
}

/// The programs of those that are commands.
pub fn programs(tables: &BTreeMap<String, ServerTable>) -> Programs {
    let program = |(name, table): (&String, &ServerTable)| {
        let command = ServerCommand {
            program: table.command.clone()?,
            arguments: table.args.clone(),
            environment: table.env.clone().into_iter().collect(),
            folder: table.folder.clone(),
        };
        Some((Role::Server(name.clone()), command.into()))
    };
    tables.iter().filter_map(program).collect()
}

fn place(
    name: &str,
    table: &ServerTable,
    env: &impl Fn(&str) -> Option<String>,
    certificates: &[Certificate],
    launch: &Launch,
) -> Result<Place, String> {
    match (&table.url, &table.command) {
        (Some(url), None) => {
            if !table.args.is_empty() || !table.env.is_empty() {
                return Err("args and env are for a command, not for a url".to_owned());
            }
            let token = table.token.as_deref().map(|from| secret(from, env)).transpose()?;
            let certificates = certificates.to_vec();
            Ok(Place::Url(ClientOptions {
                url: url.clone(),
                token,
                certificates,
                ..ClientOptions::default()
            }))
        }
        (None, Some(program)) => {
            if table.token.is_some() {
                return Err("token is for a url; a command gets it in env".to_owned());
            }
            let (launch, role) = (launch.clone(), Role::Server(name.to_owned()));
            Ok(Place::Program { launch, role, program: program.clone() })
        }
        _ => Err("either url or command says where the server is".to_owned()),
    }
}

fn secret(from: &str, env: &impl Fn(&str) -> Option<String>) -> Result<Secret, String> {
    let text = match from.split_once(':') {
        Some(("env", name)) => env(name).ok_or_else(|| format!("token: the environment has no {name}"))?,
        Some(("file", path)) => std::fs::read_to_string(Path::new(path))
            .map_err(|error| format!("token: {path} cannot be read: {error}"))?,
        _ => return Err("token is env:NAME or file:PATH, so that it does not stand in this file".to_owned()),
    };
    match text.trim() {
        "" => Err("token: there is none".to_owned()),
        token => Ok(Secret::new(token)),
    }
}

fn policy(table: &ServerTable) -> Result<RemotePolicy, String> {
    let mut policy = RemotePolicy {
        expose: table.expose.clone(),
        idempotent: table.idempotent.clone(),
        unknown_outcome: table.unknown_outcome,
        ..RemotePolicy::default()
    };
    if let Some(seconds) = table.timeout_seconds {
        let most = limits::MAX_TOTAL_SECONDS;
        if !(1..=most).contains(&seconds) {
            return Err(format!("timeout_seconds is not from 1 to {most}"));
        }
        policy.timeout = Duration::from_secs(seconds);
    }
    if let Some(attempts) = table.retry.attempts {
        policy.retry.attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    }
    policy.retry.backoff = table.retry.backoff.unwrap_or(policy.retry.backoff);
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Remotes>> {
        let tables: BTreeMap<String, ServerTable> = toml::from_str(text).expect("tables");
        let launch = Launch::here(programs(&tables));
        remotes(&tables, |name| (name == "TOKEN").then(|| "t".to_owned()), &[], &launch)
    }

    #[test]
    fn a_server_is_a_url_or_a_command() {
        assert!(read("").expect("none").is_none());
        for good in [
            "[docs]\nurl = 'http://127.0.0.1:1/mcp'\ntoken = 'env:TOKEN'",
            "[docs]\ncommand = 'x'\nargs = ['y']\nenv = { A = 'b' }\nexpose = ['*']\nretry = { attempts = 2 }",
        ] {
            assert!(read(good).expect(good).is_some());
        }
        for (wrong, part) in [
            ("[docs]", "either url or command"),
            ("[docs]\nurl = 'u'\ncommand = 'c'", "either url or command"),
            ("[docs]\nurl = 'u'\nargs = ['a']", "args and env"),
            ("[docs]\nurl = 'u'\ntoken = 'abc'", "env:NAME"),
            ("[docs]\nurl = 'u'\ntoken = 'env:OTHER'", "has no OTHER"),
            ("[docs]\ncommand = 'c'\ntoken = 'env:TOKEN'", "token is for a url"),
            ("['a b']\ncommand = 'c'", "the name"),
            ("[docs]\ncommand = 'c'\ntimeout_seconds = 0", "timeout_seconds"),
        ] {
            let error = read(wrong).err().expect(wrong);
            assert!(error.message.contains(part), "{wrong}: {}", error.message);
        }
    }
}
