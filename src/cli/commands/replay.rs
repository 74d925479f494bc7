//! `longhaul replay`: an exported task, step by step, without a network and without effects.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::bind;
use crate::cli::args::ReplayArgs;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::scratch::Scratch;
use crate::cli::server::open;
use crate::cli::show::render::{Output, Table, bytes, escape};
use crate::engine::{Exported, ReplayEnd, Replayed};
use crate::sandbox::Silence;

pub async fn run(args: ReplayArgs, context: &Context) -> Result<Exit> {
    let exported = tokio::task::spawn_blocking(move || read(args.file)).await.map_err(CliError::failed)??;
    let bound = bind::parse(&args.bind, &[], true)?;
    let sandbox = open::replaying_sandbox(context, Arc::new(Silence))?;
    let scratch = Scratch::new("replay")
        .map_err(|error| CliError::failed(format_args!("cannot make a scratch folder: {error}")))?;
    let folder = scratch.path().join("store");
    let replayed = tokio::select! {
        replayed = exported.replay_in(&folder, sandbox, args.until, bound.folders) => replayed,
        _ = tokio::signal::ctrl_c() => return Err(CliError::failed("interrupted; its scratch folder is gone")),
    };
    let replayed = replayed.map_err(|error| {
        let error = CliError::from(error);
        CliError::usage(format_args!("this task cannot be replayed: {}", error.message))
    })?;
    match context.output.json {
        true => context.output.json(&document(&exported, &replayed))?,
        false => print(&exported, &replayed, context.output)?,
    }
    Ok(if replayed.end.is_faithful() { Exit::Done } else { Exit::Failed })
}

fn read(path: PathBuf) -> Result<Exported> {
    let named = path.display().to_string();
    if path == Path::new("-") {
        return of(std::io::stdin().lock(), "stdin");
    }
    let file = File::open(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => CliError::not_found(format_args!("there is no file {named}")),
        _ => CliError::failed(format_args!("{named} cannot be read: {error}")),
    })?;
    of(BufReader::new(file), &named)
}

fn of(input: impl Read, named: &str) -> Result<Exported> {
    Exported::read(input).map_err(|error| CliError::usage(format_args!("{named}: {error}")))
}

fn document(exported: &Exported, replayed: &Replayed) -> Value {
    let steps: Vec<Value> = replayed
        .records
        .iter()
        .map(|record| {
            json!({
                "step": record.step, "kind": record.kind, "about": record.about, "bytes": record.bytes,
                "replayed": record.step < replayed.passed,
            })
        })
        .collect();
    let (end, message, detail) = end(&replayed.end);
    json!({
        "task": exported.head,
        "replayed": replayed.passed,
        "end": end,
        "message": message,
        "detail": detail,
        "steps": steps,
        "log": String::from_utf8_lossy(&replayed.log),
    })
}

/// A word for it, and what is known about it.
fn end(end: &ReplayEnd) -> (&'static str, Option<&str>, Option<&str>) {
    match end {
        ReplayEnd::Live => ("live", None, None),
        ReplayEnd::Stopped => ("stopped", None, None),
        ReplayEnd::Completed(_) => ("completed", None, None),
        ReplayEnd::Differs { message } => ("differs", Some(message), None),
        ReplayEnd::Trapped { message, detail } => ("trapped", Some(message), detail.as_deref()),
        ReplayEnd::Failed { reason, message } => (reason, Some(message), None),
        ReplayEnd::TooLong => ("too_long", None, None),
    }
}

fn print(exported: &Exported, replayed: &Replayed, output: Output) -> Result<()> {
    let head = &exported.head;
    let reason = head.reason.as_deref().map(|reason| format!(" ({})", escape(reason))).unwrap_or_default();
    output.line(format!(
        "task {}  {}  {}{reason}",
        escape(&head.task),
        escape(&head.tool),
        escape(&head.state)
    ))?;
    let size = bytes(exported.component.len() as u64);
    output.line(format!(
        "component {}  {size}  exported by longhaul {}",
        escape(&head.component),
        escape(&head.longhaul)
    ))?;
    if head.redacted {
        output.line("the file is redacted: where what the tool does hangs on a text, its replay differs")?;
    }
    if let Some(error) = &head.error {
        output.line(format!("it failed with: {}", escape(&error.message)))?;
    }
    let mut table = Table::new(&["STEP", "KIND", "ABOUT", "BYTES", "REPLAYED"]);
    for record in &replayed.records {
        let was = if record.step < replayed.passed { "yes" } else { "no" };
        let about = record.about.as_deref().unwrap_or_default();
        table.row([&record.step.to_string(), &record.kind, about, &record.bytes.to_string(), was]);
    }
    output.table(&table)?;
    if !replayed.log.is_empty() {
        output.line("log:")?;
        output.foreign_text(&String::from_utf8_lossy(&replayed.log))?;
    }
    let (passed, of) = (replayed.passed, head.first_record.saturating_add(head.records));
    let (_, message, detail) = end(&replayed.end);
    let words = match &replayed.end {
        ReplayEnd::Live => "all is replayed: what the tool does next is new".to_owned(),
        ReplayEnd::Stopped => "it stands where it was to stop".to_owned(),
        ReplayEnd::Completed(_) => "the tool returns its result".to_owned(),
        ReplayEnd::Differs { .. } => "the tool does otherwise than its journal says".to_owned(),
        ReplayEnd::Trapped { .. } => "the tool traps".to_owned(),
        ReplayEnd::Failed { reason, .. } => format!("the tool ends: {reason}"),
        ReplayEnd::TooLong => "the replay takes too long".to_owned(),
    };
    output.line(format!("replayed {passed} of {of} records: {words}"))?;
    if let Some(message) = message {
        output.line(format!("  {}", escape(message)))?;
    }
    detail.map_or(Ok(()), |detail| output.foreign_text(detail))
}
