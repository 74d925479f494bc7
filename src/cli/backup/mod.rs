//! Lives here: `longhaul backup` and `restore`: a copy of a store, running or not, as one file or for another program.
//! May import: `args`, `server`, `show`. Never here: the server's side (`server/backup_socket.rs`).
//! Read first: this file, then `source.rs`.

mod copy;
mod restore;
mod source;
mod summary;
mod target;

use std::io::{self, IsTerminal};
use std::path::Path;

use serde_json::json;

use crate::cli::args::BackupArgs;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::show::render::escape;

pub use copy::open_copy;
pub use restore::run as run_restore;
pub use source::check_running;

use source::Source;
use summary::{describe, document};
use target::Target;

pub async fn run(args: BackupArgs, context: &Context) -> Result<Exit> {
    let target = match (args.command, args.target) {
        (Some(command), _) => Target::Command(command),
        (None, Some(target)) if target == Path::new("-") => Target::Stdout,
        (None, Some(folder)) => Target::Folder(folder),
        (None, None) => return Err(CliError::usage("a backup needs a FOLDER, - or --command PROGRAM")),
    };
    if matches!(target, Target::Stdout) {
        if context.output.json {
            return Err(CliError::usage("stdout is for the backup or for JSON, not for both"));
        }
        if io::stdout().is_terminal() {
            return Err(CliError::usage("a backup is no text for a terminal").next("longhaul backup FOLDER"));
        }
    }
    let Source { stream, origin } = Source::open(context).await?;
    let is_stdout = matches!(target, Target::Stdout);
    let taken = tokio::task::spawn_blocking(move || target.take(stream)).await;
    let (summary, file) = taken.map_err(CliError::failed)??;
    if context.output.json {
        let mut document = document(&summary);
        document["source"] = json!(origin);
        document["file"] = json!(file);
        context.output.json(&document)?;
        return Ok(Exit::Done);
    }
    let place = file.map(|file| format!(" to {}", file.display())).unwrap_or_default();
    let line = escape(&format!("backed up a {origin} store{place}: {}", describe(&summary)));
    // What is on stdout then is the backup.
    if is_stdout {
        eprintln!("{line}")
    } else {
        context.output.line(line)?
    }
    Ok(Exit::Done)
}
