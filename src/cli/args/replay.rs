use std::path::PathBuf;

use clap::Args;

#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// What `longhaul task export` wrote, or - for stdin
    pub file: PathBuf,
    /// Stop once so many records are replayed
    #[arg(long, value_name = "STEP")]
    pub until: Option<u64>,
    /// A folder of this machine for one of its slots, of which is read again what is too long for a journal; repeat it for more
    #[arg(long, value_name = "SLOT=PATH")]
    pub bind: Vec<String>,
}
