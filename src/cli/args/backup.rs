use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

#[derive(Clone, Debug, Args)]
pub struct BackupArgs {
    /// A folder, which gets the backup as a new file, or - for stdout
    #[arg(value_name = "FOLDER", required_unless_present = "command")]
    pub target: Option<PathBuf>,
    /// Give the backup to the stdin of this program; all that follows are its arguments, and no shell reads them
    #[arg(
        long,
        value_name = "PROGRAM",
        num_args = 1..,
        allow_hyphen_values = true,
        conflicts_with = "target"
    )]
    pub command: Option<Vec<OsString>>,
}

#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// The file of the backup, or - for stdin
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// Only read it and verify every checksum
    #[arg(long)]
    pub check: bool,
}
