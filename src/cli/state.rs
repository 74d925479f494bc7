//! `longhaul state …`

use serde_json::{Value, json};

use super::access::{Access, Purpose};
use super::args::{StateArgs, StateCommand};
use super::context::Context;
use super::exit::{CliError, Exit, Result};
use super::follow;
use super::remote::{Remote, RemoteError};
use super::render::{Output, Table, escape};
use crate::engine::{StateQuery, StateWrite};
use crate::limits;

pub async fn run(args: StateArgs, context: &Context) -> Result<Exit> {
    let purpose = match &args.command {
        StateCommand::Get { .. } | StateCommand::List { .. } | StateCommand::Watch { .. } => Purpose::Read,
        _ => Purpose::Write,
    };
    let mut access = Access::open_for(purpose, args.server.url(), context).await?;
    let done = perform(&mut access, args.command, context.output).await;
    access.close().await;
    done
}

async fn perform(access: &mut Access, command: StateCommand, output: Output) -> Result<Exit> {
    match command {
        StateCommand::Get { namespace, key } => {
            let entry = access.state_get(&namespace, &key).await?;
            if !is_there(&entry) {
                let told = format!("there is no entry '{}' in '{namespace}'", escape(&key));
                return Err(CliError::not_found(told).next(format!("longhaul state list {namespace}")));
            }
            match output.json {
                true => output.json(&entry)?,
                false => output.foreign_text(&pretty(&entry["value"]))?,
            }
        }
        StateCommand::Put { namespace, key, value, if_version, ttl_seconds } => {
            let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
            let put = StateWrite::put(key, value.to_string()).ttl_seconds(ttl_seconds);
            print_version(access.state_write(&namespace, put.if_version(if_version)).await?, output)?;
        }
        StateCommand::Delete { namespace, key, if_version } => {
            let delete = StateWrite::delete(key).if_version(if_version);
            print_version(access.state_write(&namespace, delete).await?, output)?;
        }
        StateCommand::List { namespace, prefix, limit } => {
            let entries = list(access, &namespace, prefix, limit as usize).await?;
            match output.json {
                true => output.json(&json!({ "entries": entries }))?,
                false => print_entries(&entries, output)?,
            }
        }
        StateCommand::Watch { namespace, key } => return watch(access, &namespace, &key, output).await,
    }
    Ok(Exit::Done)
}

/// As many pages as it takes.
async fn list(access: &mut Access, namespace: &str, prefix: String, limit: usize) -> Result<Vec<Value>> {
    let (mut entries, mut cursor) = (Vec::new(), None);
    loop {
        let wanted = (limit - entries.len()).min(limits::MAX_PAGE_ROWS);
        let query = StateQuery { prefix: prefix.clone(), limit: wanted, cursor };
        let mut page = access.state_list(namespace, &query).await?;
        if let Value::Array(more) = page["entries"].take() {
            entries.extend(more);
        }
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() || entries.len() >= limit {
            return Ok(entries);
        }
    }
}

/// One line for what it is now and one for each change from then on, until it is told to end.
async fn watch(access: &mut Access, namespace: &str, key: &str, output: Output) -> Result<Exit> {
    let remote = match access {
        Access::Server(remote) => remote,
        Access::Store(_) => {
            let told = "no server runs here, so nothing changes";
            return Err(CliError::failed(told).next("longhaul serve"));
        }
    };
    let mut shown = None;
    let watching = async {
        loop {
            let error = match tell_changes(remote, namespace, key, output, &mut shown).await? {
                error @ RemoteError::Lost(_) => error,
                error => return Err(error.into()),
            };
            tracing::info!(%error, "watching is interrupted");
            follow::again(async || remote.reconnect().await).await?;
        }
    };
    tokio::select! {
        ended = watching => ended,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
    }
}

/// Until the server is gone, or says no.
async fn tell_changes(
    remote: &Remote,
    namespace: &str,
    key: &str,
    output: Output,
    shown: &mut Option<u64>,
) -> Result<RemoteError> {
    // Subscribed before it is read: a change in between is told.
    let mut changes = match remote.watch_state(namespace, key).await {
        Ok(changes) => changes,
        Err(error) => return Ok(error),
    };
    loop {
        let entry = match remote.state_get(namespace, key).await {
            Ok(entry) => entry,
            Err(error) => return Ok(error),
        };
        let version = entry["version"].as_u64().unwrap_or_default();
        if shown.replace(version) != Some(version) {
            match output.json {
                true => output.json(&entry)?,
                false if version == 0 => output.line("0\t(none)")?,
                false => {
                    let (by, value) = (entry["by"].as_str().unwrap_or_default(), entry["value"].to_string());
                    output.line(format!("{version}\t{}\t{}", escape(by), escape(&value)))?;
                }
            }
        }
        if let Err(error) = changes.next().await {
            return Ok(error.into());
        }
    }
}

fn print_version(version: u64, output: Output) -> Result<()> {
    match output.json {
        true => output.json(&json!({ "version": version })),
        false => output.line(format!("version {version}")),
    }
}

fn print_entries(entries: &[Value], output: Output) -> Result<()> {
    let mut table = Table::new(&["KEY", "VERSION", "UPDATED", "BY"]);
    for entry in entries {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        table.row([text("key"), entry["version"].to_string(), text("updated_at"), text("by")]);
    }
    output.table(&table)
}

fn is_there(entry: &Value) -> bool {
    entry["version"].as_u64().is_some_and(|version| version > 0)
}

/// Text as it is, all else as JSON.
fn pretty(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}
