//! What `longhaul serve` takes.

use std::path::PathBuf;

use clap::Args;

#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// Listen here; port 0 takes a free one and says which [default: 127.0.0.1:1919]
    #[arg(long, value_name = "ADDR", conflicts_with = "stdio")]
    pub http: Option<String>,
    /// Speak MCP on stdin and stdout: for the server of the data folder, which is started in the background where
    /// none runs
    #[arg(long)]
    pub stdio: bool,
    /// With --stdio: do all in this process, which has the data folder for itself and ends with its host
    #[arg(long, requires = "stdio")]
    pub private: bool,
    /// With --stdio: answer this host after so many seconds at the latest, as `?wait=N` does for one over HTTP
    #[arg(long, value_name = "SECONDS", conflicts_with = "http")]
    pub wait: Option<String>,
    /// With --stdio: `text` for a host that cannot take links, as `?links=text` for one over HTTP
    #[arg(long, value_name = "block|text", conflicts_with = "http")]
    pub links: Option<String>,
    /// Be the server in the background
    #[arg(long, hide = true, conflicts_with_all = ["stdio", "http"])]
    pub background: bool,
    /// Start the server in the background, and say its pid
    #[arg(long, hide = true, conflicts_with_all = ["stdio", "http"])]
    pub start_background: bool,
    /// Take every request over loopback for the owner's, whichever user of this machine sends it: for test suites that
    /// can send no header
    #[arg(long, conflicts_with = "stdio")]
    pub open_loopback: bool,
    /// A component, a folder of components, or a Cargo workspace of guests (which is built first)
    #[arg(long, value_name = "PATH")]
    pub tools: Vec<PathBuf>,
    /// Grant every component what its manifest requests
    #[arg(long)]
    pub trust: bool,
    /// Serve what --tools names again whenever its files change (a workspace is built again): for authors
    #[arg(long)]
    pub watch: bool,
    /// `standard` or `strict`: one or two syncs of the disk for each commit [default: standard]
    #[arg(long, value_name = "MODE")]
    pub durability: Option<String>,
}
