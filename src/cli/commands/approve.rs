//! `longhaul tool approve`

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use crate::api::{ToolApprovals, ToolApprove, ToolRevoke, UnapprovedDocument};
use crate::cli::args::ServerArgs;
use crate::cli::client::access::Access;
use crate::cli::client::hand;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Result};
use crate::cli::server::{catalog, open};
use crate::cli::show::render::{Table, escape, escape_text};

/// Lists what waits, or shows one component and approves it.
pub async fn run(
    (name, digest): (Option<String>, Option<String>),
    tools: Vec<PathBuf>,
    server: &ServerArgs,
    context: &Context,
) -> Result<()> {
    let mut access = Access::open_or_make(server.url(), context).await?;
    let done = match look_at_files(&access, tools, context).await {
        Ok(()) => with(&mut access, name, digest, context).await,
        Err(error) => Err(error),
    };
    access.close().await;
    done
}

/// Where no server runs, what waits is known once the files have been looked at as a start looks at them.
async fn look_at_files(access: &Access, tools: Vec<PathBuf>, context: &Context) -> Result<()> {
    let Access::Store(engine) = access else { return Ok(()) };
    let settings = &context.settings;
    let paths = if tools.is_empty() { settings.tool_paths.clone() } else { tools };
    if paths.is_empty() {
        return Err(CliError::usage("no server runs, and no tools are named")
            .next("longhaul tool approve NAME --tools PATH, as the server is started"));
    }
    let sandbox = open::sandbox(context)?;
    let catalog = catalog::of_files(engine, sandbox.as_ref(), paths, settings).await?;
    engine.set_catalog(Arc::new(catalog));
    Ok(())
}

/// Takes an approval back.
pub async fn revoke(name: String, server: &ServerArgs, context: &Context) -> Result<()> {
    let mut access = Access::open(server.url(), context).await?;
    let done = access.run(ToolRevoke { name }).await;
    access.close().await;
    let revoked = done?;
    if context.output.json {
        return context.output.json(&revoked);
    }
    eprintln!(
        "{}: it is not served any more, and its tasks have lost what they were granted, until it is approved again",
        escape(&revoked.name)
    );
    Ok(())
}

async fn with(
    access: &mut Access,
    name: Option<String>,
    digest: Option<String>,
    context: &Context,
) -> Result<()> {
    let listed = access.run(ToolApprovals {}).await?;
    let Some(name) = name else {
        if context.output.json {
            return context.output.json(&listed);
        }
        let mut table = Table::new(&["NAME", "WAITS SINCE", "TOOLS", "DIGEST"]);
        listed.waiting.iter().for_each(|it| {
            table.row([&it.name, it.since.words(), &it.tools.join(" "), &it.digest]);
        });
        return context.output.table(&table);
    };
    let waiting = listed.waiting.into_iter().find(|waiting| waiting.name == name).ok_or_else(|| {
        CliError::not_found(format_args!("no component '{}' waits for approval", escape(&name)))
            .next("longhaul tool approve, for a list of what waits")
    })?;
    hand::may_approve(hand::is_person(&context.settings))?;
    show(&waiting);
    let digest = match digest {
        Some(digest) => digest,
        None => confirmed(&waiting)?,
    };
    let approved = access.run(ToolApprove { name, digest }).await?;
    if context.output.json {
        return context.output.json(&approved);
    }
    let when = if access.runs_nothing() { "it is served from the next start on" } else { "it is served" };
    eprintln!("{}: approved; {when}", escape(&approved.name));
    Ok(())
}

/// All that the approval is of, as far as it is no plain tool.
fn show(waiting: &UnapprovedDocument) {
    eprintln!("{}: {}", escape(&waiting.name), waiting.since.words());
    waiting.reasons.iter().for_each(|reason| eprintln!("  {}", escape_text(reason)));
    let tools: Vec<_> = waiting.tools.iter().map(|tool| escape(tool)).collect();
    eprintln!("  its tools: {}", tools.join(", "));
    eprintln!("  {}", waiting.digest);
}

/// What was shown, where the person says so.
fn confirmed(waiting: &UnapprovedDocument) -> Result<String> {
    if !io::stdin().is_terminal() {
        return Err(CliError::usage("stdin is no terminal, so the question cannot be asked").next(format!(
            "longhaul tool approve {} --digest {}",
            escape(&waiting.name),
            waiting.digest
        )));
    }
    eprint!("Serve it? Type yes: ");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(CliError::failed)?;
    if line.trim().eq_ignore_ascii_case("yes") {
        return Ok(waiting.digest.clone());
    }
    Err(CliError::refused(format_args!("{} is not approved", escape(&waiting.name))))
}
