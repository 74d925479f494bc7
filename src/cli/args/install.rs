//! What `longhaul install` takes: whose configuration it writes, and how.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// An MCP host whose configuration is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostClient {
    ClaudeCode,
    ClaudeDesktop,
    #[value(name = "vscode")]
    VsCode,
    Cursor,
    Codex,
}

#[derive(Clone, Debug, Args)]
pub struct InstallArgs {
    /// The host
    #[arg(long, value_name = "NAME")]
    pub client: HostClient,
    /// The file of the project in the working folder, not the user's own
    #[arg(long)]
    pub project: bool,
    /// The host starts this program; several hosts share one server [default]
    #[arg(long, conflicts_with_all = ["http", "url"])]
    pub stdio: bool,
    /// The host connects to a server that runs
    #[arg(long)]
    pub http: bool,
    /// The host sends the server's key: for a host in another container, user or system than the server
    #[arg(long, conflicts_with_all = ["stdio", "tools"])]
    pub with_key: bool,
    /// Address of that server's MCP endpoint; elsewhere than on this machine, the host sends the token in
    /// LONGHAUL_TOKEN [default: as the server's settings have it]
    #[arg(long)]
    pub url: Option<String>,
    /// What is served: as in `serve --tools`
    #[arg(long, value_name = "PATH", conflicts_with_all = ["http", "url"])]
    pub tools: Vec<PathBuf>,
    /// Put this entry in the place of another of the same name
    #[arg(long)]
    pub force: bool,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not start the server once, which has the tools compiled before a host waits for them
    #[arg(long)]
    pub no_start: bool,
}
