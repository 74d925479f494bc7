//! What is said of a backup, and of what goes wrong with one.

use std::io::ErrorKind;

use serde_json::json;

use crate::cli::exit::CliError;
use crate::cli::show::render::bytes;
use crate::clock::rfc3339;
use crate::limits;
use crate::store::{BackupError, BackupSummary, StoreError};

/// For people, in one line.
pub fn describe(summary: &BackupSummary) -> String {
    let BackupSummary { made_at, rows, log_rows, bytes: size, .. } = summary;
    format!("{rows} rows and {log_rows} commits, {}, as of {}", bytes(*size), rfc3339(*made_at))
}

/// For programs.
pub fn document(summary: &BackupSummary) -> serde_json::Value {
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
