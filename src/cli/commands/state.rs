//! `longhaul state …`

use serde_json::{Value, json};

use crate::api::{ListedEntry, StateDelete, StateGet, StateList, StatePut};
use crate::cli::args::{StateArgs, StateCommand};
use crate::cli::client::access::{Access, Purpose};
use crate::cli::client::follow;
use crate::cli::client::remote::{Remote, RemoteError};
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::show::render::{Output, Table, escape};
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
            let entry = access.run(StateGet { namespace: namespace.clone(), key: key.clone() }).await?;
            if !entry.exists() {
                let words = format!("there is no entry '{}' in '{namespace}'", escape(&key));
                return Err(CliError::not_found(words).next(format!("longhaul state list {namespace}")));
            }
            match output.json {
                true => output.json(&entry)?,
                false => output.foreign_text(&pretty(&entry.value.unwrap_or_default()))?,
            }
        }
        StateCommand::Put { namespace, key, value, if_version, ttl_seconds } => {
            let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
            let put = StatePut { namespace, key, value, if_version, ttl_seconds };
            output.value(&access.run(put).await?)?;
        }
        StateCommand::Delete { namespace, key, if_version } => {
            output.value(&access.run(StateDelete { namespace, key, if_version }).await?)?;
        }
        StateCommand::List { namespace, prefix, limit } => {
            let entries = list(access, &namespace, prefix, limit as usize).await?;
            match output.json {
                true => output.json(&json!({ "entries": entries }))?,
                false => print_entries(entries, output)?,
            }
        }
        StateCommand::Watch { namespace, key } => return watch(access, &namespace, &key, output).await,
    }
    Ok(Exit::Done)
}

/// As many pages as it takes.
async fn list(
    access: &mut Access,
    namespace: &str,
    prefix: String,
    limit: usize,
) -> Result<Vec<ListedEntry>> {
    let mut query =
        StateList { namespace: namespace.to_owned(), prefix: Some(prefix), ..StateList::default() };
    let mut entries = Vec::new();
    loop {
        query.limit = Some((limit - entries.len()).min(limits::MAX_PAGE_ROWS));
        let page = access.run(query.clone()).await?;
        entries.extend(page.entries);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() || entries.len() >= limit {
            return Ok(entries);
        }
    }
}

/// One line for what it is now and one for each change from then on, until it is asked to end.
async fn watch(access: &mut Access, namespace: &str, key: &str, output: Output) -> Result<Exit> {
    let remote = match access {
        Access::Server(remote) => remote,
        Access::Store(_) => {
            let words = "no server runs here, so nothing changes";
            return Err(CliError::failed(words).next("longhaul serve"));
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
    // Subscribed before it is read: a change in between is reported.
    let mut changes = match remote.watch_state(namespace, key).await {
        Ok(changes) => changes,
        Err(error) => return Ok(error),
    };
    loop {
        let get = StateGet { namespace: namespace.to_owned(), key: key.to_owned() };
        let entry = match remote.run(&get, true).await {
            Ok(entry) => entry,
            Err(error) => return Ok(error),
        };
        let version = entry.version;
        if shown.replace(version) != Some(version) {
            match output.json {
                true => output.json(&entry)?,
                false if version == 0 => output.line("0\t(none)")?,
                false => {
                    let value = entry.value.unwrap_or_default().to_string();
                    let by = entry.by.unwrap_or_default();
                    output.line(format!("{version}\t{}\t{}", escape(&by), escape(&value)))?;
                }
            }
        }
        if let Err(error) = changes.next().await {
            return Ok(error.into());
        }
    }
}

fn print_entries(entries: Vec<ListedEntry>, output: Output) -> Result<()> {
    let mut table = Table::new(&["KEY", "VERSION", "UPDATED", "BY"]);
    for ListedEntry { key, version, updated_at, by } in entries {
        table.row([key, version.to_string(), updated_at, by]);
    }
    output.table(&table)
}

/// Text as it is, all else as JSON.
fn pretty(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}
