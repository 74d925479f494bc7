//! `longhaul backup`: a copy of a store, running or not, as one file or for another program.

mod copy;
mod restore;
mod socket;
mod source;
mod target;

use std::io::{self, ErrorKind, IsTerminal};
use std::path::Path;

use serde_json::json;

use super::args::BackupArgs;
use super::context::Context;
use super::exit::{CliError, Exit, Result};
use super::render::{bytes, escape};
use crate::engine::rfc3339;
use crate::limits;
use crate::store::{BackupError, BackupSummary, StoreError};

pub use copy::open_copy;
pub use restore::run as run_restore;
pub use socket::BackupSocket;
pub use source::check_running;

use source::Source;
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

fn describe(summary: &BackupSummary) -> String {
    let BackupSummary { made_at, rows, log_rows, bytes: size, .. } = summary;
    format!("{rows} rows and {log_rows} commits, {}, as of {}", bytes(*size), rfc3339(*made_at))
}

fn document(summary: &BackupSummary) -> serde_json::Value {
    let digest: String = summary.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "made_at": rfc3339(summary.made_at), "rows": summary.rows, "commits": summary.log_rows,
        "bytes": summary.bytes, "boot": summary.boot, "digest": format!("blake3:{digest}"),
    })
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        match &error {
            BackupError::Store(StoreError::NotPrivate(why)) => why.clone().into(),
            BackupError::Occupied { .. } => Self::refused(error)
                .next("name an empty folder with --data, or move what is there elsewhere first"),
            BackupError::Leftover { path } => {
                let advice = format!("if no other restore runs: rm {}", path.display());
                Self::refused(error).next(advice)
            }
            BackupError::Read(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Self::failed(format_args!(
                    "the server has given nothing of a backup for {} seconds",
                    limits::BACKUP_STALL_SECONDS
                ))
                .next("see whether it makes others, or stands still, and try again")
            }
            BackupError::CutOff { .. } | BackupError::Altered { .. } => {
                Self::failed(error).next("take another backup; nothing was restored from this one")
            }
            _ => Self::failed(error),
        }
    }
}
