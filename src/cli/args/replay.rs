use std::path::PathBuf;

use clap::Args;

#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// What `longhaul task export` wrote, or - for stdin
    pub file: PathBuf,
    /// Stop once so many records are replayed
    #[arg(long, value_name = "STEP")]
    pub until: Option<u64>,
}
